"""A stream hands its tokens to whoever reads, in any thread and any loop, and wakes who waits when it ends."""

import asyncio
import gc
import threading
from collections.abc import Callable

import pytest

from ivl.engine.request import TokenOutput
from ivl.engine.stream import Mailbox, TokenStream, deliver
from ivl.errors import EngineError
from random_requests import within

FOUR = [TokenOutput(token_id=i, finish_reason="length" if i == 3 else None) for i in range(4)]


def make_stream() -> tuple[Mailbox, TokenStream, list[Mailbox]]:
    """A mailbox, its stream, and the list of those that were abandoned."""
    abandoned: list[Mailbox] = []
    mailbox = Mailbox()
    return mailbox, TokenStream(mailbox, abandoned.append), abandoned


async def collect(stream: TokenStream) -> list[TokenOutput]:
    return [output async for output in stream]


def fill(mailbox: Mailbox) -> None:
    for output in FOUR:
        mailbox.put(output)


def late(mailbox: Mailbox, deed: Callable[[], None]) -> None:
    """Do something a moment after the reader began to wait."""
    threading.Timer(0.05, deed).start()


def test_what_came_before_and_what_comes_while_one_waits() -> None:
    mailbox, stream, abandoned = make_stream()
    mailbox.put(FOUR[0])
    late(mailbox, lambda: [mailbox.put(output) for output in FOUR[1:]] and None)
    assert within(5, lambda: list(stream)) == FOUR
    assert list(stream) == []
    stream.close()
    assert abandoned == [], "one that has ended needs no abort"


def test_the_same_in_an_event_loop() -> None:
    mailbox, stream, _ = make_stream()
    mailbox.put(FOUR[0])
    late(mailbox, lambda: [mailbox.put(output) for output in FOUR[1:]] and None)
    assert within(5, lambda: asyncio.run(collect(stream))) == FOUR
    assert within(5, lambda: asyncio.run(collect(stream))) == []


def test_an_error_is_raised_once_and_ends_the_stream() -> None:
    mailbox, stream, abandoned = make_stream()
    error = EngineError("it failed")
    mailbox.put(FOUR[0])
    mailbox.put(error)
    assert next(stream) == FOUR[0]
    with pytest.raises(EngineError) as told:
        next(stream)
    assert told.value is error
    assert list(stream) == []
    stream.close()
    assert abandoned == []


def test_closing_abandons_once_and_ends_the_iteration() -> None:
    mailbox, stream, abandoned = make_stream()
    fill(mailbox)
    assert next(stream) == FOUR[0]
    stream.close()
    stream.close()
    assert abandoned == [mailbox]
    assert within(5, lambda: list(stream)) == []
    assert within(5, lambda: asyncio.run(collect(stream))) == []


@pytest.mark.parametrize("num_read", [0, 2])
def test_a_dropped_stream_is_abandoned(num_read: int) -> None:
    mailbox, stream, abandoned = make_stream()
    fill(mailbox)
    for _ in range(num_read):
        next(stream)
    del stream
    gc.collect()
    assert abandoned == [mailbox]


def test_a_thread_that_waits_is_woken_by_close() -> None:
    mailbox, stream, abandoned = make_stream()
    late(mailbox, stream.close)
    assert within(5, lambda: list(stream)) == []
    assert abandoned == [mailbox]


def test_a_task_that_waits_is_woken_by_close() -> None:
    _, stream, _ = make_stream()

    async def main() -> list[TokenOutput]:
        task = asyncio.ensure_future(collect(stream))
        await asyncio.sleep(0.02)
        stream.close()
        return await asyncio.wait_for(task, 5)

    assert within(10, lambda: asyncio.run(main())) == []


