"""`ivl export`: a run, an adapter or a model in, a model folder out, in either layout."""

from pathlib import Path
from typing import Any

import click

from ivl.cli.exporting import tell_exported, tell_plan, writing_options, writing_progress
from ivl.cli.terminal import show, status

EPILOG = """\b
Examples:
  ivl export runs/food -o food-2b                              the run's result, as InternVL2 is published
  ivl export runs/food -o food-2b-hf --layout transformers     for AutoModelForImageTextToText
  ivl export zoo -o nano-hf --layout transformers --dry-run    what it would write
  ivl export runs/food/checkpoint-64 -o step-64 --base path/to/InternVL2-2B
  ivl export runs/food/adapter -o food-peft --layout transformers --adapter-only"""
LAYOUT = "official: as OpenGVLab publishes it, for ivl, LMDeploy and vLLM; transformers: for its own classes."
BASE = "The model that an adapter or a run was trained from. [default: as they say]"
ONLY = "Write the adapter alone, for PEFT on a model of that layout."


@click.command(epilog=EPILOG)
@click.argument("source")
@click.option("-o", "--output", required=True, help="The new folder.")
@click.option(
    "--layout", type=click.Choice(("official", "transformers")), default="official", show_default=True, help=LAYOUT
)
@click.option("--base", help=BASE)
@click.option("--adapter-only", is_flag=True, help=ONLY)
@writing_options
def export(
    source: str,
    output: str,
    layout: Any,
    base: str | None,
    adapter_only: bool,
    dtype: str | None,
    max_tiles: int | None,
    no_verify: bool,
    dry_run: bool,
) -> None:
    """Write SOURCE as a model folder that others can use: merged, complete, and compared with what it was made of.

    SOURCE is the folder of a run of `ivl train`, one of its checkpoints, an adapter, a model's folder or hub id, or zoo
    for the small model in the package. The official layout takes the base's own Python files along, which LMDeploy and
    vLLM need; they are never run here.
    """
    status("reading ...")
    from ivl.export import Options, find_source, plan
    from ivl.export.writing import write
    from ivl.zoo import IN_THE_PACKAGE, nano_folder

    found = find_source(
        nano_folder() if source == IN_THE_PACKAGE else source, nano_folder() if base == IN_THE_PACKAGE else base
    )
    if adapter_only:
        if found.adapter is None:
            raise click.UsageError("--adapter-only goes with an adapter or a run that has one")
        if dtype or max_tiles or dry_run:
            raise click.UsageError("--adapter-only goes with --layout and --base only")
        from ivl.export.adapters import export_adapter
        from ivl.model import load_config

        export_adapter(found.adapter, load_config(found.model), Path(output).expanduser(), layout)
        show(f"{output} (adapter, {layout} layout)")
        return
    options = Options(layout=layout, dtype=dtype, max_tiles=max_tiles)
    if dry_run:
        tell_plan(plan(found, output, options))
        return
    with writing_progress() as tell:
        done = write(found, output, options, verify=not no_verify, tell=tell)
    tell_exported(done)
