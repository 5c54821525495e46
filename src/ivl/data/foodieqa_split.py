"""Two parts of FoodieQA's questions that share no dish and no picture.

In: questions, a share, a seed. Out: those to train on and those to test on. Opens nothing.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence

from ivl.data.foodieqa import FoodieQuestion
from ivl.errors import DataError


def split_by_dish(
    questions: Sequence[FoodieQuestion], test_share: float, seed: int
) -> tuple[list[FoodieQuestion], list[FoodieQuestion]]:
    """Training and test questions, none of whose dishes and pictures are in both.

    test_share: of the questions, met as nearly as whole dishes allow. The same seed gives the same split, and a
    question that is added moves few others. A question on several pictures goes where all of them are, and into
    neither part where they are in both. Raises DataError where one part would be empty.
    """
    groups = _groups(questions)
    counts = Counter(groups[_keys(question)[0]] for question in questions if question.task != "mivqa")
    counts = counts or Counter(set(groups.values()))
    wanted, taken, tested = test_share * counts.total(), 0, set[str]()
    for group in sorted(counts, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest()):
        if abs(taken + counts[group] - wanted) < abs(taken - wanted):
            taken += counts[group]
            tested.add(group)
    parts: tuple[list[FoodieQuestion], list[FoodieQuestion]] = ([], [])
    for question in questions:
        sides = {groups[key] in tested for key in _keys(question)}
        if len(sides) == 1:
            parts[sides.pop()].append(question)
    if not parts[0] or (test_share > 0 and not parts[1]):
        raise DataError(
            f"{len(questions)} questions on {len(counts)} dishes cannot be split with a test share of {test_share:g}: "
            "no dish may be in both parts, and neither may be empty"
        )
    return parts


def _keys(question: FoodieQuestion) -> list[str]:
    """What a question is about: its dish and picture, or four pictures whose dishes are not told."""
    dish = [] if question.task == "mivqa" else [f"dish {_plain(question.dish)}"]
    return [*dish, *(f"picture {image}" for image in question.images)]


def _groups(questions: Sequence[FoodieQuestion]) -> dict[str, str]:
    """The group of each dish and picture; dishes that share a picture are in one."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    for question in questions:
        keys = _keys(question)
        if question.task != "mivqa":
            for key in keys[1:]:
                first, second = sorted([root(keys[0]), root(key)])
                parent[second] = first
    return {key: root(key) for question in questions for key in _keys(question)}


def _plain(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).split()).casefold()
