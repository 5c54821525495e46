"""How each food looks, in a few words: the typed reader of `looks.toml`.

    python -m tools.nano.looks             # a table: kind, look in both languages, food

In: `looks.toml`, written by hand from the drawings, and the table of foods. Out: a `Look` for every food, by the code
of its emoji. A look stands after the kind ("a fruit, long, curved and yellow", "水果，又长又弯、黄色") and holds no
food's name, so that the small model learns to see details and still has every name to learn. Knows no pictures.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tools.foods.facts import load_foods
from tools.foods.food import Food, Language
from tools.nano.nouns import KINDS, MORE_FOODS

from ivl.errors import DataError, nearest, shown

LOOKS_FILE = Path(__file__).with_name("looks.toml")
WORDS_EN = range(2, 8)
CHARACTERS_ZH = range(2, 11)
"""With the marks between the words."""
LANGUAGES: tuple[Language, ...] = ("en", "zh")
PLAIN_EN = re.compile(r"[a-z]+(?:-[a-z]+)*(?:,? [a-z]+(?:-[a-z]+)*)*")
PLAIN_ZH = re.compile(r"[\u4e00-\u9fff]+(?:、[\u4e00-\u9fff]+)*")
_ARTICLE = re.compile(r"\b(?:an?|the|some) ")


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a food looks, as it stands after the kind and a comma."""

    en: str
    zh: str

    def word(self, language: str) -> str:
        return self.en if language == "en" else self.zh


def load_looks(path: Path = LOOKS_FILE) -> Mapping[str, Look]:
    """A look by the code of every food of the fact table and of `MORE_FOODS`, in the file's order.

    In the file a food's key is its id in the fact table; its code where it has no row there.
    Raises DataError with file, food and field at the first thing that is wrong.
    """
    foods = load_foods().foods
    codes = {food.food_id: food.code for food in foods} | {code: code for code in MORE_FOODS}
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name}: cannot be read: {error}") from error
    for food_id in raw:
        if food_id not in codes:
            raise DataError(f"{path.name}: food {shown(food_id)} is not known, {nearest(food_id, codes)}")
    for food_id in codes:
        if food_id not in raw:
            raise DataError(f"{path.name}: food {shown(food_id)} has no look, add a line for it")
    names = {language: _names(foods, language) for language in LANGUAGES}
    return MappingProxyType(
        {codes[food_id]: _look(entry, names, f"{path.name}, food {food_id}") for food_id, entry in raw.items()}
    )


def main() -> None:
    """Print all looks by kind, and how many words they are made of."""
    looks = load_looks()
    foods = {food.code: food for food in load_foods().foods}
    kinds = MORE_FOODS | {code: food.kind.value for code, food in foods.items()}
    for code, look in sorted(looks.items(), key=lambda item: list(KINDS).index(kinds[item[0]])):
        (english, chinese), food = KINDS[kinds[code]], foods.get(code)
        print(f"{english}, {look.en} | {chinese}，{look.zh} | {food.food_id if food else code}")
    words = Counter(word for look in looks.values() for word in re.findall(r"[a-z-]+", look.en))
    characters = Counter(character for look in looks.values() for character in look.zh if character != "、")
    print(f"\n{len(looks)} foods, {len(words)} English words, {len(characters)} Chinese characters")


def _names(foods: Iterable[Food], language: Language) -> frozenset[str]:
    """What no look may say: foods' names and kinds, in small letters and without articles."""
    kinds = [kind[LANGUAGES.index(language)] for kind in KINDS.values()]
    return frozenset(_bare(name) for name in (*kinds, *(name for food in foods for name in food.names(language))))


def _look(entry: Any, names: Mapping[Language, frozenset[str]], where: str) -> Look:
    if not isinstance(entry, dict) or set(entry) != set(LANGUAGES):
        raise DataError(f'{where}: {shown(entry)} is not {{ en = "...", zh = "..." }}')
    english, chinese = entry["en"], entry["zh"]
    if not isinstance(english, str) or not PLAIN_EN.fullmatch(english):
        raise DataError(f"{where}.en: {shown(english)} is not of small words with single blanks, commas allowed")
    if not isinstance(chinese, str) or not PLAIN_ZH.fullmatch(chinese):
        raise DataError(f"{where}.zh: {shown(chinese)} is not of Chinese characters, 、 between them allowed")
    _check_length(len(english.split()), WORDS_EN, "words", f"{where}.en: {shown(english)}")
    _check_length(len(chinese), CHARACTERS_ZH, "characters", f"{where}.zh: {shown(chinese)}")
    for language in LANGUAGES:
        for name in sorted(names[language], key=len, reverse=True):
            if _says(entry[language], name, language):
                raise DataError(
                    f"{where}.{language}: {shown(entry[language])} says {shown(name)}, a food's name or kind; "
                    "say how it looks instead"
                )
    return Look(en=english, zh=chinese)


def _check_length(length: int, allowed: range, unit: str, where: str) -> None:
    if length not in allowed:
        raise DataError(f"{where} has {length} {unit}, allowed are {allowed[0]} to {allowed[-1]}")


def _says(text: str, name: str, language: Language) -> bool:
    """Whether a text holds a name: as whole words, in singular or plural and whatever the articles; anywhere in
    Chinese, which has no blanks."""
    if language == "zh":
        return name in text
    bare = _bare(text)
    return name in bare and re.search(rf"(?<!\w){re.escape(name)}(?:e?s)?(?!\w)", bare) is not None


def _bare(text: str) -> str:
    return _ARTICLE.sub("", text.lower())


if __name__ == "__main__":
    main()
