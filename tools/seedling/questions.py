"""What is asked about a scene, and the one right answer, in English and Chinese.

In: `Scene` facts (what is where, how many, the background). Out: question and answer text. Knows no pixels, no tokens.
Answers are short and exact: a thing is answered by its name alone, a number by digits, so that they can be checked by
comparing strings.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.seedling.templates import COLOURS, PLACES, TEMPLATES
from tools.seedling.vocabulary import Thing, plural

MARGIN = 0.045
"""A place is asked for only when the thing's centre is this far (share of the side) from the lines between thirds."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing in a scene."""

    thing: int
    x: float
    """Of the centre, as a share of the picture's width."""
    y: float
    colour: str | None = None
    """Its one dominant colour; None: not one."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What there is to ask about."""

    items: tuple[Item, ...]
    background: str | None
    """Colour name; None where it has no single colour."""

    def counts(self) -> Counter[int]:
        return Counter(item.thing for item in self.items)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A question with its answer."""

    question: str
    answer: str


Maker = Callable[["Asker", Scene, random.Random, str], "Exchange | None"]


class Asker:
    """Makes questions about scenes of the given things."""

    def __init__(self, things: Sequence[Thing]) -> None:
        self.things = things
        self.by_subgroup: dict[int, list[int]] = {}
        self.by_group: dict[int, list[int]] = {}
        for idx, thing in enumerate(things):
            self.by_subgroup.setdefault(thing.subgroup, []).append(idx)
            self.by_group.setdefault(thing.group, []).append(idx)
        self.foods = [idx for idx, thing in enumerate(things) if thing.is_food]

    def absent(self, scene: Scene, rng: random.Random) -> int:
        """A thing that is not in the scene: often one like a thing that is."""
        present = scene.counts()
        near = rng.choice(scene.items).thing
        pools = (self.by_subgroup[self.things[near].subgroup], self.by_group[self.things[near].group], self.foods)
        for _ in range(20):
            pool = rng.choices(pools, weights=(5, 3, 2))[0]
            thing = rng.choice(pool)
            if thing not in present:
                return thing
        return next(idx for idx in rng.sample(range(len(self.things)), 20) if idx not in present)

    def ask(self, kind: str, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
        """A question of one kind; None where the scene does not allow it."""
        return MAKERS[kind](self, scene, rng, language)


def place_of(item: Item) -> str | None:
    """Which ninth of the picture holds the item's centre; None near a line between them."""
    parts = []
    for value, words in ((item.y, ("top", "", "bottom")), (item.x, ("left", "", "right"))):
        if any(abs(value - line) < MARGIN for line in (1 / 3, 2 / 3)):
            return None
        parts.append(words[min(2, int(value * 3))])
    return " ".join(part for part in parts if part) or "center"


def article(name: str) -> str:
    """The name with "a" or "an" where it is a singular noun of letters."""
    if plural(name) == name or not name[0].isalpha():
        return name
    return ("an " if name[0].lower() in "aeiou" else "a ") + name


def _say(kind: str, language: str, rng: random.Random, thing: Thing | None = None, place: str = "") -> str:
    template = rng.choice(TEMPLATES[kind][language])
    if thing is None:
        return template.replace("{p}", place if language == "en" else PLACES.get(place, ""))
    name = thing.name(language)
    text = template.replace("{n}", name)
    if language == "en":
        text = text.replace("{s}", plural(name)).replace("{a}", article(name))
    return text


def _name(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    if len(scene.counts()) != 1:
        return None
    thing = asker.things[scene.items[0].thing]
    kind = "food" if thing.is_food and rng.random() < 0.5 else "name"
    return Exchange(question=_say(kind, language, rng), answer=thing.name(language))


def _total(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    return Exchange(question=_say("total", language, rng), answer=str(len(scene.items)))


def _count(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    counts = scene.counts()
    if rng.random() < 0.06:
        thing = asker.absent(scene, rng)
    else:
        # The most frequent kind more often: else nearly every answer would be 1.
        kinds = list(counts)
        thing = rng.choices(kinds, weights=[counts[kind] ** 1.5 for kind in kinds])[0]
    return Exchange(question=_say("count", language, rng, asker.things[thing]), answer=str(counts[thing]))


def _exists(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    yes = rng.random() < 0.5
    thing = rng.choice(list(scene.counts())) if yes else asker.absent(scene, rng)
    answer = ("Yes" if yes else "No") if language == "en" else ("有" if yes else "没有")
    return Exchange(question=_say("exists", language, rng, asker.things[thing]), answer=answer)


def _is(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    if len(scene.items) != 1:
        return None
    yes = rng.random() < 0.5
    thing = scene.items[0].thing if yes else asker.absent(scene, rng)
    answer = ("Yes" if yes else "No") if language == "en" else ("是" if yes else "不是")
    return Exchange(question=_say("is", language, rng, asker.things[thing]), answer=answer)


def _background(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    if scene.background is None:
        return None
    answer = scene.background if language == "en" else COLOURS[scene.background]
    return Exchange(question=_say("background", language, rng), answer=answer)


def _colour(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    counts = scene.counts()
    items = [item for item in scene.items if item.colour is not None and counts[item.thing] == 1]
    if not items:
        return None
    item = rng.choice(items)
    assert item.colour is not None, "only items with a colour were kept"
    answer = item.colour if language == "en" else COLOURS[item.colour]
    return Exchange(question=_say("colour", language, rng, asker.things[item.thing]), answer=answer)


def _where(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    counts = scene.counts()
    items = [item for item in scene.items if counts[item.thing] == 1]
    if not items:
        return None
    item = rng.choice(items)
    place = place_of(item)
    if place is None:
        return None
    answer = place if language == "en" else PLACES[place]
    return Exchange(question=_say("where", language, rng, asker.things[item.thing]), answer=answer)


def _at(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    places = [place_of(item) for item in scene.items]
    if len(places) < 2 or None in places:
        return None
    item, place = rng.choice(list(zip(scene.items, places, strict=True)))
    if places.count(place) != 1 or place is None:
        return None
    return Exchange(question=_say("at", language, rng, place=place), answer=asker.things[item.thing].name(language))


def _kinds_left_to_right(scene: Scene) -> list[int]:
    return list(dict.fromkeys(item.thing for item in sorted(scene.items, key=lambda item: item.x)))


def _all(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    names = [asker.things[thing].name(language) for thing in _kinds_left_to_right(scene)]
    answer = (", " if language == "en" else "、").join(names)
    return Exchange(question=_say("all", language, rng), answer=answer)


def _describe(asker: Asker, scene: Scene, rng: random.Random, language: str) -> Exchange | None:
    counts = scene.counts()
    kinds = [(asker.things[thing].name(language), counts[thing]) for thing in _kinds_left_to_right(scene)]
    colour = scene.background
    if language == "zh":
        text = "、".join(f"{number}个{name}" for name, number in kinds)
        return Exchange(
            question=_say("describe", language, rng),
            answer=f"图中有{text}" + (f"，背景是{COLOURS[colour]}。" if colour else "。"),
        )
    parts = [article(name) if number == 1 else f"{number} {plural(name)}" for name, number in kinds]
    text = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return Exchange(
        question=_say("describe", language, rng),
        answer=f"The picture shows {text}" + (f" on a {colour} background." if colour else "."),
    )


MAKERS: dict[str, Maker] = {
    "name": _name, "total": _total, "count": _count, "exists": _exists, "is": _is, "background": _background,
    "colour": _colour, "where": _where, "at": _at, "all": _all, "describe": _describe,
}  # fmt: skip
