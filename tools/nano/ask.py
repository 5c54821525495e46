"""What can be asked about one scene, and the one right answer.

In: a `Scene`. Out: `Turn`s. Knows no pixels. A maker gives None where the scene does not allow its question: where two
answers would be defensible, nothing is asked.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.nano.nouns import Noun
from tools.nano.scene import Item, Scene
from tools.nano.wording import BRIEFLY, COLOURS, PLACES, QUESTIONS, SIDES

MARGIN = 0.045
"""A place is asked for only when the thing's centre is this far (share of the side) from the lines between thirds."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A question with its answer."""

    kind: str
    question: str
    answer: str


@dataclass(frozen=True)
class Asker:
    """Asks about scenes; draws nouns that are not there from `nouns`, one list a subgroup of things."""

    nouns: Sequence[Noun]
    near: dict[Noun, Sequence[Noun]]

    def absent(self, scene: Scene, rng: random.Random) -> Noun:
        """A noun of which the scene has none: half the time one like a noun that is there."""
        present = set(scene.nouns)
        near = [noun for noun in self.near[rng.choice(scene.items).noun] if noun not in present]
        if near and rng.random() < 0.5:
            return rng.choice(near)
        while True:
            noun = rng.choice(self.nouns)
            if noun not in present:
                return noun

    def ask(self, kind: str, scene: Scene, rng: random.Random, language: str) -> Turn | None:
        """A question of one kind; None where the scene does not allow it."""
        made = MAKERS[kind](self, scene, rng, language)
        return None if made is None else Turn(kind=kind, question=made[0], answer=made[1])


Made = tuple[str, str] | None


def say(
    kind: str, language: str, rng: random.Random, noun: Noun | None = None, other: Noun | None = None, place: str = ""
) -> str:
    """A wording of the question with its blanks filled."""
    text = rng.choice(QUESTIONS[kind][language]).replace("{p}", place)
    if other:
        text = text.replace("{m}", other.word(language))
    if noun:
        text = text.replace("{n}", noun.word(language)).replace("{s}", noun.plural).replace("{a}", noun.one)
    return text


def place_of(item: Item) -> str | None:
    """Which ninth of the picture holds the item's centre; None near a line between them."""
    parts = []
    x, y = item.centre
    for value, words in ((y, ("top", "", "bottom")), (x, ("left", "", "right"))):
        if any(abs(value - line) < MARGIN for line in (1 / 3, 2 / 3)):
            return None
        parts.append(words[min(2, int(value * 3))])
    return " ".join(part for part in parts if part) or "center"


def box_text(boxes: Sequence[tuple[int, int, int, int]]) -> str:
    return "<box>[" + ", ".join(f"[{', '.join(map(str, box))}]" for box in boxes) + "]</box>"


def absence(noun: Noun, language: str) -> str:
    """The answer to a question about something that is not there."""
    return f"There is no {noun.en} in the picture." if language == "en" else f"图中没有{noun.zh}。"


def named(noun: Noun, language: str) -> str:
    return f"This is {noun.one}." if language == "en" else f"这是{noun.zh}。"


def _lone(scene: Scene, rng: random.Random) -> Item | None:
    """An item whose noun is its alone."""
    alone = [item for item in scene.items if scene.count(item.noun) == 1]
    return rng.choice(alone) if alone else None


