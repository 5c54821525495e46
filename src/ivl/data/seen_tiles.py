"""What a frozen vision model made of tiles before, kept on disk from epoch to epoch and from run to run.

In: a folder and a batch. Out: the batch with the stored output of its known tiles in the place of their pixels. Keyed
by the tile's own pixels and, through the folder's name, by whoever encoded it; so nothing has to be invalidated. Knows
no model. One file a tile, in numpy's format and never unpickled: 2 MB for InternVL2-2B in bfloat16.
"""

import contextlib
import hashlib
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ivl.data.example import PackedBatch


@dataclass(frozen=True, kw_only=True)
class SeenTiles:
    """Which of a batch's N tiles were known."""

    features: Tensor
    """(K, I, W): stored output of the known ones, in their order."""
    is_known: tuple[bool, ...]
    """For each of the N tiles; the others are `pixel_values`, in their order."""
    digests: tuple[str, ...]
    """Of the unknown ones: the names to store them under."""


@dataclass(frozen=True, kw_only=True)
class TileStore:
    """A folder of stored tiles of one tower. Raises OSError where it cannot be written."""

    folder: Path
    shape: tuple[int, int]
    """(I, W) of a tile's output."""
    dtype: torch.dtype

    def look_up(self, batch: PackedBatch) -> PackedBatch:
        """The batch, with the known tiles' output in the place of their pixels."""
        if batch.pixel_values is None:
            return batch
        digests = [hashlib.sha256(tile.numpy().tobytes()).hexdigest() for tile in batch.pixel_values]
        found = [self.read(digest) for digest in digests]
        known = [each for each in found if each is not None]
        is_new = [each is None for each in found]
        seen = SeenTiles(
            features=torch.stack(known) if known else torch.empty(0, *self.shape, dtype=self.dtype),
            is_known=tuple(not new for new in is_new),
            digests=tuple(digest for digest, new in zip(digests, is_new, strict=True) if new),
        )
        pixels = batch.pixel_values[torch.tensor(is_new)] if any(is_new) else None
        return replace(batch, pixel_values=pixels, seen=seen)

    def read(self, digest: str) -> Tensor | None:
        """(I, W), or None for an unknown tile or a damaged file."""
        with contextlib.suppress(OSError, ValueError, EOFError):
            with self._path(digest).open("rb") as file:  # not np.load, which also opens archives and guesses
                stored = np.lib.format.read_array(file, allow_pickle=False)
            tensor = torch.from_numpy(stored).view(self.dtype)
            if tensor.shape == self.shape:
                return tensor
        return None

    def write(self, digests: tuple[str, ...], features: Tensor) -> None:
        """Store (M, I, W) under M names; a file appears whole or not at all."""
        plain = torch.int16 if self.dtype.itemsize == 2 else torch.int32
        for digest, feature in zip(digests, features.detach().to("cpu", self.dtype), strict=True):
            path = self._path(digest)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            try:
                with partial.open("wb") as file:
                    np.save(file, feature.contiguous().view(plain).numpy(), allow_pickle=False)
                os.replace(partial, path)  # noqa: PTH105  # a name that may be there already
            finally:
                partial.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / f"{digest}.npy"
