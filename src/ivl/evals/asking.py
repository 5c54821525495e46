"""Many questions in flight on one pipeline, so that the engine's batch stays full.

In: jobs, taken as there is room for them. Out: what was said, as it is finished, in any order. Knows no sets and no
scores.

A thread for each question in flight prepares it and waits for its answer. Of those that prepare pictures there are only
as many as cores, so that no more pictures are in memory than are being cut or answered. A question that fails, by its
own fault or in the engine, is told with the reason, and its neighbours do not notice.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from ivl.errors import EngineError, InputError
from ivl.evals.subjects import Answering
from ivl.session.answer import join
from ivl.session.hardware import choose_threads
from ivl.types import GenerationConfig, Message, Response

Label = TypeVar("Label")


@dataclass(frozen=True, kw_only=True, eq=False)
class Job(Generic[Label]):
    """One question for the pipeline."""

    label: Label
    """Whatever tells the asker what this is."""
    messages: tuple[Message, ...]
    gen_config: GenerationConfig
    adapter: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Said(Generic[Label]):
    """What came of a job."""

    label: Label
    response: Response | None = None
    """The whole answer; None: there is none."""
    reason: str = ""
    """Why there is no answer: a picture that cannot be read, a prompt that is too long, a failure in the engine."""


class _Flight(Generic[Label]):
    """The questions that are under way on one pipeline."""

    def __init__(self, pipe: Answering, num_preparing: int) -> None:
        self._pipe = pipe
        self._preparing = threading.Semaphore(num_preparing)
        self._lock = threading.Lock()
        self._streams: set[Any] = set()
        self._is_over = False

    def ask(self, job: Job[Label]) -> Said[Label] | None:
        """On a thread: the whole answer to a job; None where all is over."""
        try:
            stream = self._start(job)
            if stream is None:
                return None
            try:
                pieces = list(stream)
            finally:
                self._end(stream)
        except (InputError, EngineError) as error:
            return Said(label=job.label, reason=str(error))
        if not pieces or pieces[-1].finish_reason is None:  # closed from outside
            assert self._is_over, "an answer has no end"
            return None
        return Said(label=job.label, response=join(pieces))

    def stop(self) -> None:
        """End all that is under way."""
        with self._lock:
            self._is_over = True
            streams = list(self._streams)
        for stream in streams:
            stream.close()

    def _start(self, job: Job[Label]) -> Any:
        with self._preparing:
            if self._is_over:
                return None
            stream = self._pipe.stream(job.messages, job.gen_config, adapter=job.adapter)
        with self._lock:
            self._streams.add(stream)
            is_late = self._is_over
        if is_late:
            stream.close()
        return stream

    def _end(self, stream: Any) -> None:
        with self._lock:
            self._streams.discard(stream)
        stream.close()


def ask_all(pipe: Answering, jobs: Iterator[Job[Label]], batch: int) -> Generator[Said[Label], None, None]:
    """What comes of each job, as it is finished; `batch` of them run in the engine at once.

    Raises, and ends all others, what is neither the question's fault nor the engine's: SettingsError, AdapterError.
    Closing the iterator ends all too. Whether an engine that failed still answers others, its `failure` says.
    """
    num_preparing = choose_threads()
    # Enough behind those that run that the next ones are ready when a place is free.
    num_in_flight = batch + 2 * num_preparing
    flight: _Flight[Label] = _Flight(pipe, num_preparing)
    finished: SimpleQueue[Future[Said[Label] | None]] = SimpleQueue()
    num_open = 0
    with ThreadPoolExecutor(num_in_flight, thread_name_prefix="ivl-ask") as pool:
        try:
            while True:
                while num_open < num_in_flight and (job := next(jobs, None)) is not None:
                    pool.submit(flight.ask, job).add_done_callback(finished.put)
                    num_open += 1
                if not num_open:
                    return
                said = finished.get().result()
                num_open -= 1
                assert said is not None, "a question was dropped while the others went on"
                yield said
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            flight.stop()
