"""Questions with choices, made of open ones.

In: a turn whose answer is a word, a number, a colour or a place. Out: the same question with four choices, its answer
a letter. Wrong choices are of the same sort as the right one.
"""

import random
from collections.abc import Sequence

from tools.nano.ask import Turn
from tools.nano.nouns import Noun
from tools.nano.wording import CHOICE_MARKS, CHOOSE, COLOURS, PLACES

LETTERS = "ABCD"
NAMING = ("name", "at", "region", "bigger", "at_side")
NUMBERS = ("total", "count", "distinct")


def as_choice(turn: Turn, nouns: Sequence[Noun], rng: random.Random, language: str) -> Turn | None:
    """The turn with choices; None where its answer has no fitting others."""
    wrong = _wrong(turn, nouns, rng, language)
    if wrong is None:
        return None
    choices = [turn.answer, *wrong]
    rng.shuffle(choices)
    letter = LETTERS[choices.index(turn.answer)]
    return Turn(kind="choice", question=with_choices(turn.question, choices, rng, language), answer=letter)


def with_choices(question: str, choices: Sequence[str], rng: random.Random, language: str) -> str:
    """The question and its choices in one of the wordings."""
    mark = rng.choice(CHOICE_MARKS)
    lines = "\n".join(mark.replace("{l}", letter).replace("{t}", t) for letter, t in zip(LETTERS, choices, strict=False))
    return rng.choice(CHOOSE[language]).replace("{q}", question).replace("{c}", lines)


def _wrong(turn: Turn, nouns: Sequence[Noun], rng: random.Random, language: str) -> list[str] | None:
    right = turn.answer
    if turn.kind in NAMING:
        pool = [noun.word(language) for noun in rng.sample(nouns, 8)]
        if right not in {noun.word(language) for noun in nouns}:
            return None  # a sentence
    elif turn.kind in NUMBERS:
        pool = [str(number) for number in rng.sample(range(1, 10), 9)]
    elif turn.kind in ("colour", "background"):
        pool = rng.sample(sorted(COLOURS if language == "en" else COLOURS.values()), 8)
    elif turn.kind == "where":
        pool = rng.sample(sorted(PLACES if language == "en" else PLACES.values()), 8)
    else:
        return None
    return [text for text in dict.fromkeys(pool) if text != right][:3]
