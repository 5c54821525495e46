"""LoRA without merging: adapters beside the base, chosen for each request within one batch.

In: a model, fused or not, that runs; adapters that `adapter_io` has read; before each forward, which adapter its
rows belong to. Out: answers as if each row had met a model with its own adapter merged. Knows no files and no
engine. The engine fuses first, then makes the `AdapterSet`; both change the model from outside, on one thread.

`AdaptedLinear` stands in the place of a linear map only while some loaded adapter changes it: when the last such
adapter goes, the base's own module is back in its place and the model is as it was.

Shapes: T packed tokens, N tiles, r rank of one part, R ranks of all parts of a product together, `in` and `out`
its widths.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivl.errors import AdapterError
from ivl.model.adapter_io import Adapter, LowRank, check_module, check_shape, linear_shapes
from ivl.model.internvl import InternVL
from ivl.model.names import part_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """What an adapter adds to some columns of a product; several parts where the engine fused them."""

    columns: slice
    ranks: slice
    """Its own among the R ranks of the product."""
    up: Tensor
    """(r, width of the columns): B transposed, times the scale."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Delta:
    """What one adapter adds to one product."""

    down: Tensor
    """(R, in): the A of all parts, one below the other."""
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """Rows `start` to `stop` of dim 0, which belong to the adapter loaded as `uid`."""

    uid: int
    start: int
    stop: int


class Route:
    """Which rows of the next forward belong to which adapter; shared by all `AdaptedLinear` of a model."""

    def __init__(self) -> None:
        self.runs: tuple[Run, ...] = ()
        """Rows of the base are in none."""
        self.num_rows = 0


