"""What a thing might be called besides its own noun: where that is in doubt, nothing is asked.

In: things, their nouns, the table of foods. Out: for each thing, nouns that could be said of it. A guide dog is a dog,
a birthday cake a sugary treat, a lobster seafood: "is there a dog?" has no one right answer beside a guide dog.
"""

import re
from collections.abc import Mapping, Sequence

from tools.foods.food import Foods
from tools.nano.looks import Look
from tools.nano.nouns import KINDS, Noun
from tools.nano.vocabulary import Thing

FAMILIES = {
    "dog": "poodle",
    "bird": "baby chick, front-facing baby chick, hatching chick, chicken, rooster, turkey, penguin, dove, eagle, "
    "duck, swan, owl, dodo, flamingo, peacock, parrot, goose, phoenix",
    "chicken": "rooster, hatching chick, baby chick, front-facing baby chick",
    "duck": "goose, swan",
    "fish": "tropical fish, blowfish, shark, carp streamer",
    "whale": "spouting whale, orca",
    "bug": "ant, honeybee, beetle, lady beetle, cricket, cockroach, butterfly, worm, fly, mosquito, spider",
    "beetle": "cockroach",
    "cow": "ox, water buffalo, bison",
    "ox": "water buffalo, bison",
    "ewe": "ram, goat",
    "goat": "ram",
    "mouse": "rat, hamster",
    "pig": "boar",
    "wolf": "fox, dog",
    "blossom": "white flower, hibiscus, sunflower, rosette, tulip, rose, lotus, bouquet, hyacinth",
    "seedling": "herb, potted plant",
    "shamrock": "four leaf clover",
    "deciduous tree": "evergreen tree, leafless tree",
    "evergreen tree": "Christmas tree, tanabata tree",
    "automobile": "taxi, oncoming taxi, police car, oncoming police car, sport utility vehicle, racing car, "
    "pickup truck",
    "train": "locomotive, railway car, high-speed train, bullet train, metro, light rail, tram, tram car, monorail, "
    "station, mountain railway, suspension railway",
    "tram": "trolleybus, light rail, metro, railway car",
    "bus": "minibus, trolleybus, tram",
    "ship": "ferry, sailboat, motor boat, speedboat, canoe",
    "motor boat": "speedboat, ferry",
    "delivery truck": "articulated lorry",
    "motorcycle": "motor scooter",
    "house": "houses, hut, derelict house, house with garden",
    "office building": "hospital, bank, hotel, department store, post office, Japanese post office, love hotel, school",
    "mountain": "volcano, snow-capped mountain, mount fuji",
    "foggy": "fog, cityscape",
    "night with stars": "cityscape, bridge at night, milky way",
    "sunrise": "sunset, sunrise over mountains, cityscape at dusk",
    "star": "shooting star, glowing star, sparkle, sparkles",
    "crescent moon": "waning crescent moon, waxing crescent moon",
    "full moon": "new moon",
    "closed book": "green book, blue book, orange book, notebook, notebook with decorative cover, ledger, books",
    "notebook": "spiral notepad, notebook with decorative cover, ledger",
    "calendar": "tear-off calendar, spiral calendar",
    "page facing up": "page with curl, bookmark tabs, scroll, memo, clipboard, receipt",
    "pen": "fountain pen, black nib, pencil",
    "envelope": "e-mail, love letter, incoming envelope, envelope with arrow, red envelope",
    "handbag": "purse, clutch bag, briefcase",
    "musical note": "musical notes",
    "chains": "broken chain, link",
    "telephone": "mobile phone, telephone receiver",
    "camera": "movie camera, video camera",
    "optical disk": "dvd, computer disk",
    "locked": "unlocked",
    "key": "old key",
    "axe": "pick",
    "dagger": "kitchen knife",
    "heart suit": "red heart",
    "firecracker": "sparkler, fireworks",
    "coin": "1st place medal, 2nd place medal, 3rd place medal, sports medal",
    "closed umbrella": "umbrella on ground",
    "headstone": "moai",
    "label": "name badge, placard, bookmark",
}
"""A name, and those of which it could be said too."""
EATEN = {
    "seafood": "fish, tropical fish, blowfish, octopus, crab, lobster, shrimp, squid, oyster",
    "vegetable": "herb, toadstool, potted plant, jack-o-lantern",
    "meat": "chicken, turkey",
    "drink": "pouring liquid, ice, droplet, jar, amphora",
    "alcohol": "pouring liquid, jar, amphora",
    "soup_stew": "hot springs",
}
"""A kind of food, and things outside the table of foods of which it could be said."""
TOGETHER = (("drink", "alcohol"), ("noodle_dish", "soup_stew"), ("sweet", "bread_pastry"), ("drink", "egg_dairy"))
"""Kinds that nobody could keep apart in general."""


