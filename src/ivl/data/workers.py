"""Work on many records in several processes, in order, with an end to it whatever happens.

In: a callable that can be sent to another process, and the numbers of records. Out: its results, chunk by chunk in
order. Processes are started afresh, end with the process that started them, and one that is killed ends the work with
an error. Knows nothing of what is done.
"""

import atexit
import contextlib
import multiprocessing
import os
import signal
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar, cast

import torch
import torch.utils.data

from ivl.errors import DataError, IvlError

Result = TypeVar("Result")
Numbers = Sequence[int]

_MOST = 32
_ENDING = 2.0
"""Seconds within which a process whose connection broke has ended."""


def choose_workers(asked: int | None, count: int, worth: int) -> int:
    """Processes for `count` records: as asked, else as many as there are cores and `worth` records for each.

    0: this process does the work.
    """
    if asked is not None:
        return min(asked, _MOST, count)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    best = min(cores, _MOST, count // worth)
    return best if best > 1 else 0


def worker_context() -> BaseContext:
    """How worker processes begin: never as a copy of a process that holds threads and a GPU."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ivl.data.loader"])  # all that workers import, once and not once a worker
    return context


def begin_worker(worker_id: int) -> None:
    """One thread each, and no end by the Ctrl-C or SIGTERM that a whole group gets: the run saves first."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(number, signal.SIG_DFL))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this worker when the run is gone, killed perhaps; torch's own watch looks at the fork server instead."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    parent.join()
    os._exit(1)


def begin(loader: "torch.utils.data.DataLoader[Result]") -> Iterator[Result]:
    """The loader's iterator, whose processes end with this one; `end` ends them before."""
    iterator: Any = iter(loader)
    _begun.add(iterator)
    return cast(Iterator[Result], iterator)


def end(iterator: Iterator[Any]) -> None:
    """End a data loader's processes now, whoever else still refers to its iterator."""
    shut_down = getattr(iterator, "_shutdown_workers", None)  # the iterator of a loader without processes has none
    if shut_down is not None:
        shut_down()


def lost_worker(iterator: Iterator[Any]) -> str:
    """Which of a data loader's processes has ended, and how; empty where none has.

    An error does not tell: the same loss is a message of torch's, or a connection that was reset.
    """
    workers = {each.sentinel: each for each in getattr(iterator, "_workers", ())}
    for sentinel in wait(workers, timeout=_ENDING):
        worker = workers[cast(int, sentinel)]
        worker.join()
        code = worker.exitcode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        return f"worker (pid {worker.pid}) {how}"
    return ""


_begun: weakref.WeakSet[Any] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """Before Python does: it tells processes to end once, which ours pass over, and then waits for them for ever."""
    for iterator in list(_begun):
        end(iterator)


def run_chunks(
    work: Callable[[Numbers], Result], numbers: Numbers, *, workers: int, chunk_size: int
) -> Iterator[tuple[Numbers, Result]]:
    """`work` on chunks of `numbers`: each chunk with its result, in order.

    Raises what `work` raises of ours, and DataError where a process is lost.
    """
    chunks = _Chunks(work, numbers, chunk_size)
    if workers == 0:
        for idx in range(len(chunks)):
            yield chunks.numbers(idx), work(chunks.numbers(idx))
        return
    loader = torch.utils.data.DataLoader(
        chunks,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        multiprocessing_context=worker_context(),
        worker_init_fn=begin_worker,
    )
    results: Iterator[Any] = iter(())
    try:
        with _no_interrupt(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of more processes than cores
            results = begin(loader)
        for idx, result in enumerate(results):
            if isinstance(result, IvlError):
                raise result
            yield chunks.numbers(idx), result
    except (RuntimeError, OSError, EOFError) as error:
        if isinstance(error, IvlError) or not lost_worker(results):
            raise
        raise DataError(
            "a process that read records was killed, which is what a system out of memory does: use --workers 1"
        ) from error
    finally:
        end(results)


class _Chunks(torch.utils.data.Dataset[Any], Generic[Result]):
    """Chunk idx is the result of work on it."""

    def __init__(self, work: Callable[[Numbers], Result], numbers: Numbers, chunk_size: int) -> None:
        self._work, self._numbers, self._size = work, numbers, chunk_size

    def __len__(self) -> int:
        return -(-len(self._numbers) // self._size)

    def __getitem__(self, idx: int) -> Result | IvlError:
        try:
            return self._work(self.numbers(idx))
        except IvlError as error:  # torch would write the worker's traceback into its message
            return error

    def numbers(self, idx: int) -> Numbers:
        return self._numbers[idx * self._size : (idx + 1) * self._size]


def _as_it_is(chunk: Any) -> Any:
    return chunk


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """Processes started here never see Ctrl-C, which a terminal sends to them too: the first process ends them.

    An interrupt of this process waits until the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # which would unblock the signal if it were started in the block
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))  # other threads do not block it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # what new processes inherit
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)
