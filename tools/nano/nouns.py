"""What things are called in training: food by its kind alone, everything else by its own name.

In: the things of the artwork and the table of foods. Out: a `Noun` for each thing. The model learns to see that a
drawing is a noodle dish, and never which one: that is what a fine-tune has to teach it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tools.foods.food import Foods
from tools.nano.vocabulary import Thing, plural

KINDS = {
    "fruit": ("a fruit", "水果"), "vegetable": ("a vegetable", "蔬菜"), "nut_legume": ("a nut", "坚果"),
    "seasoning": ("a seasoning", "调料"), "bread_pastry": ("a baked food", "面点"), "sweet": ("a sugary treat", "甜食"),
    "snack": ("a snack", "零食"), "fast_food": ("some fast food", "快餐"), "filled": ("a filled food", "夹馅食品"),
    "noodle_dish": ("a noodle dish", "面条"), "rice_dish": ("a rice dish", "饭食"), "soup_stew": ("a soup", "汤"),
    "meat": ("some meat", "肉"), "seafood": ("some seafood", "海鲜"), "egg_dairy": ("a dairy or egg food", "蛋奶"),
    "packed_food": ("a packed meal", "盒装食品"), "drink": ("a drink", "饮料"), "alcohol": ("an alcoholic drink", "酒"),
}  # fmt: skip
"""Kinds of food in a word or two, with "a", "an" or "some": what the fact table says at length. None is a food's own
name."""
MORE_FOODS = {"1F37B": "alcohol"}
"""Code -> kind of food and drink that the fact table leaves out: their own names hold a food's."""
RENAMED = {"1F344": ("toadstool", "伞菌")}
"""Code -> a name that is no food's: a mushroom is one."""
SINGULAR = frozenset(("rhinoceros", "tennis", "Aries", "Pisces", "fleur-de-lis", "globe showing Americas"))
"""Names that end in s and are one thing."""
PLURALS = {
    "rhinoceros": "rhinoceroses", "fish": "fish", "tropical fish": "tropical fish", "blowfish": "blowfish",
    "jellyfish": "jellyfish", "deer": "deer", "moose": "moose", "bison": "bison", "snowman": "snowmen",
    "snowman without snow": "snowmen without snow", "sheaf of rice": "sheaves of rice", "scarf": "scarves",
    "fork and knife": "forks and knives", "fork and knife with plate": "forks and knives with plates",
    "hammer and pick": "hammers and picks", "hammer and wrench": "hammers and wrenches",
    "nut and bolt": "nuts and bolts", "bow and arrow": "bows and arrows", "couch and lamp": "couches and lamps",
    "skull and crossbones": "skulls and crossbones",
}  # fmt: skip
"""Where the rule of `vocabulary.plural` is wrong."""
_ARTICLE = re.compile(r"(?:an?|some) ")
_VOWEL = re.compile(r"(?!uni|eu|ew|one\b|one-)[aeiou]|hour|x-ray|(?-i:[FHLMNRSX][A-Z])", re.IGNORECASE)
"""Beginnings of words that take "an"."""


@dataclass(frozen=True)
class Noun:
    """How a thing is spoken of. Things of one noun count as the same."""

    en: str
    zh: str
    one: str
    """In English with "a", "an" or "some" where it takes one."""
    is_kind: bool = False
    """A kind of food, and not a thing's own name."""

    def __hash__(self) -> int:
        """Of the English alone: nouns are looked up all the time."""
        return hash(self.en)

    def word(self, language: str) -> str:
        return self.en if language == "en" else self.zh

    @property
    def plural(self) -> str:
        if self.one.startswith("some "):
            return f"pieces of {self.en}"
        return PLURALS.get(self.en) or plural(self.en)

    @property
    def is_plural(self) -> bool:
        """Whether the name itself is a plural, as of scissors."""
        return self.one == self.en and self.en.endswith("s") and self.en not in SINGULAR


def name_things(things: Sequence[Thing], foods: Foods) -> list[Noun]:
    """A noun for each thing, in the same order."""
    kinds = MORE_FOODS | {food.code: food.kind.value for food in foods.foods}
    return [_kind(*KINDS[kinds[thing.code]]) if thing.code in kinds else _own(thing) for thing in things]


def _kind(english: str, chinese: str) -> Noun:
    return Noun(en=_ARTICLE.sub("", english, count=1), zh=chinese, one=english, is_kind=True)


def _own(thing: Thing) -> Noun:
    english, chinese = RENAMED.get(thing.code, (thing.english, thing.chinese))
    name = re.sub(r"\s+", " ", english.replace(":", "")).strip()
    if (plural(name) == name and name not in PLURALS) or not name[0].isalpha():
        return Noun(en=name, zh=chinese, one=name)
    return Noun(en=name, zh=chinese, one=("an " if _VOWEL.match(name) else "a ") + name)
