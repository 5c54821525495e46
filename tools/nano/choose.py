"""Questions with choices, made of open ones.

In: a turn whose answer is a word, a number, a colour or a place. Out: the same question with four choices, its answer
a letter. Wrong choices are of the same sort as the right one, and none of them could be defended.
"""

import random
from collections.abc import Sequence

from tools.nano.ask import Asker, Turn
from tools.nano.nouns import Noun
from tools.nano.wording import BRIEFLY, CHOICE_MARKS, CHOOSE, COLOURS, PLACES

LETTERS = "ABCD"
NAMING = ("name", "at", "region", "at_side")
"""Answered by a noun, the last that the turn speaks of."""
NUMBERS = ("total", "count", "distinct")
SAME_SORT = 0.5
"""Share of the questions about a kind of food whose choices are all kinds of food."""


def as_choice(turn: Turn, asker: Asker, rng: random.Random, language: str) -> Turn | None:
    """The turn with choices; None where its answer has no fitting others."""
    wrong = _wrong(turn, asker, rng, language)
    if len(wrong) < 3:
        return None
    choices = [turn.answer, *wrong]
    rng.shuffle(choices)
    question = turn.question
    for request in BRIEFLY[language]:  # a letter is asked for now
        question = question.removesuffix(request)
    return Turn(
        kind="choice",
        question=with_choices(question, choices, rng, language),
        answer=LETTERS[choices.index(turn.answer)],
        nouns=turn.nouns,
    )


def with_choices(question: str, choices: Sequence[str], rng: random.Random, language: str) -> str:
    """The question and its choices in one of the wordings."""
    mark = rng.choice(CHOICE_MARKS)
    lines = [mark.replace("{l}", letter).replace("{t}", text) for letter, text in zip(LETTERS, choices, strict=False)]
    return rng.choice(CHOOSE[language]).replace("{q}", question).replace("{c}", "\n".join(lines))


def _wrong(turn: Turn, asker: Asker, rng: random.Random, language: str) -> list[str]:
    """Three others; fewer where there are not as many."""
    if turn.kind in NAMING and turn.answer == turn.nouns[-1].word(language):
        pool = [noun.word(language) for noun in _other_nouns(turn.nouns[-1], asker, rng)]
    elif turn.kind in NUMBERS:
        pool = [str(number) for number in rng.sample(range(1, 10), 9)]
    elif turn.kind in ("colour", "background"):
        pool = rng.sample(sorted(COLOURS if language == "en" else COLOURS.values()), 8)
    elif turn.kind == "where":
        pool = rng.sample(sorted(PLACES if language == "en" else PLACES.values()), 8)
    else:
        pool = []
    return [text for text in dict.fromkeys(pool) if text != turn.answer][:3]


def _other_nouns(noun: Noun, asker: Asker, rng: random.Random) -> list[Noun]:
    """Nouns that could not be said of what the noun names."""
    kinds = [other for other in asker.near.get(noun, ()) if other.is_kind]
    pool = kinds if noun.is_kind and rng.random() < SAME_SORT else asker.nouns
    drawn = rng.sample(pool, min(12, len(pool)))
    return [other for other in drawn if not asker.in_doubt(noun, other)]
