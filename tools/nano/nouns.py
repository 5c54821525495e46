"""What things are called in training: food by its kind alone, everything else by its own name.

In: the things of the artwork and the table of foods. Out: a `Noun` for each thing. The model learns to see that a
drawing is a noodle dish, and never which one: that is what a fine-tune has to teach it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tools.foods.food import Foods
from tools.seedling.vocabulary import Thing, plural

KINDS = {
    "fruit": ("a fruit", "水果"), "vegetable": ("a vegetable", "蔬菜"), "nut_legume": ("a nut", "坚果"),
    "seasoning": ("a seasoning", "调料"), "bread_pastry": ("a baked food", "面点"), "sweet": ("a sweet", "甜食"),
    "snack": ("a snack", "零食"), "fast_food": ("some fast food", "快餐"), "filled": ("a filled food", "夹馅食品"),
    "noodle_dish": ("a noodle dish", "面条"), "rice_dish": ("a rice dish", "米饭"), "soup_stew": ("a soup", "汤"),
    "meat": ("some meat", "肉"), "seafood": ("some seafood", "海鲜"), "egg_dairy": ("a dairy or egg food", "蛋奶"),
    "packed_food": ("a packed meal", "盒饭"), "drink": ("a drink", "饮料"), "alcohol": ("an alcoholic drink", "酒"),
}  # fmt: skip
"""Kinds of food in a word or two, with "a", "an" or "some": what the fact table says at length."""
_ARTICLE = re.compile(r"(?:an?|some) ")


@dataclass(frozen=True)
class Noun:
    """How a thing is spoken of. Things of one noun count as the same."""

    en: str
    zh: str
    one: str
    """In English with "a", "an" or "some" where it takes one."""
    is_kind: bool = False
    """A kind of food, and not a thing's own name."""

    def word(self, language: str) -> str:
        return self.en if language == "en" else self.zh

    @property
    def plural(self) -> str:
        return f"pieces of {self.en}" if self.one.startswith("some ") else plural(self.en)


def name_things(things: Sequence[Thing], foods: Foods) -> list[Noun]:
    """A noun for each thing, in the same order."""
    kinds = {food.code: food.kind.value for food in foods.foods}
    return [_kind(*KINDS[kinds[thing.code]]) if thing.code in kinds else _own(thing) for thing in things]


def _kind(english: str, chinese: str) -> Noun:
    return Noun(en=_ARTICLE.sub("", english, count=1), zh=chinese, one=english, is_kind=True)


def _own(thing: Thing) -> Noun:
    name = re.sub(r"\s+", " ", thing.english.replace(":", "")).strip()
    if plural(name) == name or not name[0].isalpha():
        return Noun(en=name, zh=thing.chinese, one=name)
    return Noun(en=name, zh=thing.chinese, one=("an " if name[0].lower() in "aeiou" else "a ") + name)
