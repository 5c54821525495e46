"""What can be asked about one scene, and the one right answer.

In: a `Scene`. Out: `Turn`s. Knows no pixels. A maker gives None where the scene does not allow its question: where two
answers would be defensible, nothing is asked.
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tools.nano import telling
from tools.nano.looks import Look
from tools.nano.nouns import Noun
from tools.nano.phrases import absence, box_text, colour_word, named, names_colour, say
from tools.nano.scene import Item, Scene
from tools.nano.sides import along, ninth, offset, place_of
from tools.nano.wording import BRIEFLY, PLACES, SIDES

CARDS = frozenset(("label", "placard", "name badge", "bookmark", "identification card"))
"""What a label in a scene could be taken for."""
_TRIES = 40


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A question with its answer."""

    kind: str
    question: str
    answer: str
    nouns: tuple[Noun, ...] = ()
    """What it speaks of: the asked ones first, then those of the answer; none for what speaks of the whole scene."""


@dataclass(frozen=True)
class Asker:
    """Asks about scenes; draws nouns that are not there from `nouns`, one list a subgroup of things."""

    nouns: Sequence[Noun]
    near: Mapping[Noun, Sequence[Noun]]
    also: Mapping[int, Collection[Noun]] = field(default_factory=dict)
    """Thing -> other nouns that could be said of it, see `doubts`."""
    doubtful: Mapping[Noun, Collection[Noun]] = field(default_factory=dict)
    """Noun -> all that could be said of one of its things."""
    looks: Mapping[int, Look] = field(default_factory=dict)
    """Thing -> how a food looks, which tells it from others of its kind."""

    def in_doubt(self, one: Noun, two: Noun) -> bool:
        """Whether one of them could be said of a thing of the other."""
        return two in self.doubtful.get(one, ()) or one in self.doubtful.get(two, ())

    def is_clear(self, scene: Scene, noun: Noun) -> bool:
        """Whether nobody could say the noun of an item that is called otherwise."""
        if scene.label and noun.en in CARDS:
            return False
        return all(item.noun == noun or noun not in self.also.get(item.thing, ()) for item in scene.items)

    def absent(self, scene: Scene, rng: random.Random, spoken: Collection[Noun] = ()) -> Noun | None:
        """A noun that can be said of nothing in the scene: half the time one like a noun that is there."""
        for _ in range(_TRIES):
            near = self.near[rng.choice(scene.items).noun]
            noun = rng.choice(near if near and rng.random() < 0.5 else self.nouns)
            if scene.count(noun) == 0 and noun not in spoken and self.is_clear(scene, noun):
                return noun
        return None

    def ask(
        self, kind: str, scene: Scene, rng: random.Random, language: str, spoken: Collection[Noun] = ()
    ) -> Turn | None:
        """A question of one kind; None where the scene does not allow it.

        spoken: nouns that were spoken of before, so that it is known whether they are there.
        """
        asking = Asking(asker=self, scene=scene, rng=rng, language=language, spoken=spoken)
        made = MAKERS[kind](asking)
        return None if made is None else Turn(kind=kind, question=made[0], answer=made[1], nouns=tuple(made[2:]))


@dataclass(frozen=True, kw_only=True)
class Asking:
    """One question that is being made."""

    asker: Asker
    scene: Scene
    rng: random.Random
    language: str
    spoken: Collection[Noun] = ()

    def say(self, kind: str, noun: Noun | None = None, other: Noun | None = None, place: str = "") -> str:
        return say(kind, self.language, self.rng, noun, other, place)

    def word(self, noun: Noun) -> str:
        return noun.word(self.language)

    def pick(self, english: str, chinese: str) -> str:
        return english if self.language == "en" else chinese

    def absent(self) -> Noun | None:
        return self.asker.absent(self.scene, self.rng, self.spoken)

    def clear_nouns(self) -> list[Noun]:
        """Those of the scene that nothing else in it could be called."""
        return [noun for noun in self.scene.nouns if self.asker.is_clear(self.scene, noun)]

    def lone(self) -> list[Item]:
        """Items whose noun is theirs alone."""
        nouns = [noun for noun in self.clear_nouns() if self.scene.count(noun) == 1]
        return [item for item in self.scene.items if item.noun in nouns]

    def look(self, item: Item) -> str | None:
        """How a food looks; None where its colours, which looks speak of, are not as they should be."""
        look = self.asker.looks.get(item.thing) if self.scene.keep_colours and not item.is_grey else None
        return look.word(self.language) if look else None


Made = tuple[str, str] | tuple[str, str, Noun] | tuple[str, str, Noun, Noun] | None
"""Question, answer, and the nouns that it speaks of."""


def _name(on: Asking) -> Made:
    if len(on.scene.items) != 1:
        return None
    noun = on.scene.items[0].noun
    kind = "food" if noun.is_kind and on.rng.random() < 0.6 else "name"
    question = on.say(kind)
    if on.rng.random() < 0.25:
        return question + on.rng.choice(BRIEFLY[on.language]), on.word(noun), noun
    return question, named(noun, on.language), noun


def _no_food(on: Asking) -> Made:
    """Not where something is that somebody might eat."""
    for item in on.scene.items:
        if item.noun.is_kind or any(noun.is_kind for noun in on.asker.also.get(item.thing, ())):
            return None
    return on.say("food"), on.pick("There is no food in the picture.", "图中没有食物。")


def _total(on: Asking) -> Made:
    return None if on.scene.label else (on.say("total"), str(len(on.scene.items)))


def _distinct(on: Asking) -> Made:
    return None if on.scene.label else (on.say("distinct"), str(len({item.thing for item in on.scene.items})))


