"""Open naming: is the right name in the answer, however long the answer is?

In: an item whose `answers` are all accepted names and whose `others` are longer names of other things that hold one
of them; an answer's text. Out: what was compared, and 1 or 0. Knows no set; of English it knows regular plurals, of
other languages nothing.
"""

import re
from collections.abc import Iterable

from ivl.evals.item import Item
from ivl.evals.texts import LATIN, mention, normalise

_WORD = re.compile(rf"(?<![{LATIN}])[a-z\u00c0-\u024f]{{3,}}$")
"""One that can have a plural: "as" is not several "a", nor "is" several "i"."""


def score_name(item: Item, text: str) -> tuple[str | None, float]:
    """(the normalised answer, 1 if it is right): an accepted name occurs, as whole words where it is in letters and
    anywhere where it is in Chinese characters, and none of the longer names that hold it does.

    None: the answer is empty. "Rice" is right for "rice"; "a rice ball" is not where rice balls are among `others`.
    Names count in the plural too: "strawberries" is right for "strawberry", "rice balls" is wrong for "rice"; unless
    the plural is among `others`, as another thing. "Strawberry" is not right for "strawberries".
    """
    parsed = normalise(text).strip()
    if not parsed:
        return None, 0.0
    others = with_plurals(item.others)
    wrong = {normalise(name) for name in others} - {normalise(answer) for answer in item.answers}
    return parsed, mention(text, [name for name in with_plurals(item.answers) if normalise(name) not in wrong], others)


def with_plurals(names: Iterable[str]) -> tuple[str, ...]:
    """The names, and each in the plural where it ends with a word in Latin letters: the regular one of that word."""
    names = tuple(names)
    return tuple(dict.fromkeys([*names, *(plural for name in names for plural in _plurals(name))]))


def longer_names(things: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """For each thing's names, those of all other things that are longer and hold one of them, in order.

    Either may stand in the plural; and where "glasses" are a thing of their own, they are not several of "glass".
    """
    things = list(dict.fromkeys(things))
    forms = {name: [normalise(form) for form in with_plurals([name])] for names in things for name in names}
    found = {}
    for names in things:
        own = {forms[name][0] for name in names}
        held = [form for name in names for form in forms[name]]
        # Most names hold none of them as mere text: that is soon seen.
        near = {name: " | ".join(texts) for name, texts in forms.items() if texts[0] not in own}
        near = {name: text for name, text in near.items() if any(each in text for each in held)}
        found[names] = tuple(sorted(name for name, text in near.items() if mention(text, held)))
    return found


def _plurals(name: str) -> tuple[str, ...]:
    """ "mangos" and "mangoes" for "mango"; of most names one; none of a name that ends otherwise than in a word."""
    plain = normalise(name)
    if not _WORD.search(plain):
        return ()
    if re.search("[^aeiou]y$", plain):
        return (f"{plain[:-1]}ies",)
    if re.search("[^aeiou]o$", plain):
        return f"{plain}s", f"{plain}es"
    return (f"{plain}es",) if re.search("(?:s|sh|ch|x|z)$", plain) else (f"{plain}s",)
