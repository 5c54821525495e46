"""Boxes in answers: InternVL's grounding text read, and compared with the boxes that are right.

In: text. Out: boxes as (x1, y1, x2, y2), whole numbers from 0 (left, top) to 1000 (right, bottom) of the picture's
width and height; a score from 0 to 1. Knows no item, no picture and no model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TypeAlias

Box: TypeAlias = tuple[int, int, int, int]

_NUMBERS = re.compile(r"\[[^\[\]]*\]")
_FOUR = re.compile(r"\[\s*(\d{1,4})\s*[,，]\s*(\d{1,4})\s*[,，]\s*(\d{1,4})\s*[,，]\s*(\d{1,4})\s*\]")


def read_boxes(text: str) -> tuple[Box, ...] | None:
    """All boxes of an answer, in its order; None if there is none, or if one is no box.

    Read are `<ref>name</ref><box>[[x1, y1, x2, y2], [...]]</box>` any number of times, the same without its tags (some
    settings drop them, they are control tokens), and one bare [x1, y1, x2, y2]. Each innermost pair of brackets must
    hold four whole numbers from 0 to 1000 with x1 < x2 and y1 < y2; numbers with a point are on another scale and are
    refused, and so is a list that was cut off. Words around are passed over.
    """
    groups = _NUMBERS.findall(text)
    if not groups or "[" in (rest := _NUMBERS.sub("", text)).replace("[", "", rest.count("]")):
        return None
    boxes = []
    for group in groups:
        found = _FOUR.fullmatch(group)
        if found is None:
            return None
        left, top, right, bottom = (int(number) for number in found.groups())
        if not (left < right <= 1000 and top < bottom <= 1000):
            return None
        boxes.append((left, top, right, bottom))
    return tuple(boxes)


def boxes_text(boxes: Sequence[Box]) -> str:
    """Boxes as an item's answer holds them: [[x1, y1, x2, y2], ...]."""
    return json.dumps([list(box) for box in boxes])


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0 to 1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (_area(one) + _area(other) - shared)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def box_score(found: Sequence[Box], expected: Sequence[Box], threshold: float = 0.5) -> float:
    """F1 of the boxes found, each matched with at most one that is expected, where they overlap by `threshold` or more.

    With one box found and one expected it is 1 or 0: accuracy at IoU 0.5, as RefCOCO has it. Matched is the largest
    number of pairs that there can be, so the order of boxes means nothing.
    """
    assert len(found) * len(expected) > 0, "a score of boxes needs some on both sides"
    fits = [[overlap(box, right) >= threshold for right in expected] for box in found]
    return 2 * _most_pairs(fits) / (len(found) + len(expected))


def _most_pairs(fits: Sequence[Sequence[bool]]) -> int:
    """Size of a largest matching of rows with columns where `fits`, by augmenting paths."""
    row_of: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for column, fit in enumerate(fits[row]):
            if fit and column not in tried:
                tried.add(column)
                if column not in row_of or place(row_of[column], tried):
                    row_of[column] = row
                    return True
        return False

    return sum(place(row, set()) for row in range(len(fits)))
