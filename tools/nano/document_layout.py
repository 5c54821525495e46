"""Lays out lines and rows on a page: a title, lines below each other, a list of names with values.

In: a `Page`, an `Area` of it, texts. Out: the `Line`s and `Row`s that were drawn. Raises TooTightError where they do
not fit at a height that can be read. Knows no menus.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from PIL import Image
from tools.nano.document_page import Area, Line, Page, Pen, TooTightError


@dataclass(frozen=True, kw_only=True)
class Row:
    """A name with what belongs to it."""

    name: Line
    value: Line
    amount: float | None = None
    """The value as a number, where rows can be compared by it; no two rows have the same."""


def write_title(page: Page, text: str, area: Area, language: str) -> tuple[Line, Area]:
    """A title in the upper part; returns it and the area below."""
    rng = page.rng
    height = max(page.least_height(language) + 4, round(area.height * rng.uniform(0.06, 0.14)))
    pen = page.pen([text], area.width, height, language)
    x, align = rng.choice(((area.left, "left"), ((area.left + area.right) // 2, "middle")))
    line = page.write(text, x, area.top + round(pen.height * 1.15), pen, align)
    below = area.cut_top(round(pen.height * rng.uniform(1.7, 2.1)))
    if rng.random() < 0.4:
        page.rule(below.top - pen.height // 4, area.left, area.right)
    return line, below


def write_lines(page: Page, texts: Sequence[str], language: str, align: str, large: str = "") -> list[Line]:
    """Texts below each other, in the middle of the page's height or at its top; `large` is set larger than the rest."""
    rng, area = page.rng, page.area
    times = [rng.uniform(1.3, 2.2) if text == large else 1.0 for text in texts]
    room = round(area.height / sum(times) * rng.uniform(0.3, 0.6))
    least = page.least_height(language)
    if room < least:
        raise TooTightError
    wanted = round(least * (room / least) ** rng.uniform(0.2, 1.0))
    pen = page.pen([text for text in texts if text != large] or [large], area.width, wanted, language, large)
    heights = [pen.height] * len(texts)
    for place, text in enumerate(texts):
        if text == large:
            fitting = page.lettering.height_for([text], pen.face, area.width, round(pen.height * times[place]))
            heights[place] = max(fitting, page.least_height(language))
    spread = min(rng.uniform(1.5, 2.2), area.height / sum(heights))
    top = area.top + rng.choice((0.0, 0.5, 0.5)) * (area.height - spread * sum(heights))
    x = {"left": area.left, "middle": (area.left + area.right) // 2}[align]
    lines = []
    for text, height in zip(texts, heights, strict=True):
        baseline = round(top + height * (spread + 0.8) / 2)
        lines.append(page.write(text, x, baseline, replace(pen, height=height), align))
        top += height * spread
    return lines


def write_rows(
    page: Page,
    area: Area,
    names: Sequence[str],
    values: Sequence[str],
    language: str,
    columns: int = 1,
    rule_before: int | None = None,
) -> list[Row]:
    """Names on the left, values at the right edge or after the longest name, in columns filled from the top.

    rule_before: the row above which a line is drawn across.
    """
    rng = page.rng
    each = ceil(len(names) / columns)
    gap = page.least_height(language) if columns > 1 else 0
    width = (area.width - gap * (columns - 1)) // columns
    pitch = area.height / each
    wanted = min(round(pitch * rng.uniform(0.4, 0.65)), round(page.size[1] * 0.12))
    wanted = max(wanted, page.least_height(language))
    if pitch < wanted * 1.35:
        raise TooTightError
    joined = [f"{name}    {value}" for name, value in zip(names, values, strict=True)]
    pen = page.pen(joined, width, wanted, language)
    pitch = min(pitch, pen.height * rng.uniform(1.5, 3.2))
    top = area.top + rng.choice((0.0, 0.5)) * (area.height - pitch * each)
    tab = _tab(page, names, values, pen, width)
    dotted = rng.random() < 0.3
    rows = []
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        left = area.left + place // each * (width + gap)
        middle = top + (place % each + 0.5) * pitch
        if place == rule_before:
            page.rule(round(middle - pitch / 2), left, left + width)
        rows.append(_write_row(page, name, value, pen, (left, left + tab), round(middle + pen.height * 0.45), dotted))
    return rows


def stacked(page: Page, text: str, pen: Pen) -> Image.Image | None:
    """The mask of a text from top to bottom, as on signboards; None where the page is too low for it."""
    step = round(pen.height * 1.15)
    if step * len(text) > page.area.height:
        return None
    column = Image.new("L", (2 * step, step * len(text)))
    for place, sign in enumerate(text):
        mask = page.lettering.ink(sign, pen.face, pen.height).mask
        column.paste(mask, (step - mask.width // 2, step * place + (step - mask.height) // 2))
    return column.crop(column.getbbox())


def _tab(page: Page, names: Sequence[str], values: Sequence[str], pen: Pen, width: int) -> int:
    """How far from a column's left edge values end: mostly at its right edge."""
    if page.rng.random() < 0.6:
        return width
    longest = sum(max(page.lettering.width(text, pen.face, pen.height) for text in texts) for texts in (names, values))
    return min(width, round(longest + pen.height * page.rng.uniform(1.5, 3)))


def _write_row(page: Page, name: str, value: str, pen: Pen, edges: tuple[int, int], baseline: int, dotted: bool) -> Row:
    row = Row(name=page.write(name, edges[0], baseline, pen), value=page.write(value, edges[1], baseline, pen, "right"))
    if dotted:
        page.rule(baseline, row.name.box[2] + pen.height // 2, row.value.box[0] - pen.height // 2, dotted=True)
    return row
