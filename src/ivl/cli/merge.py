"""`ivl merge`: a base and an adapter in, one model folder out."""

from typing import Any

import click

from ivl.cli.exporting import tell_exported, tell_plan, writing_options, writing_progress
from ivl.cli.terminal import status

EPILOG = """\b
Examples:
  ivl merge path/to/InternVL2-2B runs/food/adapter -o food-2b
  ivl merge path/to/InternVL2-2B runs/food -o food-2b --dry-run     what it would write, and the room there is
  ivl merge OpenGVLab/InternVL2-2B runs/food/checkpoint-64 -o food-2b --dtype bfloat16
  ivl merge zoo adapter -o food                                     into the small model in the package"""


@click.command(epilog=EPILOG)
@click.argument("base")
@click.argument("adapter")
@click.option("-o", "--output", required=True, help="The new model's folder.")
@writing_options
def merge(
    base: str, adapter: str, output: str, dtype: str | None, max_tiles: int | None, no_verify: bool, dry_run: bool
) -> None:
    """Make ADAPTER part of the weights of BASE, in a new model folder with BASE's layout and files.

    BASE is a folder, a hub id, or zoo for the small model in the package; ADAPTER a LoRA or DoRA adapter's folder, or
    that of the run that trained it. Tensor by tensor, in float32, rounded once: a model of any size needs the memory of
    its largest tensor. Afterwards the folder is read again and compared with base and adapter side by side.
    """
    status("reading ...")
    from ivl.export import Options, plan
    from ivl.export.writing import merge_source, write
    from ivl.zoo import IN_THE_PACKAGE, nano_folder

    source = merge_source(nano_folder() if base == IN_THE_PACKAGE else base, adapter)
    options: dict[str, Any] = {"dtype": dtype, "max_tiles": max_tiles}
    if dry_run:
        tell_plan(plan(source, output, Options(**options)))
        return
    with writing_progress() as tell:
        done = write(source, output, Options(**options), verify=not no_verify, tell=tell)
    tell_exported(done)
