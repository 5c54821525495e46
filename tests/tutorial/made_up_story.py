"""A story that never ran: a folder with all that its commands would have left, and a record of them."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from evals.made_results import choice_item, make_set, result, said
from ivl.evals.intervals import mean_interval
from ivl.evals.item import EvalResults, EvalSet, Item, SetResult, Subject
from ivl.evals.report import write_report
from ivl.tutorial.numbers import Numbers
from ivl.tutorial.record import Ran, Record, write_record
from ivl.tutorial.step import Story
from ivl.tutorial.story import AFTER, BEFORE, REPLAY, make_story
from ivl.zoo import foods_folder

ANSWERS = {BEFORE: "a dish", AFTER: "dumpling 饺子", REPLAY: "图中的菜是饺子。 The dish is dumpling."}


def general_folder(folder: Path) -> Path:
    """A general set whose files are there and empty."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train.jsonl", "test.jsonl"):
        (folder / name).touch()
    return folder


def make_up(folder: Path, numbers: Numbers | None = None, model: str | None = None) -> Story:
    """A story with replay, in `folder`/out; nothing is there yet."""
    general = general_folder(folder / "general")
    return make_story(numbers or Numbers(), folder / "out", model, foods_folder(), general)


def finish(story: Story, answers: dict[str, str] | None = None) -> Record:
    """All that the commands would have left, and the record of them."""
    story.out.mkdir(parents=True, exist_ok=True)
    record = Record(begun="2026-11-24 10:00 UTC", machine="Linux x86_64, 2 cores")
    for step in story.steps:
        record.steps[step.name] = [
            Ran(
                line=command.line,
                seconds=3.0,
                exit_code=0,
                output=(answers or ANSWERS).get(command.subject, "") if command.asks else "train  4,994 records\n",
            )
            for command in step.commands
        ]
    write_record(record, story.out)
    for number, folder in enumerate(story.runs.values()):
        write_metrics(folder, 60 + 30 * number)
    naming = (make_set("food-styles-naming-en", _items(12), "contains"), make_set("food-styles-sivqa-zh", _items(12)))
    write_report(evaluated(story, naming), story.food_results)
    if story.general_results is not None:
        write_report(evaluated(story, (make_set("general-counting", _items(12), "exact"),)), story.general_results)
    return record


def evaluated(story: Story, sets: Sequence[EvalSet]) -> EvalResults:
    """Each subject is right more often than the one before it, and answers at greater length."""
    subjects = tuple(
        Subject(name=name, folder="zoo", adapter=None if path is None else str(path))
        for name, path in story.subjects.items()
    )
    results = [
        _result(each.name, eval_set, number) for eval_set in sets for number, each in enumerate(subjects, start=1)
    ]
    return EvalResults(
        subjects=subjects, sets=tuple(sets), results=tuple(results), scoring="generate", circumstances={"device": "cpu"}
    )


def write_metrics(folder: Path, num_steps: int) -> None:
    """A metrics.jsonl whose loss falls."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as file:
        for step in range(1, num_steps + 1):
            loss = 0.4 + 3 * math.exp(-step / 15) + 0.2 * math.sin(step * 1.7)
            record = {"kind": "step", "step": step, "loss": loss, "num_samples": 16, "seconds": 1.2}
            file.write(json.dumps(record) + "\n")


def _items(number: int) -> tuple[Item, ...]:
    return tuple(choice_item(each) for each in range(number))


def _result(subject: str, eval_set: EvalSet, worth: int) -> SetResult:
    answers = []
    for number, item in enumerate(eval_set.items):
        is_right = number % 4 < worth
        text = "It is a dumpling, and it comes from China." if worth > 1 else "food"
        answers.append(said(item, text, float(is_right)))
    scores = (mean_interval([each.score for each in answers]),)
    return result(subject, eval_set, tuple(answers), scores=scores)
