"""Maps: what each image token of a tile shows, one sign for each, row by row.

A model that can neither see nor look learns little from names: it must find where a thing is to learn what it is
called, and must know it to find it. A map asks for neither. Its k-th sign always stands equally far behind the k-th
image token, so the language model need only look back by one fixed distance, and every token is told what it shows.

In: planned scenes with the outlines of their drawings; letters with their boxes. Out: texts of GRID * GRID signs. Signs
are characters of Unicode's private area, each one token; they leave the vocabulary at the end (`trim.py`).
Shapes: G image tokens a side, H points of an outline.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from tools.nano.document_words import chinese_characters
from tools.nano.hulls import placed
from tools.nano.scene import Item, Scene

GRID = 8
"""Image tokens a side of a tile of 224 pixels in patches of 14, two by two together."""
QUESTION = "Map the picture."
"""Always these words: the distance from image token to sign must not change."""
MOST_THINGS = 1500
NOTHING = "\ue000"
_FIRST_THING = ord(NOTHING) + 1
_FIRST_LETTER = _FIRST_THING + MOST_THINGS
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ" + "abdefghijkmnpqrty" + "0123456789"
"""Without those that look like others alone on a page: O and 0, I, l and 1, c and C."""
_POINTS = 4
"""Across an image token, at which it is asked what covers it."""
_LEAST_SHARE = 0.3
"""Of an image token that a thing covers, to be what it shows."""


def map_signs() -> list[str]:
    """All signs, in a fixed order."""
    return [chr(code) for code in range(ord(NOTHING), _FIRST_LETTER + len(letters()))]


@cache
def letters() -> str:
    """Characters that maps tell of."""
    return LETTERS + "".join(chinese_characters())


def letter_sign(letter: str) -> str:
    return chr(_FIRST_LETTER + letters().index(letter))


def thing_sign(thing: int) -> str:
    assert thing < MOST_THINGS, f"thing {thing}: there are signs for {MOST_THINGS}"
    return chr(_FIRST_THING + thing)


def map_of_things(scene: Scene, outlines: np.ndarray) -> str:
    """The map of a scene of one tile; `outlines` (M, H, 2) of all drawings, see `hulls`."""
    shares = np.stack([_shares(item, outlines[item.sprite], scene.size) for item in scene.items])  # (K, G * G)
    signs = [thing_sign(item.thing) for item in scene.items]
    return "".join(
        signs[shown] if share >= _LEAST_SHARE else NOTHING
        for shown, share in zip(shares.argmax(0), shares.max(0), strict=True)
    )


def _shares(item: Item, outline: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(G * G,) how much of each image token lies within the outline of a drawing."""
    x, y = placed(outline, item.side, item.angle, item.flip, item.stretch)
    corners = np.stack((item.x + x, item.y + y), -1)  # (H, 2)
    edges = np.roll(corners, -1, 0) - corners
    ticks = (np.arange(GRID * _POINTS) + 0.5) / (GRID * _POINTS)
    x, y = np.meshgrid(ticks * size[0], ticks * size[1])
    # The side of every edge on which every point lies: within, all are the same.
    turns = edges[:, 0, None, None] * (y - corners[:, 1, None, None]) - edges[:, 1, None, None] * (
        x - corners[:, 0, None, None]
    )
    inside = (turns >= 0).all(0) | (turns <= 0).all(0)
    if np.ptp(corners, 0).min() < 1:
        inside[:] = False  # nothing is drawn
    blocks = inside.reshape(GRID, _POINTS, GRID, _POINTS)
    shares: np.ndarray = blocks.mean((1, 3)).reshape(-1)
    return shares


def map_of_letters(written: Sequence[tuple[str, tuple[int, int, int, int]]], side: int) -> str:
    """The map of letters and their boxes (left, top, right, bottom in pixels) on a square of `side` pixels.

    A token shows the letter with most of its box there, if that is a quarter of the box or a sixth of the token.
    """
    cell = side / GRID
    signs, most = [NOTHING] * GRID**2, [0.0] * GRID**2
    for letter, (left, top, right, bottom) in written:
        for row in range(int(top // cell), min(GRID, math.ceil(bottom / cell))):
            for column in range(int(left // cell), min(GRID, math.ceil(right / cell))):
                width = min(right, (column + 1) * cell) - max(left, column * cell)
                height = min(bottom, (row + 1) * cell) - max(top, row * cell)
                enough = min(cell * cell / 6, (right - left) * (bottom - top) / 4)
                idx = row * GRID + column
                if width * height >= max(enough, most[idx]):
                    signs[idx], most[idx] = letter_sign(letter), width * height
    return "".join(signs)
