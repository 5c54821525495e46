"""The things a scene can show, and their names.

In: the folder of the npm package emojibase-data. Out: `Thing`s with one unique name per language.
Knows no artwork. A thing is an emoji that is neither a person nor a flag; its English and Chinese names are
emojibase's labels, unchanged, so that an answer can be checked against a public list.
"""

import json
import unicodedata
from dataclasses import asdict, dataclass
from pathlib import Path

FOOD_GROUP = 4
GROUPS = (0, 3, 4, 5, 6, 7, 8)
"""Smileys, animals and nature, food and drink, travel, activities, objects, symbols."""
FLIPPABLE = (3, 4)
"""Groups whose members keep their meaning when mirrored (an arrow or a clock does not)."""
SHORTCODES = ("cldr", "emojibase")


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One kind of thing."""

    code: str
    """Unicode code points as emojibase writes them, such as 1F32D."""
    english: str
    chinese: str
    group: int
    subgroup: int
    slugs: tuple[str, ...] = ()
    """Names under which art packages may file it, letters and digits only, best first."""

    @property
    def is_food(self) -> bool:
        return self.group == FOOD_GROUP


def squash(text: str) -> str:
    """Lower-case ASCII letters and digits of a name, for comparing names of different spelling."""
    return "".join(c for c in text.lower() if c.isascii() and c.isalnum())


def bare_code(code: str) -> str:
    """A code without the variation selector that packages write or leave out."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def read_things(folder: Path) -> list[Thing]:
    """All things of emojibase-data, in its order. Raises ValueError where a name is not unique."""
    english = json.loads((folder / "en/data.json").read_text(encoding="utf-8"))
    chinese = json.loads((folder / "zh/data.json").read_text(encoding="utf-8"))
    labels = {entry["hexcode"]: entry["label"] for entry in chinese}
    codes = [json.loads((folder / f"en/shortcodes/{name}.json").read_text(encoding="utf-8")) for name in SHORTCODES]
    things = [
        Thing(
            code=entry["hexcode"],
            english=entry["label"],
            chinese=labels[entry["hexcode"]],
            group=entry["group"],
            subgroup=entry["subgroup"],
            slugs=_slugs(entry, codes),
        )
        for entry in english
        if entry.get("group") in GROUPS
    ]
    for names in ([t.english for t in things], [t.chinese for t in things]):
        if len(set(names)) != len(names):
            raise ValueError(f"names are not unique: {sorted(n for n in set(names) if names.count(n) > 1)}")
    return things


def _slugs(entry: dict[str, str], codes: list[dict[str, str | list[str]]]) -> tuple[str, ...]:
    """Label first, then Unicode's own (often older) name, then shortcodes."""
    found = [squash(entry["label"])]
    points = bare_code(entry["hexcode"]).split("-")
    if len(points) == 1:
        found.append(squash(unicodedata.name(chr(int(points[0], 16)), "")))
    for table in codes:
        value = table.get(entry["hexcode"], [])
        found += [squash(slug) for slug in ([value] if isinstance(value, str) else value)]
    return tuple(dict.fromkeys(slug for slug in found if slug))


def things_to_json(things: list[Thing]) -> str:
    return json.dumps([asdict(thing) for thing in things], ensure_ascii=False)


def things_from_json(text: str) -> list[Thing]:
    return [Thing(**{**fields, "slugs": tuple(fields["slugs"])}) for fields in json.loads(text)]


def plural(name: str) -> str:
    """English plural of a thing's name, by rule: the last word before any preposition is inflected."""
    head, tail = name, ""
    for word in (" with ", " of ", " on ", " in ", " without ", " and ", " behind ", " at ", " over "):
        if word in head:
            head, _, rest = head.partition(word)
            tail = word + rest + tail
    return _plural_word(head) + tail


def _plural_word(word: str) -> str:
    last = word.split(" ")[-1]
    irregular = {
        "mouse": "mice",
        "knife": "knives",
        "leaf": "leaves",
        "wolf": "wolves",
        "goose": "geese",
        "tooth": "teeth",
    }
    if last in irregular:
        return word.removesuffix(last) + irregular[last]
    if last in {"tomato", "potato"} or last.endswith(("ch", "sh", "x", "ss")):
        return word + "es"
    already = ("popcorn", "salt", "sushi", "bacon", "garlic", "fish", "sheep", "rice", "bread")
    if last.endswith("us"):
        return word + "es"
    if last in already or last.endswith("s"):
        return word
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"
