"""Writes the questions of the food set, in FoodieQA's layout.

In: the table of facts, pictures by style and food, how many questions there shall be. Out: entries of
`sivqa_tidy.json`, `mivqa_tidy.json` and `textqa_tidy.json`. Opens no picture.

Questions come in fours: the same words, the same four choices in another order each time, and each of four foods is
right once, under each letter once. Who looks at no picture is right in a quarter of them, whatever he knows.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tools.foods.food import Food, Foods, Language
from tools.foods.quadruples import NUM_CHOICES, Chooser, Topic
from tools.foods.wording import (
    DEFAULT_WORD,
    FOUR_PICTURES,
    NO_PICTURE,
    ONE_PICTURE,
    Said,
    Template,
    answer_of,
    noun_of,
    word_of,
)

Entry = dict[str, Any]
Asked = tuple[str, Topic, int]
"""A food's id, a topic and the number of a template: one question in its words."""
_FIELD_ENDS: tuple[tuple[Language, str], ...] = (("zh", ""), ("en", "_en"))
"""What the fields of a language end with."""


_TRIES = 100


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Pictures of one set."""

    files: Mapping[tuple[str, str], Sequence[str]]
    """(style, food id) -> paths of its pictures."""

    def styles(self) -> list[str]:
        return sorted({style for style, _ in self.files})

    def drawn_in(self, style: str, foods: Sequence[Food]) -> list[Food]:
        return [food for food in foods if (style, food.food_id) in self.files]


@dataclass(kw_only=True)
class Writer:
    """Writes one set's questions. The same arguments give the same questions."""

    table: Foods
    foods: Sequence[Food]
    shown: Shown
    name: str
    """Of the set: part of its seed."""
    evenly: bool = False
    """Styles equally often; else as often as they draw foods."""
    avoid: frozenset[Asked] = frozenset()
    """Questions without a picture that another set asks in the same words: passed over where others are left."""
    asked: set[Asked] = field(default_factory=set)
    """Questions without a picture that this set asks."""
    _rng: random.Random = field(init=False)
    _letters: Counter[tuple[str, int]] = field(default_factory=Counter)
    _pictures: Counter[str] = field(default_factory=Counter)
    _templates: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._rng = random.Random(f"questions of {self.name}")

    def one_picture(self, plan: Mapping[Topic, int]) -> list[Entry]:
        """Entries of sivqa. plan: how many quadruples there shall be of each topic."""
        entries: list[Entry] = []
        for topic, style, foods in self._with_styles("sivqa", plan):
            template, _ = self._template("sivqa", topic, ONE_PICTURE[topic])
            for food, letter in self._dealt(foods):
                meta = self._meta(food) | {"food_file": self._picture(style, food)}
                choices = self._choices(topic, foods, food, letter)
                head = {**template.filled(noun_of(foods)), **choices, "answer": str(letter), "question_type": topic}
                entries.append(self._entry("s", len(entries), food, head, meta, {"style": style}))
        return entries

    def no_picture(self, plan: Mapping[Topic, int]) -> list[Entry]:
        """Entries of textqa, as `one_picture`."""
        entries: list[Entry] = []
        chooser = Chooser(self.table, f"textqa {self.name}")
        for topic, count in plan.items():
            for _ in range(count):
                picked = self._spoken(chooser, topic)
                if picked is None:
                    break
                foods, number = picked
                chooser.take(topic, foods)
                for food, letter in self._dealt(foods):
                    self.asked.add((food.food_id, topic, number))
                    choices = self._choices(topic, foods, food, letter)
                    asked = NO_PICTURE[topic][number].filled(noun_of(foods), _in_both(food.name))
                    head = {**asked, **choices, "answer": str(letter), "question_type": topic}
                    entries.append(self._entry("t", len(entries), food, head, self._meta(food), {}))
        return entries

    def four_pictures(self, plan: Mapping[Topic, int]) -> list[Entry]:
        """Entries of mivqa, as `one_picture`; the four pictures of an entry are in one style."""
        entries: list[Entry] = []
        for topic, style, foods in self._with_styles("mivqa", plan):
            template, number = self._template("mivqa", topic, FOUR_PICTURES[topic])
            for food, letter in self._dealt_evenly(foods, topic, number):
                order = self._ordered(foods, food, letter)
                answers = _in_both(partial(answer_of, self.table, food, topic))
                head = {**template.filled(noun_of(foods), answers), "choices": "", "answer": str(letter)}
                head |= {"question_type": topic, "images": [self._picture(style, each) for each in order]}
                head |= {f"food_names{end}": [each.name(language) for each in order] for language, end in _FIELD_ENDS}
                entries.append(self._entry("m", len(entries), food, head, None, {"style": style}))
        return entries

    def _with_styles(self, task: str, plan: Mapping[Topic, int]) -> Iterator[tuple[Topic, str, tuple[Food, ...]]]:
        """(topic, style, four foods drawn in it): styles in turn, foods not yet asked about in that style first."""
        chooser = Chooser(self.table, f"{task} {self.name}")
        weights = {
            style: 1 if self.evenly else len(self.shown.drawn_in(style, self.foods)) for style in self.shown.styles()
        }
        used: Counter[str] = Counter()
        asked: dict[str, set[str]] = {style: set() for style in weights}
        for topic, count in plan.items():
            for _ in range(count):
                for style in sorted(weights, key=lambda each: (used[each] + 1) / weights[each]):
                    foods = chooser.choose(topic, self.shown.drawn_in(style, self.foods), asked[style])
                    if foods is not None:
                        chooser.take(topic, foods)
                        asked[style] |= {food.food_id for food in foods}
                        used[style] += 1
                        yield topic, style, foods
                        break

    def _spoken(self, chooser: Chooser, topic: Topic) -> tuple[tuple[Food, ...], int] | None:
        """Foods, and a template in which none of them is asked about elsewhere, if that can be had."""
        best: tuple[int, tuple[Food, ...], int] | None = None
        for _ in range(_TRIES):
            foods = chooser.choose(topic, self.foods)
            if foods is None:
                return None
            for number in range(len(NO_PICTURE[topic])):
                keys = {(food.food_id, topic, number) for food in foods}
                cost = 100 * len(keys & self.avoid) + len(keys & self.asked)
                if best is None or cost < best[0]:
                    best = (cost, foods, number)
            if best is not None and best[0] == 0:
                break
        return None if best is None else best[1:]

    def _template(self, task: str, topic: Topic, templates: Sequence[Template]) -> tuple[Template, int]:
        """The template that was used least."""
        number = min(range(len(templates)), key=lambda each: self._templates[task, topic, each])
        self._templates[task, topic, number] += 1
        return templates[number], number

    def _dealt(self, foods: Sequence[Food]) -> list[tuple[Food, int]]:
        """Each food with the letter under which it is right, in any order."""
        pairs = list(zip(foods, self._rng.sample(range(NUM_CHOICES), NUM_CHOICES), strict=True))
        self._rng.shuffle(pairs)
        return pairs

    def _dealt_evenly(self, foods: Sequence[Food], topic: Topic, number: int) -> list[tuple[Food, int]]:
        """As `_dealt`, and so that over all quadruples no question in its words has a letter that is right oftener."""
        noun = noun_of(foods)["en"]
        words = [f"{topic} {number} {noun} {answer_of(self.table, food, topic, 'en')}" for food in foods]
        orders = list(itertools.permutations(range(NUM_CHOICES)))
        self._rng.shuffle(orders)
        best = min(orders, key=lambda order: sum(self._letters[pair] for pair in zip(words, order, strict=True)))
        self._letters.update(zip(words, best, strict=True))
        return list(zip(foods, best, strict=True))

    def _choices(self, topic: Topic, foods: Sequence[Food], right: Food, letter: int) -> Entry:
        order = self._ordered(foods, right, letter)
        return {
            f"choices{end}": [answer_of(self.table, food, topic, language) for food in order]
            for language, end in _FIELD_ENDS
        }

    def _ordered(self, foods: Sequence[Food], right: Food, letter: int) -> list[Food]:
        """The four in any order with the right one at its letter."""
        others = [food for food in foods if food is not right]
        self._rng.shuffle(others)
        return [*others[:letter], right, *others[letter:]]

    def _picture(self, style: str, food: Food) -> str:
        """The food's picture that was shown least."""
        path = min(self.shown.files[style, food.food_id], key=lambda each: self._pictures[each])
        self._pictures[path] += 1
        return path

    def _meta(self, food: Food) -> Entry:
        meta: Entry = {"food_name": food.name_zh, "food_name_en": food.name_en}
        word = word_of(food)
        if word["zh"] != DEFAULT_WORD["zh"]:
            meta |= {f"food_word{end}": word[language] for language, end in _FIELD_ENDS}
        return meta

    def _entry(
        self, letter: str, number: int, food: Food, head: Entry, meta: Entry | None, tags: dict[str, str]
    ) -> Entry:
        entry = {**head, "question_id": f"{letter}{number}"}
        if meta is not None:
            entry |= {"food_name": food.name_zh, "food_meta": meta}
        return entry | {"tags": {**tags, "dish": food.food_id, "kind": food.kind.value}}


def _in_both(say: Callable[[Language], str]) -> Said:
    return {language: say(language) for language, _ in _FIELD_ENDS}
