"""Squares at random places of a canvas that do not overlap.

In: how many, the canvas. Out: (centre x, centre y, side) in pixels. Knows nothing of what goes there.
"""

import math
import random

Place = tuple[float, float, float]
_TRIES = 25


def place_squares(number: int, size: tuple[int, int], rng: random.Random, small: bool = False) -> list[Place]:
    """`number` squares inside (width, height); `small`: each covers a thousandth to a fiftieth of the canvas."""
    width, height = size
    short = min(size)
    if small:
        common = math.sqrt(width * height) * rng.uniform(0.05, 0.13)
        sides = [max(34.0, common * rng.uniform(0.8, 1.25)) for _ in range(number)]
        return _shrink_until_placed(sides, size, rng)
    if number == 1:
        side = short * (rng.uniform(0.2, 0.5) if rng.random() < 0.35 else rng.uniform(0.5, 0.97))
        if rng.random() < 0.4:
            return [(width / 2, height / 2, side)]
        return [(*_somewhere(side, size, rng), side)]
    if number <= 9 and rng.random() < 0.2:
        return _in_cells(number, size, rng)
    common = math.sqrt(width * height / number) * rng.uniform(0.45, 0.88)
    spread = (0.85, 1.15) if rng.random() < 0.6 else (0.55, 1.4)
    sides = [min(common * rng.uniform(*spread), 0.9 * short) for _ in range(number)]
    return _shrink_until_placed(sides, size, rng)


def place_in_rows(columns: int, rows: int, size: tuple[int, int], rng: random.Random) -> list[Place]:
    """A square in every cell of a grid, row by row; each is somewhere in its cell."""
    cell = (size[0] / columns, size[1] / rows)
    places = []
    for row in range(rows):
        for column in range(columns):
            side = min(cell) * rng.uniform(0.6, 0.96)
            x, y = (rng.uniform(-(length - side) / 2, (length - side) / 2) for length in cell)
            places.append(((column + 0.5) * cell[0] + x, (row + 0.5) * cell[1] + y, side))
    return places


def _shrink_until_placed(sides: list[float], size: tuple[int, int], rng: random.Random) -> list[Place]:
    while True:
        places = _try_to_place(sides, size, rng)
        if places:
            return places
        sides = [side * 0.9 for side in sides]


def _try_to_place(sides: list[float], size: tuple[int, int], rng: random.Random) -> list[Place]:
    """Each square at a free random spot; empty if one found none."""
    places: list[Place] = []
    for side in sides:
        for _ in range(_TRIES):
            x, y = _somewhere(side, size, rng)
            if all(max(abs(x - x2), abs(y - y2)) > 0.5 * (side + side2) * 0.96 for x2, y2, side2 in places):
                places.append((x, y, side))
                break
        else:
            return []
    return places


def _somewhere(side: float, size: tuple[int, int], rng: random.Random) -> tuple[float, float]:
    x, y = (rng.uniform(min(side, length) / 2, max(side, length) - min(side, length) / 2) for length in size)
    return x, y


def _in_cells(number: int, size: tuple[int, int], rng: random.Random) -> list[Place]:
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
