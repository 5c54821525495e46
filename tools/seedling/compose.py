"""Puts sprites onto canvases, and says which patch shows how much of which thing.

In: a `Drawing`, that is sprites with the map from canvas to sprite pixels of each. Out: composed canvases, cover maps.
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
        from tools.seedling.compose_gpu import compose as compose_gpu

        return compose_gpu(canvas, drawing)
    height, width = canvas.shape[-2:]
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    for slot in range(drawing.index.shape[1]):
        rows = (drawing.index[:, slot] >= 0).nonzero()[:, 0]
        layer = _sample(drawing, drawing.index[rows, slot], x, y)
        canvas[rows] = canvas[rows] * (1 - layer[:, 3:]) + layer[:, :3]
    return canvas


def cover(drawing: Drawing, size: tuple[int, int], patches: tuple[int, int], points: int = 8) -> Tensor:
    """(B, K, rows, columns) mean alpha of each thing over `patches` (columns, rows) of a canvas of `size`."""
    columns, rows = patches
    x = (torch.arange(columns * points, device=drawing.maps.device) + 0.5) * (size[0] / (columns * points))
    y = (torch.arange(rows * points, device=drawing.maps.device) + 0.5) * (size[1] / (rows * points))
    used = drawing.index >= 0
    out = torch.zeros(*used.shape, rows, columns, device=drawing.maps.device)
    alphas = _sample(drawing, drawing.index[used], x, y, alpha_only=True)
    out[used] = F.avg_pool2d(alphas, points)[:, 0].float()
    return out


def _sample(drawing: Drawing, chosen: Tensor, x: Tensor, y: Tensor, alpha_only: bool = False) -> Tensor:
    """(b, 4 or 1, len(y), len(x)): the chosen sprites at points of the canvas, bilinear, nothing outside."""
    sprites = drawing.sprites[chosen, 3:] if alpha_only else drawing.sprites[chosen]
    m = drawing.maps[chosen].unsqueeze(-1).unsqueeze(-1)
    x, y = x[None, None], y[None, :, None]
    scale = 2 / sprites.shape[-1]
    # grid_sample counts from -1 to 1 over the outer edges of the sprite.
    u = (m[:, 0] * x + m[:, 1] * y + m[:, 2]) * scale - 1
    v = (m[:, 3] * x + m[:, 4] * y + m[:, 5]) * scale - 1
    grid = torch.stack((u, v), -1).to(sprites.dtype)
    return F.grid_sample(sprites, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
