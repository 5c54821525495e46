"""LoRA without merging: adapters beside the base, chosen for each request within one batch.

In: a model, fused or not, that runs; adapters that `adapter_io` has read; before each forward, which adapter its
rows belong to. Out: answers as if each row had met a model with its own adapter merged. Knows no files and no
engine. The engine fuses first, then makes the `AdapterSet`; both change the model from outside, on one thread.

An `AdaptedLinear` or `AdaptedNorm` stands in the place of a module only while some loaded adapter changes it: when the
last such adapter goes, the base's own module is back in its place and the model is as it was.

Shapes: r rank of one part, `in` and `out` the widths of a linear map.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

import torch
from torch import Tensor, nn

from ivl.errors import AdapterError
from ivl.model.adapted import AdaptedLinear, AdaptedNorm, Delta, Part, Route, Run, Swap
from ivl.model.adapter_io import Adapter, LowRank
from ivl.model.adapter_merge import check_fit, gain_of
from ivl.model.adapter_merge import merge as merge
from ivl.model.fused import PackedLinear
from ivl.model.internvl import InternVL
from ivl.model.names import parameter_shapes, part_of

_Adapted = AdaptedLinear | AdaptedNorm
_A = TypeVar("_A", AdaptedLinear, AdaptedNorm)
_NOT_BESIDE = "cannot run beside the base: merge it first, or give it as the pipeline's only adapter"


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a product hangs in the model."""

    parent: str
    attribute: str


@dataclass(frozen=True, kw_only=True, eq=False)
class _Change:
    """What an adapter does to some columns of a product."""

    base: nn.Module
    columns: slice
    weight: LowRank | dict[str, Tensor]
    """Or a weight and bias of its own."""
    like: Tensor
    """With the type and device that are needed."""


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
        products, norms = self._prepare(adapter)
        uid = next(self._uids)
        for place, delta in products.items():
            self._adapt(place, AdaptedLinear).deltas[uid] = delta
        for place, norm in norms.items():
            self._adapt(place, AdaptedNorm).deltas[uid] = norm
        places = (*products, *norms)
        self._loaded[name] = _Loaded(uid=uid, touches_vision=adapter.touches_vision, places=places)

    def unload(self, name: str) -> None:
        """Take an adapter off; its memory is free. The route is the base's again.

        Raises AdapterError for an adapter that is not loaded.
        """
        gone = self._find(name)
        self.route([])
        del self._loaded[name]
        for place in gone.places:
            adapted = getattr(self._model.get_submodule(place.parent), place.attribute)
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

    def _adapt(self, place: _Place, kind: type[_A]) -> _A:
        """The adapted module at a place, which is put there if need be."""
        parent = self._model.get_submodule(place.parent)
        module = getattr(parent, place.attribute)
        if not isinstance(module, kind):
            module = kind(module, self._route)
            setattr(parent, place.attribute, module)
        return module

    def _prepare(self, adapter: Adapter) -> tuple[dict[_Place, Delta], dict[_Place, nn.Module]]:
        """What `adapter` changes in each product and norm, ready on the device. Changes nothing."""
        check_fit(self._model, adapter)
        if adapter.must_merge is not None:
            raise AdapterError(f"{adapter.source} replaces {adapter.must_merge!r} and {_NOT_BESIDE}")
        changes: dict[_Place, list[_Change]] = defaultdict(list)
        norms: dict[_Place, nn.Module] = {}
        for path, weight in adapter.weights.items():
            place, base, columns = self._find_module(path, adapter.source)
            changes[place].append(_Change(base=base, columns=columns, weight=weight, like=_like(self._model, path)))
        for path, own in _by_module(self._model, adapter).items():
            place, base, columns = self._find_module(path, adapter.source)
            own = _placed(own, _like(self._model, path), adapter.source)
            if own["weight"].dim() == 1:
                norms[place] = _norm_with(base, own)
            else:
                changes[place].append(_Change(base=base, columns=columns, weight=own, like=own["weight"]))
        return {place: _delta(each, adapter.source) for place, each in changes.items()}, norms

    def _find_module(self, path: str, source: str) -> tuple[_Place, nn.Module, slice]:
        """Where the module of `path` hangs, the base's own module there, and its columns in that."""
        place, columns = _locate(self._model, path, source)
        module = getattr(self._model.get_submodule(place.parent), place.attribute)
        if isinstance(module, _Adapted):
            assert module.route is self._route, f"{path} belongs to the AdapterSet of another engine"
            module = module.base
        return place, module, columns


