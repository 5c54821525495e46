"""All samples of a run: data sets opened, measured, repeated and mixed.

In: what a recipe says of its data. Out: a `Corpus`: samples by number, their sizes, and which of them an epoch takes.
Records that cannot be used are left out and counted by rule. Knows no batches, no ranks and no pixels.

A sample's number is its place among all usable ones: the domain's first, then the general ones of which every epoch
draws others. A record that `repeat_time` takes twice has two numbers.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from ivl.data.example import Example, ExampleSource
from ivl.data.faults import Fault
from ivl.data.fitting import with_tiles
from ivl.data.measure import Measures, measure
from ivl.data.order import Samples, drawn
from ivl.data.settings import DataSettings, DataSource
from ivl.data.sources import open_sources
from ivl.errors import DataError
from ivl.processing.processor import Processor

Progress = Callable[[str, int, int], None]
"""Is told the data set's name, records measured, and records in all."""
_FAULTS_SHOWN = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Portion:
    """One data set of the mixture, measured."""

    source: ExampleSource
    measures: Measures
    """Of the records that repeat_time takes."""
    repeat_time: float = 1.0
    is_replay: bool = False

    @cached_property
    def records(self) -> Samples:
        """(M,) the record of each of its samples."""
        taken = taken_records(len(self.source), self.repeat_time)
        return taken[self.measures.num_tokens[taken] > 0]

    @property
    def num_records(self) -> int:
        """Records that were looked at."""
        return len(self.measures.num_tokens)

    def summary(self) -> str:
        """A line for people: what is used, and what is left out by which rule."""
        faults = Counter(fault.rule for fault in self.measures.faults.values())
        text = f"{self.source.name}: {len(self.records):,} samples from {self.num_records:,} records"
        text += f", repeat_time {self.repeat_time:g}" if self.repeat_time != 1 else ""
        text += ", for replay" if self.is_replay else ""
        if faults:
            rules = ", ".join(f"{count:,} {rule}" for rule, count in faults.most_common())
            text += f"; {sum(faults.values()):,} left out: {rules}"
        return text


