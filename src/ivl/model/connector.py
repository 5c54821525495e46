"""Pixel shuffle, and what turns patch features into image tokens: the official MLP (`mlp1`), or LLaVA's first pattern,
one linear map. The third known pattern, the Q-Former, stands in `qformer.py`.

Shapes: N tiles, P patches of a tile, C vision width, r patches a side per image token, I = P / r**2 image tokens,
D text width.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from ivl.model.config import InternVLConfig
from ivl.model.qformer import QFormerConnector


def pixel_shuffle(x: Tensor, factor: int, version: str) -> Tensor:
    """(N, P, C) -> (N, I, r*r*C): r x r neighbouring patches become one token.

    v2: token (i, j) holds patches (ri + dy, rj + dx), dy slowest. v1, the first release's, gives the transposed grid.
    """
    num_tiles, num_patches, width = x.shape
    side = math.isqrt(num_patches)
    assert side * side == num_patches, f"{num_patches} patches make no square"
    assert side % factor == 0, f"{side} patches a side are no multiple of {factor}"
    grid = x.view(num_tiles, side // factor, factor, side // factor, factor, width)  # (N, i, dy, j, dx, C)
    order = (0, 1, 3, 2, 4, 5) if version == "v2" else (0, 3, 1, 2, 4, 5)
    return grid.permute(order).reshape(num_tiles, -1, factor * factor * width)


def make_connector(config: InternVLConfig) -> nn.Module:
    """The connector of a model of this shape, with fresh weights: (N, rows, r*r*C) -> (N, I, D)."""
    width_in, width = config.vision.hidden_size * config.shuffle_factor**2, config.text.hidden_size
    if config.qformer is not None:
        return QFormerConnector(config.qformer, width_in, width)
    return LinearConnector(width_in, width) if config.connector == "linear" else Connector(width_in, width)


class LinearConnector(nn.Module):
    """One linear map and nothing else, as LLaVA 1 (Liu et al. 2023, arXiv 2304.08485)."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_width, out_width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, r*r*C) -> (N, I, D)."""
        out: Tensor = self.linear(x)
        return out


class Connector(nn.Module):
    """LayerNorm, linear, GELU, linear."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_width, eps=1e-5)
        self.fc1 = nn.Linear(in_width, out_width)
        self.fc2 = nn.Linear(out_width, out_width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, r*r*C) -> (N, I, D)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out
