"""Draws one food on a soft ground: the pictures of the food set.

In: SVG artwork of the npm packages in `STYLES`, a food's code, a seed. Out: WebP files of 224 x 224 pixels. The same
seed, artwork, resvg and libwebp give the same bytes. Knows no questions.
"""

import colorsys
import io
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from tools.nano.artwork import STYLES as ARTWORK
from tools.nano.artwork import cropped, drawings, render
from tools.nano.vocabulary import FOOD_GROUP, read_things

SIZE = 224
"""Pixels a side."""
QUALITY = 76
"""Of lossy WebP."""
TRAINED_STYLES = ("noto", "noto-v1", "twemoji", "fluent-emoji", "fluent-emoji-flat", "emojione", "emojione-v1")
HELD_OUT_STYLES = ("openmoji", "fxemoji")
STYLES = (*TRAINED_STYLES, *HELD_OUT_STYLES)

_MOST_TURNED = 14.0
"""Degrees to either side."""
_SMALLEST, _LARGEST = 0.56, 0.86
"""The drawing's longer side, as a share of the picture's."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One style's drawing of one food."""

    style: str
    code: str
    """Unicode's, as emojibase writes it."""
    svg: str


def read_drawings(modules: Path) -> dict[tuple[str, str], Drawing]:
    """Every food that a style draws, by (style, code). modules: the node_modules folder of the packages."""
    foods = [thing for thing in read_things(modules / "emojibase-data") if thing.group == FOOD_GROUP]
    found: dict[tuple[str, str], Drawing] = {}
    for style in ARTWORK:
        if style.name in STYLES:
            for index, svg in drawings(modules / "@iconify-json" / style.package, style, foods):
                key = (style.name, foods[index].code)
                found.setdefault(key, Drawing(style=style.name, code=foods[index].code, svg=svg))
    return found


def draw(drawing: Drawing, name: str) -> Image.Image:
    """The RGB picture called `name`: size, place, turn and ground follow from the name alone."""
    rng = random.Random(f"{name} of the food set")
    canvas = ground(rng)
    turn = rng.uniform(-_MOST_TURNED, _MOST_TURNED)
    side = round(SIZE * rng.uniform(_SMALLEST, _LARGEST))
    food = cropped(_large(drawing), side).rotate(turn, Image.Resampling.BICUBIC, expand=True)
    food = food.crop(food.getchannel("A").getbbox() or (0, 0, side, side))
    if max(food.size) > SIZE:
        food.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS)
    place = (rng.randint(0, SIZE - food.width), rng.randint(0, SIZE - food.height))
    canvas.paste(_DARK, mask=_shadow(food, place, rng))
    canvas.paste(food, place, food)
    return canvas


def as_webp(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=6)
    return buffer.getvalue()


def grey() -> bytes:
    """The picture of the blind test: nothing but middle grey."""
    return as_webp(Image.new("RGB", (SIZE, SIZE), (127, 127, 127)))


def ground(rng: random.Random) -> Image.Image:
    """Plain, graded to one side, lighter in the middle, or a table with its edge."""
    first = np.array(_colour(rng))
    second = np.clip(first + rng.uniform(-0.16, 0.16) + np.array([rng.uniform(-0.03, 0.03) for _ in range(3)]), 0, 1)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1)
    kind = rng.choice(("plain", "graded", "lamp", "table", "table"))
    if kind == "plain":
        share = np.zeros((SIZE, SIZE))
    elif kind == "graded":
        angle = rng.uniform(0, 2 * math.pi)
        share = 0.5 + 0.5 * ((x - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle)) / 0.71
    elif kind == "lamp":
        share = np.clip(np.hypot(x - rng.uniform(0.3, 0.7), y - rng.uniform(0.2, 0.6)) / 0.8, 0, 1)
    else:
        second = np.array(_colour(rng))
        edge = rng.uniform(0.25, 0.6) + rng.uniform(-0.06, 0.06) * (x - 0.5)
        share = np.clip((y - edge) / 0.03 + 0.5, 0, 1)
    pixels = first + share[..., None] * (second - first)
    return Image.fromarray((255 * pixels + 0.5).astype(np.uint8), "RGB")


_DARK = (38, 30, 24)


def _colour(rng: random.Random) -> tuple[float, float, float]:
    """Mostly light and pale, now and then a dark table."""
    if rng.random() < 0.15:
        return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.15, 0.5), rng.uniform(0.22, 0.45))
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.04, 0.42), rng.uniform(0.68, 0.99))


def _shadow(food: Image.Image, place: tuple[int, int], rng: random.Random) -> Image.Image:
    """Where and how much it is darker, beside and below the food."""
    strength = rng.uniform(0.0, 0.3)
    mask = Image.new("L", (SIZE, SIZE))
    mask.paste(food.getchannel("A"), (place[0] + rng.randint(-3, 5), place[1] + rng.randint(3, 8)))
    return mask.filter(ImageFilter.GaussianBlur(5)).point(lambda value: round(value * strength))


@cache
def _large(drawing: Drawing) -> Image.Image:
    """The drawing rendered larger than it will be shown, kept for its other pictures."""
    return render(drawing.svg, 2 * SIZE)


def codes_of(found: Mapping[tuple[str, str], Drawing], style: str) -> set[str]:
    """The foods that a style draws."""
    return {code for name, code in found if name == style}
