"""A page to write on: its ground, its lines of text, and where each line's pixels came to stand.

In: a `random.Random`, a `Lettering`, texts with places. Out: an RGB picture and a `Line` for each text. Knows no
questions and no menus.
"""

import colorsys
import random
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw
from tools.nano.lettering import Colour, Face, Lettering

LEAST_CONTRAST = 4.0
"""Of ink and ground, as WCAG 2 defines it (1 to 21)."""
_NOISE_SIDE = 1024
_NOISES = (0.0, 0.0, 3.0, 6.0, 10.0)


class TooTightError(Exception):
    """The text does not fit at a height that can be read: another paper must be tried."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A text that was drawn."""

    text: str
    box: tuple[int, int, int, int]
    """Around its drawn pixels: left, top, right, bottom in pixels, right and bottom just outside."""


@dataclass(frozen=True, kw_only=True)
class Area:
    """A rectangle in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def cut_top(self, height: int) -> "Area":
        """What is left below a strip of that height."""
        return Area(left=self.left, top=self.top + height, right=self.right, bottom=self.bottom)


@dataclass(frozen=True, kw_only=True)
class Pen:
    """How a text is lettered."""

    face: Face
    height: int
    """Pixels of a Chinese character or a capital."""
    colour: Colour


class Page:
    """A picture that is being written on."""

    def __init__(self, rng: random.Random, lettering: Lettering, size: tuple[int, int]) -> None:
        self.rng = rng
        self.lettering = lettering
        self.size = size
        self.paper, self.ink = _colours(rng)
        self.canvas = Image.new("RGB", size, self.paper)
        self.draw = ImageDraw.Draw(self.canvas)
        self.area = self._prepare()

    def least_height(self, language: str) -> int:
        """Of characters that can be read, in pixels."""
        return 16 if language == "zh" else 13

    def pen(self, texts: list[str], width: float, height: int, language: str, others: str = "") -> Pen:
        """A pen that writes each text within `width`, at most `height` high. Raises TooTightError.

        others: characters that the font must have besides.
        """
        face = self.lettering.choose(self.rng, "".join(texts) + others, height)
        fitting = self.lettering.height_for(texts, face, width, height)
        if fitting < max(self.least_height(language), face.smallest):
            raise TooTightError
        return Pen(face=face, height=fitting, colour=self.ink)

    def write(self, text: str, x: int, baseline: int, pen: Pen, align: str = "left") -> Line:
        """align: whether x is the line's left end, its middle or its right end."""
        ink = self.lettering.ink(text, pen.face, pen.height)
        left = {"left": x, "middle": x - ink.size[0] // 2, "right": x - ink.size[0]}[align]
        return self.stamp(text, ink.mask, left, baseline + ink.top, pen.colour)

    def stamp(self, text: str, mask: Image.Image, left: int, top: int, colour: Colour) -> Line:
        """Paint through a mask. Raises TooTightError where it does not lie on the page."""
        box = (left, top, left + mask.width, top + mask.height)
        if min(box) < 0 or box[2] > self.size[0] or box[3] > self.size[1]:
            raise TooTightError
        self.canvas.paste(colour, (left, top), mask)
        return Line(text=text, box=box)

    def rule(self, y: int, left: int, right: int, dotted: bool = False) -> None:
        """A thin line across, or dots."""
        if dotted:
            self.draw.point([(x, y) for x in range(left, right, 5)], fill=self.ink)
            self.draw.point([(x + 1, y) for x in range(left, right, 5)], fill=self.ink)
        elif right > left:
            self.draw.line((left, y, right, y), fill=self.ink, width=1)

    def finish(self) -> Image.Image:
        """The picture, with light noise or none."""
        strength = self.rng.choice(_NOISES)
        if not strength:
            return self.canvas
        x, y = (self.rng.randint(0, _NOISE_SIDE - side) for side in self.size)
        noise = _noise(strength).crop((x, y, x + self.size[0], y + self.size[1]))
        return ImageChops.add(self.canvas, noise, 1.0, -128)

    def _prepare(self) -> Area:
        """Plain, graded, or a card on another ground; returns where text may stand."""
        width, height = self.size
        kind = self.rng.choice(("plain", "plain", "graded", "card", "card", "framed"))
        margin = round(min(self.size) * self.rng.uniform(0.03, 0.07))
        if kind == "graded":
            light = self.rng.uniform(0.75, 0.9)
            shade = Image.new("RGB", self.size, _darker(self.paper, light))
            ramp = Image.linear_gradient("L")
            if self.rng.random() < 0.5:
                ramp = ramp.transpose(Image.Transpose.ROTATE_90)
            if contrast(_darker(self.paper, light), self.ink) >= LEAST_CONTRAST:
                self.canvas.paste(shade, mask=ramp.resize(self.size))
        if kind == "card":
            self.draw.rectangle((0, 0, width, height), fill=_any_colour(self.rng))
            radius = self.rng.choice((0, 0, margin))
            card = (margin, margin, width - margin, height - margin)
            self.draw.rounded_rectangle(card, radius, fill=self.paper)
        if kind == "framed":
            edge = (margin, margin, width - margin, height - margin)
            self.draw.rectangle(edge, outline=self.ink, width=max(1, margin // 6))
        inner = margin if kind in ("plain", "graded") else 2 * margin
        return Area(left=inner, top=inner, right=width - inner, bottom=height - inner)


def contrast(one: Colour, other: Colour) -> float:
    """The ratio of WCAG 2: 1 for equal colours, 21 for black on white."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def card_colours(rng: random.Random) -> tuple[Colour, Colour]:
    """Of a small card and its text."""
    return _colours(rng)


def _colours(rng: random.Random) -> tuple[Colour, Colour]:
    """Of ground and ink, far enough apart to read."""
    while True:
        kind = rng.random()
        if kind < 0.35:
            ground = _from_hsv(rng.random(), rng.uniform(0, 0.15), rng.uniform(0.9, 1.0))
        elif kind < 0.7:
            ground = _from_hsv(rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.7, 1.0))
        else:
            ground = _any_colour(rng)
        dark, light = (
            _from_hsv(rng.random(), rng.random(), rng.uniform(0, 0.3)),
            (255, 255, rng.choice((255, 220, 140))),
        )
        ink = rng.choice((dark, dark, light, _any_colour(rng)))
        if contrast(ground, ink) >= LEAST_CONTRAST:
            return ground, ink


def _any_colour(rng: random.Random) -> Colour:
    return _from_hsv(rng.random(), rng.uniform(0, 1), rng.uniform(0.1, 1))


def _from_hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue


def _darker(colour: Colour, share: float) -> Colour:
    red, green, blue = (round(part * share) for part in colour)
    return red, green, blue


def _luminance(colour: Colour) -> float:
    red, green, blue = (part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@cache
def _noise(strength: float) -> Image.Image:
    """Noise around 128 of that standard deviation, made once; a page takes a random cut of it."""
    values = np.random.default_rng(int(strength)).normal(128, strength, (_NOISE_SIDE, _NOISE_SIDE, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8), "RGB")