class Corpus(Sequence[Example]):
    """The samples of a run; corpus[i] is an example whose images may take the tiles that were measured.

    Can be sent to worker processes. Raises DataError where more records than max_bad_share cannot be used, or none
    of a data set can.
    """

    def __init__(self, portions: Sequence[Portion], settings: DataSettings) -> None:
        self.portions = tuple(sorted(portions, key=lambda each: each.is_replay))
        _check(self.portions, settings.max_bad_share)
        self._seed = settings.seed
        self.num_tokens = self._joined("num_tokens")
        """(M,) tokens of each sample."""
        self.num_tiles = self._joined("num_tiles")
        """(M,) tiles of each sample, thumbnails included."""
        self.num_trained = self._joined("num_trained")
        """(M,) trained tokens of each sample."""
        counts = [len(each.records) for each in self.portions]
        self._starts = np.cumsum([0, *counts])
        self.num_domain = sum(len(each.records) for each in self.portions if not each.is_replay)
        """Samples that every epoch takes."""
        general = len(self) - self.num_domain
        self.num_replay = round(settings.replay_ratio * self.num_domain) if general else 0
        """General samples that an epoch draws."""

    def __len__(self) -> int:
        return len(self.num_tokens)

    def __getitem__(self, index: int) -> Example:  # type: ignore[override]
        """The example of a sample, its pictures named but not opened. Raises DataError."""
        portion, record = self._find(index)
        return with_tiles(portion.source[record], int(portion.measures.max_tiles[record]))

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))

    def where(self, index: int) -> str:
        """File and line of a sample, without reading it."""
        portion, record = self._find(index)
        return portion.source.where(record)

    def members(self, epoch: int) -> Samples:
        """(num_domain + num_replay,) the samples of an epoch: all of the domain, and the general ones drawn for it.

        Draws go on from epoch to epoch, so every general sample is seen once before any is seen twice.
        """
        domain = np.arange(self.num_domain, dtype=np.int64)
        if not self.num_replay:
            return domain
        general = len(self) - self.num_domain
        chosen = drawn(general, epoch * self.num_replay, self.num_replay, "replay", self._seed)
        return np.concatenate((domain, self.num_domain + chosen))

    @property
    def num_bad(self) -> int:
        """Records that cannot be used."""
        return sum(len(each.measures.faults) for each in self.portions)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Why they cannot, in the order of the files."""
        return tuple(fault for portion in self.portions for _, fault in sorted(portion.measures.faults.items()))

    def summary(self) -> tuple[str, ...]:
        """Lines for people: each data set, and what an epoch holds."""
        members = self.members(0)
        tokens, tiles = int(self.num_tokens[members].sum(dtype=np.int64)), int(self.num_tiles[members].sum())
        epoch = f"an epoch: {len(members):,} samples, {tokens:,} tokens, {tiles:,} tiles"
        if self.num_replay:
            epoch += f"; {self.num_replay:,} of the samples are replayed ones, drawn anew in every epoch"
        lines = [line for each in self.portions for line in (each.summary(), *each.measures.notes)]
        return (*lines, f"{epoch}; the longest has {self.num_tokens.max():,} tokens")

    def _joined(self, name: str) -> NDArray[np.int32]:
        arrays = [getattr(each.measures, name)[each.records] for each in self.portions]
        return np.concatenate(arrays).astype(np.int32)

    def _find(self, index: int) -> tuple[Portion, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        place = int(np.searchsorted(self._starts, index, side="right")) - 1
        portion = self.portions[place]
        return portion, int(portion.records[index - self._starts[place]])


def load_corpus(
    sources: Sequence[DataSource],
    settings: DataSettings,
    processor: Processor,
    *,
    replay: Sequence[DataSource] = (),
    on_progress: Progress | None = None,
    workers: int | None = None,
) -> Corpus:
    """Opens and measures the data sets, in `workers` processes.

    replay: general data, mixed in at settings.replay_ratio samples for each sample of `sources`.
    Raises DataError, as `Corpus`, and where a data set cannot be opened.
    """
    if not settings.replay_ratio:
        replay = ()
    portions = []
    for is_replay, group in ((False, sources), (True, replay)):
        for opened in open_sources(group, settings):
            repeat_time = opened.source.repeat_time
            measures = _measured(opened.examples, repeat_time, settings, processor, on_progress, workers)
            portion = Portion(source=opened.examples, measures=measures, repeat_time=repeat_time, is_replay=is_replay)
            portions.append(portion)
    return Corpus(portions, settings)


def taken_records(num_records: int, repeat_time: float) -> Samples:
    """The records that an epoch takes of a file's: all so many times, then the first share that remains; at least one.

    As the official trainer's `repeat_time`, which knows whole numbers and shares below 1.
    """
    whole = int(repeat_time)
    rest = int((repeat_time - whole) * num_records + 1e-6)
    if not whole:
        rest = max(rest, 1)
    every = np.arange(num_records, dtype=np.int64)
    return np.concatenate((np.tile(every, whole), every[:rest]))


class _First(Sequence[Example]):
    """The first records of a source: what lies behind them is not even measured."""

    def __init__(self, source: ExampleSource, count: int) -> None:
        self.name = source.name
        self.identity = getattr(source, "identity", None)
        """Whose measures may be kept; their number tells them from those of the whole file."""
        self._source = source
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Example:  # type: ignore[override]
        return self._source[index]

    def where(self, index: int) -> str:
        """File and line of the record."""
        return self._source.where(index)


def _measured(
    source: ExampleSource,
    repeat_time: float,
    settings: DataSettings,
    processor: Processor,
    on_progress: Progress | None,
    workers: int | None,
) -> Measures:
    told = None if on_progress is None else partial(on_progress, source.name)
    if repeat_time < 1 and len(source):
        source = _First(source, len(taken_records(len(source), repeat_time)))
    return measure(source, processor, settings, workers=workers, on_progress=told)


def _check(portions: Sequence[Portion], max_bad_share: float) -> None:
    """Raise DataError where nothing is left of a data set, or too many records cannot be used."""
    if not any(len(each.records) and not each.is_replay for each in portions):
        raise DataError(f"no record can be used: {_reasons(portions)}")
    for portion in portions:
        if not len(portion.records):
            raise DataError(f"no record of {portion.source.name} can be used: {_reasons([portion])}")
    bad, total = sum(len(each.measures.faults) for each in portions), sum(each.num_records for each in portions)
    if bad > max_bad_share * total:
        raise DataError(
            f"{bad:,} of {total:,} records cannot be used, which is more than max_bad_share={max_bad_share:g}: "
            f"{_reasons(portions)}"
        )


def _reasons(portions: Sequence[Portion]) -> str:
    """The first faults, and where to see the others."""
    faults = [fault for each in portions for _, fault in sorted(each.measures.faults.items())]
    if not faults:
        return "the data holds none"
    more = f"; and {len(faults) - _FAULTS_SHOWN:,} more" if len(faults) > _FAULTS_SHOWN else ""
    return "; ".join(map(str, faults[:_FAULTS_SHOWN])) + f"{more}; `ivl data check` names them all"