class AdaptedLinear(nn.Module):
    """A linear map and what the loaded adapters add to it."""

    def __init__(self, base: nn.Module, route: Route) -> None:
        super().__init__()
        self.base = base
        self.route = route
        self.deltas: dict[int, Delta] = {}
        """By uid; no parameters: they are neither trained nor saved with the model."""

    def forward(self, x: Tensor) -> Tensor:
        """x (T, in) or (N, ..., in) -> (T, out) or (N, ..., out)."""
        out: Tensor = self.base(x)
        if self.route.runs:
            self._add(x, out)
        return out

    def _add(self, x: Tensor, out: Tensor) -> None:
        """Add to `out`, in place, what the adapters make of their rows."""
        assert len(x) == self.route.num_rows, f"the route speaks of {self.route.num_rows} rows, x has {len(x)}"
        inner = x.shape[:-1].numel() // len(x)  # patches of a tile; 1 for tokens
        x, out = x.reshape(-1, x.shape[-1]), out.view(-1, out.shape[-1])
        for run in self.route.runs:
            delta = self.deltas.get(run.uid)
            if delta is None:
                continue
            rows = slice(run.start * inner, run.stop * inner)
            low = F.linear(x[rows], delta.down)  # (rows, R)
            for part in delta.parts:
                out[rows, part.columns].addmm_(low[:, part.ranks], part.up)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a product hangs in the model."""

    parent: str
    attribute: str


@dataclass(frozen=True, kw_only=True, eq=False)
class _Loaded:
    uid: int
    touches_vision: bool
    places: tuple[_Place, ...]


class AdapterSet:
    """The adapters of one model, which is fused, quantised and on its device already."""

    def __init__(self, model: InternVL) -> None:
        self._model = model
        self._route = Route()
        self._loaded: dict[str, _Loaded] = {}
        self._uids = count(1)

    @property
    def names(self) -> tuple[str, ...]:
        """The loaded adapters, oldest first."""
        return tuple(self._loaded)

    def uid(self, name: str | None) -> int:
        """A number that no other load ever has, so that a cache keyed by it survives a reload; 0 is the base.

        Raises AdapterError for an adapter that is not loaded.
        """
        return 0 if name is None else self._find(name).uid

    def vision_uid(self, name: str | None) -> int:
        """As `uid`, but 0 too for an adapter that leaves the features of pictures as the base makes them."""
        return self.uid(name) if name is not None and self._find(name).touches_vision else 0

    def load(self, name: str, adapter: Adapter) -> None:
        """Put `adapter` beside the base under `name`. All or nothing: a failure leaves the model as it was.

        Raises AdapterError for a name in use and for an adapter that does not fit the model.
        """
        if not isinstance(name, str) or not name:
            raise AdapterError(f"adapter name {name!r:.80} is not allowed: a non-empty text is needed")
        if name in self._loaded:
            raise AdapterError(f"an adapter {name!r} is loaded already: unload it first or choose another name")
        deltas = self._deltas(adapter)
        uid = next(self._uids)
        for place, delta in deltas.items():
            self._adapted(place).deltas[uid] = delta
        self._loaded[name] = _Loaded(uid=uid, touches_vision=adapter.touches_vision, places=tuple(deltas))

    def unload(self, name: str) -> None:
        """Take an adapter off; its memory is free. The route is the base's again.

        Raises AdapterError for an adapter that is not loaded.
        """
        gone = self._find(name)
        self.route([])
        del self._loaded[name]
        for place in gone.places:
            adapted = self._adapted(place)
            del adapted.deltas[gone.uid]
            if not adapted.deltas:
                setattr(self._model.get_submodule(place.parent), place.attribute, adapted.base)

    def route(self, segments: Sequence[tuple[str | None, int]]) -> None:
        """Say whose rows dim 0 of the next forwards holds: (name or None for the base, rows), one after another.

        Rows are tokens for the language model, tiles for the vision model and connector. Holds until it is called
        again; no segments at all mean the base, for any number of rows. Raises AdapterError for an adapter that is
        not loaded.
        """
        runs: list[Run] = []
        start = 0
        for name, num_rows in segments:
            assert num_rows >= 0, f"a segment of {num_rows} rows"
            uid, stop = self.uid(name), start + num_rows
            if uid and num_rows:
                joins = bool(runs) and runs[-1].uid == uid and runs[-1].stop == start
                runs.append(Run(uid=uid, start=runs.pop().start if joins else start, stop=stop))
            start = stop
        self._route.runs, self._route.num_rows = tuple(runs), start

    def _find(self, name: str) -> _Loaded:
        if name not in self._loaded:
            loaded = ", ".join(repr(each) for each in self._loaded) or "none"
            raise AdapterError(f"no adapter {name!r:.80} is loaded; loaded: {loaded}")
        return self._loaded[name]

    def _adapted(self, place: _Place) -> AdaptedLinear:
        """The `AdaptedLinear` at a place, which is put there if need be."""
        parent = self._model.get_submodule(place.parent)
        module = getattr(parent, place.attribute)
        if not isinstance(module, AdaptedLinear):
            module = AdaptedLinear(module, self._route)
            setattr(parent, place.attribute, module)
        return module

    def _deltas(self, adapter: Adapter) -> dict[_Place, Delta]:
        """What `adapter` adds to each product, ready on the device. Changes nothing."""
        _check_fit(self._model, adapter)
        columns: dict[_Place, list[tuple[slice, LowRank]]] = defaultdict(list)
        likes: dict[_Place, Tensor] = {}
        for path, weight in adapter.weights.items():
            place, where = _locate(self._model, path, adapter.source)
            module = getattr(self._model.get_submodule(place.parent), place.attribute)
            is_ours = not isinstance(module, AdaptedLinear) or module.route is self._route
            assert is_ours, f"{path} belongs to the AdapterSet of another engine"
            columns[place].append((where, weight))
            likes[place] = _like(self._model, path)
        return {place: _delta(weights, likes[place], adapter.source) for place, weights in columns.items()}


@torch.no_grad()
def merge(model: InternVL, adapter: Adapter) -> None:
    """Add `adapter` to the weights of `model`, in place, for good: W += scale * B @ A, in float32 or wider.

    Raises AdapterError, before anything is changed, when the adapter does not fit or the model is fused.
    """
    _check_fit(model, adapter)
    modules = dict(model.named_modules())
    for path in adapter.weights:
        if not isinstance(modules.get(path), nn.Linear):
            raise AdapterError(f"{adapter.source} cannot be merged: {path} is fused, quantised or adapted already")
    for path, weight in adapter.weights.items():
        base = modules[path].weight
        assert isinstance(base, Tensor), f"{path} is linear but has no weight"
        wide = torch.promote_types(base.dtype, torch.float32)
        a, b = (half.to(base.device, wide) for half in (weight.a, weight.b))
        base.copy_(torch.addmm(base.to(wide), b, a, alpha=weight.scale))


def _check_fit(model: InternVL, adapter: Adapter) -> None:
    """Raise AdapterError unless every tensor of the adapter has its place in the model."""
    if not adapter.weights:
        raise AdapterError(f"{adapter.source} changes nothing: the adapter is empty")
    shapes = linear_shapes(model.config)
    for path, weight in adapter.weights.items():
        width_out, width_in = check_module(path, shapes, adapter.source)
        rank = len(weight.a)
        check_shape(f"{path}.lora_A", tuple(weight.a.shape), (rank, width_in), adapter.source)
        check_shape(f"{path}.lora_B", tuple(weight.b.shape), (width_out, rank), adapter.source)


def _locate(model: InternVL, path: str, source: str) -> tuple[_Place, slice]:
    """The product that holds the linear map of `path`, and its columns there."""
    above, _, name = path.rpartition(".")
    parent = model.get_submodule(above)
    for attribute, child in parent.named_children():
        base = child.base if isinstance(child, AdaptedLinear) else child
        if attribute == name:
            return _Place(parent=above, attribute=attribute), slice(None)
        start = 0
        for part, width in getattr(base, "parts", ()):
            if part == name:
                return _Place(parent=above, attribute=attribute), slice(start, start + width)
            start += width
    raise AdapterError(f"{source} changes {path!r}, which this model cannot adapt while it runs: load it unquantised")


def _like(model: InternVL, path: str) -> Tensor:
    """A tensor with the type and device that adapters of `path` need; norms are never quantised."""
    if part_of(path) == "language_model":
        return model.language_model.norm.weight
    return model.vision_model.class_embedding


def _delta(weights: list[tuple[slice, LowRank]], like: Tensor, source: str) -> Delta:
    """One product's parts, moved to the device; the scale goes into B before it is rounded."""
    down = torch.cat([weight.a.to(like.device, like.dtype) for _, weight in weights])
    parts: list[Part] = []
    for columns, weight in weights:
        first = parts[-1].ranks.stop if parts else 0
        up = (weight.b.double() * weight.scale).T.contiguous().to(like.device, like.dtype)
        parts.append(Part(columns=columns, ranks=slice(first, first + len(up)), up=up))
    if not all(tensor.isfinite().all() for tensor in (down, *(part.up for part in parts))):
        raise AdapterError(f"{source} holds numbers that {str(like.dtype).removeprefix('torch.')} cannot hold")
    return Delta(down=down, parts=tuple(parts))
