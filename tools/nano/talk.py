"""Conversations about pictures: which questions, in which language, in which order.

In: scenes, and pictures of single things. Out: lists of `Turn`s; for several pictures the first question holds their
`<image>` marks. Knows no files.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tools.nano.ask import Asker, Turn, absence
from tools.nano.choose import LETTERS, as_choice, with_choices
from tools.nano.nouns import Noun
from tools.nano.scene import Scene
from tools.nano.wording import ECHO, GREETING, IN_PICTURE, MATCH, PICK, SAME, WHICH

SEEING = {
    "name": 5.0,
    "ground_all": 3.0,
    "at": 2.0,
    "region": 2.5,
    "count": 2.0,
    "describe": 1.0,
    "distinct": 1.0,
    "order": 1.0,
}
"""The first stage: what is there and where, as many names a picture as can be."""
SINGLE = {
    "name": 5.0, "exists": 2.5, "refuse": 1.0, "total": 0.4, "count": 0.7, "background": 0.7, "colour": 0.8,
    "where": 0.6, "describe": 0.7, "ground": 0.8, "region": 0.3, "no_food": 0.6,
}  # fmt: skip
SEVERAL = {
    "exists": 2.5, "count": 3.5, "total": 0.8, "distinct": 1.2, "refuse": 1.2, "background": 0.4, "colour": 0.8,
    "where": 1.5, "at": 1.5, "is_side": 1.2, "at_side": 1.0, "bigger": 0.5, "order": 0.7, "describe": 0.8,
    "ground": 2.2, "ground_all": 0.8, "region": 1.2, "no_food": 0.3,
}  # fmt: skip
CHOICE_SHARE = 0.22
"""Of the questions that can be asked with choices."""
ONCE = {"name", "total", "distinct", "background", "describe", "order", "ground_all"}
"""Asked once in a conversation: the first answer holds the second."""
_TRIES = 40


@dataclass(frozen=True)
class Pictured:
    """A picture of one thing, by what it shows."""

    thing: int
    noun: Noun


def talk(
    asker: Asker, scene: Scene, rng: random.Random, number: int, weights: dict[str, float] | None = None
) -> list[Turn]:
    """Up to `number` turns about one scene, mostly in one language."""
    weights = weights or (SINGLE if len(scene.items) == 1 else SEVERAL)
    main = rng.choice(("en", "zh"))
    turns: list[Turn] = []
    asked: set[str] = set()
    kinds: set[str] = set()
    for _ in range(_TRIES):
        if len(turns) == number:
            break
        language = main if rng.random() < 0.8 else rng.choice(("en", "zh"))
        kind = rng.choices(list(weights), list(weights.values()))[0]
        if kind in ONCE & kinds:
            continue
        kinds.add(kind)
        turn = asker.ask(kind, scene, rng, language)
        if turn and rng.random() < CHOICE_SHARE:
            turn = as_choice(turn, asker.nouns, rng, language) or turn
        if turn and turn.question not in asked:
            asked.add(turn.question)
            turns.append(turn)
    return turns


def _marks(number: int, language: str, rng: random.Random) -> str:
    """The places of pictures, before or within their names."""
    if rng.random() < 0.5:
        return "<image>\n" * number
    name = "Picture {l}: <image>\n" if language == "en" else rng.choice(("图{l}: <image>\n", "图{l}<image>\n"))
    return "".join(name.replace("{l}", LETTERS[idx]) for idx in range(number))


def same_or_not(one: Pictured, two: Pictured, rng: random.Random, language: str) -> list[Turn]:
    """Two pictures: is it the same thing?"""
    yes, no = ("Yes", "No") if language == "en" else ("是", "不是")
    turns = [Turn(kind="same", question=rng.choice(SAME[language]), answer=yes if one.thing == two.thing else no)]
    return _with_marks([*turns, *_each([one, two], rng, language)], 2, rng, language)


def find_match(pictures: Sequence[Pictured], rng: random.Random, language: str) -> list[Turn]:
    """The first of four pictures shows the same thing as exactly one of the others."""
    match = next(idx for idx, each in enumerate(pictures) if idx and each.thing == pictures[0].thing)
    turn = Turn(kind="match", question=rng.choice(MATCH[language]), answer=LETTERS[match])
    return _with_marks([turn], len(pictures), rng, language)


def which_shows(pictures: Sequence[Pictured], asker: Asker, rng: random.Random, language: str) -> list[Turn]:
    """Which of four pictures shows a noun; or none does."""
    turns = []
    for idx in rng.sample(range(len(pictures)), 2):
        noun = pictures[idx].noun
        if sum(each.noun == noun for each in pictures) == 1:
            question = rng.choice(WHICH[language]).replace("{n}", noun.word(language)).replace("{a}", noun.one)
            if rng.random() < 0.4:
                names = [("图" if language == "zh" else "Picture ") + letter for letter in LETTERS[: len(pictures)]]
                question = with_choices(question, names, rng, language)
            turns.append(Turn(kind="which", question=question, answer=LETTERS[idx]))
    noun = rng.choice(asker.nouns)
    if all(each.noun != noun for each in pictures) and rng.random() < 0.2:
        question = rng.choice(WHICH[language]).replace("{n}", noun.word(language)).replace("{a}", noun.one)
        answer = absence(noun, language).replace("the picture", "any picture").replace("图中", "这些图中都")
        turns.append(Turn(kind="which", question=question, answer=answer))
    turns = turns or _each(pictures, rng, language, always=True)
    return _with_marks(turns + _each(pictures, rng, language), len(pictures), rng, language)


def _each(pictures: Sequence[Pictured], rng: random.Random, language: str, always: bool = False) -> list[Turn]:
    """Sometimes: what is in one of them?"""
    if not always and rng.random() < 0.5:
        return []
    idx = rng.randrange(len(pictures))
    question = rng.choice(IN_PICTURE[language]).replace("{p}", LETTERS[idx])
    return [Turn(kind="in_picture", question=question, answer=pictures[idx].noun.word(language))]


def _with_marks(turns: list[Turn], number: int, rng: random.Random, language: str) -> list[Turn]:
    first = turns[0]
    return [
        Turn(kind=first.kind, question=_marks(number, language, rng) + first.question, answer=first.answer),
        *turns[1:],
    ]


def words_alone(names: dict[str, list[str]], rng: random.Random) -> list[Turn]:
    """Turns without a picture that make the model say the names of dishes, which no picture ever shows it."""
    language = rng.choice(("en", "zh"))
    turns = []
    for _ in range(rng.randint(2, 5)):
        draw = rng.random()
        if draw < 0.5:
            name = rng.choice(names[language])
            turns.append(Turn(kind="echo", question=rng.choice(ECHO[language]).replace("{n}", name), answer=name))
        elif draw < 0.95:
            menu = rng.sample(names[language], 4)
            place = rng.randrange(4)
            question = rng.choice(PICK[language]).replace("{p}", str(place + 1))
            question = question.replace("{c}", (", " if language == "en" else "、").join(menu))
            turns.append(Turn(kind="pick", question=question, answer=menu[place]))
        else:
            turns.append(_greeting(language, rng))
    return turns


def _greeting(language: str, rng: random.Random) -> Turn:
    question, answer = rng.choice(GREETING[language])
    return Turn(kind="greeting", question=question, answer=answer)
