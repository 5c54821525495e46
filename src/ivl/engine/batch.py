"""The chunks of one step, packed end to end, as numbers for the model.

In: chunks. Out: ids, positions and cache slots of all their tokens, and where the image features go. Host arrays only;
knows no model.

T packed tokens, S sequences of the step.
"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from ivl.engine.paged_attention import Span
from ivl.engine.sequence import Chunk

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """What a step computes."""

    chunks: list[Chunk]
    input_ids: Ints
    """(T,)."""
    positions: Ints
    """(T,) within each sequence."""
    slots: Ints
    """(T,) block * block_size + offset."""
    num_decodes: int
    """The first so many chunks are a single token each."""

    @property
    def offsets(self) -> list[int]:
        """(S + 1) where each chunk begins."""
        return list(accumulate((chunk.stop - chunk.start for chunk in self.chunks), initial=0))

    @property
    def spans(self) -> list[Span]:
        """What each chunk's tokens may look at."""
        return [Span(blocks=c.sequence.blocks, start=c.start, stop=c.stop) for c in self.chunks]


def pack(chunks: list[Chunk], block_size: int) -> Batch:
    """The chunks, those of a single token first; of these, and of the others, those of one adapter side by side."""
    chunks = sorted(chunks, key=lambda chunk: (chunk.stop - chunk.start > 1, chunk.sequence.request.adapter or ""))
    singles = [chunk for chunk in chunks if chunk.stop - chunk.start == 1]
    ids = [chunk.sequence.tokens[chunk.start] for chunk in singles]
    positions = [chunk.start for chunk in singles]
    slots = [c.sequence.blocks[c.start // block_size] * block_size + c.start % block_size for c in singles]
    columns = [(np.array(ids, np.int64), np.array(positions, np.int64), np.array(slots, np.int64))]
    for chunk in chunks[len(singles) :]:
        steps = np.arange(chunk.start, chunk.stop)
        blocks = np.array(chunk.sequence.blocks)[steps // block_size]
        tokens = np.array(chunk.sequence.tokens[chunk.start : chunk.stop])
        columns.append((tokens, steps, blocks * block_size + steps % block_size))
    packed = [np.concatenate(parts) for parts in zip(*columns, strict=True)]
    return Batch(chunks=chunks, input_ids=packed[0], positions=packed[1], slots=packed[2], num_decodes=len(singles))
