"""Two subjects on the same items: what fine-tuning gave, what was forgotten, how much shorter answers became.

In: results. Out: paired differences with their intervals. Knows no report and no thresholds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean

from ivl.errors import SettingsError, nearest
from ivl.evals.clusters import cluster_of
from ivl.evals.intervals import paired_difference
from ivl.evals.item import EvalResults, Item, Prediction, Score
from ivl.evals.scoring import HIGHEST

Pair = tuple[Item, Prediction, Prediction]
"""An item, and what was said before and after."""


@dataclass(frozen=True, kw_only=True)
class AnswerLengths:
    """How long answers are, over items that both subjects were asked."""

    tokens_before: float
    """Mean, the end token included."""
    tokens_after: float
    characters_before: float
    """Mean; comparable between models of different tokenizers."""
    characters_after: float
    difference: Score
    """Paired, in characters: after less before."""

    @property
    def ratio(self) -> float:
        """Characters after for each one before: 0.2 is five times terser."""
        return self.characters_after / self.characters_before if self.characters_before else float("inf")


def paired(results: EvalResults, before: str, after: str, set_names: Sequence[str] = ()) -> Score:
    """What `after` scores more than `before` on the same items, pooled over the sets, each under its best prompt.

    set_names: none is all. From -1 to 1; n counts pairs. Items with the same pictures are drawn together, across sets
    too. An item that neither could answer is no pair; one that one of them could not is wrong there. Raises
    SettingsError for names that were not run and sets that cannot be pooled.
    """
    names = _set_names(results, set_names)
    metrics = {eval_set.metric for eval_set in results.sets if eval_set.name in names}
    if "cider" in metrics and len(metrics) > 1:
        raise SettingsError("CIDEr, from 0 to 10, cannot be pooled with scores from 0 to 1: compare these sets alone")
    pairs = [each for each in _pairs(results, before, after, names) if each[1].finish_reason or each[2].finish_reason]
    _check_pairs(pairs, before, after)
    highest = max(HIGHEST[metric] for metric in metrics)
    return paired_difference(
        [a.score for _, a, _ in pairs], [b.score for _, _, b in pairs], _clusters(pairs), most=highest
    )


def answer_lengths(results: EvalResults, before: str, after: str, set_names: Sequence[str] = ()) -> AnswerLengths:
    """How long the answers of both are, pooled over the sets as in `paired`, which raises the same.

    Only items that both answered.
    """
    names = _set_names(results, set_names)
    pairs = [each for each in _pairs(results, before, after, names) if each[1].finish_reason and each[2].finish_reason]
    _check_pairs(pairs, before, after)
    characters_before = [float(len(a.text.strip())) for _, a, _ in pairs]
    characters_after = [float(len(b.text.strip())) for _, _, b in pairs]
    return AnswerLengths(
        tokens_before=fmean(a.num_tokens for _, a, _ in pairs),
        tokens_after=fmean(b.num_tokens for _, _, b in pairs),
        characters_before=fmean(characters_before),
        characters_after=fmean(characters_after),
        difference=paired_difference(characters_before, characters_after, _clusters(pairs), most=inf),
    )


def _pairs(results: EvalResults, before: str, after: str, names: Sequence[str]) -> Iterator[Pair]:
    known = [subject.name for subject in results.subjects]
    for name in (before, after):
        if name not in known:
            raise SettingsError(f"no subject is named {name!r:.90}; {nearest(name, known)}")
    for eval_set in (each for each in results.sets if each.name in names):
        first, second = results.result(eval_set.name, before), results.result(eval_set.name, after)
        columns = first.predictions[first.best_prompt], second.predictions[second.best_prompt]
        for item, a, b in zip(eval_set.items, *columns, strict=True):
            assert item.item_id == a.item_id == b.item_id, f"{item.item_id}: {a.item_id} stands beside {b.item_id}"
            yield item, a, b


def _clusters(pairs: Sequence[Pair]) -> list[Hashable]:
    return [cluster_of(item) for item, _, _ in pairs]


def _set_names(results: EvalResults, names: Sequence[str]) -> list[str]:
    known = [eval_set.name for eval_set in results.sets]
    for name in names:
        if name not in known:
            raise SettingsError(f"no set is named {name!r:.90}; {nearest(name, known)}")
    return list(dict.fromkeys(names)) or known


def _check_pairs(pairs: Sequence[object], before: str, after: str) -> None:
    if not pairs:
        raise SettingsError(f"no item was answered by {before} and {after}: there is nothing to compare")
