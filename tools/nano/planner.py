"""Plans scenes at random: which things go where, how large, on which ground.

In: tables of the artwork (no pixels). Out: `Scene`s. Runs in many worker processes; knows no GPU and no questions.
"""

import math
import random
from dataclasses import dataclass
from typing import Literal

import numpy as np
from tools.nano.colours import NAMES, draw_colour
from tools.nano.hulls import bounds
from tools.nano.nouns import Noun
from tools.nano.places import Place, place_in_rows, place_squares
from tools.nano.scene import GRADIENT, MOTLEY, NOISE, PLAIN, STRIPES, Box, Item, Label, Scene
from tools.nano.vocabulary import FLIPPABLE, Thing

Form = Literal["single", "several", "counting", "small"]
MAX_ITEMS = 8
SHEETS = {(1, 1): 1.0, (2, 1): 1.0, (1, 2): 0.5, (2, 2): 3.0, (3, 2): 3.0, (2, 3): 2.0, (3, 3): 5.0, (4, 3): 3.0}
"""Columns and rows of sheets, and how often each comes."""
CLOCKS = ("o’clock", "-thirty")
"""Ends of the names of the 24 clock faces."""
LABEL_SHARE = 0.15


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What the planner must know of M sprites."""

    things: tuple[Thing, ...]
    nouns: tuple[Noun, ...]
    by_style: tuple[dict[int, list[int]], ...]
    """For each style, thing -> its sprites."""
    colours: np.ndarray
    """(M,) index into colours.NAMES or -1."""
    means: np.ndarray
    """(M, 3) mean RGB."""
    outlines: np.ndarray
    """(M, H, 2), see `hulls`."""


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Which artwork scenes are made of."""

    styles: tuple[int, ...]
    style_weights: tuple[float, ...]
    food_share: float = 0.45
    symbol_share: float = 0.04
    """Smileys, symbols and clock faces, which nobody asks about much."""
    mixed_styles: float = 0.4
    """Share of scenes whose things come from several styles."""
    turned: float = 0.5
    """Share of things that are turned."""


