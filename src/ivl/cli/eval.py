"""`ivl eval`: sets of questions in, a table and a report out: models and adapters side by side."""

from pathlib import Path
from typing import Any

import click

from ivl.cli.terminal import note, show, status

EPILOG = """\b
Examples:
  ivl eval food:styles --limit 60                      the foods in the package, the model in the package
  ivl eval food general --adapter food=runs/food/adapter --limit 200
  ivl eval foodieqa path/to/FoodieQA -m OpenGVLab/InternVL2-2B --language zh
  ivl eval foodieqa path/to/FoodieQA --task sivqa --scoring likelihood
  ivl eval mine.tsv -m before=path/to/one -m after=path/to/other
  ivl eval easy-vqa --dry-run                          what would be asked; loads no model

\b
A set is one of:
  food, general        the package's own: what was taught, and what may be forgotten
  food:styles          food in new styles only, or food:dishes, new dishes only
  general:counting     or kind, colour, position, ocr, grounding, refusal
  easy-vqa             of the Python package easy-vqa
  foodieqa FOLDER      FoodieQA as its authors publish it, or a folder of the same layout
  FILE.tsv or .jsonl   your own: index, image_path, question, A, B, C, D, answer"""
METRICS = ("choice", "exact", "vqa", "anls", "relaxed", "cider", "iou", "contains")
SETTINGS = ("limit", "scoring", "max_tiles", "batch", "seed", "device", "dtype", "session_len")
MODEL = "[NAME=]FOLDER or hub id; several are compared. [default: zoo, the small model in the package]"
ADAPTER = "A LoRA adapter to compare with its model, or several; where there are several models, NAME@MODEL=FOLDER."
TILES = "Tiles a picture is cut into at most. [default: the model's own limit]"
SCORING = "How a choice is read: the letter in a free answer [default], or that which the model finds most likely."
TASK = "Only sivqa (one picture), mivqa (four) or textqa (none), naming of food, or a word of general; or several."
LIMIT = "Items of each set, spread over it, the same for all models. [default: all]"
COUNT = click.IntRange(min=1)


@click.command("eval", epilog=EPILOG)
@click.argument("sets", nargs=-1, required=True, metavar="SET...")
@click.option("-m", "--model", "models", multiple=True, help=MODEL)
@click.option("-a", "--adapter", "adapters", multiple=True, metavar="NAME=FOLDER", help=ADAPTER)
@click.option("--limit", type=COUNT, help=LIMIT)
@click.option("--scoring", type=click.Choice(("generate", "likelihood")), default="generate", help=SCORING)
@click.option(
    "--language", "languages", multiple=True, type=click.Choice(("zh", "en")), help="Only this one. [default: both]"
)
@click.option("--task", "tasks", multiple=True, help=TASK)
@click.option("--metric", type=click.Choice(METRICS), help="How a file's answers are scored. [default: by its columns]")
@click.option("--max-tiles", type=COUNT, help=TILES)
@click.option("--out", type=Path, help="Folder of answers and report. [default: runs/eval- and the sets]")
@click.option("--dry-run", is_flag=True, help="Show sets, items and prompts, and ask nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the results, or with --dry-run the plan, as JSON.")
@click.option("--batch", type=COUNT, help="Questions at once. [default: 128 on a GPU, 16 on a CPU]")
@click.option("--seed", type=click.IntRange(0), help="Which items --limit chooses. [default: 0]")
@click.option("--device", help="cpu, cuda or cuda:N. [default: a GPU where there is one]")
@click.option("--dtype", help="float32, bfloat16 or float16. [default: float32 on a CPU, else bfloat16]")
@click.option("--session-len", type=COUNT, help="Tokens of prompt and answer at most. [default: 16384]")
def eval(sets: tuple[str, ...], out: Path | None, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Ask models the questions of each SET, score the answers, and write a report with the mistakes first.

    All others are compared with the first model, item by item. Every answer is kept in the folder of --out: the same
    command goes on after a stop, and asks only what is new.
    """
    from ivl.cli.eval_progress import answering_progress
    from ivl.cli.eval_telling import default_out, tell_results, tell_sets
    from ivl.evals.settings import EvalSettings

    settings = EvalSettings(**{name: given[name] for name in SETTINGS if given[name] is not None})
    status("reading the sets ...")
    from ivl.evals.sets import open_sets

    opened = open_sets(sets, metric=given["metric"], languages=given["languages"] or None, tasks=given["tasks"] or None)
    if dry_run:
        from ivl.cli.eval_plan import plan_data, plan_lines
        from ivl.evals.report import to_json

        names = (*given["models"], *given["adapters"])
        for line in [to_json(plan_data(opened, settings))] if as_json else plan_lines(opened, names, settings):
            show(line)
        return
    tell_sets(opened)
    from ivl.evals.report import write_report
    from ivl.evals.runner import evaluate
    from ivl.evals.subjects import make_subjects

    out = out or default_out(sets)
    subjects = make_subjects(given["models"], given["adapters"])
    try:
        with answering_progress() as tell:
            results = evaluate(subjects, opened, settings, out, tell)
    except KeyboardInterrupt:
        note(f"stopped: the answers so far are kept in {out}; the same command goes on with the rest")
        raise
    page = write_report(results, out)
    tell_results(results, as_json=as_json)
    note(f"report: {page}")
