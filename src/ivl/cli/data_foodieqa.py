"""`ivl data foodieqa`: FoodieQA's questions on single pictures as LLaVA JSON, split by dish."""

import shlex
from pathlib import Path

import click

from ivl.cli.terminal import note, show, warn

EPILOG = """\b
Examples:
  ivl data foodieqa FoodieQA -o food
  ivl data foodieqa FoodieQA -o food --style full --language en"""

SHOWN = 10


@click.command(epilog=EPILOG)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for train.json, test.json."
)
@click.option(
    "--style",
    type=click.Choice(["tutorial", "full"]),
    default="tutorial",
    show_default=True,
    help="Answers in the tutorial's few words, or a full sentence, which keeps a model from growing terse.",
)
@click.option("--language", type=click.Choice(["zh", "en"]), default="zh", show_default=True, help="Of the questions.")
@click.option("--test-share", type=float, default=0.2, show_default=True, help="Share of test.json, 0 to 0.9.")
@click.option("--seed", type=int, default=42, show_default=True, help="Which dishes are tested.")
@click.option("--force", is_flag=True, help="Replace train.json and test.json.")
def foodieqa(folder: Path, output: Path, style: str, language: str, test_share: float, seed: int, force: bool) -> None:
    """Turn FOLDER, FoodieQA as its authors publish it, into training and test data without a common dish."""
    from ivl.data.foodieqa import LICENCE
    from ivl.data.foodieqa_files import convert_foodieqa

    note(LICENCE)
    done = convert_foodieqa(
        folder,
        output,
        style="full" if style == "full" else "tutorial",
        language="en" if language == "en" else "zh",
        test_share=test_share,
        seed=seed,
        force=force,
    )
    for kind, lines in (("cannot be used", done.faults), ("have no picture", done.missing)):
        for line in lines[:SHOWN]:
            warn(line)
        if lines:
            note(f"{len(lines)} entries {kind} and are left out")
    show(f"train  {done.num_train:5,} records  {done.num_train_dishes:4,} dishes  {done.train}")
    show(f"test   {done.num_test:5,} records  {done.num_test_dishes:4,} dishes  {done.test or '-'}")
    show(f"left out: {len(done.faults)} unusable, {len(done.missing)} without their picture")
    show(f"next: {shlex.join(['ivl', 'data', 'check', str(done.train), '--image-folder', str(done.image_folder)])}")
