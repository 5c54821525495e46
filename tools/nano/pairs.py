"""Samples of several pictures, made of the pictures of single things.

In: (path, thing) of each. Out: several.jsonl. Food that has no name of its own in training is told apart here: the same
dish in two looks is the same thing, two dishes of one kind are not.
"""

import json
import random
from pathlib import Path

from tools.nano.ask import Asker, Turn
from tools.nano.jobs import record
from tools.nano.nouns import Noun
from tools.nano.setting import Setting
from tools.nano.talk import Pictured, find_match, same_or_not, which_shows

FOOD_SHARE = 0.65


def write_pairs(setting: Setting, out: Path, singles: list[tuple[str, int]], number: int, seed: int) -> None:
    """Write `number` samples; none where there are no pictures of single things."""
    maker = PairMaker(singles, setting.catalogue.nouns, setting.asker, random.Random(f"{seed} pairs"))
    assert not singles or len(maker.by_thing) >= 4, "pictures of four different things are needed at least"
    with (out / "several.jsonl").open("w", encoding="utf-8") as file:
        for idx in range(number if singles else 0):
            paths, turns = maker.make()
            file.write(json.dumps(record(f"several-{idx}", paths, turns), ensure_ascii=False) + "\n")


class PairMaker:
    """Draws pictures and asks about them together."""

    def __init__(self, singles: list[tuple[str, int]], nouns: tuple[Noun, ...], asker: Asker, rng: random.Random):
        self.nouns, self.asker, self.rng = nouns, asker, rng
        self.by_thing: dict[int, list[str]] = {}
        for path, thing in singles:
            self.by_thing.setdefault(thing, []).append(path)
        self.foods = [thing for thing in self.by_thing if nouns[thing].is_kind]
        self.others = [thing for thing in self.by_thing if not nouns[thing].is_kind]

    def make(self) -> tuple[list[str], list[Turn]]:
        """Paths in order, and the turns."""
        rng, language = self.rng, self.rng.choice(("en", "zh"))
        draw = rng.random()
        if draw < 0.35:
            one = self._thing()
            two = one if rng.random() < 0.5 else self._unlike(one)
            things = [one, two]
            turns = same_or_not(*self._pictured(things), rng, language)
        elif draw < 0.65:
            one = self._thing()
            things = [one, *self._several_unlike(one, 3)]
            things[rng.randint(1, 3)] = one
            turns = find_match(self._pictured(things), rng, language)
        else:
            one = self._thing()
            things = [one, *self._several_unlike(one, rng.randint(1, 3))]
            rng.shuffle(things)
            turns = which_shows(self._pictured(things), self.asker, rng, language)
        return self._paths(things), turns

    def _thing(self) -> int:
        wanted = self.foods if self.rng.random() < FOOD_SHARE else self.others
        return self.rng.choice(wanted or self.foods or self.others)

    def _unlike(self, thing: int) -> int:
        """Another thing; for a food half the time one of its kind."""
        kind = [other for other in self.foods if self.nouns[other] == self.nouns[thing] and other != thing]
        if self.nouns[thing].is_kind and kind and self.rng.random() < 0.5:
            return self.rng.choice(kind)
        while True:
            other = self._thing()
            if other != thing:
                return other

    def _several_unlike(self, thing: int, number: int) -> list[int]:
        found: list[int] = []
        while len(found) < number:
            other = self._unlike(thing)
            if other not in found:
                found.append(other)
        return found

    def _pictured(self, things: list[int]) -> list[Pictured]:
        return [Pictured(thing, self.nouns[thing]) for thing in things]

    def _paths(self, things: list[int]) -> list[str]:
        """A picture of each; the same thing twice is two pictures where there are two."""
        paths: list[str] = []
        for thing in things:
            there = self.by_thing[thing]
            drawn = self.rng.sample(there, min(len(things), len(there)))
            paths.append(next((path for path in drawn if path not in paths), drawn[0]))
        return paths
