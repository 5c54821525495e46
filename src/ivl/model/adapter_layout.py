"""What an adapter's tensors are called: as the modules of `ivl`, of transformers, or of the official code.

In: a configuration. Out: the linear maps and parameters of one way of naming, and how their numbers lie in ours. Knows
no files and no settings.

A linear map that another layout has fused (`qkv_proj` = [q | k | v]) splits exactly: the rows of B, and of DoRA's
magnitude, belong to the rows of the weight, and all parts share A. The table of names is `names.py`'s.

Shapes: r rank, `in` and `out` the widths of a linear map.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ivl.model.config import InternVLConfig
from ivl.model.names import Rows, StoredTensor, parameter_shapes, stored_tensors

if TYPE_CHECKING:
    from ivl.model.adapter_io import LowRank

AdapterLayout = Literal["ivl", "transformers", "official"]
ADAPTER_LAYOUTS: tuple[AdapterLayout, ...] = ("ivl", "transformers", "official")
_VOCABULARY = ("lm_head", "embed_tokens")


@dataclass(frozen=True, kw_only=True)
class StoredLinear:
    """A linear map of a layout: its weight's rows are `rows` of ours, one after another."""

    shape: tuple[int, int]
    """(out, in)."""
    kernel: tuple[int, ...]
    """What `in` is made of where the layout has a convolution: (3, p, p); else empty."""
    rows: tuple[Rows, ...]

    @property
    def modules(self) -> tuple[str, ...]:
        """Ours that it is made of, by path."""
        return tuple(dict.fromkeys(rows.name.removesuffix(".weight") for rows in self.rows))

    def shapes(self, rank: int) -> dict[str, tuple[int, ...]]:
        """The shapes of an adapter's tensors as PEFT stores them."""
        width_out, width_in = self.shape
        if not self.kernel:
            return {"A": (rank, width_in), "B": (width_out, rank), "magnitude": (width_out,)}
        return {"A": (rank, *self.kernel), "B": (width_out, rank, 1, 1), "magnitude": (1, width_out, 1, 1)}


@dataclass(frozen=True, kw_only=True)
class AdapterNames:
    """The names of one layout."""

    layout: AdapterLayout
    linears: Mapping[str, StoredLinear]
    """By module path: what adapters may change."""
    parameters: Mapping[str, StoredTensor]

    @property
    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """Module path -> (out, in)."""
        return {path: linear.shape for path, linear in self.linears.items()}

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tensor.shape for name, tensor in self.parameters.items()}


def adapter_names(config: InternVLConfig, layout: AdapterLayout) -> AdapterNames:
    """The names that modules and parameters have in `layout`."""
    shapes = parameter_shapes(config)
    if layout == "ivl":
        parameters = {
            name: StoredTensor(name=name, shape=shape, rows=(Rows(name=name, start=0, stop=shape[0]),))
            for name, shape in shapes.items()
        }
    else:
        parameters = stored_tensors(config, layout)
    linears = {}
    for name, tensor in parameters.items():
        first = tensor.rows[0].name
        path, _, kind = first.rpartition(".")
        if kind == "weight" and len(shapes[first]) == 2 and not path.endswith(_VOCABULARY):
            linears[name.removesuffix(".weight")] = StoredLinear(
                shape=(tensor.shape[0], shapes[first][1]),
                kernel=tensor.shape[1:] if len(tensor.shape) > 2 else (),
                rows=tensor.rows,
            )
    return AdapterNames(layout=layout, linears=linears, parameters=parameters)


def find_names(modules: Collection[str], parameters: Collection[str], config: InternVLConfig) -> AdapterNames:
    """The layout that knows most of these modules and parameters; ours where none knows more."""
    candidates = [adapter_names(config, layout) for layout in ADAPTER_LAYOUTS]

    def num_known(names: AdapterNames) -> int:
        return sum(path in names.linears for path in modules) + sum(name in names.parameters for name in parameters)

    return max(candidates, key=num_known)


def split_weights(weights: Mapping[str, LowRank], names: AdapterNames) -> dict[str, LowRank]:
    """Adapters of a layout's linear maps -> of ours, by module path; ranks and scales stay."""
    ours: dict[str, LowRank] = {}
    for path, weight in weights.items():
        rows = names.linears[path].rows
        magnitudes = {} if weight.magnitude is None else _split(weight.magnitude, rows)
        for name, b in _split(weight.b, rows).items():
            ours[name.removesuffix(".weight")] = replace(weight, b=b, magnitude=magnitudes.get(name))
    return ours


def split_replaced(replaced: Mapping[str, Tensor], names: AdapterNames, config: InternVLConfig) -> dict[str, Tensor]:
    """Parameters of a layout -> ours, by name."""
    shapes = parameter_shapes(config)
    ours: dict[str, Tensor] = {}
    for stored, tensor in replaced.items():
        rows = names.parameters[stored].rows
        flat = tensor.reshape(sum(part.stop - part.start for part in rows), -1)
        ours |= {name: part.reshape(shapes[name]) for name, part in _split(flat, rows).items()}
    return ours


def _split(tensor: Tensor, rows: Iterable[Rows]) -> dict[str, Tensor]:
    """Row by row, what belongs to each parameter of ours."""
    pieces: dict[str, list[tuple[int, Tensor]]] = {}
    done = 0
    for part in rows:
        stop = done + part.stop - part.start
        pieces.setdefault(part.name, []).append((part.start, tensor[done:stop]))
        done = stop
    assert done == len(tensor), f"{done} rows are listed of {len(tensor)}"
    return {name: torch.cat([piece for _, piece in sorted(found, key=_start)]) for name, found in pieces.items()}


def _start(piece: tuple[int, Tensor]) -> int:
    return piece[0]
