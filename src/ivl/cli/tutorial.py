"""`ivl tutorial`: the whole story with the commands that a person types, and one page that tells it."""

from importlib.util import find_spec
from pathlib import Path

import click

from ivl.cli.terminal import note, show, write_answer

EPILOG = """\b
Examples:
  ivl tutorial                             on the small model in the package: about a quarter of an hour on a laptop
  ivl tutorial --dry-run                   the commands, to read or to type yourself
  ivl tutorial --from train                go on, or do it anew, from this step
  ivl tutorial -m path/to/InternVL2-2B     the same story with a published model"""
NEEDED = ("accelerate", "peft", "yaml")
QUICK = "A few items and steps: shows that everything runs, and measures nothing."


@click.command(epilog=EPILOG)
@click.option("--out", type=Path, default=Path("out/tutorial"), show_default=True, help="Folder of all that it makes.")
@click.option("-m", "--model", help="A folder or a hub id. [default: the small model in the package]")
@click.option("--from", "start", metavar="STEP", help="Begin with this step; those before it are kept as they are.")
@click.option("--dry-run", is_flag=True, help="Show steps, commands and recipes, and run nothing.")
@click.option("--quick", is_flag=True, help=QUICK)
def tutorial(out: Path, model: str | None, start: str | None, dry_run: bool, quick: bool) -> None:
    """Chat with a model, teach it foods, chat again, and measure what it learnt and what it forgot.

    Every step is a command of its own that is shown before it runs, as a line that you can copy. The end is one page,
    report.html in the folder of --out. A second run into the same folder replaces what the first one made there.
    """
    from ivl.errors import MissingExtraError
    from ivl.tutorial.numbers import QUICK as FEW
    from ivl.tutorial.numbers import Numbers
    from ivl.tutorial.story import make_story
    from ivl.tutorial.telling import plan_lines
    from ivl.zoo import foods_folder, general_folder

    numbers = FEW if quick else Numbers()
    story = make_story(numbers, out, model, _near(foods_folder()), _near(general_folder()))
    if dry_run:
        for line in plan_lines(story, start):
            show(line)
        return
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise MissingExtraError(f"the tutorial trains, which needs {', '.join(missing)}: pip install 'ivl[train]'")
    from ivl.tutorial.running import run_story

    page = run_story(story, start=start, is_quick=quick, say=show, write=write_answer)
    note(f"report: {page}")


def _near(folder: Path) -> Path:
    """As a person would type it: relative where it lies below the current folder."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
