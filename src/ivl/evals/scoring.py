"""What an answer was worth, by its set's metric.

In: a set, one of its items, and the text that a model said. Out: what was read from it, and a score. Knows no model, no
file and no prompt. An answer that cannot be read is worth 0 and counted; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

from ivl.errors import DataError, shown
from ivl.evals import boxes, captions, letters, texts
from ivl.evals.item import EvalSet, Item, Metric, Prediction
from ivl.evals.names import score_name

Parsed = tuple[str | None, float]
HIGHEST: dict[Metric, float] = {metric: 10.0 if metric == "cider" else 1.0 for metric in get_args(Metric)}
"""What an answer can be worth at most, by its set's metric."""


def score(eval_set: EvalSet, item: Item, text: str) -> Parsed:
    """What was read from an answer, and its score from 0 to 1; (None, 0.0) where nothing can be read.

    `choice`: the letter, and whether it is the right one. `iou`: the boxes, and their F1 at IoU 0.5, the best over the
    item's answers. `exact`, `contains`, `vqa`, `anls`, `relaxed`: the text as the metric compares it, and its score.
    `cider`: the words, and 0 until `rescore`, for it takes the whole set to say how rare a word is.

    Raises DataError, with the item's place, where the item itself cannot be scored (`check_item`).
    """
    check_item(eval_set.metric, item)
    return _SCORERS[eval_set.metric](item, text)


def rescore(eval_set: EvalSet, predictions: Sequence[Prediction]) -> list[float]:
    """The scores of all of one prompt's predictions, in their order: for `cider` computed now, else as they are.

    How rare words are is taken from the references of the whole set, also where only some of its items were asked.
    A prediction without `parsed` (nothing said, or no answer) has 0. Raises ValueError for an item that is not in the
    set.
    """
    if eval_set.metric != "cider":
        return [prediction.score for prediction in predictions]
    said = {prediction.item_id: prediction for prediction in predictions}
    unknown = said.keys() - {item.item_id for item in eval_set.items}
    if unknown:
        raise ValueError(f"{eval_set.name} has no item {shown(min(unknown))}")
    heard = {name: each.text for name, each in said.items() if each.parsed is not None}
    scores = captions.corpus_score(
        [heard.get(item.item_id, "") for item in eval_set.items], [item.answers for item in eval_set.items]
    )
    by_id = {item.item_id: each for item, each in zip(eval_set.items, scores, strict=True)}
    return [by_id[prediction.item_id] for prediction in predictions]


def check_item(metric: Metric, item: Item) -> None:
    """Raise DataError, with the item's place in front, if no answer could ever be scored against it."""
    given = [bool(answer.strip()) for answer in item.answers]  # of ten people asked for `vqa`, some say nothing
    if not (any(given) if metric == "vqa" else given and all(given)):
        raise DataError(f"{item.where}: an answer is missing or empty", rule="empty answer")
    if metric == "choice":
        if not 2 <= len(item.choices) <= 26:
            raise DataError(f"{item.where}: {len(item.choices)} choices; 2 to 26 are allowed", rule="record")
        wrong = [answer for answer in item.answers if len(answer) != 1 or answer not in item.letters]
        if wrong:
            allowed = f"allowed: one letter of {item.letters}"
            raise DataError(f"{item.where}: the answer {shown(wrong[0])} is no choice; {allowed}", rule="record")
    if metric == "iou":
        for answer in item.answers:
            if boxes.read_boxes(answer) is None:
                raise DataError(
                    f"{item.where}: the answer {shown(answer)} is no list of boxes: [[x1, y1, x2, y2], ...] of whole "
                    "numbers from 0 to 1000, x1 < x2, y1 < y2",
                    rule="box",
                )


def _choice(item: Item, text: str) -> Parsed:
    letter = letters.read_letter(text, item.choices)
    return letter, float(letter in item.answers)


def _iou(item: Item, text: str) -> Parsed:
    found = boxes.read_boxes(text)
    if found is None:
        return None, 0.0
    expected = [boxes.read_boxes(answer) for answer in item.answers]
    return boxes.boxes_text(found), max(boxes.box_score(found, right) for right in expected if right is not None)


def _cider(item: Item, text: str) -> Parsed:
    return " ".join(captions.tokenise(text)) or None, 0.0


def _worded(read: Callable[[str], str], worth: Callable[[str, Sequence[str]], float]) -> Callable[[Item, str], Parsed]:
    """A scorer of texts: what it reads, and what that is worth."""

    def scorer(item: Item, text: str) -> Parsed:
        parsed = read(text)
        return (parsed, worth(text, item.answers)) if parsed else (None, 0.0)

    return scorer


def _spaced(text: str) -> str:
    return " ".join(text.split())


_SCORERS: dict[Metric, Callable[[Item, str], Parsed]] = {
    "choice": _choice,
    "exact": _worded(texts.normalise, texts.exact_match),
    "contains": score_name,
    "vqa": _worded(texts.vqa_normalise, texts.vqa_accuracy),
    "anls": _worded(_spaced, texts.anls),
    "relaxed": _worded(_spaced, texts.relaxed_accuracy),
    "cider": _cider,
    "iou": _iou,
}
