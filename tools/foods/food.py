"""What is known of a food: the values that the fact table is read into.

In: nothing. Out: frozen dataclasses, and which values and foods are plainly wrong of another food. Knows no files, no
pictures and no questions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb
from typing import Literal

FactName = Literal["kind", "origin", "taste", "main_ingredient", "serving", "occasion"]
Language = Literal["en", "zh"]
FACT_NAMES: tuple[FactName, ...] = ("kind", "origin", "taste", "main_ingredient", "serving", "occasion")


@dataclass(frozen=True, kw_only=True)
class Word:
    """One value of a vocabulary in both languages, as an answer says it: "Japan", "日本"; kinds with their article."""

    key: str
    en: str
    zh: str

    def text(self, language: Language) -> str:
        """The value in that language."""
        return self.en if language == "en" else self.zh


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """All values that one fact can have."""

    name: FactName
    words: Mapping[str, Word]
    """By key, in the file's order."""
    overlaps: Mapping[str, frozenset[str]]
    """A key -> the keys that can be true beside it of any food, such as Italy beside the Mediterranean; symmetric."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What is true of a food."""

    value: str
    """A key of the fact's vocabulary: the answer."""
    also: frozenset[str] = frozenset()
    """Keys that could be defended too, overlaps included: never right answers, never offered as wrong ones."""

    @property
    def defensible(self) -> frozenset[str]:
        """The value and those beside it."""
        return self.also | {self.value}


@dataclass(frozen=True, kw_only=True)
class Food:
    """One food with its names and facts."""

    code: str
    """The emoji that draws it, as emojibase writes it: "1F358", "1F34B-200D-1F7E9"."""
    food_id: str
    """A slug: "rice-cracker"."""
    name_en: str
    name_zh: str
    aliases_en: tuple[str, ...]
    """Other names that are right answers; no other food has them."""
    aliases_zh: tuple[str, ...]
    near: frozenset[str]
    """Ids of foods so like it that neither is offered as a wrong answer for the other; symmetric."""
    source: str
    """Where origin and main ingredient were looked up, and what is disputed. Taste, serving and occasion are common
    knowledge, with `also` kept wide."""
    kind: Fact
    origin: Fact | None
    """Where the dish was first made or the plant first grown."""
    taste: Fact | None
    main_ingredient: Fact | None
    serving: Fact | None
    occasion: Fact | None

    def fact(self, name: FactName) -> Fact | None:
        """Its fact of that name; None: disputed, unknown or meaningless."""
        found: Fact | None = getattr(self, name)
        return found

    def name(self, language: Language) -> str:
        """The name a person would say."""
        return self.name_en if language == "en" else self.name_zh

    def names(self, language: Language) -> tuple[str, ...]:
        """All names that are right, the usual one first."""
        aliases = self.aliases_en if language == "en" else self.aliases_zh
        return (self.name(language), *aliases)


@dataclass(frozen=True, kw_only=True)
class Foods:
    """The whole table."""

    foods: tuple[Food, ...]
    vocabularies: Mapping[FactName, Vocabulary]

    def __getitem__(self, food_id: str) -> Food:
        """Raises KeyError where there is no such food."""
        return {food.food_id: food for food in self.foods}[food_id]

    def word(self, name: FactName, key: str) -> Word:
        """The words of a value."""
        return self.vocabularies[name].words[key]

    def wrong_values(self, food: Food, name: FactName) -> tuple[str, ...]:
        """Keys that are plainly wrong of the food, in the vocabulary's order; none where the fact is unknown."""
        fact = food.fact(name)
        if fact is None:
            return ()
        return tuple(key for key in self.vocabularies[name].words if key not in fact.defensible)

    def wrong_foods(self, food: Food, name: FactName) -> tuple[Food, ...]:
        """Foods of which the food's value is plainly wrong: the other pictures when it is asked which one has it."""
        fact = food.fact(name)
        if fact is None:
            return ()
        return tuple(other for other in self.foods if _is_wrong(other, name, fact.value) and _can_stand_by(food, other))

    def other_foods(self, food: Food) -> tuple[Food, ...]:
        """Foods whose names are plainly wrong of it."""
        return tuple(other for other in self.foods if other is not food and _can_stand_by(food, other))

    def num_quadruples(self, food: Food, name: FactName) -> tuple[int, int]:
        """In how many sets of four it can be asked: of values (it and three wrong ones), of foods (three others)."""
        return comb(len(self.wrong_values(food, name)), 3), comb(len(self.wrong_foods(food, name)), 3)


def _is_wrong(food: Food, name: FactName, value: str) -> bool:
    fact = food.fact(name)
    return fact is not None and value not in fact.defensible


def _can_stand_by(food: Food, other: Food) -> bool:
    return other.food_id not in food.near
