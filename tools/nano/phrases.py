"""Turns nouns, numbers and boxes into English and Chinese.

In: a noun, a language. Out: text. Knows no scene.
"""

import random
from collections.abc import Sequence

from tools.nano.nouns import Noun
from tools.nano.wording import COLOURS, QUESTIONS

_ARE = {" is the {n}": " are the {n}", "Is the {n}": "Are the {n}", "Is there {a}": "Are there {a}"}
"""What changes where a name is a plural."""
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")


def say(
    kind: str, language: str, rng: random.Random, noun: Noun | None = None, other: Noun | None = None, place: str = ""
) -> str:
    """A wording of the question with its blanks filled."""
    return fill(rng.choice(QUESTIONS[kind][language]), language, noun, other, place)


def fill(text: str, language: str, noun: Noun | None = None, other: Noun | None = None, place: str = "") -> str:
    """A wording with its blanks filled."""
    text = text.replace("{p}", place)
    if noun and noun.is_plural:
        for one, many in _ARE.items():
            text = text.replace(one, many)
    if other:
        text = text.replace("{m}", other.word(language))
    if noun:
        text = text.replace("{n}", noun.word(language)).replace("{s}", noun.plural).replace("{a}", noun.one)
    return text


def named(noun: Noun, language: str) -> str:
    if language == "zh":
        return f"这是{noun.zh}。"
    return f"These are {noun.en}." if noun.is_plural else f"This is {noun.one}."


def absence(noun: Noun, language: str, several: bool = False) -> str:
    """The answer to a question about something that is not there; several: in none of several pictures."""
    if language == "zh":
        return f"这些图中都没有{noun.zh}。" if several else f"图中没有{noun.zh}。"
    return f"There {'are' if noun.is_plural else 'is'} no {noun.en} in {'any' if several else 'the'} picture."


def counted(noun: Noun, number: int, language: str) -> str:
    """two cats; 两个猫."""
    if language == "zh":
        return "零一两三四五六七八"[number] + "个" + noun.zh
    return noun.one if number == 1 else f"{_NUMBERS[number]} {noun.plural}"


def joined(parts: Sequence[str]) -> str:
    """a cat, a dog and two hats."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def box_text(boxes: Sequence[tuple[int, int, int, int]]) -> str:
    return "<box>[" + ", ".join(f"[{', '.join(map(str, box))}]" for box in boxes) + "]</box>"


def colour_word(colour: str, language: str) -> str:
    return colour if language == "en" else COLOURS[colour]


def names_colour(noun: Noun) -> bool:
    """Whether a noun says its colour itself: "black cat"; to ask for it would teach nothing."""
    words = noun.en.lower().replace("-", " ").split()
    return any(en in words or zh[0] in noun.zh for en, zh in COLOURS.items()) or "grey" in words
