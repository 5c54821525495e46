"""What is asked and what came back: the values that the stages of an evaluation hand to each other.

In: nothing. Out: frozen dataclasses. Knows no files' formats, no model, no metric's arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ivl.types import ImageSource, Message

Metric = Literal["choice", "exact", "vqa", "anls", "relaxed", "cider", "iou", "contains"]
Scoring = Literal["generate", "likelihood"]
"""How a question with choices is answered: by the letter in a free answer, or by the most likely of the letters."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question of a set."""

    item_id: str
    """Unique in its set."""
    where: str
    """File and line or entry."""
    question: str
    """The bare question, without choices and prompt."""
    answers: tuple[str, ...]
    """All answers that are right; for `choice` the one letter; for `iou` boxes as [[x1, y1, x2, y2]] from 0 to 1000."""
    images: tuple[ImageSource, ...] = ()
    choices: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    """For `contains`: longer names of other things that hold one of the answers ("rice ball" for "rice")."""
    tags: tuple[tuple[str, str], ...] = ()
    """Slices that the item is counted in, such as ("style", "openmoji")."""

    @property
    def letters(self) -> str:
        """The letters of its choices: ABCD for four."""
        return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(self.choices)]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An item in the words of one prompt."""

    messages: tuple[Message, ...]
    """A last message of the assistant is an answer that is begun: the model goes on with it."""
    max_new_tokens: int = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class EvalSet:
    """Questions that are asked and scored alike."""

    name: str
    """Short and unique, fit for a file name: "foodieqa-sivqa-zh"."""
    title: str
    items: tuple[Item, ...]
    metric: Metric
    ask: Callable[[Item, int], Asked]
    """The item in the words of the prompt of that number."""
    num_prompts: int = 1
    """Each item is asked with each prompt; the best prompt's score is the set's (FoodieQA's protocol)."""
    language: str = ""
    licence: str = ""
    """What the user must be told of the set's terms; empty: nothing."""
    faults: tuple[str, ...] = ()
    """Records that cannot be asked, one line each."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model under test: a folder, and an adapter on it or none."""

    name: str
    folder: str
    adapter: str | None = None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a subject said to an item under one prompt, and what it was worth."""

    item_id: str
    prompt: int
    text: str
    """The new text only, without an answer's begun part."""
    parsed: str | None
    """What was scored: the letter, the normalised text, the box; None: nothing could be read, which counts as wrong."""
    score: float
    """From 0 to 1 (`cider`: from 0 to 10, of the item alone)."""
    num_tokens: int = 0
    finish_reason: str = ""
    """"" when there is no answer: `text` then says why, and it counts as wrong."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A mean with its 95% interval."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class SetResult:
    """One subject on one set: of all prompts, and which was best."""

    subject: str
    set_name: str
    predictions: tuple[tuple[Prediction, ...], ...]
    """[prompt][item], items in the set's order."""
    scores: tuple[Score, ...]
    """One for each prompt."""
    best_prompt: int
    num_unparsed: int
    """Under the best prompt."""
    num_failed: int
    """Items that could not be answered, under the best prompt."""
    mean_tokens: float
    """Length of an answer under the best prompt."""
    slices: tuple[tuple[str, str, Score], ...] = ()
    """(tag, value, score) under the best prompt."""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class EvalResults:
    """A whole run: subjects side by side on the same sets."""

    subjects: tuple[Subject, ...]
    sets: tuple[EvalSet, ...]
    results: tuple[SetResult, ...]
    """Subject by subject within each set, in the order given."""
    scoring: Scoring
    circumstances: dict[str, str]
    """Device, dtype, versions, command, date."""

    def result(self, set_name: str, subject: str) -> SetResult:
        """Raises KeyError where the pair was not run."""
        for result in self.results:
            if (result.set_name, result.subject) == (set_name, subject):
                return result
        raise KeyError((set_name, subject))
