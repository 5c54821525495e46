"""`ivl train`: a recipe in, a run out; or its plan alone. `from-xtuner` and `fields` help to write a recipe."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from ivl.cli.terminal import show, status
from ivl.cli.train_fields import fields
from ivl.cli.train_xtuner import from_xtuner

EPILOG = """\b
Examples:
  ivl train recipes/food_lora.yaml --dry-run           what it would do, in seconds and without weights
  ivl train recipes/food_lora.yaml
  ivl train recipes/food_lora.yaml --set path=path/to/InternVL2-2B --set lr=1e-4
  ivl train recipes/food_lora.yaml --resume            go on after a stop, from the newest checkpoint
  ivl train recipes/full.yaml --nproc 4                on four GPUs of this machine
  ivl train fields                                     everything that a recipe may say
  ivl train from-xtuner config.py -o recipe.yaml       a recipe from a config of XTuner"""
OTHERS = {"fields": fields, "from-xtuner": from_xtuner}
NO_RECIPE = "a recipe is needed, such as recipes/food_lora.yaml; `ivl train fields` lists what one may say"


class Train(click.Command):
    """The command for a recipe, which hands over to another when the first word names one."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        if args and args[0] in OTHERS:
            return OTHERS[args[0]].make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=Train, epilog=EPILOG)
@click.argument("recipe", required=False, type=Path)
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Say a field anew; may be repeated.")
@click.option("--out", type=Path, help="Folder of the run. [default: work_dir of the recipe, or runs/ and its name]")
@click.option("--resume", is_flag=True, help="Go on from the newest whole checkpoint in that folder.")
@click.option("--nproc", type=click.IntRange(1, 1024), default=1, show_default=True, help="Ranks on this machine.")
@click.option("--dry-run", is_flag=True, help="Show what would train, the steps, memory and time; load no weights.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print the plan as JSON.")
def train(
    recipe: Path | None,
    overrides: Sequence[str],
    out: Path | None,
    resume: bool,
    nproc: int,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Fine-tune a model as RECIPE says.

    RECIPE is a YAML file with one field a line; --set wins over it. A relative path in it is relative to the
    current folder. Ctrl-C saves a checkpoint and stops; --resume goes on as if nothing had happened.
    """
    if recipe is None:
        raise click.UsageError(NO_RECIPE, click.get_current_context())
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run", click.get_current_context())
    from ivl.cli.subject import find_folder, find_subject
    from ivl.train.recipe import for_run, load_recipe

    config = for_run(load_recipe(recipe, overrides), recipe, out=out, resume=resume)
    if not dry_run:
        status("loading ...")
        from ivl.train.launch import launch

        return launch(replace(config, path=str(find_folder(config.path or None))), nproc)
    from ivl.train.plan import make_plan

    subject = find_subject(config.path or None)  # a published model's shape is known without a download
    plan = make_plan(replace(config, path=str(subject.folder or config.path)), nproc, subject.config)
    if as_json:
        show(json.dumps(plan.data(), ensure_ascii=False, indent=2))
    else:
        for line in plan.lines():
            show(line)
    return 0
