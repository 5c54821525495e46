"""Answers of one subject to one set -> scores with intervals: of each prompt, of the best one, of its slices.

In: a set and what was said to its items. Out: a `SetResult`. Knows no files, no pipeline; arithmetic is `scoring`'s and
`intervals`'. Items with the same pictures are drawn together (`clusters`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from ivl.evals.clusters import cluster_of
from ivl.evals.intervals import mean_interval
from ivl.evals.item import EvalSet, Item, Prediction, Score, SetResult
from ivl.evals.predictions import Answer
from ivl.evals.scoring import HIGHEST, rescore, score


def set_result(
    subject: str, eval_set: EvalSet, whole_set: EvalSet, answers: Sequence[Sequence[Answer]], seconds: float = 0.0
) -> SetResult:
    """answers: [prompt][item], items in the order of `eval_set`, which are all or some of `whole_set`.

    The best prompt is the first of the highest mean.
    """
    predictions = tuple(_predictions(eval_set, whole_set, row) for row in answers)
    clusters = [cluster_of(item) for item in eval_set.items]
    highest = HIGHEST[eval_set.metric]
    scores = tuple(_mean(row, clusters, highest) for row in predictions)
    best = max(range(len(scores)), key=lambda prompt: scores[prompt].mean)
    asked = [each for each in predictions[best] if each.finish_reason]
    return SetResult(
        subject=subject,
        set_name=eval_set.name,
        predictions=predictions,
        scores=scores,
        best_prompt=best,
        num_unparsed=sum(each.parsed is None for each in asked),
        num_failed=len(predictions[best]) - len(asked),
        mean_tokens=sum(each.num_tokens for each in asked) / len(asked) if asked else 0.0,
        slices=_slices(eval_set.items, predictions[best], clusters, highest),
        seconds=seconds,
    )


def _predictions(eval_set: EvalSet, whole_set: EvalSet, answers: Sequence[Answer]) -> tuple[Prediction, ...]:
    """Of one prompt: first each answer by itself, then what only the whole set can tell (CIDEr)."""
    alone = [_prediction(eval_set, item, answer) for item, answer in zip(eval_set.items, answers, strict=True)]
    worths = rescore(whole_set, alone)
    return tuple(replace(each, score=worth) for each, worth in zip(alone, worths, strict=True))


def _prediction(eval_set: EvalSet, item: Item, answer: Answer) -> Prediction:
    parsed, worth = (None, 0.0) if answer.is_failed else score(eval_set, item, answer.text)
    return Prediction(
        item_id=item.item_id,
        prompt=answer.prompt,
        text=answer.text,
        parsed=parsed,
        score=worth,
        num_tokens=answer.num_tokens,
        finish_reason=answer.finish_reason,
    )


def _mean(predictions: Sequence[Prediction], clusters: Sequence[Hashable], highest: float) -> Score:
    return mean_interval([each.score for each in predictions], clusters, high=highest)


def _slices(
    items: Sequence[Item], predictions: Sequence[Prediction], clusters: Sequence[Hashable], highest: float
) -> tuple[tuple[str, str, Score], ...]:
    """Of each value of each tag, in the order of their first items."""
    groups: dict[str, dict[str, list[int]]] = {}
    for idx, item in enumerate(items):
        for tag, value in item.tags:
            groups.setdefault(tag, {}).setdefault(value, []).append(idx)
    return tuple(
        (tag, value, _mean([predictions[idx] for idx in group], [clusters[idx] for idx in group], highest))
        for tag, values in groups.items()
        for value, group in values.items()
    )
