"""What a reader gives and what a training step takes: an example, and a packed batch of them.

Knows no files' formats, no weights and no devices.

Shapes: T packed tokens, S samples of the batch, N tiles, p pixels a tile side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ivl.types import Message

if TYPE_CHECKING:
    import torch

    from ivl.data.seen_tiles import SeenTiles


@dataclass(frozen=True, kw_only=True)
class Example:
    """One record of a data set, in the words that the processor takes; its last message is an answer."""

    messages: tuple[Message, ...]
    where: str
    """File and line, as errors name it: `food.jsonl:12`."""
    id: str = ""
    """The record's own `id`, or empty."""
    max_tiles: int | None = None
    """Tiles that each of its images may take; None: the run's own number."""
    data_augment: bool = False
    """Images go through a random JPEG quality of 75 to 100 first, as the official trainer's `data_augment`."""


class ExampleSource(Protocol):
    """A data set whose records are read one at a time, in any order; can be sent to worker processes."""

    name: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example:
        """The record at `index`, its pictures named but not opened. Raises DataError."""
        ...

    def where(self, index: int) -> str:
        """File and line of the record, without reading it."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedBatch:
    """The samples of one micro batch, end to end."""

    input_ids: torch.Tensor
    """(T,) int64."""
    targets: torch.Tensor
    """(T,) int64: the token that each position is to predict, -100 where none is trained."""
    weights: torch.Tensor
    """(T,) float32: how much each target's loss counts; 0 where targets are -100."""
    offsets: tuple[int, ...]
    """S + 1 numbers: where each sample begins, and T."""
    pixel_values: torch.Tensor | None
    """(N, 3, p, p) uint8, as `processing.tiling.normalise` takes them; None without pictures."""
    sample_ids: tuple[str, ...]
    """S names for messages: the record's id or its place."""
    dropped: tuple[str, ...] = ()
    """Why planned samples are missing, one line each: their pictures turned out to be unreadable."""
    seen: SeenTiles | None = None
    """Tiles whose features are known already and whose pixels are therefore missing; None: all pixels are there."""

    @property
    def num_samples(self) -> int:
        """Real samples; a rank that has nothing to do is given a batch of none, whose weights are all 0."""
        return len(self.sample_ids)

    @property
    def num_tokens(self) -> int:
        """Tokens of samples; there is no padding."""
        return self.offsets[-1] if self.sample_ids else 0

    @property
    def num_tiles(self) -> int:
        if self.seen is not None:
            return len(self.seen.is_known)
        return 0 if self.pixel_values is None else len(self.pixel_values)

    def spans(self) -> Iterator[tuple[str, slice]]:
        """Each sample's name and its place among the T tokens."""
        if not self.sample_ids:
            return
        for name, start, stop in zip(self.sample_ids, self.offsets[:-1], self.offsets[1:], strict=True):
            yield name, slice(start, stop)
