"""A linear map or norm that adapters change for some of its rows, while it runs.

In: rows, and a `Route` that says which adapter each belongs to. Out: for each row what a model with that adapter merged
would give. `lora.py` makes these and hangs them into the model. Knows no files and no engine.

Shapes: T packed tokens, N tiles, r rank of one part, R ranks of all parts of a product together, `in` and `out`
its widths.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """What an adapter adds to some columns of a product; several parts where the engine fused them."""

    columns: slice
    ranks: slice
    """Its own among the R ranks of the product."""
    up: Tensor
    """(r, width of the columns): B transposed, times the scale (and the gain)."""
    gain: Tensor | None = None
    """(width of the columns,): DoRA's factor on what the base gives."""
    shift: Tensor | None = None
    """(width of the columns,): what keeps the base's bias as it is under the gain."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Swap:
    """A whole linear map that stands in the place of some columns of a product."""

    columns: slice
    weight: Tensor
    """(width of the columns, in)."""
    bias: Tensor | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Delta:
    """What one adapter changes in one product."""

    down: Tensor | None
    """(R, in): the A of all parts, one below the other; None without parts."""
    parts: tuple[Part, ...]
    swaps: tuple[Swap, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Run:
    """Rows `start` to `stop` of dim 0, which belong to the adapter loaded as `uid`."""

    uid: int
    start: int
    stop: int


class Route:
    """Which rows of the next forward belong to which adapter; shared by all adapted modules of a model."""

    def __init__(self) -> None:
        self.runs: tuple[Run, ...] = ()
        """Rows of the base are in none."""
        self.num_rows = 0

    def check(self, x: Tensor) -> None:
        """Assert that x has the rows that the route speaks of."""
        assert len(x) == self.num_rows, f"the route speaks of {self.num_rows} rows, x has {len(x)}"


class AdaptedLinear(nn.Module):
    """A linear map and what the loaded adapters change in it."""

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
            self._change(x, out)
        return out

    def _change(self, x: Tensor, out: Tensor) -> None:
        """Make of `out`, in place, what the adapters make of their rows."""
        self.route.check(x)
        inner = x.shape[:-1].numel() // len(x)  # patches of a tile; 1 for tokens
        x, out = x.reshape(-1, x.shape[-1]), out.view(-1, out.shape[-1])
        for run in self.route.runs:
            delta = self.deltas.get(run.uid)
            if delta is not None:
                rows = slice(run.start * inner, run.stop * inner)
                _apply(delta, x[rows], out[rows])


class AdaptedNorm(nn.Module):
    """A norm and the norms of the loaded adapters that stand in its place."""

    def __init__(self, base: nn.Module, route: Route) -> None:
        super().__init__()
        self.base = base
        self.route = route
        self.deltas: dict[int, nn.Module] = {}
        """By uid; in a dict of its own, so that they are no part of the model."""

    def forward(self, x: Tensor) -> Tensor:
        """x (T, ..., width) or (N, ..., width) -> the same shape."""
        out: Tensor = self.base(x)
        if self.route.runs:
            self.route.check(x)
            for run in self.route.runs:
                if run.uid in self.deltas:
                    out[run.start : run.stop] = self.deltas[run.uid](x[run.start : run.stop])
        return out


def _apply(delta: Delta, x: Tensor, out: Tensor) -> None:
    """x (rows, in); changes `out` (rows, out), what the base makes of x."""
    for swap in delta.swaps:
        out[:, swap.columns] = F.linear(x, swap.weight, swap.bias)
    if delta.down is None:
        return
    low = F.linear(x, delta.down)  # (rows, R)
    for part in delta.parts:
        columns = out[:, part.columns]
        if part.gain is not None:
            columns.mul_(part.gain)
            if part.shift is not None:
                columns.add_(part.shift)
        columns.addmm_(low[:, part.ranks], part.up)
