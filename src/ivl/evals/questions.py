"""What there is to ask: the items that a limit leaves, and the digest of each question.

In: a set and settings. Out: a `Plan`, the same for all subjects. Keeps no question in words: those hold pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from ivl.data.order import bits
from ivl.errors import InputError, SettingsError, shown
from ivl.evals.fingerprint import asked_digest
from ivl.evals.item import EvalSet, Item
from ivl.evals.predictions import Key
from ivl.evals.scoring import check_item
from ivl.evals.settings import EvalSettings

_SET_NAME = re.compile(r"\w[\w.+-]{0,119}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A set's questions. P prompts."""

    eval_set: EvalSet
    """With the items that are asked."""
    whole_set: EvalSet
    """With all its items."""
    is_likelihood: bool
    """Whether the letter is chosen by its likelihood."""
    keys: tuple[tuple[Key, ...], ...]
    """[item][prompt], P for each item: prompts of one item are asked together, as they share its pictures."""

    def questions(self) -> Iterator[tuple[Item, Key]]:
        """Each item under each prompt."""
        for item, row in zip(self.eval_set.items, self.keys, strict=True):
            for key in row:
                yield item, key

    @property
    def num_questions(self) -> int:
        """Items times prompts."""
        return len(self.eval_set.items) * self.eval_set.num_prompts


def make_plan(eval_set: EvalSet, settings: EvalSettings) -> Plan:
    """Raises SettingsError for a set that cannot be asked, DataError for an item that cannot be scored."""
    _check(eval_set)
    chosen = replace(eval_set, items=choose_items(eval_set.items, settings.limit, settings.seed))
    is_likelihood = settings.scoring == "likelihood" and eval_set.metric == "choice"
    keys = tuple(
        tuple(
            (item.item_id, prompt, _digest(chosen, item, prompt, is_likelihood)) for prompt in range(chosen.num_prompts)
        )
        for item in chosen.items
    )
    return Plan(eval_set=chosen, whole_set=eval_set, is_likelihood=is_likelihood, keys=keys)


def choose_items(items: tuple[Item, ...], limit: int | None, seed: int) -> tuple[Item, ...]:
    """`limit` of the items, in their order: one of each of `limit` stretches of equal length.

    Which one of a stretch, chance says, that follows from the seed: every third of a set whose kinds of questions take
    turns would be questions of one kind.
    """
    if limit is None or limit >= len(items):
        return items
    bounds = [idx * len(items) // limit for idx in range(limit + 1)]
    return tuple(items[start + int(bits(1, seed, start)[0]) % (stop - start)] for start, stop in pairwise(bounds))


def check_sets(sets: tuple[EvalSet, ...]) -> None:
    """Raise SettingsError unless there are sets of different names."""
    if not sets:
        raise SettingsError("no set is given: give at least one to evaluate on")
    seen: set[str] = set()
    for eval_set in sets:
        if eval_set.name.casefold() in seen:
            raise SettingsError(f"two sets are named {eval_set.name!r}: give one of them another name")
        seen.add(eval_set.name.casefold())


def _check(eval_set: EvalSet) -> None:
    if not _SET_NAME.fullmatch(eval_set.name):
        raise SettingsError(f"the set's name {shown(eval_set.name)} is not allowed: letters, digits and . _ + - only")
    if not eval_set.items:
        faults = f"; the first of {len(eval_set.faults)} faults: {eval_set.faults[0]}" if eval_set.faults else ""
        raise SettingsError(f"{eval_set.name} has nothing to ask{faults}")
    assert eval_set.num_prompts > 0, f"{eval_set.name} has no prompt"
    seen: set[str] = set()
    for item in eval_set.items:
        if item.item_id in seen:
            raise SettingsError(f"{item.where}: a second item with the id {shown(item.item_id)}: give it another")
        seen.add(item.item_id)
        check_item(eval_set.metric, item)


def _digest(eval_set: EvalSet, item: Item, prompt: int, is_likelihood: bool) -> str:
    try:
        return asked_digest(eval_set.ask(item, prompt), item.letters if is_likelihood else "")
    except InputError:  # told again, and kept as the item's failure, when it is its turn
        return ""
