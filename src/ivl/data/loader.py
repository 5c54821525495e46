"""Batches for one rank, made in worker processes, in the planner's order.

In: a corpus, a processor, a plan, and where to begin. Out: one `PackedBatch` a micro batch, on the CPU. What a batch
holds depends on the plan alone: not on the number of workers, on which of them made it, or on where the run was
resumed. Draws nothing from torch's or Python's random state. Knows no model and no devices beyond pinned memory.
"""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from ivl.data.augment import augment
from ivl.data.collate import collate
from ivl.data.corpus import Corpus
from ivl.data.example import PackedBatch
from ivl.data.planner import Planner
from ivl.data.seen_tiles import TileStore
from ivl.data.settings import DataSettings
from ivl.data.workers import begin, begin_worker, end, lost_worker, worker_context
from ivl.errors import DataError, InputError
from ivl.processing.processor import Processor
from ivl.types import ModelInputs

_MOST_WORKERS = 8
_PREFETCHED = 2
"""Batches that each worker holds ready."""
_NAMED = 8
"""Samples that an error names at most."""


@dataclass(frozen=True)
class Task:
    """One micro batch of one rank."""

    epoch: int
    samples: tuple[int, ...]


@dataclass(frozen=True)
class _Loaded:
    """What a worker sends: a batch, or why there is none. An exception sent as it is would arrive as a traceback."""

    batch: PackedBatch | None = None
    error: str = ""

    def pin_memory(self) -> "_Loaded":
        """Called by the data loader's own thread."""
        if self.batch is None:
            return self
        pinned: dict[str, Any] = {name: each.pin_memory() for name, each in _tensors(self.batch).items()}
        return _Loaded(replace(self.batch, **pinned))


def batches(
    corpus: Corpus,
    processor: Processor,
    settings: DataSettings,
    planner: Planner,
    *,
    rank: int = 0,
    epoch: int = 0,
    step: int = 0,
    num_epochs: int | None = None,
    num_workers: int | None = None,
    pin_memory: bool = False,
    store: TileStore | None = None,
) -> Iterator[PackedBatch]:
    """The micro batches of `rank` from (epoch, step) on: `planner.num_micros` of them a step, an epoch after another.

    num_epochs: stop after so many, the first one included; None: never. num_workers: processes that prepare samples;
    None: the recipe's number, or by the number of cores; 0: in this process.
    store: where the features of tiles seen before are looked up.
    A sample that cannot be read is left out, and its batch says so in `dropped`.
    Raises DataError where preparing a sample fails for any other reason, or a worker process is lost. Close the
    iterator to end the workers.
    """
    if num_workers is None:
        num_workers = default_workers(settings)
    waiting: deque[Task] = deque()
    loader: DataLoader[_Loaded] = DataLoader(
        _Samples(corpus, processor, settings, store),
        sampler=_tasks(planner, rank, epoch, step, num_epochs, waiting),
        batch_size=None,
        collate_fn=_unchanged,
        num_workers=num_workers,
        prefetch_factor=_PREFETCHED if num_workers else None,
        multiprocessing_context=worker_context() if num_workers else None,
        worker_init_fn=begin_worker if num_workers else None,
        pin_memory=pin_memory and torch.cuda.is_available(),
        generator=torch.Generator(),  # its own: a loader would draw a seed from the state that dropout draws from
    )
    iterator = begin(loader)
    try:
        while True:
            try:
                loaded: _Loaded = next(iterator)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:
                raise _lost(lost_worker(iterator) or _first_line(error), waiting, corpus) from error
            waiting.popleft()
            if loaded.batch is None:
                raise DataError(loaded.error)
            yield loaded.batch
    finally:
        end(iterator)


