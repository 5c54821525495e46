"""Items with their answers, the mistakes first: which are shown, and one of them as HTML.

In: a set and what the subjects said. Out: HTML, bounded in number and size. Every text of a model or a data set goes
through `inert`.
"""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from ivl.data.thumbnail import thumbnail
from ivl.errors import ImageError
from ivl.evals.item import EvalSet, Item, Prediction, SetResult
from ivl.evals.report_data import best_predictions, is_right
from ivl.evals.report_words import inert, score_text

VERDICTS = ("lost", "wrong", "gained", "scored", "right")
"""Of an item, in the order of showing. "lost": the first subject was right and another is not, "gained": the other way
round; "scored": there is no right and wrong."""
LONGEST_ANSWER = 600
PICTURE_SIDE = 320
"""Pixels; of several pictures each is half as large."""
MOST_PICTURES = 6
"""Of one item."""
_BOX = re.compile(r"\[\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*\]")
_MOST_BOXES = 20


@dataclass(frozen=True, kw_only=True)
class Case:
    """An item and what each subject said to it under its best prompt."""

    item: Item
    answers: tuple[tuple[str, Prediction], ...]
    verdict: str
    """One of VERDICTS."""

    @property
    def worth(self) -> float:
        """Mean score of its answers."""
        return sum(prediction.score for _, prediction in self.answers) / len(self.answers)


