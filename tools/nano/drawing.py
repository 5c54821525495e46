"""Draws planned scenes with Pillow from the SVG artwork, each thing rendered at the size that it is shown at (resvg).

In: the folder that npm filled, the pack's tables, and `Scene`s. Out: RGB pictures, and the scenes with the boxes of the
pixels that were drawn. Shares no code with the painter of the training pictures.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from tools.nano.artwork import STYLES, cropped, drawings, render
from tools.nano.scene import GRADIENT, MOTLEY, NOISE, STRIPES, Box, Item, Scene
from tools.nano.vocabulary import Thing

_OPAQUE = 64


class Artist:
    """Draws scenes with Pillow from the SVG artwork."""

    def __init__(self, modules: Path, things: Sequence[Thing], number: int) -> None:
        """modules: the node_modules folder; things and number of sprites: of the pack that scenes were planned from."""
        self.drawings = [
            (svg, style.outline)
            for style in STYLES
            for _, svg in drawings(modules / "@iconify-json" / style.package, style, list(things))
        ]
        assert len(self.drawings) == number, "the pack was made from other packages"

    def draw(self, scene: Scene, rng: random.Random) -> tuple[Image.Image, Scene]:
        """The picture without its label, and the scene with exact boxes."""
        canvas = ground(scene, rng)
        items = []
        for item in scene.items:
            thing = self.thing(item)
            left, top = round(item.x - thing.width / 2), round(item.y - thing.height / 2)
            canvas.paste(thing, (left, top), thing)
            items.append(replace(item, box=_box(thing, left, top, scene.size)))
        return canvas, replace(scene, items=tuple(items))

    def thing(self, item: Item) -> Image.Image:
        """RGBA: its drawing stretched, mirrored and turned."""
        svg, outline = self.drawings[item.sprite]
        side = item.side / (abs(math.cos(item.angle)) + abs(math.sin(item.angle)))
        drawn = cropped(render(svg, max(64, 2 * round(side)), outline), max(16, round(side)))
        shape = tuple(max(8, round(side / by)) for by in item.stretch)
        drawn = drawn.resize((shape[0], shape[1]), Image.Resampling.LANCZOS)
        if item.flip:
            drawn = drawn.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        # A scene's angles turn clockwise on the screen, Pillow's the other way.
        return drawn.rotate(-math.degrees(item.angle), Image.Resampling.BICUBIC, expand=True)


def ground(scene: Scene, rng: random.Random) -> Image.Image:
    """Plain, graded, smooth noise or stripes between the scene's two colours."""
    first, second = (Image.new("RGB", scene.size, tuple(round(255 * part) for part in rgb)) for rgb in scene.colours)
    mask = Image.new("L", scene.size)
    if scene.ground == GRADIENT:
        mask = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize(scene.size)
    elif scene.ground in (NOISE, MOTLEY):
        coarse = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (8, 8), np.uint8)
        mask = Image.fromarray(coarse).resize(scene.size, Image.Resampling.BICUBIC)
        mask = mask.filter(ImageFilter.GaussianBlur(2))
    elif scene.ground == STRIPES:
        pen, step = ImageDraw.Draw(mask), rng.randint(12, 60)
        for start in range(0, sum(scene.size), 2 * step):
            pen.line([(start, 0), (start - scene.size[1], scene.size[1])], fill=255, width=step // 2)
    return Image.composite(second, first, mask)


def _box(thing: Image.Image, left: int, top: int, size: tuple[int, int]) -> Box:
    """Around the thing's opaque pixels, in thousandths of the picture."""
    around = thing.getchannel("A").point(lambda alpha: 255 if alpha > _OPAQUE else 0).getbbox()
    assert around, "a drawing shows something"
    edges = [
        min(1000, max(0, round(1000 * (edge + start) / length)))
        for edge, start, length in zip(around, (left, top) * 2, size * 2, strict=True)
    ]
    return edges[0], edges[1], edges[2], edges[3]
