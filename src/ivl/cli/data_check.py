"""`ivl data check`: reads data sets once from end to end and says what is wrong with them and what they cost."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from ivl.cli.options import picture_options
from ivl.cli.terminal import mark, note, show
from ivl.errors import InputError

_EPILOG = """\b
Examples:
  ivl data check food/train.json
  ivl data check --recipe recipes/food_lora.yaml
  ivl data check train.jsonl --val val.jsonl --image-folder pictures --html check.html
  ivl data check train.jsonl --model path/to/InternVL2-2B --max-length 4096 --json"""


@click.command(epilog=_EPILOG)
@click.argument("paths", metavar="[PATH...]", nargs=-1)
@click.option("--recipe", type=Path, help="Check all data of this recipe, as `ivl train` would read it.")
@click.option("--image-folder", help="Folder that picture paths are relative to. [default: the data file's]")
@click.option("--val", multiple=True, help="Validation data, sought for duplicates too. May be given several times.")
@click.option("--model", help="The model whose tokens are counted. [default: the small one in the package]")
@click.option("--max-length", type=int, help="Tokens of a sample at most. [default: 8192, or the recipe's]")
@picture_options
@click.option("--samples", type=click.IntRange(0, 100), default=3, show_default=True, help="Samples shown, each split.")
@click.option("--html", help="Write the report as a page to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--workers", type=click.IntRange(0, 32), help="Processes that read. [default: by the number of cores]")
def check(paths: tuple[str, ...], val: tuple[str, ...], html: str | None, as_json: bool, **given: Any) -> int:
    """Read every record and picture of the data sets at PATH, or of a recipe, and name each that cannot be used.

    Shows what an epoch costs in tokens, which records stand twice, and samples as the model will see them. Exit code
    1 if there are bad records.
    """
    from ivl.cli.data_progress import reading_progress
    from ivl.cli.data_subject import check_given, find_data
    from ivl.data.check import check as run_check
    from ivl.data.check_page import page
    from ivl.data.check_text import as_data, describe, list_faults, verdict
    from ivl.data.rendering import to_text, view
    from ivl.processing import load_processor

    check_given(paths, val, given["recipe"])
    splits, settings, folder = find_data(paths, val, given)
    processor = load_processor(folder, as_viewed=settings.as_viewed)
    with reading_progress() as tell:
        report = run_check(splits, processor, settings, workers=given["workers"], on_progress=tell)
    samples = [(split.name, view(each, processor, settings)) for split, each in report.choose(given["samples"])]
    if html is not None:
        try:
            Path(html).write_text(page(report, samples), encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write the page to {html!r}: {error.strerror}") from None
        note(f"written to {html}")
    if as_json:
        data = as_data(report) | {"samples": [to_text(sample, colour=False) for _, sample in samples]}
        show(json.dumps(data, ensure_ascii=False, indent=2))
        return int(bool(report.faults))
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    shown = [f"{to_text(sample, colour=colour)}\n" for _, sample in samples]
    for line in (*describe(report), *shown, *list_faults(report)):
        show(line)
    show(mark("problem" if report.faults else "ok") + verdict(report))
    return int(bool(report.faults))
