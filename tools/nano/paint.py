"""Paints planned scenes on any device, a batch at a time.

In: scenes of one canvas size, and all sprites. Out: canvases (B, 3, h, w) uint8; labels are not on them yet.

Shapes: B scenes, K things at most, M sprites, S sprite side, h and w of the canvas.
"""

from collections.abc import Sequence

import torch
from tools.nano.augment import augment, spoil
from tools.nano.compose import Drawing, compose, shrink_detail
from tools.nano.grounds import paint_grounds
from tools.nano.scene import Scene
from torch import Tensor

_MOST = 12
"""Things in a scene at most: one number, so that the GPU's kernel is compiled once."""


class Painter:
    """Holds all sprites on one device and paints with them."""

    def __init__(self, sprites: Tensor) -> None:
        self.sprites = sprites
        """(M, 4, S, S) uint8, straight alpha."""

    @torch.no_grad()
    def paint(self, scenes: Sequence[Scene], strong: bool) -> Tensor:
        """Canvases of scenes of one size, on the sprites' device. strong: change the look of things, else as drawn."""
        device = self.sprites.device
        # Half precision is plenty for eight bits, and halves the memory traffic.
        dtype = torch.float16 if self.sprites.is_cuda else torch.float32
        index = torch.full((len(scenes), _MOST), -1)
        items = [item for scene in scenes for item in scene.items]
        used = torch.zeros_like(index, dtype=torch.bool)
        for row, scene in enumerate(scenes):
            used[row, : len(scene.items)] = True
        index[used] = torch.arange(len(items))
        keep = torch.tensor([scene.keep_colours for scene in scenes for _ in scene.items], device=device)
        chosen = torch.tensor([item.sprite for item in items], device=device)
        straight = self.sprites[chosen].to(dtype) / 255
        sprites = torch.cat((straight[:, :3] * straight[:, 3:], straight[:, 3:]), 1)
        if strong:
            sprites = augment(sprites, keep)
        numbers = [(item.x, item.y, item.side, item.angle, *item.stretch, -1.0 if item.flip else 1.0) for item in items]
        places = torch.tensor(numbers, device=device)
        sprites = shrink_detail(sprites, places[:, 2])
        drawing = Drawing(sprites=sprites, maps=place_maps(places, sprites.shape[-1]), index=index.to(device))
        canvas = compose(paint_grounds(scenes, device, dtype), drawing)
        if strong:
            spoil(canvas)
        return canvas.clamp_(0, 1).mul_(255).round_().to(torch.uint8)


def place_maps(places: Tensor, side: int) -> Tensor:
    """(M, 7) x, y, side, angle, two stretches and -1 for mirrored -> (M, 6) maps from canvas to sprite pixels."""
    x, y, size, angle, wide, high, mirror = places.unbind(1)
    cos, sin = angle.cos(), angle.sin()
    # A turned square stays within its place: it is drawn smaller.
    grow = (cos.abs() + sin.abs()) * side / size
    a, b = cos * grow * wide * mirror, sin * grow * wide * mirror
    c, d = -sin * grow * high, cos * grow * high
    # The square's centre is the sprite's.
    return torch.stack((a, b, side / 2 - a * x - b * y, c, d, side / 2 - c * x - d * y), -1)