class PictureBudget:
    """Thumbnails as data URIs until the page holds as many bytes as it may."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self.num_refused = 0
        """Pictures that were left out for their size."""

    def draw(self, item: Item, number: int, side: int) -> str:
        """One picture of an item; words in its place where it cannot be shown."""
        try:
            data = thumbnail(item.images[number], side)
        except ImageError as error:
            return f'<span class="nopicture">{inert(error, 200)}</span>'
        if len(data) > self._left:
            self.num_refused += 1
            return '<span class="nopicture">left out: the page has its size</span>'
        self._left -= len(data)
        name = inert(f"picture {number + 1} of {item.item_id}", 120)
        return f'<img alt="{name}" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'


def make_cases(eval_set: EvalSet, results: Sequence[SetResult]) -> list[Case]:
    """Every item of a set. results: of each subject, the first one being compared with."""
    columns = [best_predictions(result) for result in results]
    names = [result.subject for result in results]
    cases = []
    for item, *predictions in zip(eval_set.items, *columns, strict=True):
        rights = [is_right(eval_set.metric, prediction) for prediction in predictions]
        answers = tuple(zip(names, predictions, strict=True))
        cases.append(Case(item=item, answers=answers, verdict=_verdict(rights)))
    return cases


def choose(cases: Sequence[Case], most: int) -> list[Case]:
    """At most so many, the verdicts in their order, none crowding out the others, each from all over the set."""
    groups = [group for verdict in VERDICTS if (group := [each for each in cases if each.verdict == verdict])]
    shares = [0] * len(groups)
    for _ in range(min(most, len(cases))):
        open_groups = [index for index, group in enumerate(groups) if shares[index] < len(group)]
        shares[min(open_groups, key=lambda index: shares[index])] += 1
    return [case for group, share in zip(groups, shares, strict=True) for case in _worst(group, share)]


def render_case(case: Case, eval_set: EvalSet, pictures: PictureBudget) -> str:
    """One card."""
    item = case.item
    badge = "" if case.verdict == "scored" else f'<span class="badge {case.verdict}">{case.verdict}</span>'
    answers = "".join(_answer(name, said, eval_set, number) for number, (name, said) in enumerate(case.answers))
    return (
        f"<article>{_pictures(case, eval_set, pictures)}<div>"
        f'<p class="id">{inert(item.item_id, 120)} <span class="where">{inert(item.where, 160)}</span> {badge}</p>'
        f'<p class="question" dir="auto">{inert(item.question)}</p>{_choices(case)}{_expected(item)}'
        f"<dl>{answers}</dl></div></article>"
    )


def boxes_in(text: str) -> list[tuple[float, float, float, float]]:
    """Boxes [x1, y1, x2, y2] that stand in a text, from 0 to 1000; others are left out."""
    found = []
    for match in _BOX.finditer(text):
        try:
            left, top, right, bottom = (float(number) for number in match.groups())
        except ValueError:
            continue
        if 0 <= left < right <= 1000 and 0 <= top < bottom <= 1000:
            found.append((left, top, right, bottom))
    return found[:_MOST_BOXES]


def _verdict(rights: Sequence[bool | None]) -> str:
    if None in rights:
        return "scored"
    if all(rights):
        return "right"
    if not any(rights):
        return "wrong"
    return "lost" if rights[0] else "gained"


def _worst(group: list[Case], share: int) -> list[Case]:
    """The lowest; of equals those that stand evenly apart, because neighbours in a file are alike."""
    ordered = sorted(range(len(group)), key=lambda index: group[index].worth)
    if not share:
        return []
    limit = group[ordered[share - 1]].worth
    below = [index for index in ordered if group[index].worth < limit]
    equal = [index for index in ordered if group[index].worth == limit]
    wanted = share - len(below)
    chosen = below + [equal[place * len(equal) // wanted] for place in range(wanted)]
    return [group[index] for index in chosen]


def _pictures(case: Case, eval_set: EvalSet, pictures: PictureBudget) -> str:
    item = case.item
    if not item.images:
        return ""
    shown = min(len(item.images), MOST_PICTURES)
    side = PICTURE_SIDE if shown == 1 else PICTURE_SIDE // 2
    drawn = [pictures.draw(item, number, side) for number in range(shown)]
    if len(item.images) > shown:
        drawn.append(f'<span class="nopicture">{len(item.images) - shown} more</span>')
    if shown > 1:
        marks = " lettered" if len(item.images) == len(item.choices) else ""
        return f'<div class="pictures several{marks}">{"".join(f"<span>{each}</span>" for each in drawn)}</div>'
    boxes = _boxes(case) if eval_set.metric == "iou" and len(item.images) == 1 else ""
    return f'<div class="pictures"><span class="frame">{drawn[0]}{boxes}</span></div>'


def _boxes(case: Case) -> str:
    """What was expected, and what each subject pointed at, laid over the picture."""
    drawn = [_rectangles(case.item.answers, "expected")]
    for number, (_, said) in enumerate(case.answers):
        drawn.append(_rectangles([said.parsed or ""], f"subject-{number % 6}"))
    return f'<svg class="boxes" viewBox="0 0 1000 1000" preserveAspectRatio="none">{"".join(drawn)}</svg>'


def _rectangles(texts: Iterable[str], look: str) -> str:
    return "".join(
        f'<rect class="{look}" x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}"/>'
        for text in texts
        for left, top, right, bottom in boxes_in(text)
    )


def _choices(case: Case) -> str:
    item = case.item
    if not item.choices:
        return ""
    rows = []
    for letter, choice in zip(item.letters, item.choices, strict=True):
        look = ' class="correct"' if letter in item.answers else ""
        rows.append(f'<li{look} dir="auto"><b>{letter}</b> {inert(choice, 300)}</li>')
    return f'<ul class="choices">{"".join(rows)}</ul>'


def _expected(item: Item) -> str:
    if item.choices:
        return ""  # marked among the choices
    text = " · ".join(item.answers[:8]) + (" …" if len(item.answers) > 8 else "")
    return f'<p class="expected" dir="auto"><span>expected</span> {inert(text, LONGEST_ANSWER)}</p>'


def _answer(name: str, said: Prediction, eval_set: EvalSet, number: int) -> str:
    look, word = _state(said, eval_set)
    text = inert(said.text, LONGEST_ANSWER) or "<i>nothing</i>"
    is_apart = said.parsed is not None and said.finish_reason and said.parsed.strip() != said.text.strip()
    parsed = f' <span class="parsed">read as <b>{inert(said.parsed, 200)}</b></span>' if is_apart else ""
    cut = ' <span class="parsed">cut by its length</span>' if said.finish_reason == "length" else ""
    return (
        f'<dt class="subject-{number % 6}">{inert(name, 80)}</dt>'
        f'<dd dir="auto"><span class="badge {look}">{word}</span> {text}{parsed}{cut}</dd>'
    )


def _state(said: Prediction, eval_set: EvalSet) -> tuple[str, str]:
    """How one answer's badge looks, and its word."""
    if not said.finish_reason:
        return "failed", "could not be answered"
    if said.parsed is None:
        return "unparsed", "not readable"
    right = is_right(eval_set.metric, said)
    word = "right" if right else "wrong"
    if right is None or said.score not in (0.0, 1.0):
        word = escape(score_text(eval_set.metric, said.score))
    return "scored" if right is None else "right" if right else "wrong", word
