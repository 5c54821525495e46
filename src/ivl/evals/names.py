"""Open naming: is the right name in the answer, however long the answer is?

In: an item whose `answers` are all accepted names and whose `others` are longer names of other things that hold one
of them; an answer's text. Out: what was compared, and 1 or 0. Knows no set and no language.
"""

from collections.abc import Iterable

from ivl.evals.item import Item
from ivl.evals.texts import mention, normalise


def score_name(item: Item, text: str) -> tuple[str | None, float]:
    """(the normalised answer, 1 if it is right): an accepted name occurs, as whole words where it is in letters and
    anywhere where it is in Chinese characters, and none of the longer names that hold it does.

    None: the answer is empty. "Rice" is right for "rice"; "a rice ball" is not where rice balls are in the set too.
    """
    parsed = normalise(text).strip()
    if not parsed:
        return None, 0.0
    return parsed, mention(text, item.answers, item.others)


def longer_names(things: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """For each thing's names, those of all other things that are longer and hold one of them, in order."""
    things = list(dict.fromkeys(things))
    plain = {name: normalise(name) for names in things for name in names}
    found = {}
    for names in things:
        right = {plain[name] for name in names}
        near = [name for name, text in plain.items() if text not in right and any(each in text for each in right)]
        found[names] = tuple(sorted(name for name in near if mention(name, names)))
    return found