def _by_module(model: InternVL, adapter: Adapter) -> dict[str, dict[str, Tensor]]:
    """Module path -> "weight" and "bias" that the adapter has in the place of the base's."""
    modules: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in adapter.replaced.items():
        path, _, kind = name.rpartition(".")
        modules[path][kind] = tensor
    shapes = parameter_shapes(model.config)
    for path, own in modules.items():
        for kind in ("weight", "bias"):
            if f"{path}.{kind}" in shapes and kind not in own:
                raise AdapterError(f"{adapter.source} replaces {path!r} but for its {kind}, and {_NOT_BESIDE}")
    return modules


def _locate(model: InternVL, path: str, source: str) -> tuple[_Place, slice]:
    """The product that holds the linear map of `path`, and its columns there."""
    above, _, name = path.rpartition(".")
    parent = model.get_submodule(above)
    for attribute, child in parent.named_children():
        base = child.base if isinstance(child, _Adapted) else child
        if attribute == name:
            return _Place(parent=above, attribute=attribute), slice(None)
        start = 0
        for part, width in getattr(base, "parts", ()):
            if part == name:
                return _Place(parent=above, attribute=attribute), slice(start, start + width)
            start += width
    raise AdapterError(f"{source} changes {path!r}, which this model cannot adapt while it runs: load it unquantised")


def _like(model: InternVL, path: str) -> Tensor:
    """A tensor with the type and device that adapters of `path` need; embeddings are never quantised."""
    if part_of(path) == "language_model":
        return model.language_model.embed_tokens.weight
    return model.vision_model.class_embedding


def _placed(own: Mapping[str, Tensor], like: Tensor, source: str) -> dict[str, Tensor]:
    """A module's own parameters as the model needs them; a copy."""
    placed = {kind: tensor.to(like.device, like.dtype, copy=True) for kind, tensor in own.items()}
    _check_finite(placed.values(), like, source)
    return placed


def _norm_with(base: nn.Module, own: Mapping[str, Tensor]) -> nn.Module:
    """The base's norm with other parameters."""
    norm = deepcopy(base)
    for kind, tensor in own.items():
        setattr(norm, kind, nn.Parameter(tensor, requires_grad=False))
    return norm


def _delta(changes: list[_Change], source: str) -> Delta:
    """One product's parts, moved to the device; scale and gain go into B before it is rounded."""
    parts: list[Part] = []
    downs: list[Tensor] = []
    swaps: list[Swap] = []
    for change in changes:
        weight, like = change.weight, change.like
        if isinstance(weight, dict):
            swaps.append(Swap(columns=change.columns, weight=weight["weight"], bias=weight.get("bias")))
            continue
        first = parts[-1].ranks.stop if parts else 0
        up = (weight.b.double() * weight.scale).to(like.device)
        gain, shift = _gain_and_shift(change, weight, source)
        up = (up if gain is None else up * gain[:, None]).T.contiguous().to(like.dtype)
        gain, shift = (each if each is None else each.to(like.dtype) for each in (gain, shift))
        ranks = slice(first, first + len(up))
        parts.append(Part(columns=change.columns, ranks=ranks, up=up, gain=gain, shift=shift))
        downs.append(weight.a.to(like.device, like.dtype))
        _check_finite([each for each in (downs[-1], up, gain, shift) if each is not None], like, source)
    return Delta(down=torch.cat(downs) if downs else None, parts=tuple(parts), swaps=tuple(swaps))


@torch.no_grad()
def _gain_and_shift(change: _Change, weight: LowRank, source: str) -> tuple[Tensor | None, Tensor | None]:
    """DoRA's factor on what the base gives, and what then restores the bias; float64, (out,) each."""
    if weight.magnitude is None:
        return None, None
    base, bias = _weight_of(change.base), getattr(change.base, "bias", None)
    if base is None:
        raise AdapterError(f"{source} uses DoRA, which quantised weights do not allow: load the model unquantised")
    gain = gain_of(base[change.columns], weight, source).double()
    return gain, None if bias is None else bias[change.columns] * (1 - gain)


def _weight_of(module: nn.Module) -> Tensor | None:
    """The weight (out, in) of a linear map; None where it is not there in floats."""
    weight = getattr(module, "weight", None)
    if weight is None and isinstance(module, PackedLinear):
        weight = module.packed.to_dense()
    return weight if isinstance(weight, Tensor) and weight.is_floating_point() else None


def _check_finite(tensors: Iterable[Tensor], like: Tensor, source: str) -> None:
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise AdapterError(f"{source} holds numbers that {str(like.dtype).removeprefix('torch.')} cannot hold")
