"""A run of `ivl bench` drawn: how long people wait, and how much of the device is used.

In: a `SpeedReport`. Out: a PNG file. Needs matplotlib, which only this file imports, and only when it draws.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivl.errors import MissingExtraError, SettingsError
from ivl.explain.speed_figures import Distribution, Share
from ivl.explain.speed_report import SpeedReport, duration, percent, si

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, TRACK = "#1d2433", "#667085", "#e8ebf1"
COLOURS = {"throughput": "#2f6fde", "latency": "#e07a2f", "vision": "#2f9e6e"}
TIMES = {"first_token_s": "Time to first token", "between_s": "Time between tokens"}
MARKED = (50, 90, 99)
WIDTH, LEFT = 11.5, 0.055
"""Inches; share of the width."""
Times = dict[str, Distribution]
"""By workload."""


def check_plot(path: str | Path) -> None:
    """Raise before hours of measuring what would be raised after them: MissingExtraError, SettingsError."""
    _figure_class()
    folder = Path(path).absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise SettingsError(f"--plot {path}: {folder} is not a folder that can be written to")


def draw_speed(report: SpeedReport, path: str | Path) -> None:
    """Draw a report as a PNG file. Raises MissingExtraError without matplotlib."""
    panels = {title: _by_workload(report, name) for name, title in TIMES.items()}
    panels = {title: times for title, times in panels.items() if times}
    height = 5.8 if panels else 3.2
    drawing: Figure = _figure_class()(figsize=(WIDTH, height), dpi=150, facecolor="white")
    columns = drawing.add_gridspec(
        1, 2 if panels else 1, width_ratios=(1.2, 1) if panels else (1,),
        left=LEFT, right=0.965, top=1 - 1.36 / height, bottom=0.84 / height, wspace=0.13,
    )  # fmt: skip
    rows = columns[0, 0].subgridspec(max(1, len(panels)), 1, hspace=0.85)
    for row, (title, times) in enumerate(panels.items()):
        _draw_times(drawing.add_subplot(rows[row, 0]), title, times)
    shares = [(figures.name, share) for figures in report.figures for share in figures.shares]
    _draw_shares(drawing.add_subplot(columns[0, -1]), shares, num_rows=4 if panels else 1)
    _draw_words(drawing, report, height)
    drawing.savefig(str(path), format="png")


def _by_workload(report: SpeedReport, name: str) -> Times:
    found = {figures.name: getattr(figures, name) for figures in report.figures}
    return {workload: times for workload, times in found.items() if times is not None}


def _draw_times(axes: Axes, title: str, times: Times) -> None:
    """What share came within which time; the usual percentiles are marked, the middle one is named."""
    for row, (workload, each) in enumerate(times.items()):
        colour = COLOURS[workload]
        axes.plot(each.percentiles, range(101), color=colour, linewidth=2.2, solid_capstyle="round")
        marked = [each.percentiles[percent] for percent in MARKED]
        axes.plot(marked, MARKED, "o", color=colour, markersize=5.5, markeredgecolor="white", zorder=3)
        words = f"{workload}:  " + "   ".join(f"p{at} {duration(each.percentiles[at])}" for at in MARKED)
        axes.text(
            1,
            1.065 + 0.135 * (len(times) - 1 - row),
            words,
            color=colour,
            fontsize=8.8,
            ha="right",
            transform=axes.transAxes,
        )
    axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold", pad=9)
    _scale_times(axes, times)
    axes.set_ylim(-4, 106)
    axes.set_yticks([0, 50, 100], ["0", "50%", "100%"])
    axes.tick_params(colors=QUIET, labelsize=9, length=0)
    axes.grid(color=TRACK, linewidth=0.9)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def _scale_times(axes: Axes, times: Times) -> None:
    """From 0 where all times are of one size; logarithmic where they are not."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    most = max(each.percentiles[100] for each in times.values())
    least = max(most / 1e4, min(each.percentiles[1] for each in times.values()))
    if most > 8 * least:
        axes.set_xscale("log")
        axes.set_xlim(least / 1.25, most * 1.25)
        spans_decades = most > 100 * least
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if spans_decades else (1.0, 2.0, 5.0), numticks=12))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(0, most * 1.06)
        axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _tick(seconds)))


def _tick(seconds: float) -> str:
    if seconds == 0:
        return "0"
    return f"{seconds:g} s" if seconds >= 1 else f"{1000 * seconds:g} ms"


def _draw_shares(axes: Axes, shares: list[tuple[str, Share]], num_rows: int) -> None:
    """A bar for each rate, on a track that stands for what the device can do; room for `num_rows` at least."""
    most = max(1.0, *(share.share for _, share in shares))
    for row, (workload, share) in enumerate(shares):
        axes.barh(row, 1, height=0.3, color=TRACK)
        axes.barh(row, share.share, height=0.3, color=COLOURS[workload])
        axes.text(0, row - 0.27, share.name, color=INK, fontsize=10, fontweight="bold")
        reached = f"{si(share.reached, share.unit)} of {si(share.ceiling, share.unit)}"
        axes.text(most, row - 0.27, reached, color=QUIET, fontsize=9, ha="right")
        inside = share.share > 0.15 * most
        axes.text(
            share.share + (-0.015 if inside else 0.015) * most, row + 0.012, percent(share.share),
            color="white" if inside else COLOURS[workload], fontsize=9.5, fontweight="bold",
            ha="right" if inside else "left", va="center",
        )  # fmt: skip
    axes.set_title("Share of what this device can do", loc="left", color=INK, fontsize=11, fontweight="bold", pad=9)
    axes.set_xlim(0, most)
    axes.set_ylim(max(num_rows, len(shares)) - 0.45, -0.6)
    axes.axis("off")


def _draw_words(drawing: Figure, report: SpeedReport, height: float) -> None:
    """The title above and what the numbers must be read with below."""
    load, where, ceilings = report.load, report.circumstances, report.ceilings
    weights = report.dtype + (f", {report.quantization} weights" if report.quantization else "")
    asked = f"{load.requests} requests of {report.prompt_tokens:,} prompt tokens"
    tiles = f" ({load.tiles} tile{'s' * (load.tiles != 1)})" if load.tiles else ""
    drawing.text(
        LEFT, 1 - 0.44 / height, f"{report.model} on {where.device}", color=INK, fontsize=15, fontweight="bold"
    )
    line = f"{asked}{tiles}, {load.new_tokens} new tokens, {weights}, caches {'on' if report.has_caches else 'off'}"
    if all(figures.name == "vision" for figures in report.figures):
        line = weights
    drawing.text(LEFT, 1 - 0.71 / height, line, color=QUIET, fontsize=10.5)
    measured = (
        f"Ceilings, measured in the same run: {si(ceilings.product_flop_per_s, 'FLOP/s')} products, "
        f"{si(ceilings.bytes_per_s, 'B/s')} memory. Throughput's ceiling is what both allow."
    )
    drawing.text(LEFT, 0.32 / height, measured, color=QUIET, fontsize=8.5)
    versions = ", ".join(f"{name} {version}" for name, version in where.versions.items())
    stamp = f"{where.date}, {versions}, commit {where.commit[:10]}, median of {report.repeats} rounds"
    drawing.text(LEFT, 0.14 / height, stamp, color=QUIET, fontsize=8.5)


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("--plot needs matplotlib: pip install 'ivl[plot]'") from None
    return Figure
