"""Letters lines of text in the fonts of a pack.

In: the folder that `fonts.py` wrote, a text, a height in pixels. Out: the drawn pixels of one line, as a mask with its
place beside the baseline, or as an RGBA picture. The same `random.Random` gives the same font, and the same Pillow the
same pixels. Knows no grounds and no questions.
"""

import json
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
HEIGHTS = (
    *range(8, 17), 18, 20, 22, 24, 27, 30, 34, 38, 43, 48, 54, 60, 68, 76, 86, 96, 108, 122, 138, 156, 176, 200, 226,
)  # fmt: skip
"""Pixels of a character's height. Few, so that most glyphs are found in the cache."""
_CACHED_GLYPHS = 60_000


@dataclass(frozen=True, kw_only=True)
class Face:
    """One font of the pack."""

    name: str
    path: str
    characters: frozenset[str]
    is_chinese: bool
    share: float
    smallest: int
    """Pixels of a character's height below which it can't be read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ink:
    """The drawn pixels of one line."""

    mask: Image.Image
    """L: 255 where a letter covers the whole pixel; no empty rim."""
    left: int
    """From where the line begins to the mask's left edge."""
    top: int
    """From the baseline to the mask's top edge: negative."""

    @property
    def size(self) -> tuple[int, int]:
        return self.mask.size


@dataclass(frozen=True, kw_only=True, eq=False)
class _Glyph:
    """One character's pixels."""

    mask: Image.Image | None
    """None: nothing is drawn, as for a space."""
    left: int
    top: int
    advance: float


class Lettering:
    """Draws lines in the fonts of one pack."""

    def __init__(self, folder: Path | str) -> None:
        """Raises FileNotFoundError where `python -m tools.nano.fonts` has written no pack."""
        folder = Path(folder)
        rows = json.loads((folder / "fonts.json").read_text(encoding="utf-8"))
        self.faces = tuple(
            Face(
                name=row["name"],
                path=str(folder / row["file"]),
                characters=frozenset(row["characters"]),
                is_chinese=row["chinese"],
                share=row["share"],
                smallest=row["smallest"],
            )
            for row in rows
        )
        self._glyph = lru_cache(maxsize=_CACHED_GLYPHS)(_draw_glyph)
        self._advance = cache(_measure)
        self._share_of_height = {face.name: _height_of_a_character(face) for face in self.faces}

    def choose(self, rng: random.Random, text: str, height: int) -> Face:
        """A random font that has every character of the text and can be read at this height.

        Latin text is now and then set in a Chinese font, as on menus in two languages.
        """
        needed = set(text) - {"\n"}
        faces = [face for face in self.faces if face.smallest <= height and needed <= face.characters]
        assert faces, f"no font of the pack has all characters of {text!r} at {height} pixels: make the pack anew"
        latin = any(not face.is_chinese for face in faces)
        shares = [face.share * (0.12 if latin and face.is_chinese else 1.0) for face in faces]
        return rng.choices(faces, weights=shares)[0]

    def width(self, text: str, face: Face, height: int) -> float:
        """Pixels from where the line begins to where the next letter would stand."""
        return sum(self._advance(face.path, sign) for sign in text) * self._size(face, height)

    def height_for(self, texts: Sequence[str], face: Face, width: float, height: int) -> int:
        """The greatest of HEIGHTS, at most `height`, at which every text is at most `width` pixels wide.

        Less than 8 where none is.
        """
        longest = max(self.width(text, face, 226) for text in texts) / 226
        return _step(min(height, int(0.98 * width / max(longest, 1e-3))))

    def ink(self, text: str, face: Face, height: int) -> Ink:
        """One line at a height of HEIGHTS, others are rounded down; a text of spaces alone is an assertion."""
        glyphs = self._glyphs(text, face, height)
        drawn, x = [], 0.0
        for glyph in glyphs:
            if glyph.mask:
                drawn.append((glyph.mask, round(x) + glyph.left, glyph.top))
            x += glyph.advance
        assert drawn, f"nothing is drawn for {text!r}"
        left, top = min(x for _, x, _ in drawn), min(y for _, _, y in drawn)
        right = max(x + mask.width for mask, x, _ in drawn)
        bottom = max(y + mask.height for mask, _, y in drawn)
        line = Image.new("L", (right - left, bottom - top))
        for mask, x, y in drawn:
            line.paste(255, (x - left, y - top), mask)
        return Ink(mask=line, left=left, top=top)

    def line(self, text: str, height: int, colour: Colour, rng: random.Random) -> Image.Image:
        """The line as an RGBA picture without a rim, in a random font."""
        return coloured(self.ink(text, self.choose(rng, text, height), height).mask, colour)

    def _glyphs(self, text: str, face: Face, height: int) -> list[_Glyph]:
        """At the size where a Chinese character, or in a Latin font a capital, is `height` pixels high."""
        size = self._size(face, height)
        return [self._glyph(face.path, size, sign) for sign in text]

    def _size(self, face: Face, height: int) -> int:
        return max(1, round(_step(height) / self._share_of_height[face.name]))


def coloured(mask: Image.Image, colour: Colour) -> Image.Image:
    """RGBA: one colour, as opaque as the mask."""
    picture = Image.new("RGBA", mask.size, (*colour, 0))
    picture.putalpha(mask)
    return picture


def _step(height: int) -> int:
    """The greatest of HEIGHTS that is not above; below the least: the height itself."""
    place = bisect_right(HEIGHTS, height)
    return HEIGHTS[place - 1] if place else max(1, height)


def _draw_glyph(path: str, size: int, sign: str) -> _Glyph:
    font = _open(path, size)
    mask = Image.new("L", (3 * size, 3 * size))
    ImageDraw.Draw(mask).text((size, 2 * size), sign, fill=255, font=font, anchor="ls")
    box = mask.getbbox()
    advance = font.getlength(sign)
    if box is None:
        return _Glyph(mask=None, left=0, top=0, advance=advance)
    return _Glyph(mask=mask.crop(box), left=box[0] - size, top=box[1] - 2 * size, advance=advance)


def _measure(path: str, sign: str) -> float:
    """How far the next letter stands, as a share of the font's size."""
    return _open(path, 200).getlength(sign) / 200


@lru_cache(maxsize=512)
def _open(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def _height_of_a_character(face: Face) -> float:
    """Of a Chinese character or a capital, as a share of the font's size."""
    _, top, _, bottom = _open(face.path, 200).getbbox("国" if face.is_chinese else "H", anchor="ls")
    return (bottom - top) / 200