def _count(on: Asking) -> Made:
    clear = on.clear_nouns()
    noun = on.absent() if on.rng.random() < 0.1 else on.rng.choice(clear) if clear else None
    return (on.say("count", noun), str(on.scene.count(noun)), noun) if noun else None


def _exists(on: Asking) -> Made:
    """Only while something is there that was not spoken of: else every answer would be no."""
    there = [noun for noun in on.scene.nouns if noun not in on.spoken]
    absent = on.absent()
    if not there or not absent:
        return None
    is_there = on.rng.random() < 0.5
    noun = on.rng.choice(there) if is_there else absent
    return on.say("exists", noun), on.pick("Yes", "有") if is_there else on.pick("No", "没有"), noun


def _refuse(on: Asking) -> Made:
    noun = on.absent()
    if not noun:
        return None
    kind = on.rng.choice(("colour", "where", "ground", "at_side"))
    side = on.rng.choice(list(SIDES))
    return on.say(kind, noun, place=on.pick(side, SIDES[side])), absence(noun, on.language), noun


def _background(on: Asking) -> Made:
    if on.scene.background is None:
        return None
    return on.say("background"), colour_word(on.scene.background, on.language)


def _colour(on: Asking) -> Made:
    items = [item for item in on.lone() if item.colour and not names_colour(item.noun)]
    if not items:
        return None
    item = on.rng.choice(items)
    assert item.colour is not None, "only items of one colour are asked for it"
    return on.say("colour", item.noun), colour_word(item.colour, on.language), item.noun


def _where(on: Asking) -> Made:
    placed = {item.noun: place for item in on.lone() if (place := place_of(item))}
    if not placed:
        return None
    noun = on.rng.choice(list(placed))
    return on.say("where", noun), on.pick(placed[noun], PLACES[placed[noun]]), noun


def _at(on: Asking) -> Made:
    """Asks for what is alone in a ninth; at an edge, alone along all of it: the top left is at the top, too."""
    places = [place_of(item) for item in on.scene.items]
    item = on.rng.choice(on.scene.items)
    place = place_of(item)
    if place is None or None in places:
        return None
    if label := on.scene.label:
        (x, y), (width, height) = (label.x + label.width / 2, label.y + label.height / 2), on.scene.size
        places.append(ninth(x / width, y / height) or place)
    if sum(place == other or place in (other or "").split() for other in places) != 1:
        return None
    return on.say("at", place=on.pick(place, PLACES[place])), on.word(item.noun), item.noun


def _two(on: Asking) -> tuple[Item, Item] | None:
    lone = on.lone()
    return tuple(on.rng.sample(lone, 2)) if len(lone) > 1 else None  # type: ignore[return-value]


def _is_side(on: Asking) -> Made:
    two = _two(on)
    side, clear = offset(*two) if two else ("", 0.0)
    if not two or clear < 0.08:
        return None
    is_so = on.rng.random() < 0.5
    names = list(SIDES)
    side = side if is_so else names[names.index(side) ^ 1]
    text = on.say("is_side", two[0].noun, two[1].noun, on.pick(side, SIDES[side]))
    return text, on.pick("Yes", "是") if is_so else on.pick("No", "不是"), two[0].noun, two[1].noun


def _at_side(on: Asking) -> Made:
    """Only where one thing is on that side, and no other is so far on it that it could be meant."""
    lone = on.lone()
    if not lone or not 2 <= len(on.scene.items) <= 4 or on.scene.label:
        return None
    item = on.rng.choice(lone)
    others = [other for other in on.scene.items if other is not item]
    side = on.rng.choice(sorted({offset(other, item)[0] for other in others}))
    there = [other for other in others if along(other, item, side) > 0.04]
    if len(there) != 1 or offset(there[0], item)[0] != side or offset(there[0], item)[1] < 0.06:
        return None
    text = on.say("at_side", item.noun, place=on.pick(side, SIDES[side]))
    return text, on.word(there[0].noun), item.noun, there[0].noun


def _bigger(on: Asking) -> Made:
    two = _two(on)
    if not two or not (two[0].area > 1.6 * two[1].area or two[1].area > 1.6 * two[0].area):
        return None
    nouns = two[0].noun, two[1].noun
    return on.say("bigger", *nouns), on.word(max(two, key=lambda item: item.area).noun), *nouns


def _ground(on: Asking) -> Made:
    clear = on.clear_nouns()
    if not clear:
        return None
    noun = on.rng.choice(clear)
    boxes = sorted(item.box for item in on.scene.items if item.noun == noun)
    return on.say("ground", noun), f"<ref>{on.word(noun)}</ref>{box_text(boxes)}", noun


def _region(on: Asking) -> Made:
    item = on.rng.choice(on.scene.items)
    return on.say("region", place=", ".join(map(str, item.box))), on.word(item.noun), item.noun


def _look(on: Asking) -> Made:
    looks = {item.noun: look for item in on.lone() if (look := on.look(item))}
    if not looks:
        return None
    noun = on.rng.choice(list(looks))
    return on.say("look", noun), looks[noun], noun


Maker = Callable[[Asking], Made]
MAKERS: dict[str, Maker] = {
    "name": _name, "no_food": _no_food, "total": _total, "distinct": _distinct, "count": _count, "exists": _exists,
    "refuse": _refuse, "background": _background, "colour": _colour, "where": _where, "at": _at, "is_side": _is_side,
    "at_side": _at_side, "bigger": _bigger, "order": telling.order, "describe": telling.describe, "ground": _ground,
    "ground_all": telling.ground_all, "region": _region,
    "look": _look, "rows": telling.rows,
}  # fmt: skip
