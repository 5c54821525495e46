"""Conversations about pictures: which questions, in which language, in which order.

In: scenes, and pictures of single things. Out: lists of `Turn`s; for several pictures the first question holds their
`<image>` marks. Knows no files.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tools.nano.ask import Asker, Turn
from tools.nano.choose import LETTERS, as_choice, with_choices
from tools.nano.nouns import Noun
from tools.nano.phrases import absence, fill
from tools.nano.scene import Scene
from tools.nano.wording import ECHO, GREETING, IN_PICTURE, MATCH, PICK, SAME, SAME_FOOD, WHICH

SINGLE = {
    "name": 5.0, "exists": 2.5, "refuse": 1.0, "total": 0.4, "count": 0.7, "background": 0.7, "colour": 0.8,
    "where": 0.6, "describe": 0.7, "ground": 0.8, "region": 0.3, "no_food": 0.6,
    "look": 1.5,
}  # fmt: skip
SEVERAL = {
    "exists": 2.5, "count": 3.5, "total": 0.8, "distinct": 1.2, "refuse": 1.2, "background": 0.4, "colour": 0.8,
    "where": 1.5, "at": 1.5, "is_side": 1.2, "at_side": 1.0, "bigger": 0.5, "order": 0.7, "describe": 0.8,
    "ground": 2.2, "ground_all": 0.8, "region": 1.2, "no_food": 0.3, "look": 0.8,
}  # fmt: skip
CHOICE_SHARE = 0.22
"""Of the questions that can be asked with choices."""
TELLING = frozenset(("describe", "order", "ground_all"))
"""One of them holds most other answers."""
AFTER_TELLING = frozenset(("colour", "refuse", "no_food", "background"))
"""What may be asked then."""
TELLING_FIRST = 0.35
"""Share of conversations with such a turn that begin with it; in the others it comes last."""
TOLD_BY = {
    "name": ("exists", "region", "at"), "region": ("name", "ground"), "ground": ("region",), "where": ("at",),
    "at": ("where", "name"), "count": ("ground",), "is_side": ("at_side",), "at_side": ("is_side",),
}  # fmt: skip
"""A kind, and those whose answer about the same nouns holds its own."""
_TRIES = 40


@dataclass(frozen=True)
class Pictured:
    """A picture of one thing, by what it shows."""

    thing: int
    noun: Noun


def talk(asker: Asker, scene: Scene, rng: random.Random, number: int) -> list[Turn]:
    """Up to `number` turns about one scene, mostly in one language; no answer stands in an earlier turn."""
    weights = SINGLE if len(scene.items) == 1 else SEVERAL
    main = rng.choice(("en", "zh"))
    asked: list[Turn] = []
    said: list[Turn] = []
    for _ in range(_TRIES):
        if len(asked) == number:
            break
        language = main if rng.random() < 0.8 else rng.choice(("en", "zh"))
        kind = rng.choices(list(weights), list(weights.values()))[0]
        turn = asker.ask(kind, scene, rng, language, {noun for each in asked for noun in each.nouns})
        if turn and not is_told(turn, asked):
            asked.append(turn)
            chosen = as_choice(turn, asker, rng, language) if rng.random() < CHOICE_SHARE else None
            said.append(chosen or turn)
    return _in_order(asked, said, rng.random() < TELLING_FIRST)


def is_told(turn: Turn, earlier: Sequence[Turn]) -> bool:
    """Whether earlier turns, in any order, hold the answer or most of it."""
    if turn.kind in TELLING:
        return any(other.kind in TELLING for other in earlier)
    spoken = {noun for other in earlier for noun in other.nouns}
    if turn.kind == "count" and turn.answer == "0" and turn.nouns[0] in spoken:
        return True
    kinds = (turn.kind, *TOLD_BY.get(turn.kind, ()))
    return any(other.kind in kinds and set(other.nouns) == set(turn.nouns) for other in earlier)


def _in_order(asked: Sequence[Turn], said: Sequence[Turn], telling_first: bool) -> list[Turn]:
    """What a thing is called comes first; what tells all comes last, or first with little after it.

    asked: the turns of `said` before some of them got choices.
    """
    pairs = list(zip(asked, said, strict=True))
    pairs.sort(key=lambda pair: pair[0].kind != "name")
    telling = [pair for pair in pairs if pair[0].kind in TELLING]
    others = [pair for pair in pairs if pair[0].kind not in TELLING]
    if telling and telling_first:
        kinds = AFTER_TELLING - ({"background"} if telling[0][0].kind == "describe" else set())
        return [said for _, said in (*telling, *(pair for pair in others if pair[0].kind in kinds))]
    return [said for _, said in (*others, *telling)]


def _marks(number: int, language: str, rng: random.Random) -> str:
    """The places of pictures, before or within their names."""
    if rng.random() < 0.5:
        return "<image>\n" * number
    name = "Picture {l}: <image>\n" if language == "en" else rng.choice(("图{l}: <image>\n", "图{l}<image>\n"))
    return "".join(name.replace("{l}", LETTERS[idx]) for idx in range(number))


def same_or_not(one: Pictured, two: Pictured, rng: random.Random, language: str) -> list[Turn]:
    """Two pictures: is it the same thing?"""
    yes, no = ("Yes", "No") if language == "en" else ("是", "不是")
    wordings = SAME[language] + (SAME_FOOD[language] if one.noun.is_kind and two.noun.is_kind else [])
    turns = [Turn(kind="same", question=rng.choice(wordings), answer=yes if one.thing == two.thing else no)]
    return _with_marks([*turns, *_each([one, two], rng, language)], 2, rng, language)


def find_match(pictures: Sequence[Pictured], rng: random.Random, language: str) -> list[Turn]:
    """The first of four pictures shows the same thing as exactly one of the others."""
    match = next(idx for idx, each in enumerate(pictures) if idx and each.thing == pictures[0].thing)
    turn = Turn(kind="match", question=rng.choice(MATCH[language]), answer=LETTERS[match])
    return _with_marks([turn], len(pictures), rng, language)


def which_shows(pictures: Sequence[Pictured], asker: Asker, rng: random.Random, language: str) -> list[Turn]:
    """Which of up to four pictures shows a noun; now and then none does."""
    turns = []
    for idx in rng.sample(range(len(pictures)), 2):
        noun = pictures[idx].noun
        if sum(_could_be(each, noun, asker) for each in pictures) == 1:
            question = fill(rng.choice(WHICH[language]), language, noun)
            if rng.random() < 0.4:
                names = [("图" if language == "zh" else "Picture ") + letter for letter in LETTERS[: len(pictures)]]
                question = with_choices(question, names, rng, language)
            turns.append(Turn(kind="which", question=question, answer=LETTERS[idx]))
    noun = rng.choice(asker.nouns)
    if rng.random() < 0.2 and not any(_could_be(each, noun, asker) for each in pictures):
        question = fill(rng.choice(WHICH[language]), language, noun)
        turns.append(Turn(kind="which", question=question, answer=absence(noun, language, several=True)))
    told = [turn.answer for turn in turns]
    return _with_marks(turns + _each(pictures, rng, language, not turns, told), len(pictures), rng, language)


def _could_be(picture: Pictured, noun: Noun, asker: Asker) -> bool:
    return picture.noun == noun or noun in asker.also.get(picture.thing, ())


def _each(
    pictures: Sequence[Pictured], rng: random.Random, language: str, always: bool = False, told: Sequence[str] = ()
) -> list[Turn]:
    """Sometimes: what is in one of them? told: letters of those of which it is known."""
    left = [idx for idx in range(len(pictures)) if LETTERS[idx] not in told]
    if not left or (not always and rng.random() < 0.5):
        return []
    idx = rng.choice(left)
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