def test_one_stream_in_one_loop_after_another_and_in_none() -> None:
    mailbox, stream, _ = make_stream()

    async def one() -> TokenOutput:
        return await anext(stream)

    answers = []
    for output in FOUR[:2]:  # each loop has to wait, so that each binds what it waits with
        late(mailbox, lambda output=output: mailbox.put(output))
        answers.append(within(5, lambda: asyncio.run(one())))
    late(mailbox, lambda: mailbox.put(FOUR[2]))
    answers.append(within(5, lambda: next(stream)))
    late(mailbox, lambda: mailbox.put(FOUR[3]))
    answers.append(within(5, lambda: asyncio.run(one())))
    assert answers == FOUR


def test_a_reader_that_is_cancelled_loses_no_token() -> None:
    mailbox, stream, abandoned = make_stream()

    async def main() -> list[TokenOutput]:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(stream), 0.02)
        fill(mailbox)
        return await collect(stream)

    assert within(5, lambda: asyncio.run(main())) == FOUR
    assert abandoned == []


def test_a_loop_that_is_closed_while_one_waits_disturbs_nobody() -> None:
    mailbox, stream, _ = make_stream()
    loop = asyncio.new_event_loop()
    task = loop.create_task(collect(stream))
    loop.run_until_complete(asyncio.sleep(0.01))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    fill(mailbox)
    assert within(5, lambda: list(stream)) == FOUR


def test_a_mailbox_bears_two_that_put_at_once_after_the_loop_closed() -> None:
    mailbox = Mailbox()
    turns = threading.Barrier(2, timeout=5)

    def wake() -> None:
        turns.wait()  # both are inside before either learns that the loop is closed
        raise RuntimeError("Event loop is closed")

    mailbox.wake = wake
    other = threading.Thread(target=mailbox.put, args=(FOUR[0],))
    other.start()
    mailbox.put(FOUR[1])
    other.join(5)
    mailbox.put(FOUR[2])
    assert mailbox.outcomes.qsize() == 3


def test_a_step_wakes_each_loop_once() -> None:
    (one, first, _), (two, second, _), (three, plain, _) = make_stream(), make_stream(), make_stream()
    calls: list[object] = []

    async def read() -> list[list[TokenOutput]]:
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def counted(*given: object) -> object:
            calls.append(given)
            return wake(*given)  # type: ignore[arg-type]

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign, assignment]
        both = asyncio.gather(collect(first), collect(second))
        for output in FOUR:
            await asyncio.sleep(0.01)  # both wait
            step = [(one, output), (two, output), (three, output)]
            thread = threading.Thread(target=deliver, args=(step,))
            thread.start()
            thread.join(5)
        return await both

    assert within(5, lambda: asyncio.run(read())) == [FOUR, FOUR]
    assert within(5, lambda: list(plain)) == FOUR
    assert len(calls) == len(FOUR)


def test_a_step_bears_a_loop_that_is_closed() -> None:
    mailbox, stream, _ = make_stream()
    loop = asyncio.new_event_loop()
    task = loop.create_task(collect(stream))
    loop.run_until_complete(asyncio.sleep(0.01))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    deliver((mailbox, output) for output in FOUR)
    assert within(5, lambda: list(stream)) == FOUR


def test_it_says_whether_one_would_have_to_wait() -> None:
    mailbox, stream, _ = make_stream()
    assert not stream.has_next
    fill(mailbox)
    for output in FOUR:
        assert stream.has_next
        assert next(stream) == output
    assert stream.has_next, "the end is there"


def test_two_that_come_before_the_reader_runs_are_both_read() -> None:
    mailbox, stream, _ = make_stream()

    async def main() -> list[TokenOutput]:
        task = asyncio.ensure_future(collect(stream))
        await asyncio.sleep(0.01)  # it waits
        for pair in (FOUR[:2], FOUR[2:]):
            deliver((mailbox, output) for output in pair)
            deliver([])
            await asyncio.sleep(0.01)
        return await asyncio.wait_for(task, 5)

    assert within(10, lambda: asyncio.run(main())) == FOUR
