"""The tables of the food story, from what the subjects said.

In: `EvalResults`. Out: rows of plain values, each score with its 95% interval. Knows no Markdown.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from food_story.sets import FOOD_PARTS, GENERAL, KIND
from ivl.evals.clusters import cluster_of
from ivl.evals.intervals import mean_interval, paired_difference
from ivl.evals.item import EvalResults, EvalSet, Item, Prediction, Score
from ivl.evals.style import manner

Pair = tuple[Item, Prediction]
Keep = Callable[[Item], bool]
HELD_OUT = ("openmoji", "fxemoji")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: what was asked, and each subject's score."""

    title: str
    scores: dict[str, Score]
    """By subject."""


def asked(results: EvalResults, set_name: str, subject: str, prompt: int | None = None) -> list[Pair]:
    """Items of a set with what a subject said, under one prompt or its best."""
    result = results.result(set_name, subject)
    said = result.predictions[result.best_prompt if prompt is None else prompt]
    items = next(each.items for each in results.sets if each.name == set_name)
    return list(zip(items, said, strict=True))


def naming_rows(results: EvalResults) -> Iterator[Row]:
    """Dishes named, by language: new scenes of trained styles, of held-out ones, and of each of these."""
    for language in ("zh", "en"):
        for part in FOOD_PARTS:
            name = f"food-{part}-naming-{language}"
            yield _row(results, [name], f"{part} styles, {language}")
            for style in HELD_OUT if part == "heldout" else ():
                yield _row(results, [name], f"{style}, {language}", lambda item, s=style: ("style", s) in item.tags)


def choice_rows(results: EvalResults) -> Iterator[Row]:
    """Questions in FoodieQA's shape under the best prompt."""
    for each in results.sets:
        if each.name.startswith("food-") and each.metric == "choice":
            yield _row(results, [each.name], each.name.removeprefix("food-"))


def general_rows(results: EvalResults) -> Iterator[Row]:
    """Each ability in trained and in held-out styles."""
    for each in _general(results):
        title = each.name.removeprefix(GENERAL)
        styles = {dict(item.tags).get("style", "") for item in each.items}
        if styles <= {"text"}:
            yield _row(results, [each.name], title)
            continue
        yield _row(results, [each.name], f"{title}, trained styles", lambda item: ("style", "trained") in item.tags)
        yield _row(results, [each.name], f"{title}, held-out styles", lambda item: _style(item) in HELD_OUT)


def difference_rows(results: EvalResults) -> Iterator[Row]:
    """Each subject less the first, on the same items: names, questions, and what was forgotten."""
    names = [each.name for each in results.sets]
    groups = {
        "dishes named, trained styles": [n for n in names if "naming" in n and "-trained-" in n],
        "dishes named, held-out styles": [n for n in names if "naming" in n and "-heldout-" in n],
        "one picture, trained styles": [n for n in names if "trained-sivqa" in n],
        "one picture, held-out styles": [n for n in names if "heldout-sivqa" in n],
        "general abilities, pooled": [n for n in names if n.startswith(GENERAL) and n != KIND],
    }
    groups |= {n: [n] for n in names if n.startswith(GENERAL)}
    first = results.subjects[0].name
    for title, sets in groups.items():
        scores = {}
        for subject in results.subjects[1:]:
            before = [pair for name in sets for pair in asked(results, name, first)]
            after = [pair for name in sets for pair in asked(results, name, subject.name)]
            if before:
                scores[subject.name] = paired_difference(
                    [p.score for _, p in before], [p.score for _, p in after], [cluster_of(item) for item, _ in before]
                )
        if scores:
            yield Row(title=title, scores=scores)


def manner_rows(results: EvalResults) -> Iterator[dict[str, Any]]:
    """How long answers are, and how many are sentences: of names of dishes, of kinds of things, of refusals."""
    names = [each.name for each in results.sets]
    groups = {
        "names of dishes": [n for n in names if "naming" in n],
        "kinds of things": [KIND],
        "refusals": [n for n in names if n.startswith("general-refusal")],
    }
    for title, sets in groups.items():
        for subject in results.subjects:
            said = [p for n in sets if n in names for _, p in asked(results, n, subject.name) if p.finish_reason]
            if said:
                yield {"asked": title, "subject": subject.name, **asdict(manner(said))}


def blind_rows(results: EvalResults) -> Iterator[Row]:
    """Of each subject on grey pictures: each set under its best prompt, and all answers of all prompts together."""
    for each in results.sets:
        yield _row(results, [each.name], f"{each.language}, best prompt")
    scores = {}
    for subject in results.subjects:
        pairs = [
            pair
            for each in results.sets
            for prompt in range(each.num_prompts)
            for pair in asked(results, each.name, subject.name, prompt)
        ]
        scores[subject.name] = _mean(pairs)
    yield Row(title="both languages, all prompts", scores=scores)


def worst_unparsed(results: EvalResults) -> dict[str, int]:
    """Answers that could not be read, or not be asked, by subject and set, where there are any."""
    return {
        f"{each.subject} on {each.set_name}": each.num_unparsed + each.num_failed
        for each in results.results
        if each.num_unparsed or each.num_failed
    }


def mean_of(rows: Sequence[Row], titles: Sequence[str], subject: str) -> float:
    """The plain mean of some rows' scores; not a number where one is not there."""
    found = {row.title: row.scores[subject].mean for row in rows if subject in row.scores}
    return fmean(found.get(title, float("nan")) for title in titles)


def _row(results: EvalResults, sets: Sequence[str], title: str, keep: Keep = lambda item: True) -> Row:
    scores = {}
    for subject in results.subjects:
        pairs = [pair for name in sets for pair in asked(results, name, subject.name) if keep(pair[0])]
        if pairs:
            scores[subject.name] = _mean(pairs)
    return Row(title=title, scores=scores)


def _mean(pairs: Sequence[Pair]) -> Score:
    """Questions about one picture are no independent ones."""
    return mean_interval([prediction.score for _, prediction in pairs], [cluster_of(item) for item, _ in pairs])


def _general(results: EvalResults) -> list[EvalSet]:
    return [each for each in results.sets if each.name.startswith(GENERAL)]


def _style(item: Item) -> str:
    return dict(item.tags).get("style", "")
