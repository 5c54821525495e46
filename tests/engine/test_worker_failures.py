"""An engine that fails as a whole tells everyone who waits, and everyone who comes later, why."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine_driver import one_thread
from ivl.engine import EngineCore, EngineWorker
from ivl.errors import EngineError
from random_requests import LONG, eventually, held, ids, make_core, within


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def out_of_order(core: EngineCore, where: str, error: BaseException) -> None:
    """From now on a part of the engine that is no single request's raises."""

    def fail(*_: object) -> None:
        raise error

    owner, _, name = where.rpartition(".")
    setattr(core.scheduler if owner else core, name, fail)


FATAL = [
    ("scheduler.schedule", RuntimeError("broken")),
    ("scheduler.computed", MemoryError("broken")),
    ("step", SystemExit("broken")),
    ("add", MemoryError("broken")),
    ("abort", MemoryError("broken")),
    ("check_idle", AssertionError("broken")),
]


@pytest.mark.parametrize(("where", "error"), FATAL, ids=[where for where, _ in FATAL])
def test_an_engine_that_fails_tells_everyone_why(where: str, error: BaseException) -> None:
    worker = EngineWorker(make_core())
    with held(worker):
        waiters = [worker.generate(LONG) for _ in range(3)]
    next(waiters[0])
    with held(worker):
        out_of_order(worker._loop.core, where, error)
        late = [worker.generate(LONG) for _ in range(2)]
        calls = [ThreadPoolExecutor(1).submit(worker.call, lambda core: 1) for _ in range(2)]
        if where in ("abort", "check_idle"):  # nothing else brings the engine there
            waiters.pop().close()
    if where == "check_idle":
        for stream in (*waiters, *late):
            stream.close()
        waiters = late = []
    for stream in (*waiters, *late):
        with pytest.raises(EngineError, match=r"the engine failed and takes no more requests: .*broken") as told:
            within(10, lambda stream=stream: ids(stream))
        assert told.value.__cause__ is error
        assert "\n" not in str(told.value)
    for call in calls:  # it ran before the failure, or is told of it
        assert call.exception(10) is None or isinstance(call.exception(), EngineError)
    eventually(lambda: worker.failure is not None)
    assert worker.failure.__cause__ is error
    for use in (lambda: worker.generate(LONG), lambda: worker.call(len)):
        with pytest.raises(EngineError, match="broken") as told:
            within(5, use)
        assert told.value.__cause__ is error
    within(5, worker.close)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_a_call_that_ends_the_engine_is_answered(error: BaseException) -> None:
    worker = EngineWorker(make_core())

    def fail(core: EngineCore) -> None:
        raise error

    with pytest.raises((EngineError, type(error))):
        within(5, lambda: worker.call(fail))
    within(5, worker.close)


def test_each_who_is_told_has_an_error_of_its_own() -> None:
    worker = EngineWorker(make_core())
    streams = [worker.generate(LONG) for _ in range(3)]
    next(streams[0])
    worker.close()
    told = []
    for stream in streams:
        with pytest.raises(EngineError) as error:
            ids(stream)
        told.append(error.value)
    assert len({id(error) for error in told}) == 3