def also_called(
    things: Sequence[Thing], nouns: Sequence[Noun], foods: Foods, looks: Mapping[int, Look]
) -> dict[int, frozenset[Noun]]:
    """Thing -> other nouns that could be said of it or of a part of it; no entry where there are none."""
    by_name = {noun.en: noun for noun in nouns}
    kinds = {kind: by_name[name] for kind, (one, _) in KINDS.items() if (name := one.split(" ", 1)[1]) in by_name}
    known = {food.code: food.kind.also for food in foods.foods}
    named = _families(by_name, kinds)
    named = _add(named, _within(list(by_name.values())))
    for pair in TOGETHER:
        one, two = (kinds.get(kind) for kind in pair)
        if one and two:
            named = _add(named, {one: {two}, two: {one}})
    found = {}
    for idx, (thing, noun) in enumerate(zip(things, nouns, strict=True)):
        other = named.get(noun, set()) | {kinds[kind] for kind in known.get(thing.code, ()) if kind in kinds}
        if idx in looks:
            other |= _parts_seen(looks[idx], by_name)
        if other - {noun}:
            found[idx] = frozenset(other - {noun})
    return found


def _parts_seen(look: Look, by_name: Mapping[str, Noun]) -> set[Noun]:
    """Things that the look of a food names: the chopsticks in a bowl, the candle on a cake."""
    words = re.findall(r"[a-z]+", look.en.lower())
    english = {" ".join(part) for part in _parts(words)}
    return {
        noun for name, noun in by_name.items() if name.lower() in english or (len(noun.zh) > 1 and noun.zh in look.zh)
    }


def _families(by_name: Mapping[str, Noun], kinds: Mapping[str, Noun]) -> dict[Noun, set[Noun]]:
    """Both ways: what looks like a poodle may be a dog, and a dog a poodle."""
    found: dict[Noun, set[Noun]] = {}
    groups = [(by_name.get(name), members) for name, members in FAMILIES.items()]
    groups += [(kinds.get(kind), members) for kind, members in EATEN.items()]
    for general, members in groups:
        for member in (by_name.get(name) for name in members.split(", ")):
            if general and member:
                found.setdefault(member, set()).add(general)
                found.setdefault(general, set()).add(member)
    return found


def _within(nouns: Sequence[Noun]) -> dict[Noun, set[Noun]]:
    """Names that stand as whole words within another's, in either language, both ways: "cat" in "black cat"."""
    named = {tuple(_words(noun)): noun for noun in nouns} | {(noun.zh,): noun for noun in nouns if len(noun.zh) > 1}
    found: dict[Noun, set[Noun]] = {}
    for long in nouns:
        for part in (*_parts(_words(long)), *(("".join(part),) for part in _parts(long.zh))):
            short = named.get(part)
            if short and short != long:
                found.setdefault(short, set()).add(long)
                found.setdefault(long, set()).add(short)
    return found


def _words(noun: Noun) -> list[str]:
    return re.findall(r"[a-z0-9]+", noun.en.lower())


def _parts(whole: Sequence[str]) -> list[tuple[str, ...]]:
    """All that stand together somewhere in it."""
    ends = range(1, len(whole) + 1)
    return [tuple(whole[start:end]) for end in ends for start in range(end)]


def _add(one: dict[Noun, set[Noun]], two: Mapping[Noun, set[Noun]]) -> dict[Noun, set[Noun]]:
    return {noun: one.get(noun, set()) | two.get(noun, set()) for noun in (*one, *two)}
