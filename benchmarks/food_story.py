"""The food story's tables in one go: what a fine-tune on dishes teaches, what is forgotten, what replay keeps.

    PYTHONPATH=src:. python benchmarks/food_story.py --model out/nano/ivl-nano --out out/food_story --commit HASH
    PYTHONPATH=src:. python benchmarks/food_story.py --toy --out /tmp/story       on a CPU, to see that all of it works

Stages (`--only data,train,eval,report`; what is done already is not done again):
data: new scenes of foods and questions about them in trained and held-out styles, the blind test, general sets, food
data in full and terse answers, general data for replay. train: `ivl train` on each of RUNS. eval: the model and all
adapters side by side, several processes. report: OUT/results.json and OUT/tables.md, from the answers that are there.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from food_story.answering import evaluate_side_by_side, forget_shards
from food_story.data import TOY, Amounts, Places, make_data
from food_story.facts import run_facts
from food_story.report import blind_data, markdown, story_data
from food_story.sets import open_grey_sets, open_story_sets
from food_story.training import RUNS, Run, Settings, adapter_of, curve_of, train_all

from ivl.evals.item import EvalResults, EvalSet, Subject
from ivl.evals.report import to_json, write_report
from ivl.evals.settings import EvalSettings
from ivl.zoo import nano_folder

STAGES = ("data", "train", "eval", "report")
AFTER = ("food-vision-replay", "food-replay", "food")
"""The targets are asked of the first of these that was run, unless --after says another."""
BASE = "before"


class Story:
    """One run of the script."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.places = Places(out=args.out.resolve(), pack=args.pack, fonts=args.fonts, replay=args.replay_data)
        self.model = (nano_folder() if args.toy and not args.model else args.model).resolve()
        self.runs = tuple(run for run in RUNS if run.name in args.runs.split(","))
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.prompts = 1 if args.toy else args.prompts

    def data(self) -> dict[str, float]:
        amounts = TOY if self.args.toy else Amounts(more=self.args.more, number=self.args.number)
        return make_data(self.places, amounts, self.device)

    def train(self) -> dict[str, float]:
        given = {"epochs": self.args.epochs, "steps": self.args.steps, "at_once": self.args.at_once, "lr": self.args.lr}
        toy = {"steps": 1, "at_once": 1, "pack": 2048, "rank": 4} if self.args.toy else {}
        settings = Settings(**{**given, **toy})
        return train_all(self.runs, self.places, self.model, settings)

    def eval(self) -> dict[str, float]:
        seconds = {}
        for name, subjects, sets in self.tables():
            began = time.monotonic()
            self.ask(name, subjects, sets, self.args.workers)
            forget_shards(self.places.out / name)
            seconds[name] = round(time.monotonic() - began, 1)
        return seconds

    def report(self, seconds: dict[str, float]) -> None:
        """From the answers that are there; what is missing is asked first."""
        data: dict[str, Any] = {"run": self.facts(seconds), "training": {r.name: self.trained(r) for r in self.runs}}
        for name, subjects, sets in self.tables():
            results = self.ask(name, subjects, sets, 1)
            write_report(results, self.places.out / name)
            key = "story" if name == "eval" else "blind"
            data[key] = story_data(results, self.after()) if key == "story" else blind_data(results)
        (self.places.out / "results.json").write_text(to_json(data), "utf-8")
        (self.places.out / "tables.md").write_text(markdown(data), "utf-8")
        print((self.places.out / "tables.md").read_text("utf-8"))

    def tables(self) -> list[tuple[str, list[Subject], tuple[EvalSet, ...]]]:
        """Folder, subjects and sets of the two evaluations."""
        base = Subject(name=BASE, folder=str(self.model))
        tuned = {
            run.name: Subject(name=run.name, folder=str(self.model), adapter=str(adapter_of(self.places, run)))
            for run in self.runs
        }
        seeing = [base, *(subject for name, subject in tuned.items() if name != "grey")]
        found = [("eval", seeing, open_story_sets(self.places.sets, self.prompts))]
        if "grey" in tuned:
            found.append(("eval-grey", [tuned["grey"]], open_grey_sets(self.places.sets, self.prompts)))
        return found

    def ask(self, name: str, subjects: list[Subject], sets: tuple[EvalSet, ...], workers: int) -> EvalResults:
        settings = EvalSettings(limit=2 if self.args.toy else None, batch=None if self.device == "cuda" else 8)
        return evaluate_side_by_side(subjects, sets, settings, self.places.out / name, workers)

    def after(self) -> str:
        names = [run.name for run in self.runs]
        return self.args.after or next((name for name in AFTER if name in names), BASE)

    def trained(self, run: Run) -> dict[str, Any]:
        return curve_of(self.places, run)

    def facts(self, seconds: dict[str, float]) -> dict[str, Any]:
        model = str(self.args.model or "the model in the package")
        return run_facts(self.args.commit, seconds) | {"model": model}


def main() -> None:
    args = _parser().parse_args()
    unknown = set(args.only.split(",")) - set(STAGES) | set(args.runs.split(",")) - {run.name for run in RUNS}
    if unknown:
        sys.exit(f"no such stage or run: {', '.join(sorted(unknown))}")
    if not args.model and not args.toy:
        sys.exit("--model FOLDER is needed")
    story, times = Story(args), args.out / "seconds.json"
    args.out.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = json.loads(times.read_text("utf-8")) if times.exists() else {}
    for stage in ("data", "train", "eval"):
        if stage in args.only.split(","):
            began = time.monotonic()
            seconds |= getattr(story, stage)()
            seconds[f"all of {stage}"] = round(time.monotonic() - began, 1)
            print(f"{stage}: {seconds[f'all of {stage}']} s", flush=True)
            times.write_text(json.dumps(seconds, indent=1), "utf-8")
    if "report" in args.only.split(","):
        story.report(seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="the model's folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default=",".join(STAGES), help="stages, parted by commas")
    parser.add_argument("--runs", default=",".join(run.name for run in RUNS), help="fine-tunes, parted by commas")
    parser.add_argument("--after", help="the subject that the targets are asked of")
    parser.add_argument("--pack", type=Path, default=Path("out/nano/pack.npz"))
    parser.add_argument("--fonts", type=Path, default=Path("out/nano/fonts"))
    parser.add_argument("--replay-data", type=Path, help="what tools.nano.generate wrote; else some is made")
    parser.add_argument("--more", type=int, default=4, help="new training pictures of each food and style")
    parser.add_argument("--number", type=int, default=528, help="test questions on one picture in each set")
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--steps", type=int, help="of a fine-tune at most")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--at-once", type=int, default=3, help="fine-tunes side by side")
    parser.add_argument("--workers", type=int, default=6, help="processes that answer")
    parser.add_argument("--prompts", type=int, default=4, help="of FoodieQA's protocol")
    parser.add_argument("--commit", help="where git cannot tell it")
    parser.add_argument("--toy", action="store_true", help="next to nothing of everything, to try the script")
    return parser


if __name__ == "__main__":
    main()