def default_workers(settings: DataSettings) -> int:
    """Worker processes of each rank: the recipe's number, or one for each core that is left, at most 8."""
    if settings.dataloader_num_workers is not None:
        return settings.dataloader_num_workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, min(_MOST_WORKERS, cores // max(int(ranks) if ranks.isdecimal() else 1, 1) - 1))


def load_sample(
    corpus: Corpus, processor: Processor, settings: DataSettings, index: int, epoch: int
) -> tuple[str, ModelInputs]:
    """The name and the inputs of a sample, as every worker makes it. Raises InputError."""
    example = augment(corpus[index], as_viewed=processor.as_viewed, key=(settings.seed, epoch, index))
    return example.id or example.where, processor(example.messages, max_length=settings.max_length, as_bytes=True)


class _Samples(Dataset[_Loaded]):
    """Makes the batch of a task; lives in each worker."""

    def __init__(
        self, corpus: Corpus, processor: Processor, settings: DataSettings, store: TileStore | None = None
    ) -> None:
        self.corpus = corpus
        self.processor = processor
        self.settings = settings
        self.store = store

    def __getitem__(self, task: Task) -> _Loaded:
        samples: list[tuple[str, ModelInputs]] = []
        dropped: list[str] = []
        for index in task.samples:
            where = self.corpus.where(index)
            try:
                samples.append(load_sample(self.corpus, self.processor, self.settings, index, task.epoch))
            except InputError as error:
                dropped.append(_named(where, error))
            except Exception as error:
                return _Loaded(error=f"{where}: preparing the sample failed: {type(error).__name__}: {error}")
        filler = 1 if self.processor.image_token_id == 0 else 0
        batch = collate(samples, self.settings.loss_weighting, dropped=dropped, filler_id=filler)
        if self.store is not None:
            batch = self.store.look_up(batch)
        return _Loaded(batch) if get_worker_info() is None else _shared(batch)


def _shared(batch: PackedBatch) -> _Loaded:
    """The batch in memory that the first process reads too.

    Left to the queue, a lack of room would be told to nobody, and the batch waited for without end.
    """
    tensors = list(_tensors(batch).values()) + ([] if batch.seen is None else [batch.seen.features])
    try:
        for each in tensors:
            each.share_memory_()  # type: ignore[no-untyped-call]
    except (RuntimeError, OSError) as error:
        size = sum(each.nbytes for each in tensors) / 2**20
        return _Loaded(
            error=f"shared memory (/dev/shm) has no room for a batch of {size:.0f} MiB: give it more (docker run "
            f"--shm-size=8g), or set dataloader_num_workers=0: {error}"
        )
    return _Loaded(batch)


def _tensors(batch: PackedBatch) -> dict[str, torch.Tensor]:
    names = ("input_ids", "targets", "weights", "pixel_values")
    return {name: getattr(batch, name) for name in names if getattr(batch, name) is not None}


def _tasks(
    planner: Planner, rank: int, epoch: int, step: int, num_epochs: int | None, waiting: deque[Task]
) -> Iterator[Task]:
    """Tasks in order; each is put into `waiting` as it goes out."""
    last = None if num_epochs is None else epoch + num_epochs
    while epoch != last:
        plan = planner.epoch(epoch)
        for position in range(step, len(plan)):
            for micro in plan[position]:
                task = Task(epoch, micro[rank])
                waiting.append(task)
                yield task
        epoch, step = epoch + 1, 0


def _named(where: str, error: Exception) -> str:
    """One line that begins with the record's place."""
    text = " ".join(str(error).split())
    return text if text.startswith(where) else f"{where}: {text}"


def _unchanged(loaded: Any) -> Any:
    return loaded


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def _lost(reason: str, waiting: deque[Task], corpus: Corpus) -> DataError:
    """A worker process ended by itself."""
    samples = [sample for task in waiting for sample in task.samples]
    more = f" and {len(samples) - _NAMED} more" if len(samples) > _NAMED else ""
    place = f", while preparing {', '.join(map(corpus.where, samples[:_NAMED]))}{more}" if samples else ""
    return DataError(
        f"a process that prepares samples was lost{place}: {reason}; out of memory is the usual cause: lower "
        "dataloader_num_workers, or give /dev/shm more room; a script that trains needs `if __name__ == '__main__':`"
    )
