"""Draws planned scenes with Pillow from the SVG artwork, each thing rendered at the size it is shown at (resvg).

In: the folder that npm filled, the pack's tables, and `Plan`s. Out: RGB pictures. Shares no code with the GPU painter
that made the training pictures.
"""

import io
import math
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from tools.seedling.artwork import STYLES, cropped, drawings, render
from tools.seedling.layout import GRADIENT, MOTLEY, NOISE, STRIPES, Plan
from tools.seedling.pack import Pack


class Artist:
    """Draws plans with Pillow from the SVG artwork."""

    def __init__(self, modules: Path, pack: Pack) -> None:
        things = list(pack.things)
        self.drawings = [
            (svg, style.outline)
            for style in STYLES
            for _, svg in drawings(modules / "@iconify-json" / style.package, style, things)
        ]
        assert len(self.drawings) == len(pack.sprites), "the pack was made from other packages"

    def draw(self, plan: Plan, size: tuple[int, int], seed: int) -> Image.Image:
        """An RGB picture of the plan."""
        canvas = background(plan, size, random.Random(seed))
        for sprite, (x, y, side), angle, flip in zip(plan.sprites, plan.boxes, plan.angles, plan.flips, strict=True):
            svg, outline = self.drawings[sprite]
            inner = max(8, round(side / (abs(math.cos(angle)) + abs(math.sin(angle)))))
            thing = cropped(render(svg, 2 * inner, outline), inner)
            if flip:
                thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            # Angles of plans turn clockwise on the screen, Pillow's the other way.
            thing = thing.rotate(-math.degrees(angle), Image.Resampling.BICUBIC, expand=True)
            canvas.paste(thing, (round(x - thing.width / 2), round(y - thing.height / 2)), thing)
        return canvas


def background(plan: Plan, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Plain, gradient, smooth noise or stripes, drawn with Pillow alone."""
    first, second = (Image.new("RGB", size, tuple(round(255 * part) for part in colour)) for colour in plan.colours)
    mask = Image.new("L", size)
    if plan.background == GRADIENT:
        mask = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize(size)
    elif plan.background in (NOISE, MOTLEY):
        coarse = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (8, 8), np.uint8)
        mask = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    elif plan.background == STRIPES:
        pen, step = ImageDraw.Draw(mask), rng.randint(12, 60)
        for start in range(0, size[0] + size[1], 2 * step):
            pen.line([(start, 0), (start - size[1], size[1])], fill=255, width=step // 2)
    return Image.composite(second, first, mask)


def as_png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
