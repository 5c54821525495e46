"""`ivl data foodieqa`: a folder of FoodieQA's layout as LLaVA JSON, split by dish."""

import shlex
from pathlib import Path
from typing import Any

import click

from ivl.cli.terminal import note, show, warn

EPILOG = """\b
Examples:
  ivl data foodieqa FoodieQA -o food
  ivl data foodieqa FoodieQA -o food --style full --language en
  ivl data foodieqa FoodieQA -o food --tasks sivqa,mivqa,textqa --form both --naming --style full --language both"""

SHOWN = 10


@click.command(epilog=EPILOG)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for train.json, test.json."
)
@click.option(
    "--tasks",
    default="sivqa",
    show_default=True,
    help="Questions on one picture (sivqa), on four (mivqa), without any (textqa); parted by commas.",
)
@click.option(
    "--style",
    type=click.Choice(["tutorial", "full"]),
    default="tutorial",
    show_default=True,
    help="Answers in the tutorial's few words, or a full sentence, which keeps a model from growing terse.",
)
@click.option(
    "--form",
    type=click.Choice(["open", "letters", "both"]),
    default="open",
    show_default=True,
    help="Ask openly, or with the choices and a letter as the answer, as the evaluation does.",
)
@click.option("--naming", is_flag=True, help="Also ask of each picture what it shows.")
@click.option(
    "--language", type=click.Choice(["zh", "en", "both"]), default="zh", show_default=True, help="Of all of it."
)
@click.option("--test-share", type=float, default=0.2, show_default=True, help="Share of test.json, 0 to 0.9.")
@click.option("--seed", type=int, default=42, show_default=True, help="Which dishes are tested.")
@click.option("--force", is_flag=True, help="Replace train.json and test.json.")
def foodieqa(folder: Path, output: Path, tasks: str, **options: Any) -> None:
    """Turn FOLDER, of the layout that FoodieQA is published in, into training and test data without a common dish."""
    from ivl.data.foodieqa import licence_of
    from ivl.data.foodieqa_files import convert_foodieqa

    note(licence_of(folder))
    named: Any = [task.strip() for task in tasks.split(",")]
    done = convert_foodieqa(folder, output, tasks=named, **options)
    for kind, lines in (("cannot be used", done.faults), ("have no picture", done.missing)):
        for line in lines[:SHOWN]:
            warn(line)
        if lines:
            note(f"{len(lines)} entries {kind} and are left out")
    if done.num_straddling:
        note(f"{done.num_straddling} questions have pictures of both parts and are left out")
    show(f"train  {done.num_train:5,} records  {done.num_train_dishes:4,} dishes  {done.train}")
    show(f"test   {done.num_test:5,} records  {done.num_test_dishes:4,} dishes  {done.test or '-'}")
    show(f"left out: {len(done.faults)} unusable, {len(done.missing)} without their picture")
    show(f"next: {shlex.join(['ivl', 'data', 'check', str(done.train), '--image-folder', str(done.image_folder)])}")
