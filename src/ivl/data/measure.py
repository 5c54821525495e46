"""What every record of a data set costs, without decoding a picture: tokens, tiles, trained tokens, faults.

In: a source of examples, a processor and the run's settings. Out: `Measures`, arrays as long as the source. The result
does not depend on the number of processes. It is kept on disk, so that the next run starts at once; what is kept says
nothing of pixels: a picture that vanishes or breaks later is noticed when it is loaded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ivl.data.example import ExampleSource
from ivl.data.faults import PICTURE_RULES, Fault, fault_of
from ivl.data.fitting import prepare
from ivl.data.measure_cache import MeasureCache
from ivl.data.settings import DataSettings
from ivl.data.workers import choose_workers, run_chunks
from ivl.errors import InputError, SettingsError
from ivl.processing.processor import Processor

__all__ = ["Fault", "IdBook", "Measures", "measure"]

Progress = Callable[[int, int], None]
"""Told the records done and the records there are."""

_CHUNK = 32
_WORTH_A_PROCESS = 2000
"""Records for which starting a process pays: it takes seconds, a record about a millisecond."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measures:
    """What each of R records costs; 0 where it cannot be used."""

    num_tokens: NDArray[np.int32]
    """(R,)"""
    num_tiles: NDArray[np.int32]
    """(R,) thumbnails and frames of videos included."""
    num_trained: NDArray[np.int32]
    """(R,) tokens that are labels."""
    max_tiles: NDArray[np.int16]
    """(R,) tiles that each image may take so that the sample fits: what `fitting.with_tiles` takes."""
    faults: Mapping[int, Fault] = field(default_factory=dict)
    """Why records cannot be used, by their number, ascending."""
    notes: tuple[str, ...] = ()
    """What a person should know of the set as a whole, one line each."""

    @property
    def num_usable(self) -> int:
        return len(self.num_tokens) - len(self.faults)


def measure(
    source: ExampleSource,
    processor: Processor,
    settings: DataSettings,
    *,
    workers: int | None = None,
    on_progress: Progress | None = None,
    cache: MeasureCache | None = None,
) -> Measures:
    """Measure all records of a source; faults are collected, not raised.

    workers: processes; 0: this one; None: by the number of cores and records. cache: where results are kept; None:
    the user's cache folder. Of two records with the same id the second is a fault.
    Raises SettingsError for settings that no record can be measured with, DataError where a process is lost.
    """
    cache = MeasureCache() if cache is None else cache
    work = _Measuring(source=source, processor=processor, settings=settings)
    key = cache.key(source, processor, settings)
    kept = cache.load(key, len(source))
    if kept is not None and _still_true(kept, work):
        if on_progress is not None:
            on_progress(len(source), len(source))
        return kept
    measures = _measure_all(work, workers, on_progress)
    cache.store(key, measures)
    return measures


class IdBook:
    """Finds records whose id stood before. Records are shown to it in order, usable ones only."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}
        self.faults: dict[int, Fault] = {}
        self._num_ids = 0

    def add(self, index: int, record_id: str, where: str) -> Fault | None:
        """The fault of a record with an id that stood before."""
        if not record_id:
            return None
        self._num_ids += 1
        first = self._seen.setdefault(record_id, where)
        if first == where:
            return None
        name = record_id if len(record_id) <= 60 else record_id[:57] + "..."
        fault = Fault(
            where=where, reason=f"its id {name!r} is that of {first}, too: give it another", rule="duplicate id"
        )
        self.faults[index] = fault
        return fault

    def note(self, name: str) -> str | None:
        """Where very many repeat, ids are no names of records: what to say then; the faults are none."""
        repeats = len(self.faults)
        if repeats <= max(100, self._num_ids // 10):
            return None
        return (
            f"{name}: {repeats:,} of {self._num_ids:,} ids stood before: "
            "they name no records (but pictures, perhaps), so none is left out for it"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Chunk:
    """Measures of some records, and their ids."""

    columns: tuple[list[int], ...]
    """Tokens, tiles, trained tokens, tiles an image."""
    ids: list[str]
    """Empty for faulty records and those without one."""
    faults: dict[int, Fault]


@dataclass(frozen=True, kw_only=True)
class _Measuring:
    """Measures records by their numbers, in whatever process."""

    source: ExampleSource
    processor: Processor
    settings: DataSettings

    def __call__(self, numbers: Sequence[int]) -> _Chunk:
        chunk = _Chunk(columns=([], [], [], []), ids=[], faults={})
        for index in numbers:
            row, record_id = (0, 0, 0, 0), ""
            try:
                example = self.source[index]
                fitted = prepare(example, self.processor, self.settings)
            except SettingsError:
                raise
            except InputError as error:
                chunk.faults[index] = fault_of(error, self.source.where(index))
            else:
                size = fitted.size
                row, record_id = (size.num_tokens, size.num_tiles, size.num_trained, fitted.max_tiles), example.id
            for column, value in zip(chunk.columns, row, strict=True):
                column.append(value)
            chunk.ids.append(record_id)
        return chunk


def _measure_all(work: _Measuring, workers: int | None, on_progress: Progress | None) -> Measures:
    source, count = work.source, len(work.source)
    tokens, tiles, trained = (np.zeros(count, np.int32) for _ in range(3))
    max_tiles = np.zeros(count, np.int16)
    columns: tuple[NDArray[Any], ...] = (tokens, tiles, trained, max_tiles)
    faults: dict[int, Fault] = {}
    book = IdBook()
    workers = choose_workers(workers, count, _WORTH_A_PROCESS)
    for numbers, chunk in run_chunks(work, range(count), workers=workers, chunk_size=_CHUNK):
        for column, values in zip(columns, chunk.columns, strict=True):
            column[numbers[0] : numbers[-1] + 1] = values
        faults |= chunk.faults
        for index, record_id in zip(numbers, chunk.ids, strict=True):
            if record_id:
                book.add(index, record_id, source.where(index))
        if on_progress is not None:
            on_progress(numbers[-1] + 1, count)
    note = book.note(source.name)
    if note is None:
        faults |= book.faults
        for column in columns:
            column[list(book.faults)] = 0
    return Measures(
        num_tokens=tokens,
        num_tiles=tiles,
        num_trained=trained,
        max_tiles=max_tiles,
        faults=dict(sorted(faults.items())),
        notes=() if note is None else (note,),
    )


def _still_true(kept: Measures, work: _Measuring) -> bool:
    """Whether what was wrong with pictures still is: a missing one may have been put in its place."""
    numbers = [index for index, fault in kept.faults.items() if fault.rule in PICTURE_RULES]
    return work(numbers).faults == {index: kept.faults[index] for index in numbers}
