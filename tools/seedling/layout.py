"""Plans scenes: which sprites go where on which background, and what is asked about them.

In: the pack's tables (no pixels). Out: `Plan`s, arrays for the painter, and the scene's facts for the questions.
Runs in many worker processes; knows no GPU.
"""

import math
import random
from dataclasses import dataclass, field

import numpy as np
from tools.seedling.colours import NAMES, draw_colour
from tools.seedling.questions import Item, Scene
from tools.seedling.vocabulary import FLIPPABLE, Thing

MAX_ITEMS = 6
PLAIN, GRADIENT, NOISE, STRIPES, MOTLEY = range(5)
"""Kinds of background; only MOTLEY has no single colour."""
CLOCKS = ("o’clock", "-thirty")
"""Ends of the names of the 24 clock faces."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What the planner must know of the sprites."""

    things: tuple[Thing, ...]
    by_style: tuple[dict[int, list[int]], ...]
    """For each style, thing -> its sprites."""
    colours: np.ndarray
    """(M,) index into colours.NAMES or -1."""
    means: np.ndarray
    """(M, 3) mean RGB."""


@dataclass(frozen=True, kw_only=True)
class Mix:
    """What kinds of scenes are planned."""

    styles: tuple[int, ...]
    style_weights: tuple[float, ...]
    food_share: float = 0.5
    symbol_share: float = 0.05
    """Smileys, symbols and clock faces, which nobody asks about much."""
    mixed_styles: float = 0.35
    """Share of scenes whose things come from several styles."""
    kinds: tuple[float, float, float] = (0.35, 0.25, 0.40)
    """Shares of one thing, several kinds, and several of one kind with others."""
    turned: float = 0.5
    """Share of rotated things."""
    flips: bool = True


@dataclass(kw_only=True)
class Plan:
    """One scene, ready to paint."""

    scene: Scene
    sprites: list[int]
    boxes: list[tuple[float, float, float]]
    """Centre x, centre y and side of each thing's square, in pixels."""
    angles: list[float]
    flips: list[bool]
    background: int
    colours: tuple[tuple[float, float, float], tuple[float, float, float]]
    keep_colours: bool
    """The painter must not change hues: a question asks for one."""
    extra: dict[str, float] = field(default_factory=dict)


class Planner:
    """Draws random plans."""

    def __init__(self, catalogue: Catalogue, mix: Mix) -> None:
        self.catalogue = catalogue
        self.mix = mix
        self.pools = {style: _pools(catalogue, style) for style in mix.styles}
        self.near: dict[int, list[int]] = {}
        for idx, thing in enumerate(catalogue.things):
            self.near.setdefault(thing.subgroup, []).append(idx)

    def plan(self, size: tuple[int, int], rng: random.Random) -> Plan:
        """A scene on a canvas of (width, height)."""
        style = rng.choices(self.mix.styles, self.mix.style_weights)[0]
        things = self._choose_things(style, rng)
        mixed = rng.random() < self.mix.mixed_styles
        sprites = [self._sprite(thing, style, mixed, rng) for thing in things]
        boxes = place_boxes(len(things), size, rng)
        keep_colours = rng.random() < 0.2
        background, name, colours = self._background(sprites, rng)
        items = tuple(
            Item(thing=thing, x=x / size[0], y=y / size[1], colour=self._colour(sprite) if keep_colours else None)
            for thing, sprite, (x, y, _) in zip(things, sprites, boxes, strict=True)
        )
        turned = [rng.random() < self.mix.turned for _ in things]
        return Plan(
            scene=Scene(items=items, background=name),
            sprites=sprites,
            boxes=boxes,
            angles=[_angle(rng) if turn else 0.0 for turn in turned],
            flips=[self._may_flip(thing) and rng.random() < 0.4 for thing in things],
            background=background,
            colours=colours,
            keep_colours=keep_colours,
        )

    def _may_flip(self, thing: int) -> bool:
        return self.mix.flips and self.catalogue.things[thing].group in FLIPPABLE

    def _colour(self, sprite: int) -> str | None:
        idx = int(self.catalogue.colours[sprite])
        return None if idx < 0 else NAMES[idx]

    def _thing(self, style: int, rng: random.Random) -> int:
        foods, objects, symbols = self.pools[style]
        draw = rng.random()
        if draw < self.mix.food_share and foods:
            return rng.choice(foods)
        if draw > 1 - self.mix.symbol_share and symbols:
            return rng.choice(symbols)
        return rng.choice(objects or foods)

    def _like(self, thing: int, style: int, rng: random.Random) -> int:
        """A thing of the same subgroup that the style draws, or any other."""
        near = [
            idx for idx in self.near[self.catalogue.things[thing].subgroup] if idx in self.catalogue.by_style[style]
        ]
        return rng.choice(near) if len(near) > 1 else self._thing(style, rng)

    def _choose_things(self, style: int, rng: random.Random) -> list[int]:
        single, several, _ = self.mix.kinds
        draw = rng.random()
        first = self._thing(style, rng)
        if draw < single:
            return [first]
        if draw < single + several:
            others = [self._other(first, style, rng) for _ in range(rng.randint(1, MAX_ITEMS - 1))]
            return [first, *dict.fromkeys(thing for thing in others if thing != first)]
        number = rng.randint(1, MAX_ITEMS)
        others = [self._other(first, style, rng) for _ in range(rng.randint(0, MAX_ITEMS - number))]
        things = [first] * number + [thing for thing in others if thing != first]
        rng.shuffle(things)
        return things

    def _other(self, first: int, style: int, rng: random.Random) -> int:
        return self._like(first, style, rng) if rng.random() < 0.3 else self._thing(style, rng)

    def _sprite(self, thing: int, style: int, mixed: bool, rng: random.Random) -> int:
        if mixed:
            style = rng.choices(self.mix.styles, self.mix.style_weights)[0]
        drawn = self.catalogue.by_style[style].get(thing)
        if drawn is None:
            drawn = next(table[thing] for table in self._tables(rng) if thing in table)
        return rng.choice(drawn)

    def _tables(self, rng: random.Random) -> list[dict[int, list[int]]]:
        order = rng.sample(self.mix.styles, len(self.mix.styles))
        return [self.catalogue.by_style[style] for style in order]

    def _background(
        self, sprites: list[int], rng: random.Random
    ) -> tuple[int, str | None, tuple[tuple[float, float, float], tuple[float, float, float]]]:
        """Kind, colour name and two RGBs that do not hide the things (white never hides: artwork is made for it)."""
        kind = rng.choices((PLAIN, GRADIENT, NOISE, STRIPES, MOTLEY), (50, 14, 14, 8, 14))[0]
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
        second = draw_colour(name, rng, pastel)
        if kind in (NOISE, STRIPES):
            share = rng.uniform(0.1, 0.5)
            second = tuple(a + share * (b - a) for a, b in zip(first, second, strict=True))
        return kind, name, (first, second)


