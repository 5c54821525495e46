"""A run's curves as one picture of four panels: loss, learning rate, validation, gradient norm.

In: a `History`. Out: a PNG file. Needs matplotlib, which only this file of the room imports, and only when it draws.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivl.errors import MissingExtraError
from ivl.train.curves import Point, limits, smooth, thin
from ivl.train.json_lines import write_whole
from ivl.train.metrics import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, QUIET, TRACK = "#1d2433", "#667085", "#e8ebf1"
BLUE, ORANGE, GREEN = "#2f6fde", "#e07a2f", "#2f9e6e"


def draw_history(history: History, path: Path) -> None:
    """Draw the curves as a PNG file. Raises MissingExtraError without matplotlib, OSError if it cannot be written."""
    drawing = _figure_class()(figsize=(11.5, 6.6), dpi=130, facecolor="white")
    panels = drawing.subplots(2, 2)
    _draw_loss(panels[0][0], history)
    _draw_single(panels[0][1], "Learning rate", history.curve("lr"))
    _draw_validation(panels[1][0], history)
    _draw_single(panels[1][1], "Gradient norm", history.curve("grad_norm"), is_noisy=True)
    drawing.tight_layout(pad=1.6, w_pad=3, h_pad=2.4)
    content = io.BytesIO()
    drawing.savefig(content, format="png")
    write_whole(path, content.getvalue())


def _draw_loss(axes: Axes, history: History) -> None:
    points, validation = history.curve("loss"), history.curve("loss", of_validation=True)
    _frame(axes, "Loss", [points, validation])
    _line(axes, points, BLUE, alpha=0.3, linewidth=1)
    _line(axes, smooth(points), BLUE, label="training", linewidth=2)
    if validation:
        _line(axes, validation, ORANGE, label="validation", marker="o", markersize=4, linewidth=1.8)
    if points or validation:
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)


def _draw_validation(axes: Axes, history: History) -> None:
    """Loss against the left axis, exact match against the right one."""
    losses, matches = history.curve("loss", of_validation=True), history.curve("exact_match", of_validation=True)
    _frame(axes, "Validation", [losses])
    if not losses:
        axes.text(0.5, 0.5, "no validation data", color=QUIET, ha="center", va="center", transform=axes.transAxes)
        return
    _line(axes, losses, ORANGE, marker="o", markersize=4, linewidth=1.8)
    axes.set_ylabel("loss", color=ORANGE, fontsize=9)
    if matches:
        right = axes.twinx()
        right.set_ylim(-0.03, 1.03)
        right.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
        right.tick_params(colors=QUIET, labelsize=9, length=0)
        right.set_ylabel("exact match", color=GREEN, fontsize=9)
        _bare(right)
        _line(right, matches, GREEN, marker="s", markersize=4, linewidth=1.8)


def _draw_single(axes: Axes, title: str, points: list[Point], is_noisy: bool = False) -> None:
    _frame(axes, title, [points])
    _line(axes, points, BLUE, alpha=0.3 if is_noisy else 1, linewidth=1 if is_noisy else 2)
    if is_noisy:
        _line(axes, smooth(points), BLUE, linewidth=2)


def _line(axes: Axes, points: Sequence[Point], colour: str, **style: Any) -> None:
    drawn = thin(points, 2000)
    if len(drawn) == 1:
        style = {"marker": "o", **style}
    axes.plot([step for step, _ in drawn], [value for _, value in drawn], color=colour, **style)


def _frame(axes: Axes, title: str, curves: list[list[Point]]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    low, high = limits(curves)
    margin = 0.05 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold")
    axes.set_xlabel("step", color=QUIET, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}".replace("e-0", "e-")))
    axes.tick_params(colors=QUIET, labelsize=9, length=0)
    axes.grid(color=TRACK, linewidth=0.9)
    axes.set_axisbelow(True)
    _bare(axes)


def _bare(axes: Axes) -> None:
    for side in axes.spines.values():
        side.set_visible(False)


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("plot.png needs matplotlib: pip install 'ivl[plot]'") from None
    return Figure
