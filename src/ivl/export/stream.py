"""The parameters of a model with an adapter merged in, made some rows at a time from files.

In: a checkpoint that was opened, and what changes it: an adapter, or whole parameters that a run trained. Out: rows of
our parameters, and the tensors of a layout as `Source`s whose numbers exist only while they are written. At no time is
more in memory than the adapter, one stored tensor and a few rows in float32. Knows no configuration files.

Rows of a linear map are changed independently of each other, by LoRA and by DoRA, so that a part of a fused tensor can
be made on its own.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ivl.errors import CheckpointError
from ivl.model.adapter_io import Adapter, LowRank
from ivl.model.adapter_merge import changed_weight, gain_of
from ivl.model.checkpoint import Checkpoint
from ivl.model.folder_io import open_file
from ivl.model.names import Layout, Rows, StoredTensor, parameter_shapes, stored_tensors
from ivl.model.safetensors_io import FLOATS, Source, read_into

CHUNK_VALUES = 2**20
"""Numbers that are merged, compared or looked through at once: 4 MiB of float32."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where some rows of a parameter lie."""

    folder: Path
    file: str
    rows: Rows
    dtype: str
    """As stored: "BF16", "F32", ..."""
    offset: int
    """Of the first row, in bytes from the beginning of the file."""


class ModelWeights:
    """A model's parameters, by our names.

    adapter: already checked against the model. trained: parameters that stand in the place of the checkpoint's own.
    """

    def __init__(
        self, checkpoint: Checkpoint, adapter: Adapter | None = None, trained: Mapping[str, Place] | None = None
    ) -> None:
        self.config = checkpoint.config
        self.shapes = parameter_shapes(checkpoint.config)
        self.adapter = adapter
        self.lora: Mapping[str, LowRank] = {} if adapter is None else adapter.weights
        self.replaced: Mapping[str, Tensor] = {} if adapter is None else adapter.replaced
        own = _places(checkpoint, self.shapes)
        self.dtypes = {name: _widest(places) for name, places in own.items()}
        """What each parameter is stored as in the checkpoint, and so, if nothing else is asked for, in a new folder."""
        self.places = own | {name: (place,) for name, place in (trained or {}).items()}

    def rows(self, rows: Rows, dtype: torch.dtype) -> Tensor:
        """Some rows as they are after merging: added up in float32 or wider, rounded once to `dtype`."""
        out = torch.empty((rows.stop - rows.start, *self.shapes[rows.name][1:]), dtype=dtype)
        if not self.changes(rows.name) and rows.name not in self.replaced:
            self._fill(rows, out)
            return out
        for chunk in chunks(rows, self.shapes):
            out[chunk.start - rows.start : chunk.stop - rows.start] = self._made(chunk, dtype)
        return out

    def unmerged(self, name: str, dtype: torch.dtype) -> Tensor:
        """A whole parameter as it is without LoRA; one that the adapter replaces is the adapter's."""
        out = torch.empty(self.shapes[name], dtype=dtype)
        if name in self.replaced:
            return out.copy_(self.replaced[name])
        self._fill(Rows(name=name, start=0, stop=len(out)), out)
        return out

    def changes(self, name: str) -> bool:
        """Whether something is added to this parameter."""
        return name.removesuffix(".weight") in self.lora and name.endswith(".weight")

    def stored_as(self, name: str) -> torch.dtype:
        """The type in which a parameter's numbers come, before anything is added to them."""
        if name in self.replaced:
            return self.replaced[name].dtype
        return _widest(self.places[name])

    def _made(self, rows: Rows, dtype: torch.dtype) -> Tensor:
        """A few rows of a parameter that the adapter changes or replaces."""
        if rows.name in self.replaced:
            return self.replaced[rows.name][rows.start : rows.stop].to(dtype)
        whole = self.lora[rows.name.removesuffix(".weight")]
        magnitude = None if whole.magnitude is None else whole.magnitude[rows.start : rows.stop]
        weight = replace(whole, b=whole.b[rows.start : rows.stop], magnitude=magnitude)
        wide = torch.promote_types(self.stored_as(rows.name), dtype)
        base = torch.empty((rows.stop - rows.start, *self.shapes[rows.name][1:]), dtype=wide)
        self._fill(rows, base)
        out = changed_weight(base, weight)
        if magnitude is not None:
            assert self.adapter is not None, "only an adapter has magnitudes"
            out *= gain_of(base, weight, self.adapter.source)[:, None]
        return out.to(dtype)

    def _fill(self, rows: Rows, target: Tensor) -> None:
        """Read rows as stored into `target`, (rows, ...), converted to its type."""
        width, flat = math.prod(self.shapes[rows.name][1:]), target.view(-1)
        for place in self.places[rows.name]:
            start, stop = max(rows.start, place.rows.start), min(rows.stop, place.rows.stop)
            if start >= stop:
                continue
            offset = place.offset + (start - place.rows.start) * width * FLOATS[place.dtype].itemsize
            piece = flat[(start - rows.start) * width : (stop - rows.start) * width]
            with open_file(place.folder, place.file) as file:
                read_into(file, offset, place.dtype, piece, str(place.folder / place.file))


