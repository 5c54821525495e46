"""Paints planned scenes on the GPU, a batch at a time, and cuts them into tiles as the package's own code would.

In: plans of one canvas size as tensors (`PlanBatch`). Out: canvases (B, 3, h, w) uint8, and the normalised tiles that
`ivl.processing` makes of them (a resize of an 8-bit picture may differ by one grey level from Pillow's).

Shapes: B scenes, K things at most, M sprites, S sprite side, h and w of the canvas, N tiles of a scene.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from tools.seedling.augment import augment, blur
from tools.seedling.compose import Drawing, compose, cover
from tools.seedling.layout import GRADIENT, MAX_ITEMS, MOTLEY, NOISE, STRIPES, Plan
from torch import Tensor

from ivl.processing.tiling import IMAGENET_MEAN, IMAGENET_STD

TILE = 448


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanBatch:
    """Plans of one canvas size."""

    size: tuple[int, int]
    """Width and height of the canvas."""
    grid: tuple[int, int]
    """Columns and rows of tiles."""
    sprites: Tensor
    """(B, K) int64, -1 where there is none."""
    boxes: Tensor
    """(B, K, 3) centre x, y and side in pixels."""
    angles: Tensor
    """(B, K)"""
    flips: Tensor
    """(B, K) bool"""
    keep_colours: Tensor
    """(B,) bool"""
    background: Tensor
    """(B,) int64"""
    colours: Tensor
    """(B, 2, 3)"""

    def to(self, device: torch.device) -> "PlanBatch":
        moved = {
            name: value.to(device, non_blocking=True) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return PlanBatch(size=self.size, grid=self.grid, **moved)


def batch_plans(plans: list[Plan], size: tuple[int, int], grid: tuple[int, int]) -> PlanBatch:
    """Plans as tensors."""
    number = len(plans)
    sprites = np.full((number, MAX_ITEMS), -1, np.int64)
    boxes = np.zeros((number, MAX_ITEMS, 3), np.float32)
    angles = np.zeros((number, MAX_ITEMS), np.float32)
    flips = np.zeros((number, MAX_ITEMS), bool)
    for row, plan in enumerate(plans):
        span = slice(0, len(plan.sprites))
        sprites[row, span], boxes[row, span] = plan.sprites, plan.boxes
        angles[row, span], flips[row, span] = plan.angles, plan.flips
    return PlanBatch(
        size=size,
        grid=grid,
        sprites=torch.from_numpy(sprites),
        boxes=torch.from_numpy(boxes),
        angles=torch.from_numpy(angles),
        flips=torch.from_numpy(flips),
        keep_colours=torch.tensor([plan.keep_colours for plan in plans]),
        background=torch.tensor([plan.background for plan in plans]),
        colours=torch.tensor([plan.colours for plan in plans], dtype=torch.float32),
    )


class Painter:
    """Holds all sprites on one device and paints with them."""

    def __init__(self, sprites: Tensor) -> None:
        self.sprites = sprites
        """(M, 4, S, S) uint8, straight alpha."""

    @torch.autocast("cuda", enabled=False)
    def paint(self, plans: PlanBatch, strong: bool) -> tuple[Tensor, Drawing]:
        """Canvases (B, 3, h, w) uint8, and what was drawn on them.

        `strong`: change the look of sprites and the camera; else as drawn.
        """
        # Half precision is plenty for eight bits, and halves the memory traffic.
        dtype = torch.float16 if self.sprites.is_cuda else torch.float32
        drawing = self._draw(plans, strong, dtype)
        canvas = compose(paint_background(plans, dtype), drawing)
        if strong:
            spoil(canvas)
        return canvas.clamp_(0, 1).mul_(255).round_().to(torch.uint8), drawing

    def _draw(self, plans: PlanBatch, strong: bool, dtype: torch.dtype) -> Drawing:
        used = plans.sprites >= 0
        straight = self.sprites[plans.sprites[used]].to(dtype) / 255
        sprites = torch.cat((straight[:, :3] * straight[:, 3:], straight[:, 3:]), 1)
        if strong:
            sprites = augment(sprites, plans.keep_colours[:, None].expand_as(used)[used])
        boxes = plans.boxes[used]
        index = torch.where(used, used.flatten().cumsum(0).view_as(used) - 1, -1)
        maps = place_maps(boxes, plans.angles[used], plans.flips[used], sprites.shape[-1], strong)
        return Drawing(sprites=shrink_detail(sprites, boxes[:, 2]), maps=maps, index=index)


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


def place_maps(boxes: Tensor, angles: Tensor, flips: Tensor, side: int, strong: bool) -> Tensor:
    """(M, 6) maps from canvas to sprite pixels that put each sprite in its square, turned and mirrored."""
    cos, sin = angles.cos(), angles.sin()
    # A turned square stays within its place: it is drawn smaller.
    grow = cos.abs() + sin.abs()
    stretch = torch.ones(2, len(boxes), device=boxes.device)
    if strong:
        stretch = 1 + torch.rand(2, len(boxes), device=boxes.device) * 0.22
    mirror = torch.where(flips, -1.0, 1.0)
    x, y, size = boxes.unbind(1)
    to_sprite = side / size
    a, b = cos * grow * stretch[0] * mirror * to_sprite, sin * grow * stretch[0] * mirror * to_sprite
    c, d = -sin * grow * stretch[1] * to_sprite, cos * grow * stretch[1] * to_sprite
    # The square's centre is the sprite's.
    return torch.stack((a, b, side / 2 - a * x - b * y, c, d, side / 2 - c * x - d * y), -1)


def paint_background(plans: PlanBatch, dtype: torch.dtype) -> Tensor:
    """(B, 3, h, w): plain, gradient, smooth noise, or stripes between two colours."""
    width, height = plans.size
    number, device = len(plans.background), plans.colours.device
    kind = plans.background
    mix = torch.zeros(number, 1, height, width, device=device, dtype=dtype)
    x = torch.linspace(-1, 1, width, device=device, dtype=dtype)
    y = torch.linspace(-1, 1, height, device=device, dtype=dtype)[:, None]

    def random(rows: Tensor) -> Tensor:
        return torch.rand(len(rows), 1, 1, 1, device=device, dtype=dtype)

    def along(rows: Tensor) -> Tensor:
        turn = random(rows) * 6.283
        return x * turn.cos() + y * turn.sin()

    rows = (kind == GRADIENT).nonzero()[:, 0]
    mix[rows] = along(rows) * 0.5 + 0.5
    rows = ((kind == NOISE) | (kind == MOTLEY)).nonzero()[:, 0]
    coarse = torch.rand(len(rows), 1, 7, 7, device=device, dtype=dtype)
    if len(rows):
        mix[rows] = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    rows = (kind == STRIPES).nonzero()[:, 0]
    mix[rows] = (torch.sin(along(rows) * (6 + 24 * random(rows))) * 4).clamp(-1, 1) * 0.5 + 0.5
    first, second = (plans.colours[:, i, :, None, None].to(dtype) for i in (0, 1))
    return torch.addcmul(first, second - first, mix.clamp_(0, 1))


def spoil(canvas: Tensor) -> None:
    """Sometimes a little noise or blur over the whole picture, in place."""
    draw = torch.rand(len(canvas), device=canvas.device)
    noisy = (draw < 0.1).nonzero()[:, 0]
    chosen = canvas[noisy]
    strength = torch.rand(len(noisy), 1, 1, 1, device=canvas.device, dtype=canvas.dtype) * 0.05
    canvas[noisy] = torch.addcmul(chosen, torch.randn_like(chosen), strength)
    blurred = (draw > 0.93).nonzero()[:, 0]
    canvas[blurred] = blur(canvas[blurred])


def cut_tiles(canvas: Tensor, grid: tuple[int, int]) -> Tensor:
    """Canvases (B, 3, h, w) uint8 -> tiles (B, N, 3, 448, 448) uint8: row by row, the thumbnail last."""
    columns, rows = grid
    whole = resize(canvas, (columns * TILE, rows * TILE))
    tiles = whole.unflatten(-1, (columns, TILE)).unflatten(-3, (rows, TILE))  # (B, 3, rows, T, columns, T)
    tiles = tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    if columns * rows == 1:
        return tiles
    return torch.cat((tiles, resize(canvas, (TILE, TILE))[:, None]), 1)


def resize(canvas: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 3, h, w) uint8 to (width, height), bicubic as Pillow's."""
    width, height = size
    if canvas.shape[-2:] == (height, width):
        return canvas
    out = F.interpolate(canvas.float(), size=(height, width), mode="bicubic", align_corners=False, antialias=True)
    return out.round().clamp(0, 255).to(torch.uint8)


def normalise(tiles: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 (..., 3, T, T) -> what the vision model reads."""
    mean = torch.tensor(IMAGENET_MEAN, device=tiles.device)[:, None, None]
    std = torch.tensor(IMAGENET_STD, device=tiles.device)[:, None, None]
    return ((tiles.float() / 255 - mean) / std).to(dtype)


@torch.autocast("cuda", enabled=False)
def cover_maps(drawing: Drawing, plans: PlanBatch, side: int) -> Tensor:
    """How much of each patch each thing covers: (B, N, K, side, side), tiles as `cut_tiles` orders them."""
    columns, rows = plans.grid
    whole = cover(drawing, plans.size, (columns * side, rows * side))
    tiles = whole.unflatten(-1, (columns, side)).unflatten(-3, (rows, side))
    tiles = tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (B, N, K, side, side)
    if columns * rows == 1:
        return tiles
    return torch.cat((tiles, cover(drawing, plans.size, (side, side))[:, None]), 1)
