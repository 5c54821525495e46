"""Two subjects on the same items: what fine-tuning gave, what was forgotten, how much shorter answers became.

In: results. Out: paired differences with their intervals. Knows no report and no thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ivl.errors import SettingsError, nearest
from ivl.evals.intervals import paired_difference
from ivl.evals.item import EvalResults, Prediction, Score


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

    set_names: none is all. From -1 to 1; n counts pairs. An item that could not be asked of either is no pair; of one
    of them only, it is wrong there. Raises SettingsError for names that were not run and sets that cannot be pooled.
    """
    names = _set_names(results, set_names)
    metrics = {eval_set.metric for eval_set in results.sets if eval_set.name in names}
    if "cider" in metrics and len(metrics) > 1:
        raise SettingsError("CIDEr, from 0 to 10, cannot be pooled with scores from 0 to 1: compare these sets alone")
    pairs = [pair for pair in _pairs(results, before, after, names) if pair[0].finish_reason or pair[1].finish_reason]
    _check_pairs(pairs, before, after)
    return paired_difference([a.score for a, _ in pairs], [b.score for _, b in pairs])


def answer_lengths(results: EvalResults, before: str, after: str, set_names: Sequence[str] = ()) -> AnswerLengths:
    """How long the answers of both are, pooled over the sets as in `paired`, which raises the same.

    Only items that both could be asked.
    """
    names = _set_names(results, set_names)
    pairs = [pair for pair in _pairs(results, before, after, names) if pair[0].finish_reason and pair[1].finish_reason]
    _check_pairs(pairs, before, after)
    characters = [(len(a.text.strip()), len(b.text.strip())) for a, b in pairs]
    return AnswerLengths(
        tokens_before=sum(a.num_tokens for a, _ in pairs) / len(pairs),
        tokens_after=sum(b.num_tokens for _, b in pairs) / len(pairs),
        characters_before=sum(a for a, _ in characters) / len(pairs),
        characters_after=sum(b for _, b in characters) / len(pairs),
        difference=paired_difference([float(a) for a, _ in characters], [float(b) for _, b in characters]),
    )


def _pairs(
    results: EvalResults, before: str, after: str, names: Sequence[str]
) -> Iterator[tuple[Prediction, Prediction]]:
    known = [subject.name for subject in results.subjects]
    for name in (before, after):
        if name not in known:
            raise SettingsError(f"no subject is named {name!r:.90}; {nearest(name, known)}")
    for name in names:
        first, second = results.result(name, before), results.result(name, after)
        for a, b in zip(first.predictions[first.best_prompt], second.predictions[second.best_prompt], strict=True):
            assert a.item_id == b.item_id, f"{name}: {a.item_id} stands beside {b.item_id}"
            yield a, b


def _set_names(results: EvalResults, names: Sequence[str]) -> list[str]:
    known = [eval_set.name for eval_set in results.sets]
    for name in names:
        if name not in known:
            raise SettingsError(f"no set is named {name!r:.90}; {nearest(name, known)}")
    return list(dict.fromkeys(names)) or known


def _check_pairs(pairs: Sequence[object], before: str, after: str) -> None:
    if not pairs:
        raise SettingsError(f"no item could be asked of {before} and {after}: there is nothing to compare")
