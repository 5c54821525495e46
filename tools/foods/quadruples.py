"""Chooses four foods of which a question can be asked fairly: each is right once, and plainly wrong the other times.

In: the table of facts, which foods may be taken, a seed. Out: tuples of four foods. Knows no words and no pictures.
"""

import random
from collections import Counter
from collections.abc import Container, Sequence
from typing import Literal

from tools.foods.food import FactName, Food, Foods

Topic = FactName | Literal["name"]
"""What is asked: a fact, or what the food is called."""
NUM_CHOICES = 4
_TRIES = 60


class Chooser:
    """Deals out quadruples for one set of questions; each food comes about as often as the others of its topic."""

    def __init__(self, table: Foods, seed: str) -> None:
        self.table = table
        self.rng = random.Random(seed)
        self.uses: Counter[tuple[Topic, str]] = Counter()
        self.seen: set[tuple[Topic, frozenset[str]]] = set()

    def choose(
        self, topic: Topic, foods: Sequence[Food], late: Container[str] = frozenset()
    ) -> tuple[Food, ...] | None:
        """Four of `foods`, if possible together for the first time; None where there are no such four.

        late: ids of foods whose turn comes later than their use so far would have it.
        """
        known = [food for food in foods if has_value(food, topic)]
        found = None
        for attempt in range(_TRIES):
            found = _apart(self._order(topic, known, late, noise=attempt / 10), topic)
            if found is None or (topic, _ids(found)) not in self.seen:
                break
        return found

    def take(self, topic: Topic, foods: Sequence[Food]) -> None:
        """Count these foods as used."""
        self.seen.add((topic, _ids(foods)))
        for food in foods:
            self.uses[topic, food.food_id] += 1

    def _order(self, topic: Topic, known: Sequence[Food], late: Container[str], noise: float) -> list[Food]:
        """The least used first; noise: how much chance there is in that."""
        turns = {
            food.food_id: self.uses[topic, food.food_id] + (food.food_id in late) + self.rng.uniform(0, 0.5 + noise)
            for food in known
        }
        return sorted(known, key=lambda food: (turns[food.food_id], food.food_id))


def _ids(foods: Sequence[Food]) -> frozenset[str]:
    return frozenset(food.food_id for food in foods)


def _apart(order: Sequence[Food], topic: Topic, chosen: tuple[Food, ...] = ()) -> tuple[Food, ...] | None:
    """The first four in this order of which each two are apart; None where there are none."""
    if len(chosen) == NUM_CHOICES:
        return chosen
    for place, food in enumerate(order):
        if all(are_apart(food, other, topic) for other in chosen):
            found = _apart(order[place + 1 :], topic, (*chosen, food))
            if found is not None:
                return found
    return None


def has_value(food: Food, topic: Topic) -> bool:
    return topic == "name" or food.fact(topic) is not None


def are_apart(first: Food, second: Food, topic: Topic) -> bool:
    """Whether neither food's answer could be defended of the other, and neither is easily taken for the other."""
    if first is second or second.food_id in first.near:
        return False
    if topic == "name":
        return True
    one, other = first.fact(topic), second.fact(topic)
    assert one is not None, f"{first.food_id} has no {topic}"
    assert other is not None, f"{second.food_id} has no {topic}"
    return one.value not in other.defensible and other.value not in one.defensible
