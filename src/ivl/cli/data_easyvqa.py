"""`ivl data easy-vqa`: a split of the package easy-vqa as training data in JSON Lines, beside its pictures."""

import shlex
from pathlib import Path

import click

from ivl.cli.terminal import note, show

EPILOG = """\b
Examples:
  pip install easy-vqa
  ivl data easy-vqa --out easy
  ivl data easy-vqa --out easy --source path/to/easy_vqa/data      where it is not installed
  ivl train recipes/lora.yaml --set path=MODEL --set data_root=easy --set data_path=easy_vqa_train.jsonl
  ivl eval easy-vqa"""
SPLITS = ("train", "test")


@click.command("easy-vqa", epilog=EPILOG)
@click.option("-o", "--out", required=True, type=Path, help="Folder for the file and its pictures.")
@click.option(
    "--split", type=click.Choice(SPLITS), default="train", show_default=True, help="Test is for looking: do not train."
)
@click.option("--source", type=Path, help="The package's folder, or its data. [default: the installed package]")
@click.option("--force", is_flag=True, help="Replace the file.")
def easy_vqa(out: Path, split: str, source: Path | None, force: bool) -> None:
    """Write simple questions about drawn shapes as training data, in the words in which `ivl eval easy-vqa` asks.

    easy-vqa is a small data set (MIT) of 5,000 pictures of one shape each: 38,575 questions to learn from and 9,673 to
    be asked. Its code is not run.
    """
    from ivl.evals.easy_vqa import write_easy_vqa

    path = write_easy_vqa(split, out, source=source, force=force)
    with path.open("rb") as file:
        number = sum(1 for _ in file)
    show(f"{split}  {number:,} records  {path}")
    note("easy-vqa: MIT licence, Victor Zhou 2019, https://github.com/vzhou842/easy-VQA")
    show(f"next: {shlex.join(['ivl', 'data', 'check', str(path)])}")