def _name(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    if len(scene.items) != 1:
        return None
    noun = scene.items[0].noun
    kind = "food" if noun.is_kind and rng.random() < 0.6 else "name"
    question = say(kind, language, rng)
    if rng.random() < 0.25:
        return question + rng.choice(BRIEFLY[language]), noun.word(language)
    return question, named(noun, language)


def _no_food(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    if any(item.noun.is_kind for item in scene.items):
        return None
    return say("food", language, rng), "There is no food in the picture." if language == "en" else "图中没有食物。"


def _total(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    return say("total", language, rng), str(len(scene.items))


def _distinct(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    return say("distinct", language, rng), str(len({item.thing for item in scene.items}))


def _count(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    noun = asker.absent(scene, rng) if rng.random() < 0.1 else rng.choice(scene.items).noun
    return say("count", language, rng, noun), str(scene.count(noun))


def _exists(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    is_there = rng.random() < 0.5
    noun = rng.choice(scene.nouns) if is_there else asker.absent(scene, rng)
    yes, no = ("Yes", "No") if language == "en" else ("有", "没有")
    return say("exists", language, rng, noun), yes if is_there else no


def _refuse(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    noun = asker.absent(scene, rng)
    kind = rng.choice(("colour", "where", "ground", "at_side"))
    place = rng.choice(list(SIDES))
    place = place if language == "en" else SIDES[place]
    return say(kind, language, rng, noun, place=place), absence(noun, language)


def _background(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    if scene.background is None:
        return None
    return say("background", language, rng), _colour_word(scene.background, language)


def _colour(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    coloured = [item for item in scene.items if item.colour and scene.count(item.noun) == 1]
    if not coloured:
        return None
    item = rng.choice(coloured)
    assert item.colour is not None
    return say("colour", language, rng, item.noun), _colour_word(item.colour, language)


def _where(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    item = _lone(scene, rng)
    place = item and place_of(item)
    if not item or not place:
        return None
    return say("where", language, rng, item.noun), place if language == "en" else PLACES[place]


def _at(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    places = [place_of(item) for item in scene.items]
    item = rng.choice(scene.items)
    place = place_of(item)
    if place is None or None in places or places.count(place) != 1:
        return None
    return say("at", language, rng, place=place if language == "en" else PLACES[place]), item.noun.word(language)


def _offset(item: Item, other: Item) -> tuple[str, float]:
    """On which side of the other the item is, and how clearly (share of the picture; below 0.08 it is not)."""
    x, y = (a - b for a, b in zip(item.centre, other.centre, strict=True))
    if abs(x) >= abs(y):
        return ("to the left of" if x < 0 else "to the right of"), abs(x) - 0.5 * abs(y)
    return ("above" if y < 0 else "below"), abs(y) - 0.5 * abs(x)


def _is_side(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    one, two = _lone(scene, rng), _lone(scene, rng)
    if not one or not two or one is two:
        return None
    side, clear = _offset(one, two)
    if clear < 0.08:
        return None
    is_so = rng.random() < 0.5
    opposite = {
        "to the left of": "to the right of",
        "to the right of": "to the left of",
        "above": "below",
        "below": "above",
    }
    side = side if is_so else opposite[side]
    yes, no = ("Yes", "No") if language == "en" else ("是", "不是")
    text = say("is_side", language, rng, one.noun, two.noun, side if language == "en" else SIDES[side])
    return text, yes if is_so else no


def _at_side(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    item = _lone(scene, rng)
    if not item or not 2 <= len(scene.items) <= 4:
        return None
    sides = {other: _offset(other, item) for other in scene.items if other is not item}
    side = rng.choice(sorted({name for name, _ in sides.values()}))
    there = [other for other, (name, _) in sides.items() if name == side]
    if len(there) != 1 or min(clear for _, clear in sides.values()) < 0.06:
        return None
    text = say("at_side", language, rng, item.noun, place=side if language == "en" else SIDES[side])
    return text, there[0].noun.word(language)


def _bigger(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    one, two = _lone(scene, rng), _lone(scene, rng)
    if not one or not two or one is two or not (one.area > 1.6 * two.area or two.area > 1.6 * one.area):
        return None
    noun = (one if one.area > two.area else two).noun
    return say("bigger", language, rng, one.noun, two.noun), noun.word(language)


def _order(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    items = sorted(scene.items, key=lambda item: item.centre[0])
    gaps = [b.centre[0] - a.centre[0] for a, b in zip(items[:-1], items[1:], strict=True)]
    if not 2 <= len(items) <= 6 or min(gaps) < 0.05:
        return None
    return say("order", language, rng), (", " if language == "en" else "、").join(
        item.noun.word(language) for item in items
    )


def counted(noun: Noun, number: int, language: str) -> str:
    """two cats; 两个猫."""
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")
    if language == "zh":
        return "零一两三四五六七八"[number] + "个" + noun.zh
    return noun.one if number == 1 else f"{words[number]} {noun.plural}"


def _describe(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    nouns = sorted(scene.nouns, key=lambda noun: min(item.centre[0] for item in scene.items if item.noun == noun))
    parts = [counted(noun, scene.count(noun), language) for noun in nouns]
    if language == "zh":
        ground = f"，背景是{COLOURS[scene.background]}" if scene.background else ""
        return say("describe", language, rng), f"图中有{'、'.join(parts)}{ground}。"
    text = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return say("describe", language, rng), f"The picture shows {text}" + (
        f" on a {scene.background} background." if scene.background else "."
    )


def _ground(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    noun = rng.choice(scene.nouns)
    boxes = sorted(item.box for item in scene.items if item.noun == noun)
    return say("ground", language, rng, noun), f"<ref>{noun.word(language)}</ref>{box_text(boxes)}"


def _ground_all(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    items = sorted(scene.items, key=lambda item: item.box)
    if len(items) > 6:
        return None
    return say("ground_all", language, rng), "".join(
        f"<ref>{item.noun.word(language)}</ref>{box_text([item.box])}" for item in items
    )


def _region(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Made:
    item = rng.choice(scene.items)
    return say("region", language, rng, place=", ".join(map(str, item.box))), item.noun.word(language)


def _colour_word(colour: str, language: str) -> str:
    return colour if language == "en" else COLOURS[colour]


Maker = Callable[[Asker, Scene, random.Random, str], Made]
MAKERS: dict[str, Maker] = {
    "name": _name, "no_food": _no_food, "total": _total, "distinct": _distinct, "count": _count, "exists": _exists,
    "refuse": _refuse, "background": _background, "colour": _colour, "where": _where, "at": _at, "is_side": _is_side,
    "at_side": _at_side, "bigger": _bigger, "order": _order, "describe": _describe, "ground": _ground,
    "ground_all": _ground_all, "region": _region,
}  # fmt: skip
