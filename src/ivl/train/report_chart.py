"""A small line chart as inline SVG, coloured by the page's own style, readable on a phone.

In: named curves. Out: the text of an <svg> element that holds nothing but shapes, numbers and escaped words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from ivl.train.curves import Point, limits, thin, ticks
from ivl.train.wording import percent, short

WIDTH, HEIGHT = 420, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 18, 12, 26


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a chart."""

    points: Sequence[Point]
    look: Literal["faint", "main", "second", "third"]
    name: str = ""
    """In the legend; empty: not there."""
    has_dots: bool = False


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """From steps and values to places in the picture."""

    steps: tuple[float, float]
    values: tuple[float, float]

    def x(self, step: float) -> float:
        low, high = self.steps
        return LEFT + (step - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.values
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - BOTTOM - TOP)


def draw_chart(name: str, curves: Sequence[Curve], *, is_share: bool = False) -> str:
    """The chart; `name` must differ between a page's charts. is_share: values are shares, drawn from 0 to 100%."""
    scale = _scale(curves, is_share)
    identity = "clip-" + "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">',
        f'<clipPath id="{identity}"><rect x="{LEFT - 4}" y="{TOP - 5}" width="{WIDTH - LEFT - RIGHT + 8}" '
        f'height="{HEIGHT - TOP - BOTTOM + 10}"/></clipPath>',
        *_grid(scale, is_share),
        f'<g clip-path="url(#{identity})">',
        *(_path(curve, scale) for curve in curves),
        "</g>",
        _legend(curves),
        "</svg>",
    ]
    return "".join(parts)


def _scale(curves: Sequence[Curve], is_share: bool) -> _Scale:
    steps = [step for curve in curves for step, _ in curve.points] or [0]
    first, last = min(0, *steps), max(1, *steps)
    if is_share:
        return _Scale(steps=(first, last), values=(0, 1))
    low, high = limits(curve.points for curve in curves)
    margin = 0.04 * (high - low)
    return _Scale(steps=(first, last), values=(low - margin, high + margin))


def _grid(scale: _Scale, is_share: bool) -> list[str]:
    """Lines across with their values, steps below."""
    parts = []
    for value in ticks(*scale.values):
        y = scale.y(value)
        words = percent(round(value, 6)) if is_share else f"{value:.6g}".replace("e-0", "e-")
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{escape(words)}</text>')
    for step in ticks(*scale.steps, most=6):
        if step == round(step):
            words = short(step) if step >= 10_000 else f"{step:.0f}"
            parts.append(f'<text x="{scale.x(step):.1f}" y="{HEIGHT - 7}" text-anchor="middle">{words}</text>')
    return parts


def _path(curve: Curve, scale: _Scale) -> str:
    places = [(scale.x(step), scale.y(value)) for step, value in thin(curve.points)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    drawn = f'<polyline class="{curve.look}" points="{line}"/>' if places else ""
    if curve.has_dots or len(places) == 1:
        drawn += "".join(f'<circle class="{curve.look}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places[-200:])
    return drawn


def _legend(curves: Sequence[Curve]) -> str:
    named = [curve for curve in curves if curve.name and curve.points]
    if len(named) < 2:
        return ""
    rows = []
    for row, curve in enumerate(named):
        y = TOP + 6 + 16 * row
        rows.append(f'<line class="{curve.look}" x1="{WIDTH - 96}" x2="{WIDTH - 78}" y1="{y}" y2="{y}"/>')
        rows.append(f'<text x="{WIDTH - 72}" y="{y + 4}">{escape(curve.name)}</text>')
    return "".join(rows)