class StreamedSource(Source):
    """A tensor to be written whose numbers are made when its turn comes, and forgotten after it."""

    def __init__(
        self, tensor: StoredTensor, dtype: torch.dtype, weights: ModelWeights, done: Callable[[int], None]
    ) -> None:
        # Source is frozen, and has its pieces as a field; here they are made anew each time they are asked for.
        object.__setattr__(self, "name", tensor.name)
        object.__setattr__(self, "shape", tensor.shape)
        object.__setattr__(self, "_made_of", (tensor, dtype, weights, done))

    @property
    def dtype(self) -> torch.dtype:
        return self._parts()[1]

    @property
    def pieces(self) -> tuple[Tensor, ...]:
        tensor, dtype, weights, done = self._parts()
        pieces = tuple(weights.rows(rows, dtype) for rows in tensor.rows)
        for piece in pieces:
            _check_finite(piece, tensor.name, weights)
        done(self.num_bytes)
        return pieces

    def _parts(self) -> tuple[StoredTensor, torch.dtype, ModelWeights, Callable[[int], None]]:
        return self.__dict__["_made_of"]  # type: ignore[no-any-return]


def streamed_sources(
    weights: ModelWeights, layout: Layout, dtype: torch.dtype | None, done: Callable[[int], None]
) -> list[Source]:
    """The tensors of `layout`, to be written. dtype: None for each parameter's own; `done` is told bytes."""
    sources: list[Source] = []
    for tensor in stored_tensors(weights.config, layout).values():
        own = weights.dtypes[tensor.rows[0].name]
        for rows in tensor.rows:
            own = torch.promote_types(own, weights.dtypes[rows.name])
        sources.append(StreamedSource(tensor, dtype or own, weights, done))
    return sources


def chunks(rows: Rows, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Rows]:
    """`rows` in parts of at most CHUNK_VALUES numbers, or one row."""
    step = max(1, CHUNK_VALUES // math.prod(shapes[rows.name][1:]))
    for start in range(rows.start, rows.stop, step):
        yield Rows(name=rows.name, start=start, stop=min(start + step, rows.stop))


def _check_finite(piece: Tensor, name: str, weights: ModelWeights) -> None:
    """Raise CheckpointError where a number is NaN or infinite: the source's own, or too large for the type."""
    flat = piece.view(-1)
    for start in range(0, len(flat), CHUNK_VALUES):
        if not flat[start : start + CHUNK_VALUES].isfinite().all():
            source = next(iter(weights.places.values()))[0].folder
            raise CheckpointError(
                f"tensor {name!r} made of {source} would hold NaN or infinite numbers as "
                f"{str(piece.dtype).removeprefix('torch.')}: choose bfloat16 or float32, or the weights are damaged"
            )


def _places(checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[Place, ...]]:
    """Every parameter's places, from those of the stored tensors."""
    places: dict[str, tuple[Place, ...]] = {}
    for file, tensor, entry in checkpoint.tensors:
        offset = entry.offset
        for rows in tensor.rows:
            place = Place(folder=checkpoint.folder, file=file, rows=rows, dtype=entry.dtype, offset=offset)
            places[rows.name] = (*places.get(rows.name, ()), place)
            offset += (rows.stop - rows.start) * math.prod(shapes[rows.name][1:]) * FLOATS[entry.dtype].itemsize
    assert places.keys() == shapes.keys(), "a parameter would stay unread"
    return places


def _widest(places: tuple[Place, ...]) -> torch.dtype:
    dtype = FLOATS[places[0].dtype]
    for place in places:
        dtype = torch.promote_types(dtype, FLOATS[place.dtype])
    return dtype
