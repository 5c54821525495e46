"""The engine's thread: any thread and any loop may ask, who leaves is forgotten at once, nobody waits for ever."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine_driver import one_thread
from ivl.engine import EngineWorker, Request, TokenOutput
from ivl.engine.stream import TokenStream
from ivl.errors import AdapterError, ContextLengthError, EngineError
from random_model import random_ids
from random_requests import (
    LONG,
    ask,
    assert_nothing_held,
    eventually,
    held,
    ids,
    make_core,
    plain,
    some_requests,
    within,
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture
def worker() -> Iterator[EngineWorker]:
    worker = EngineWorker(make_core())
    yield worker
    within(10, worker.close)


def thread_of(worker: EngineWorker) -> threading.Thread:
    return worker.call(lambda core: threading.current_thread())


async def ids_async(stream: TokenStream) -> list[int]:
    return [output.token_id async for output in stream]


def is_idle(worker: EngineWorker) -> bool:
    return worker.call(lambda core: not core.has_work)


def assert_baseline(worker: EngineWorker, seconds: float = 1) -> None:
    """Soon nothing runs, nothing is held and nobody is waited for."""
    eventually(lambda: is_idle(worker), seconds)
    worker.call(assert_nothing_held)
    assert not worker._loop.mailboxes


def test_threads_and_loops_at_once_get_their_own_answers(worker: EngineWorker) -> None:
    requests = some_requests()
    expected = [plain(each) for each in requests]

    async def together() -> list[list[int]]:
        return await asyncio.gather(*(ids_async(worker.generate(each)) for each in requests))

    with ThreadPoolExecutor(12) as pool:
        loops = [pool.submit(lambda: asyncio.run(together())) for _ in range(4)]
        threads = [pool.submit(lambda each=each: ids(worker.generate(each))) for each in requests]
        assert [each.result(60) for each in threads] == expected
        assert all(each.result(60) == expected for each in loops)
    assert_baseline(worker)


@pytest.mark.parametrize("num_read", [0, 3])
def test_closing_aborts_before_the_next_step(worker: EngineWorker, num_read: int) -> None:
    stream = worker.generate(LONG)
    for _ in range(num_read):
        within(5, lambda: next(stream))
    stream.close()
    # Commands are taken in turn: when this one runs, the abort has run, and no step since.
    assert is_idle(worker)
    assert_baseline(worker)


def test_a_stream_that_is_dropped_unread_is_aborted(worker: EngineWorker) -> None:
    worker.generate(LONG)
    gc.collect()
    assert is_idle(worker)


def test_a_request_may_be_closed_before_the_engine_has_it(worker: EngineWorker) -> None:
    with held(worker):
        stream = worker.generate(LONG)
        stream.close()
        del stream
    assert is_idle(worker)
    assert_baseline(worker)


def test_a_reader_that_waits_is_woken_by_close_from_another_thread(worker: EngineWorker) -> None:
    with held(worker), ThreadPoolExecutor(1) as pool:
        stream = worker.generate(LONG)
        reader = pool.submit(ids, stream)
        threading.Event().wait(0.05)
        stream.close()
        assert reader.result(5) == []


def test_closing_the_loop_while_a_request_runs(worker: EngineWorker) -> None:
    loop = asyncio.new_event_loop()
    stream = worker.generate(LONG)
    task = loop.create_task(ids_async(stream))
    loop.run_until_complete(asyncio.sleep(0.02))
    loop.close()  # with a task that waits in it
    # The engine goes on, for this one too: whoever holds the stream may still read it.
    assert within(20, lambda: ids(worker.generate(ask(random_ids(5))))) == plain(ask(random_ids(5)))
    del stream, task, loop
    gc.collect()
    assert_baseline(worker)


def test_cancelling_a_task_aborts_its_request(worker: EngineWorker) -> None:
    async def read() -> None:
        async for _ in worker.generate(LONG):
            pass

    async def main() -> None:
        task = asyncio.create_task(read())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    within(10, lambda: asyncio.run(main()))
    gc.collect()
    assert_baseline(worker)


def test_call_gives_results_and_raises_what_the_function_raises(worker: EngineWorker) -> None:
    assert worker.call(lambda core: core.session_len) == 256
    assert worker.call(lambda core: threading.current_thread().name) == "ivl-engine"
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: worker.call(lambda core: 1 // 0))
    with pytest.raises(AdapterError, match="no adapter 'x' is loaded"):
        within(5, lambda: worker.call(lambda core: core.unload_adapter("x")))
    assert worker.failure is None


def test_a_call_within_a_call_does_not_wait_for_itself() -> None:
    worker = EngineWorker(make_core())
    assert within(5, lambda: worker.call(lambda core: worker.call(lambda core: 5))) == 5
    within(5, worker.close)


def test_a_request_that_cannot_be_done_is_refused_at_once(worker: EngineWorker) -> None:
    running = worker.generate(LONG)
    with pytest.raises(ContextLengthError, match="300 tokens"):
        worker.generate(ask(random_ids(300)))
    with pytest.raises(AdapterError, match="no adapter 'x' is loaded; loaded: none"):
        within(5, lambda: ids(worker.generate(ask(random_ids(5), adapter="x"))))
    assert within(20, lambda: ids(running)) == plain(LONG)


def test_closing_the_worker_ends_every_stream_and_frees_the_weights() -> None:
    worker = EngineWorker(make_core())
    thread = thread_of(worker)
    model = weakref.ref(worker.call(lambda core: core.runner.model))
    streams = [worker.generate(LONG) for _ in range(4)]
    next(streams[0])
    within(10, worker.close)
    assert not thread.is_alive()
    for stream in streams:
        with pytest.raises(EngineError, match="the engine is closed: make a new pipeline"):
            within(5, lambda stream=stream: ids(stream))
    for use in (lambda: worker.generate(LONG), lambda: worker.call(len)):
        with pytest.raises(EngineError, match="the engine is closed"):
            within(5, use)
    assert isinstance(worker.failure, EngineError)
    assert worker.stats.running == 0
    within(5, worker.close)
    gc.collect()
    assert model() is None, "the weights are still held"


def test_a_worker_that_nobody_holds_ends() -> None:
    worker = EngineWorker(make_core())
    thread = thread_of(worker)
    assert thread.is_alive()
    del worker
    gc.collect()
    eventually(lambda: not thread.is_alive())


def test_a_stream_keeps_its_worker() -> None:
    stream = EngineWorker(make_core()).generate(LONG)
    gc.collect()
    assert within(20, lambda: ids(stream)) == plain(LONG)


PHASES: dict[str, Callable[[int], Request]] = {
    "vision": lambda seed: some_requests(8)[seed % 8],
    "prefill": lambda seed: ask(random_ids(200, seed), 50),
    "decode": lambda seed: ask(random_ids(4, seed), 250),
}


def test_a_thousand_disconnects_leave_nothing(worker: EngineWorker) -> None:
    with held(worker):  # in the line, unknown to the engine or not yet running
        streams = [worker.generate(ask(random_ids(20, seed), 50)) for seed in range(250)]
        for stream in streams[::2]:
            stream.close()
    del streams, stream
    requests = {name: [make(seed) for seed in range(25)] for name, make in PHASES.items()}

    def leave(seed: int) -> None:
        name = list(PHASES)[seed % 3]
        stream = worker.generate(requests[name][seed // 3 % 25])
        if name == "decode":
            next(stream)
        else:
            threading.Event().wait(seed % 7 / 1000)
        if seed % 2:
            stream.close()

    with ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(leave, seed) for seed in range(750)]:
            future.result(60)
    gc.collect()
    assert_baseline(worker, seconds=1)
    request = ask(random_ids(9))
    assert within(10, lambda: ids(worker.generate(request))) == plain(request)


def test_a_preempted_request_may_be_closed() -> None:
    worker = EngineWorker(make_core(blocks=24))
    streams = [worker.generate(ask(random_ids(8, seed), 80)) for seed in range(6)]
    eventually(lambda: worker.stats.preemptions > 0)
    with held(worker):
        waiting = [each.request for each in worker._loop.core.scheduler.waiting.values()]
    assert waiting or worker.stats.preemptions
    del streams
    gc.collect()
    assert_baseline(worker)
    within(5, worker.close)


def test_outcomes_stop_at_the_end() -> None:
    worker = EngineWorker(make_core())
    request = ask(random_ids(9), 5)
    outputs = within(10, lambda: list(worker.generate(request)))
    assert all(isinstance(output, TokenOutput) for output in outputs)
    assert [output.finish_reason for output in outputs] == [None] * 4 + ["length"]
    worker.close()
