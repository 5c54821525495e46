"""What the steps left behind, read for the report: scores, lengths of answers, loss curves, which answers were right.

In: folders of evaluations and training runs, and the record. Out: frozen values. Knows no layout.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ivl.data.foodieqa import Language
from ivl.errors import DataError, shown
from ivl.evals.item import EvalSet, Item, Metric, Score
from ivl.evals.own import naming_sets
from ivl.evals.scoring import score
from ivl.train.metrics import History, read_history
from ivl.tutorial.record import Record
from ivl.tutorial.step import Question, Story

RESULTS = "results.json"
_MOST_BYTES = 64 * 2**20
_VERDICTS = ("better", "worse", "same")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a subject gained over the first, item by item."""

    score: Score
    verdict: str
    """better, worse or same."""


@dataclass(frozen=True, kw_only=True)
class SetFigures:
    """One set of questions, of all subjects."""

    name: str
    title: str
    metric: Metric
    num_items: int
    chance: float | None
    scores: Mapping[str, Score]
    """By subject."""
    lengths: Mapping[str, tuple[float, float]]
    """By subject, of open questions: characters an answer, share of answers that are sentences."""
    differences: Mapping[str, Difference]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One evaluation."""

    sets: tuple[SetFigures, ...]
    pooled: Mapping[str, Difference]
    """Over all its sets, each item counting once; nothing where there is only one set."""

    def over_all(self, subject: str) -> Difference | None:
        """What a subject gained in all; None where that is not known."""
        return self.pooled.get(subject) or (self.sets[0].differences.get(subject) if len(self.sets) == 1 else None)


@dataclass(frozen=True, kw_only=True)
class Said:
    """One question of the chats and its answers."""

    question: Question
    expected: str
    """The usual name; empty where the food set does not know the picture."""
    answers: Mapping[str, tuple[str, bool | None]]
    """By subject: what was said, and whether it names the dish; None where that is not known."""


def read_figures(folder: Path) -> Figures | None:
    """The results of `ivl eval`; None where there are none yet. Raises DataError for a damaged file."""
    path = folder / RESULTS
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_MOST_BYTES))
        differences = [(each["set"], each["subject"], _difference(each)) for each in data["differences"]]
        sets = tuple(_set_figures(each, differences) for each in data["sets"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{str(path)!r} cannot be read ({shown(reason)}): evaluate again") from None
    return Figures(sets=sets, pooled={subject: each for name, subject, each in differences if name is None})


def read_runs(story: Story) -> dict[str, History]:
    """The training runs that have begun, by subject."""
    files = {subject: folder / "metrics.jsonl" for subject, folder in story.runs.items()}
    return {subject: read_history(path) for subject, path in files.items() if path.is_file()}


def read_chats(story: Story, record: Record) -> list[Said]:
    """All questions in their order, with the answers that are there."""
    said = record.answers(story)
    sets = {language: _naming(story.foods, language) for language in get_args(Language)}
    chats = []
    for index, question in enumerate(story.questions):
        known = sets.get(question.language)
        item = _item(known, question.picture)
        texts = {subject: said[index, subject] for subject in story.subjects if (index, subject) in said}
        answers = {subject: (text, _is_right(known, item, text)) for subject, text in texts.items()}
        chats.append(Said(question=question, expected=item.answers[0] if item else "", answers=answers))
    return chats


def _naming(foods: Path, language: Language) -> EvalSet | None:
    """The names of the test pictures, by the very rules that the evaluation has."""
    found = naming_sets(foods / "test_styles", "food-styles", (language,))
    return found[0] if found else None


def _item(known: EvalSet | None, picture: Path) -> Item | None:
    place = picture.resolve()
    items = known.items if known else ()
    return next((item for item in items if Path(str(item.images[0])).resolve() == place), None)


def _is_right(known: EvalSet | None, item: Item | None, text: str) -> bool | None:
    if known is None or item is None:
        return None
    return score(known, item, text)[1] >= 0.5


def _set_figures(data: Mapping[str, Any], differences: list[tuple[Any, str, Difference]]) -> SetFigures:
    results, metric = data["results"], data["metric"]
    if metric not in get_args(Metric):
        raise ValueError(f"metric {metric!r:.60} is not known")
    lengths = {}
    for each in results:
        if each["mean_characters"] is not None:
            lengths[str(each["subject"])] = (_number(each["mean_characters"]), _number(each["share_of_sentences"]))
    return SetFigures(
        name=str(data["name"]),
        title=str(data["title"]),
        metric=metric,
        num_items=int(data["num_items"]),
        chance=None if data["chance"] is None else _number(data["chance"]),
        scores={str(each["subject"]): _score(each["score"]) for each in results},
        lengths=lengths,
        differences={subject: each for name, subject, each in differences if name == data["name"]},
    )


def _difference(data: Mapping[str, Any]) -> Difference:
    if data["verdict"] not in _VERDICTS:
        raise ValueError(f"verdict {data['verdict']!r:.60} is not known")
    return Difference(score=_score(data), verdict=data["verdict"])


def _score(data: Mapping[str, Any]) -> Score:
    return Score(mean=_number(data["mean"]), low=_number(data["low"]), high=_number(data["high"]), n=int(data["n"]))


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r:.60} is no number")
    return number
