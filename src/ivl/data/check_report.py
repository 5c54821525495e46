"""What a check of a data set found: plain values, and the numbers that follow from them.

In: measures and faults of each data set, duplicates between records. Out: the same by split. Writes no text.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ivl.data.corpus import taken_records
from ivl.data.example import Example, ExampleSource
from ivl.data.faults import RULES, Fault
from ivl.data.measure import Measures


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceCheck:
    """One data set."""

    source: ExampleSource
    measures: Measures
    repeat_time: float
    loses_tiles: NDArray[np.bool_]
    """(R,) whether a record's images get fewer tiles so that it fits."""

    @property
    def usable(self) -> NDArray[np.intp]:
        """Numbers of the records that can be used."""
        return np.flatnonzero(self.measures.num_tokens)

    @property
    def epoch(self) -> NDArray[np.int64]:
        """Numbers of the records that an epoch takes, those that cannot be used among them."""
        return taken_records(len(self.measures.num_tokens), self.repeat_time)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Whole numbers in five."""

    min: int
    median: int
    mean: float
    p95: int
    """At most as much in 95 of 100."""
    max: int

    @classmethod
    def of(cls, values: NDArray[np.int64]) -> "Spread":
        """The spread of at least one value."""
        median, p95 = np.percentile(values, (50, 95), method="inverted_cdf")
        return cls(
            min=int(values.min()), median=int(median), mean=float(values.mean()), p95=int(p95), max=int(values.max())
        )


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """A record that equals an earlier one: the same texts and the same bytes of pictures."""

    where: str
    first: str


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitCheck:
    """The data sets of one split."""

    name: str
    sources: tuple[SourceCheck, ...]
    duplicates: tuple[Duplicate, ...]
    """Records that stood before in this split."""

    @property
    def num_records(self) -> int:
        return sum(len(each.measures.num_tokens) for each in self.sources)

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(fault for each in self.sources for fault in each.measures.faults.values())

    def column(self, name: str) -> NDArray[np.int64]:
        """A column of the measures, of all usable records."""
        return self._joined(name, [each.usable for each in self.sources])

    def in_epoch(self, name: str) -> int:
        """A column's sum over an epoch."""
        return int(self._joined(name, [each.epoch for each in self.sources]).sum())

    def _joined(self, name: str, records: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
        columns = [getattr(each.measures, name)[which] for each, which in zip(self.sources, records, strict=True)]
        return np.concatenate(columns, dtype=np.int64) if columns else np.zeros(0, np.int64)

    def spread(self, name: str) -> "Spread | None":
        """How a column of the measures is spread over the usable records; None where there are none."""
        values = self.column(name)
        return Spread.of(values) if len(values) else None

    @property
    def num_losing_tiles(self) -> int:
        return sum(int(each.loses_tiles.sum()) for each in self.sources)


@dataclass(frozen=True, kw_only=True, eq=False)
class CheckReport:
    """What was found."""

    splits: tuple[SplitCheck, ...]
    shared_records: tuple[Duplicate, ...]
    """Records of later splits that stand in an earlier one."""
    num_shared_pictures: int
    """Different pictures that stand in more than one split."""
    max_length: int
    tokens_per_tile: int

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(fault for split in self.splits for fault in split.faults)

    @property
    def faults_by_rule(self) -> Mapping[str, tuple[Fault, ...]]:
        """The faults under their rules, in the order of RULES."""
        grouped: dict[str, list[Fault]] = {rule: [] for rule in RULES}
        for fault in self.faults:
            grouped.setdefault(fault.rule, []).append(fault)
        return {rule: tuple(faults) for rule, faults in grouped.items() if faults}

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(note for split in self.splits for each in split.sources for note in each.measures.notes)

    @property
    def num_records(self) -> int:
        return sum(split.num_records for split in self.splits)

    def choose(self, count: int) -> Iterator[tuple[SplitCheck, Example]]:
        """`count` usable records, evenly spread over each split."""
        for split in self.splits:
            places = [(each.source, int(index)) for each in split.sources for index in each.usable]
            taken = min(count, len(places))
            for step in range(taken):
                source, index = places[len(places) * step // taken]
                yield split, source[index]
