"""`ivl train from-xtuner`: a config of XTuner in, our recipe out, and on stderr what it could not say."""

from pathlib import Path

import click

from ivl.cli.terminal import note, show
from ivl.errors import SettingsError

EPILOG = """\b
Examples:
  ivl train from-xtuner internvl_v2_internlm2_2b_lora_finetune_food.py -o food.yaml
  ivl train from-xtuner config.py > recipe.yaml"""


@click.command("from-xtuner", epilog=EPILOG)
@click.argument("config", type=Path)
@click.option("-o", "--out", type=Path, help="Write the recipe to this new file. [default: stdout]")
def from_xtuner(config: Path, out: Path | None) -> None:
    """Turn CONFIG, an InternVL config of XTuner, into a recipe.

    The file is read, never run. What could not be carried over is told here and stands at the recipe's head.
    """
    from ivl.train.xtuner import read_xtuner

    found = read_xtuner(config)
    text = found.recipe()
    for line in found.notes:
        note(f"not carried over or not the same: {line}")
    if out is None:
        show(text.rstrip("\n"))
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(f"-o {out} is there already: give a new name, or remove it first") from None
    except OSError as fault:
        raise SettingsError(f"-o {out} cannot be written: {fault.strerror or fault}") from None
    note(f"recipe: {out}; look at its plan with: ivl train {out} --dry-run")
