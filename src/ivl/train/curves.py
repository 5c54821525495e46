"""Curves as numbers: smoothed, thinned, and the range and ticks of the axis they are drawn on.

In and out: points (step, value) in the order of steps. Knows no files and no drawing.
"""

import math
from collections.abc import Iterable, Sequence

Point = tuple[float, float]
_STEPS = (1, 2, 2.5, 5, 10)


class Smooth:
    """An exponential average that is not drawn towards 0 at its beginning."""

    def __init__(self, span: float) -> None:
        """`span`: values that count, roughly."""
        self._keep = 1 - 2 / (max(1.0, span) + 1)
        self._sum = self._weight = 0.0

    def add(self, value: float) -> float:
        """The average with one more value; a value that is no number is passed over."""
        if math.isfinite(value):
            self._sum = self._keep * self._sum + value
            self._weight = self._keep * self._weight + 1
        return self._sum / self._weight if self._weight else math.nan


def smooth(points: Sequence[Point]) -> list[Point]:
    """The curve's course: averaged over about a twentieth of it."""
    average = Smooth(len(points) / 20)
    return [(step, average.add(value)) for step, value in points]


def thin(points: Sequence[Point], most: int = 800) -> list[Point]:
    """At most `most` of the points; the lowest and the highest of each stretch stay, so spikes do."""
    if len(points) <= most:
        return list(points)
    kept: list[Point] = []
    stretches = max(1, most // 2)
    for index in range(stretches):
        stretch = points[index * len(points) // stretches : (index + 1) * len(points) // stretches]
        ends = {min(stretch, key=_value), max(stretch, key=_value)}
        kept += sorted(ends)
    return kept


def limits(curves: Iterable[Sequence[Point]]) -> tuple[float, float]:
    """Lowest and highest value to draw. A few spikes that dwarf everything else are left outside."""
    values = sorted(value for points in curves for _, value in points if math.isfinite(value))
    if not values:
        return 0.0, 1.0
    low, high = values[0], values[-1]
    usual = values[min(len(values) - 1, int(0.98 * len(values)))]
    if high - low > 3 * (usual - low) > 0:
        high = usual + 0.3 * (usual - low)
    if high - low < 1e-12 + 1e-6 * abs(high):
        margin = abs(high) / 2 or 0.5
        return low - margin if low < 0 else max(0.0, low - margin), high + margin
    return low, high


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from low to high, at most `most` + 1 of them."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    size = 10 ** math.floor(math.log10(span / most))
    step = next(size * each for each in _STEPS if size * each * most >= span * 0.999999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _value(point: Point) -> float:
    return point[1]
