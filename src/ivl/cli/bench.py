"""`ivl bench`: how fast a model runs here, and how much of this device that uses."""

import json
from pathlib import Path
from typing import Any

import click

from ivl.cli.options import engine_options
from ivl.cli.terminal import note, show, status
from ivl.errors import SettingsError

EPILOG = """\b
Examples:
  ivl bench                                            the small model in the package
  ivl bench path/to/model --workload latency --tiles 7
  ivl bench --shape InternVL2-2B --plot speed.png      random weights of a published shape
  ivl bench path/to/model --requests 64 --out speed.json"""
WORKLOADS = ("throughput", "latency", "vision")
WORKLOAD = click.Choice((*WORKLOADS, "all"))
COUNT, ANY_SEED = click.IntRange(min=1, max=1_000_000), click.IntRange(0, 2**63 - 1)


@click.command(epilog=EPILOG)
@click.argument("model", required=False)
@click.option("--shape", help="Random weights of a published model's shape, such as InternVL2-2B; needs no download.")
@click.option("--workload", type=WORKLOAD, default="all", show_default=True, help="What to measure.")
@click.option("--requests", type=COUNT, default=16, show_default=True, help="Requests of a round.")
@click.option("--tiles", type=click.IntRange(0, 10_000), default=1, show_default=True, help="Tiles of each picture.")
@click.option("--text-tokens", type=COUNT, default=50, show_default=True, help="Text tokens of each prompt.")
@click.option("--new-tokens", type=COUNT, default=64, show_default=True, help="Tokens of each answer.")
@click.option("--repeats", type=COUNT, default=3, show_default=True, help="Rounds that count.")
@click.option("--warmup", type=click.IntRange(0, 1000), default=1, show_default=True, help="Rounds before them.")
@click.option("--seed", type=ANY_SEED, default=0, show_default=True, help="Of prompts and random weights.")
@click.option("--keep-caches", is_flag=True, help="Leave the caches of prompts and pictures on; rounds repeat both.")
@click.option("--out", type=Path, help="Write a JSON file.")
@click.option("--plot", type=Path, help="Draw a PNG file; needs the extra plot.")
@engine_options
def bench(
    model: str | None,
    shape: str | None,
    workload: str,
    out: Path | None,
    plot: Path | None,
    **given: Any,
) -> None:
    """Measure how fast MODEL answers here, and what share of this device that uses.

    MODEL is a folder or a hub id; without it, the small model in the package. Every request has a picture of its
    own, of noise, ready-made as tiles; answers are greedy and never end early. Throughput asks all at once, latency
    one after another, vision encodes tiles alone. What the device can do is measured in the same run.
    """
    if model is not None and shape is not None:
        raise click.UsageError("MODEL and --shape are two models: give one", click.get_current_context())
    status("loading ...")
    from ivl.cli.measured import measure
    from ivl.explain.speed_plot import check_plot, draw_speed
    from ivl.explain.speed_report import table

    if plot is not None:
        check_plot(plot)
    if out is not None and not out.absolute().parent.is_dir():
        raise SettingsError(f"--out {out}: {out.absolute().parent} is not a folder")
    report = measure(model, shape, WORKLOADS if workload == "all" else (workload,), given)
    show(table(report))
    if out is not None:
        out.write_text(json.dumps(report.as_dict(), indent=2) + "\n", "utf-8")
        note(f"figures: {out}")
    if plot is not None:
        draw_speed(report, plot)
        note(f"drawing: {plot}")