class Planner:
    """Draws random scenes."""

    def __init__(self, catalogue: Catalogue, mix: Mix) -> None:
        self.catalogue, self.mix = catalogue, mix
        self.pools = {style: _pools(catalogue, style) for style in mix.styles}
        self.near: dict[int, list[int]] = {}
        for idx, thing in enumerate(catalogue.things):
            self.near.setdefault(thing.subgroup, []).append(idx)

    def plan(self, form: Form, size: tuple[int, int], rng: random.Random, things: list[int] | None = None) -> Scene:
        """A scene of one form on a canvas of (width, height); `things`: of these, and no others."""
        style = rng.choices(self.mix.styles, self.mix.style_weights)[0]
        things = things or self._choose(form, style, rng)
        mixed = rng.random() < self.mix.mixed_styles
        sprites = [self.sprite(thing, style, mixed, rng) for thing in things]
        has_label = form != "single" and rng.random() < LABEL_SHARE
        places = place_squares(len(things) + has_label, size, rng, small=form == "small")
        label = _label(places.pop(), size, rng) if has_label else None
        return self._scene(things, sprites, places, size, rng.random() < 0.3, rng, label=label)

    def sheet(self, size: tuple[int, int], rng: random.Random) -> Scene:
        """Up to twelve things in rows, each likely to be much like the one before it."""
        style = rng.choices(self.mix.styles, self.mix.style_weights)[0]
        columns, rows = rng.choices(list(SHEETS), list(SHEETS.values()))[0]
        things = [self.draw_thing(style, rng)]
        while len(things) < columns * rows:
            things.append(self.like(things[-1], style, rng) if rng.random() < 0.25 else self.draw_thing(style, rng))
        mixed = rng.random() < self.mix.mixed_styles
        sprites = [self.sprite(thing, style, mixed, rng) for thing in things]
        places = place_in_rows(columns, rows, size, rng)
        return self._scene(things, sprites, places, size, rng.random() < 0.5, rng, columns=columns)

    def _scene(
        self,
        things: list[int],
        sprites: list[int],
        places: list[Place],
        size: tuple[int, int],
        keep_colours: bool,
        rng: random.Random,
        label: Label | None = None,
        columns: int = 0,
    ) -> Scene:
        ground, background, colours = self._ground(sprites, rng)
        return Scene(
            size=size,
            items=tuple(
                self._item(*each, size, keep_colours, rng) for each in zip(things, sprites, places, strict=True)
            ),
            ground=ground,
            background=background,
            colours=colours,
            keep_colours=keep_colours,
            label=label,
            columns=columns,
        )

    def _item(
        self, thing: int, sprite: int, place: Place, size: tuple[int, int], keep_colours: bool, rng: random.Random
    ) -> Item:
        x, y, side = place
        what = self.catalogue.things[thing]
        angle = _angle(rng) if rng.random() < self.mix.turned and not _is_sign(what) else 0.0
        flip = what.group in FLIPPABLE and rng.random() < 0.4
        stretch = (1 + rng.random() * 0.2, 1 + rng.random() * 0.2)
        colour = int(self.catalogue.colours[sprite])
        return Item(
            thing=thing,
            noun=self.catalogue.nouns[thing],
            sprite=sprite,
            x=x,
            y=y,
            side=side,
            angle=angle,
            flip=flip,
            stretch=stretch,
            box=_box(x, y, bounds(self.catalogue.outlines[sprite], side, angle, flip, stretch), size),
            colour=NAMES[colour] if keep_colours and colour >= 0 else None,
            is_grey=bool(np.ptp(self.catalogue.means[sprite]) < 0.03),
        )

    def draw_thing(self, style: int, rng: random.Random) -> int:
        """A random thing that the style draws."""
        foods, objects, symbols = self.pools[style]
        draw = rng.random()
        if draw < self.mix.food_share and foods:
            return rng.choice(foods)
        if draw > 1 - self.mix.symbol_share and symbols:
            return rng.choice(symbols)
        return rng.choice(objects or foods)

    def like(self, thing: int, style: int, rng: random.Random) -> int:
        """Another thing of the same subgroup that the style draws, or any."""
        drawn = self.catalogue.by_style[style]
        near = [idx for idx in self.near[self.catalogue.things[thing].subgroup] if idx in drawn and idx != thing]
        return rng.choice(near) if near else self.draw_thing(style, rng)

    def sprite(self, thing: int, style: int, mixed: bool, rng: random.Random) -> int:
        """A drawing of the thing, in the style or (`mixed`) in any."""
        if mixed:
            style = rng.choices(self.mix.styles, self.mix.style_weights)[0]
        drawn = self.catalogue.by_style[style].get(thing)
        if drawn is None:
            order = rng.sample(self.mix.styles, len(self.mix.styles))
            tables = (self.catalogue.by_style[each] for each in order)
            drawn = next(table[thing] for table in tables if thing in table)
        return rng.choice(drawn)

    def _choose(self, form: Form, style: int, rng: random.Random) -> list[int]:
        first = self.draw_thing(style, rng)
        if form == "single":
            return [first]
        most = MAX_ITEMS if form == "small" else 6
        if form == "counting" or (form == "small" and rng.random() < 0.5):
            number = rng.randint(1, most)
            things = [first] * number + [
                each for each in self._others(first, style, rng.randint(0, most - number), rng) if each != first
            ]
        else:
            things = [first, *dict.fromkeys(self._others(first, style, rng.randint(1, most - 1), rng))]
        rng.shuffle(things)
        return things[:most]

    def _others(self, first: int, style: int, number: int, rng: random.Random) -> list[int]:
        """Some of them much like the first."""
        return [
            self.like(first, style, rng) if rng.random() < 0.35 else self.draw_thing(style, rng) for _ in range(number)
        ]

    def _ground(
        self, sprites: list[int], rng: random.Random
    ) -> tuple[int, str | None, tuple[tuple[float, float, float], tuple[float, float, float]]]:
        """Kind, colour name and two RGBs that do not hide the things (white never hides: artwork is made for it)."""
        kind = rng.choices((PLAIN, GRADIENT, NOISE, STRIPES, MOTLEY), (46, 14, 16, 8, 16))[0]
        if kind == MOTLEY:
            first, second = (draw_colour(rng.choice(NAMES), rng, rng.random() < 0.6) for _ in range(2))
            return kind, None, (first, second)
        for _ in range(6):
            name = "white" if rng.random() < 0.3 else rng.choice(NAMES)
            pastel = rng.random() < 0.5
            first = draw_colour(name, rng, pastel)
            distance = np.abs(self.catalogue.means[sprites] - np.array(first)).max(1).min()
            if name == "white" or distance > 0.22:
                break
        else:
            name, first = "white", draw_colour("white", rng, pastel)
        second = draw_colour(name, rng, pastel)
        if kind in (NOISE, STRIPES):
            share = rng.uniform(0.1, 0.5)
            second = tuple(a + share * (b - a) for a, b in zip(first, second, strict=True))
        return kind, name, (first, second)


def _pools(catalogue: Catalogue, style: int) -> tuple[list[int], list[int], list[int]]:
    """Foods, other objects, and the rest (smileys, symbols, clock faces) that a style draws."""
    drawn = catalogue.by_style[style]
    foods = [thing for thing in drawn if catalogue.nouns[thing].is_kind]
    rest = {thing for thing in drawn if catalogue.things[thing].group == 0 or _is_sign(catalogue.things[thing])}
    return foods, [thing for thing in drawn if thing not in rest and not catalogue.nouns[thing].is_kind], sorted(rest)


def _is_sign(thing: Thing) -> bool:
    """Arrows, letters, clock faces: turned, they are other ones."""
    return thing.group == 8 or thing.english.endswith(CLOCKS)


def _angle(rng: random.Random) -> float:
    spread = rng.choices((15, 35, 90), (70, 25, 5))[0]
    return math.radians(rng.uniform(-spread, spread))


def _box(x: float, y: float, around: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
    left, top, right, bottom = around
    width, height = size
    edges = ((x + left) / width, (y + top) / height, (x + right) / width, (y + bottom) / height)
    one, two, three, four = (min(1000, max(0, round(1000 * edge))) for edge in edges)
    return one, two, three, four


def _label(place: Place, size: tuple[int, int], rng: random.Random) -> Label | None:
    """A card in the middle of a square place; None where it would be too small to read."""
    x, y, side = place
    width, height = int(side), int(side * rng.uniform(0.3, 0.5))
    if height < 20:
        return None
    left, top = round(x - width / 2), round(y - height / 2)
    assert left in range(size[0] + 2 - width), "a place lies within the canvas"
    return Label(x=left, y=max(0, top), width=width, height=height, seed=rng.randrange(2**31))
