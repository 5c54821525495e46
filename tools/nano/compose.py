"""Puts sprites onto canvases.

In: a `Drawing`, that is sprites with the map from canvas to sprite pixels of each; `shrink_detail` makes them fit to be
drawn small. Out: composed canvases.
This is the readable form, for any device; `compose_gpu.py` does the same in one pass over the pixels of a canvas.

Shapes: B scenes, K things at most, M sprites drawn, S sprite side, h and w of the canvas.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawing:
    """What is drawn in a batch of scenes, and where."""

    sprites: Tensor
    """(M, 4, S, S) premultiplied."""
    maps: Tensor
    """(M, 6) float32: sprite pixel x = m0 x + m1 y + m2, y = m3 x + m4 y + m5 of a point (x, y) of the canvas."""
    index: Tensor
    """(B, K) int64 row of `sprites`, -1 where there is none."""


def compose(canvas: Tensor, drawing: Drawing) -> Tensor:
    """Canvases (B, 3, h, w) with the sprites drawn over them."""
    if canvas.is_cuda:
        from tools.nano.compose_gpu import compose as compose_gpu

        return compose_gpu(canvas, drawing)
    height, width = canvas.shape[-2:]
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    for slot in range(drawing.index.shape[1]):
        rows = (drawing.index[:, slot] >= 0).nonzero()[:, 0]
        layer = _sample(drawing, drawing.index[rows, slot], x, y)
        canvas[rows] = canvas[rows] * (1 - layer[:, 3:]) + layer[:, :3]
    return canvas


def _sample(drawing: Drawing, chosen: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(b, 4, len(y), len(x)): the chosen sprites at points of the canvas, bilinear, nothing outside."""
    sprites = drawing.sprites[chosen]
    m = drawing.maps[chosen].unsqueeze(-1).unsqueeze(-1)
    x, y = x[None, None], y[None, :, None]
    scale = 2 / sprites.shape[-1]
    # grid_sample counts from -1 to 1 over the outer edges of the sprite.
    u = (m[:, 0] * x + m[:, 1] * y + m[:, 2]) * scale - 1
    v = (m[:, 3] * x + m[:, 4] * y + m[:, 5]) * scale - 1
    grid = torch.stack((u, v), -1).to(sprites.dtype)
    return F.grid_sample(sprites, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def shrink_detail(sprites: Tensor, sides: Tensor) -> Tensor:
    """Sprites without detail that is too fine for the side they are drawn at (no aliasing)."""
    size = sprites.shape[-1]
    out = sprites
    coarse = sprites
    for level in (1, 2):
        coarse = F.avg_pool2d(coarse, 2)
        wide = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
        finer = sides * 2 ** (level - 0.5) < size
        out = torch.where(finer[:, None, None, None], wide, out)
    return out
