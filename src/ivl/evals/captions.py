"""CIDEr-D: how much a caption has in common with people's captions of the same picture, rare words first.

In: a caption for each picture, and people's captions of each. Out: a score from 0 to 10 for each; papers print the mean
times 10 (so that 1.0 here is their 100). Knows no item and no model.

The formula is that of Vedantam, Zitnick and Parikh (CVPR 2015), computed as `pycocoevalcap` 1.2 does
(cider/cider_scorer.py: n-grams up to 4, sigma 6), to whose numbers it was compared. That package itself needs Java for
its tokenizer and has had no release since 2020; others bring along much more than a formula.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ivl.evals.texts import CJK

Gram: TypeAlias = tuple[str, ...]

_LONGEST = 4
_SIGMA = 6.0


def tokenise(text: str) -> list[str]:
    """Small words without punctuation; every Chinese character is a word.

    COCO's own tokenizer (Stanford's, in Java) agrees on plain captions; it also splits "don't" into "do n't" and keeps
    a few abbreviations together.
    """
    return re.findall(rf"[{CJK}]|(?:(?![{CJK}_])\w)+(?:['’.-](?:(?![{CJK}_])\w)+)*", _folded(text))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


@dataclass(frozen=True, kw_only=True)
class _Caption:
    """Weights of a caption's n-grams: [n - 1][gram] = times said x how rare."""

    weights: tuple[dict[Gram, float], ...]
    norms: tuple[float, ...]
    num_words: int


def corpus_score(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of each caption; how rare an n-gram is says the whole of `references`, [picture][person].

    A caption of no words has 0. Over a single picture nothing is rare, and all scores are 0: that is the formula.
    Raises ValueError if the two are not as long, or a picture has no reference.
    """
    if len(captions) != len(references) or not all(references):
        raise ValueError(f"{len(captions)} captions, {len(references)} lists of references; each needs one or more")
    grams = [[_count(tokenise(text)) for text in people] for people in references]
    seen_in = Counter(gram for people in grams for gram in set().union(*people))
    said = [_count(tokenise(caption)) for caption in captions]
    return [
        _score(_weigh(counts, seen_in, len(references)), [_weigh(one, seen_in, len(references)) for one in people])
        for counts, people in zip(said, grams, strict=True)
    ]


def _count(words: Sequence[str]) -> Counter[Gram]:
    return Counter(
        tuple(words[at : at + size]) for size in range(1, _LONGEST + 1) for at in range(len(words) - size + 1)
    )


def _weigh(counts: Counter[Gram], seen_in: Counter[Gram], num_pictures: int) -> _Caption:
    weights: tuple[dict[Gram, float], ...] = tuple({} for _ in range(_LONGEST))
    for gram, times in counts.items():
        weights[len(gram) - 1][gram] = times * (math.log(num_pictures) - math.log(max(1, seen_in[gram])))
    norms = tuple(math.sqrt(sum(weight**2 for weight in each.values())) for each in weights)
    # The package counts pairs of words for the length; only differences matter.
    return _Caption(weights=weights, norms=norms, num_words=sum(n for gram, n in counts.items() if len(gram) == 2))


def _score(caption: _Caption, people: Sequence[_Caption]) -> float:
    return 10.0 * sum(_similarity(caption, person) for person in people) / len(people)


def _similarity(caption: _Caption, person: _Caption) -> float:
    """Mean over n of the cosine of clipped weights, less the more the lengths differ."""
    total = 0.0
    for size in range(_LONGEST):
        ours, theirs = caption.weights[size], person.weights[size]
        shared = sum(min(weight, theirs[gram]) * theirs[gram] for gram, weight in ours.items() if gram in theirs)
        norm = caption.norms[size] * person.norms[size]
        total += shared / norm if norm else 0.0
    return total / _LONGEST * math.exp(-((caption.num_words - person.num_words) ** 2) / (2 * _SIGMA**2))