def _pools(catalogue: Catalogue, style: int) -> tuple[list[int], list[int], list[int]]:
    """Foods, other objects, and the rest (smileys, symbols, clock faces) that a style draws."""
    drawn = catalogue.by_style[style]
    groups = {thing: catalogue.things[thing].group for thing in drawn}
    foods = [thing for thing in drawn if catalogue.things[thing].is_food]
    rest = {thing for thing in drawn if groups[thing] in (0, 8) or catalogue.things[thing].english.endswith(CLOCKS)}
    return foods, [thing for thing in drawn if not catalogue.things[thing].is_food and thing not in rest], sorted(rest)


def _angle(rng: random.Random) -> float:
    spread = rng.choices((15, 35, 90), (70, 25, 5))[0]
    return math.radians(rng.uniform(-spread, spread))


def place_boxes(number: int, size: tuple[int, int], rng: random.Random) -> list[tuple[float, float, float]]:
    """Squares (centre x, centre y, side) that do not overlap, inside (width, height)."""
    width, height = size
    short = min(size)
    if number == 1:
        side = short * (rng.uniform(0.2, 0.5) if rng.random() < 0.35 else rng.uniform(0.5, 0.97))
        if rng.random() < 0.4:
            return [(width / 2, height / 2, side)]
        return [(*_somewhere(side, size, rng), side)]
    if rng.random() < 0.2:
        return _place_in_cells(number, size, rng)
    room = math.sqrt(width * height / number)
    common = room * rng.uniform(0.45, 0.88)
    alike = rng.random() < 0.7
    scale = 1.0
    while True:
        sides = [common * scale * (rng.uniform(0.85, 1.15) if alike else rng.uniform(0.65, 1.3)) for _ in range(number)]
        boxes = _try_place([min(side, 0.9 * short) for side in sides], size, rng)
        if boxes:
            return boxes
        scale *= 0.9


def _try_place(sides: list[float], size: tuple[int, int], rng: random.Random) -> list[tuple[float, float, float]]:
    """Each square at a free random spot; empty if one found none in 25 tries."""
    boxes: list[tuple[float, float, float]] = []
    for side in sides:
        for _ in range(25):
            x, y = _somewhere(side, size, rng)
            if all(max(abs(x - x2), abs(y - y2)) > 0.5 * (side + side2) * 0.96 for x2, y2, side2 in boxes):
                boxes.append((x, y, side))
                break
        else:
            return []
    return boxes


def _somewhere(side: float, size: tuple[int, int], rng: random.Random) -> tuple[float, float]:
    x, y = (rng.uniform(min(side, length) / 2, max(side, length) - min(side, length) / 2) for length in size)
    return x, y


def _place_in_cells(number: int, size: tuple[int, int], rng: random.Random) -> list[tuple[float, float, float]]:
    """One square in each of some cells of a grid."""
    columns = rng.randint(max(1, math.ceil(math.sqrt(number)) - (size[0] < size[1])), 3)
    rows = max(math.ceil(number / columns), rng.randint(1, 3))
    cell = (size[0] / columns, size[1] / rows)
    side = min(cell) * rng.uniform(0.55, 0.95)
    cells = rng.sample([(column, row) for row in range(rows) for column in range(columns)], number)
    slack = [(length - side) / 2 * rng.choice((0.0, 0.6)) for length in cell]
    return [
        (
            (column + 0.5) * cell[0] + rng.uniform(-slack[0], slack[0]),
            (row + 0.5) * cell[1] + rng.uniform(-slack[1], slack[1]),
            side,
        )
        for column, row in cells
    ]
