"""A planned scene: what is drawn where, in numbers that both the painter and the questions read.

Knows no pixels and no words.
"""

from dataclasses import dataclass

from tools.nano.nouns import Noun

PLAIN, GRADIENT, NOISE, STRIPES, MOTLEY = range(5)
"""Kinds of background; only MOTLEY has no single colour."""
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in thousandths of the picture."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing in a scene."""

    thing: int
    noun: Noun
    sprite: int
    x: float
    """Of the centre of its place, in pixels."""
    y: float
    side: float
    """Of its square place, in pixels: a turned drawing stays within."""
    angle: float
    """Radians, clockwise on the screen."""
    flip: bool
    stretch: tuple[float, float]
    """Divides the drawing's width and height; at least 1."""
    box: Box
    """Around the drawn pixels."""
    colour: str | None = None
    """Its one dominant colour; None: not one."""
    is_grey: bool = False
    """Drawn without colours, in a style of black lines."""

    @property
    def centre(self) -> tuple[float, float]:
        """Of its box, as shares of the picture."""
        return (self.box[0] + self.box[2]) / 2000, (self.box[1] + self.box[3]) / 2000

    @property
    def area(self) -> float:
        """Of its box, as a share of the picture."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1]) / 1e6


@dataclass(frozen=True, kw_only=True)
class Label:
    """A small card with a word on it."""

    x: int
    y: int
    width: int
    height: int
    """Its place in pixels, left top first."""
    seed: int
    """Of its text and look."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One picture."""

    size: tuple[int, int]
    """Width and height in pixels."""
    items: tuple[Item, ...]
    ground: int
    """PLAIN and so on."""
    background: str | None
    """Its colour's name; None where it has no single colour."""
    colours: tuple[tuple[float, float, float], tuple[float, float, float]]
    keep_colours: bool
    """The painter must not change hues: a question may ask for them."""
    label: Label | None = None
    columns: int = 0
    """Of a sheet, whose items stand in rows of so many, in this order; 0: no sheet."""

    def count(self, noun: Noun) -> int:
        return sum(item.noun == noun for item in self.items)

    @property
    def nouns(self) -> list[Noun]:
        """Different ones, in the order of the items."""
        return list(dict.fromkeys(item.noun for item in self.items))
