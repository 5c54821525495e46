"""The manner of answers: how long they are, and whether they are sentences or bare names.

In: answers to open questions. Out: means and shares. Knows nothing of right and wrong. It is for one purpose: to see
whether a model that was trained on short answers has become terse. It is a simple count by rules that a reader can
check, and no judgement of language; compare it between models on the same questions, not between sets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ivl.evals.item import Prediction
from ivl.evals.texts import CJK, fold

_VERBS = re.compile(
    r"\b(?:is|are|was|were|be|am|has|have|had|do|does|did|can|could|will|would|may|might|must|should|shows?|looks?|"
    r"seems?|appears?|contains?|holds?|sees?|comes?|belongs?|stands?|lies?|sits?|eats?|eaten|served|made|says?|reads?|"
    r"there['’]s|it['’]s|that['’]s|i['’]m|\w+n['’]t)\b"
)
_ZH_VERBS = re.compile(r"[是有在叫属来看吃做没为写]|可以|可能|不")
_ENDS = re.compile(r"[.!?。…][\"'”’)」』]*$")


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a subject answered a set's questions."""

    n: int
    mean_tokens: float
    """New tokens of an answer."""
    mean_characters: float
    bare: float
    """Share of answers that are words without a sentence: a name, a number, a letter."""
    empty: float
    """Share of answers without any text."""
    style_score: float
    """Share of answers that are sentences (`is_sentence`), 0 to 1; `bare`, `empty` and this make 1."""


def is_sentence(text: str) -> bool:
    """Whether an answer is a sentence rather than a bare name, by a simple rule.

    With Chinese characters in it: it has a common verb (是, 有, 在, 属 ... or 不, 可以) and 4 characters or more, and
    it ends with 。！？ or has 8 characters or more. Else: it has a common English verb (is, has, shows, ...) and 3
    words or more, or it has 6 words or more and ends with . ! or ?. A dish whose name holds such a verb and a mark is
    taken for a sentence, a short sentence with a rarer verb is not.
    """
    folded = fold(text).strip()
    if re.search(rf"[{CJK}]", folded):
        characters = len(re.findall(rf"[{CJK}]", folded))
        has_verb = _ZH_VERBS.search(folded) is not None
        return has_verb and characters >= 4 and (characters >= 8 or _ENDS.search(folded) is not None)
    num_words = len(folded.split())
    return (num_words >= 3 and _VERBS.search(folded) is not None) or (
        num_words >= 6 and _ENDS.search(folded) is not None
    )


def manner(predictions: Sequence[Prediction]) -> Manner:
    """The manner of all answers that were given; items without an answer are left out.

    For an interval of the style score, or of its change, hand `is_sentence` of each answer to `intervals`. Raises
    ValueError if no answer was given.
    """
    given = [prediction for prediction in predictions if prediction.finish_reason]
    if not given:
        raise ValueError(f"none of {len(predictions)} predictions holds an answer")
    sentences = sum(is_sentence(each.text) for each in given)
    empty = sum(not each.text.strip() for each in given)
    return Manner(
        n=len(given),
        mean_tokens=sum(each.num_tokens for each in given) / len(given),
        mean_characters=sum(len(each.text.strip()) for each in given) / len(given),
        bare=(len(given) - sentences - empty) / len(given),
        empty=empty / len(given),
        style_score=sentences / len(given),
    )
