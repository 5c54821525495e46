"""Pages of single letters, digits and Chinese characters in rows, each at its own place, for maps to tell of.

In: a `random.Random`, a `Lettering`. Out: a picture and its map. Characters are drawn by lot, each as often as any
other of its kind, so that none is known from its neighbours.
"""

import random

from PIL import Image
from tools.nano.document_page import Page, TooTightError
from tools.nano.lettering import Face, Lettering
from tools.nano.maps import LETTERS, letters, map_of_letters

SIDE = 224
ROWS = {2: 1.0, 3: 1.0, 4: 2.0, 5: 2.0, 6: 3.0, 7: 4.0, 8: 4.0}
"""Rows and columns, and how often each number comes."""
_EMPTY = 0.12
_CHINESE = 0.6
_LEAST = {True: 16, False: 13}
"""Pixels of a character's height, Chinese or not."""


def make_letters(rng: random.Random, lettering: Lettering) -> tuple[Image.Image, str]:
    """RGB picture of SIDE x SIDE pixels, and its map."""
    page = Page(rng, lettering, (SIDE, SIDE))
    number = rng.choices(list(ROWS), list(ROWS.values()))[0]
    faces: dict[bool, Face] = {}
    area, written = page.area, []
    cell = (area.width / number, area.height / number)
    for place in range(number * number):
        if rng.random() < _EMPTY:
            continue
        corner = (area.left + place % number * cell[0], area.top + place // number * cell[1])
        drawn = _put_letter(page, corner, cell, faces)
        written += [drawn] if drawn else []
    return page.finish(), map_of_letters(written, SIDE)


def _put_letter(
    page: Page, corner: tuple[float, float], cell: tuple[float, float], faces: dict[bool, Face]
) -> tuple[str, tuple[int, int, int, int]] | None:
    """One letter somewhere in its cell; None where it does not fit."""
    rng = page.rng
    is_chinese = rng.random() < _CHINESE
    letter = rng.choice(letters()[len(LETTERS) :] if is_chinese else LETTERS)
    height = max(_LEAST[is_chinese], round(min(cell) * rng.uniform(0.5, 0.95)))
    face = faces.get(is_chinese)
    if face is None or rng.random() < 0.2 or letter not in face.characters or face.smallest > height:
        face = faces[is_chinese] = page.lettering.choose(rng, letter, height)
    height = page.lettering.height_for([letter], face, cell[0], height)
    if height < max(_LEAST[is_chinese], face.smallest):
        return None
    mask = page.lettering.ink(letter, face, height).mask
    room = [length - taken for length, taken in zip(cell, mask.size, strict=True)]
    if min(room) < 0:
        return None
    left, top = (int(start + rng.random() * space) for start, space in zip(corner, room, strict=True))
    try:
        return letter, page.stamp(letter, mask, left, top, page.ink).box
    except TooTightError:
        return None
