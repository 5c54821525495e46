"""Where a thing is in the picture, and on which side of another.

In: items of a scene. Out: names of places and sides, and how clearly they hold. Knows no words but these names.
"""

from tools.nano.scene import Item

MARGIN = 0.045
"""A place has a name only where a point is this far (share of the side) from the lines between thirds."""


def place_of(item: Item) -> str | None:
    """Which ninth of the picture holds the item's centre; None near a line between them."""
    return ninth(*item.centre)


def ninth(x: float, y: float) -> str | None:
    """The name of the ninth at a point, in shares of the picture; None near a line between them."""
    parts = []
    for value, words in ((y, ("top", "", "bottom")), (x, ("left", "", "right"))):
        if any(abs(value - line) < MARGIN for line in (1 / 3, 2 / 3)):
            return None
        parts.append(words[min(2, int(value * 3))])
    return " ".join(part for part in parts if part) or "center"


def offset(item: Item, other: Item) -> tuple[str, float]:
    """On which side of the other the item is, and how clearly (share of the picture; below 0.08 it is not)."""
    x, y = (a - b for a, b in zip(item.centre, other.centre, strict=True))
    if abs(x) >= abs(y):
        return ("to the left of" if x < 0 else "to the right of"), abs(x) - 0.5 * abs(y)
    return ("above" if y < 0 else "below"), abs(y) - 0.5 * abs(x)


def along(item: Item, other: Item, side: str) -> float:
    """How far the item is on that side of the other (share of the picture); below 0: on the opposite side."""
    x, y = (a - b for a, b in zip(item.centre, other.centre, strict=True))
    return {"to the left of": -x, "to the right of": x, "above": -y, "below": y}[side]
