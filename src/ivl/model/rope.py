"""Rotary position embedding (RoFormer, Su et al. 2021), half-split, in three kinds.

In: positions of packed tokens and the length each token's sequence may reach. Out: cos and sin tables.

The official dynamic NTK recomputes its base only when a cache grows, so an answer depends on what ran before it.
Here the base is a function of the request alone: the length it may reach (prompt + new tokens) fixes it from the
first token on, which equals one official forward over the whole sequence.

Shapes: T packed tokens, H heads, Dh head width, F = Dh / 2 frequencies.
"""

import math

import torch
from torch import Tensor

from ivl.model.config import TextConfig


class RotaryEmbedding:
    """The rotation angles of one decoder; holds frequencies per context bound, no parameters."""

    def __init__(self, config: TextConfig) -> None:
        self.config = config
        self._frequencies: dict[tuple[float, bool, str], Tensor] = {}

    def base(self, length: int) -> float:
        """Theta for a sequence that may reach `length` tokens."""
        rope, limit, width = self.config.rope, self.config.max_positions, self.config.head_dim
        if rope.kind != "dynamic" or length <= limit:
            return rope.theta
        stretch = rope.factor * length / limit - (rope.factor - 1)
        return float(rope.theta * stretch ** (width / (width - 2)))

    def is_long(self, length: int) -> bool:
        """Whether Phi-3's long factors hold for a sequence that may reach `length` tokens."""
        return self.config.rope.kind == "long" and length > self.config.rope.original_max_positions

    @property
    def scale(self) -> float:
        """Factor on cos and sin: Phi-3's attention scaling, 1 elsewhere."""
        rope = self.config.rope
        if rope.kind != "long" or self.config.max_positions <= rope.original_max_positions:
            return 1.0
        ratio = self.config.max_positions / rope.original_max_positions
        return math.sqrt(1 + math.log(ratio) / math.log(rope.original_max_positions))

    def key(self, length: int) -> tuple[float, bool]:
        """Equal for two sequences if and only if they rotate alike; part of any key under which a cache is shared."""
        return self.base(length), self.is_long(length)

    def frequencies(self, length: int, device: torch.device) -> Tensor:
        """(F,) float32 angles per position for a sequence that may reach `length` tokens."""
        key = (*self.key(length), str(device))
        if key not in self._frequencies:
            rope, width = self.config.rope, self.config.head_dim
            exponents = torch.arange(0, width, 2, dtype=torch.int64).float() / width
            divisors = key[0] ** exponents
            if rope.kind == "long":
                divisors = torch.tensor(rope.long_factors if key[1] else rope.short_factors) * divisors
            self._frequencies[key] = (1.0 / divisors).to(device)
        return self._frequencies[key]

    def cos_sin(self, positions: Tensor, bounds: list[int], lengths: list[int]) -> tuple[Tensor, Tensor]:
        """cos and sin, each (T, Dh) float32.

        `positions` (T,) counts from 0 in each sequence; sequence s has `lengths[s]` of the T tokens and may reach
        `bounds[s]` tokens.
        """
        device = positions.device
        rows = [self.frequencies(bound, device) for bound in bounds]
        if all(row is rows[0] for row in rows):
            angles = positions[:, None].float() * rows[0]
        else:
            per_token = torch.repeat_interleave(torch.stack(rows), torch.tensor(lengths, device=device), dim=0)
            angles = positions[:, None].float() * per_token
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos() * self.scale, angles.sin() * self.scale


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate x (T, H, Dh) by tables (T, 1, Dh) of the same dtype."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos + turned * sin
