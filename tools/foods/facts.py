"""What is known of each food: the typed reader of `facts.json`.

    python -m tools.foods.facts            # a table: how many foods have each value of each fact

In: `facts.json`, checked by hand, with closed vocabularies in English and Chinese. Out: `Foods`, in which every value
is in its vocabulary and every name belongs to one food only. Knows no pictures and no questions.

A fact has one value and lists in `also` the other values that could be defended, so that no question offers them as
wrong. What is disputed, unknown or says nothing is None.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tools.foods.food import FACT_NAMES, Fact, FactName, Food, Foods, Language, Vocabulary, Word

from ivl.errors import DataError, nearest, shown

__all__ = ["FACT_NAMES", "Fact", "FactName", "Food", "Foods", "Language", "Vocabulary", "Word", "load_foods"]
FACTS_FILE = Path(__file__).with_name("facts.json")
NAME_KEYS = {"code", "id", "name_en", "name_zh", "aliases_en", "aliases_zh", "near", "source"}
CODE = re.compile(r"[0-9A-F]{4,5}(-[0-9A-F]{4,5})*")
"""An emoji as emojibase writes it: hexadecimal code points joined by hyphens, without the variation selector."""
SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
KEY = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
HAN = re.compile(r"[\u4e00-\u9fff]")
LATIN = re.compile(r"[A-Za-zÀ-ÿ]")


def load_foods(path: Path = FACTS_FILE) -> Foods:
    """The table, fully checked.

    Raises DataError with file, food and field at the first thing that is wrong.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_doubles)
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name}: cannot be read: {error}") from error
    where = path.name
    _check_keys(raw, {"vocabularies", "foods"}, where)
    _check_keys(raw["vocabularies"], set(FACT_NAMES), f"{where}, vocabularies")
    vocabularies = {name: _vocabulary(name, raw["vocabularies"][name], where) for name in FACT_NAMES}
    if not isinstance(raw["foods"], list) or not raw["foods"]:
        raise DataError(f"{where}, foods: {shown(raw['foods'])} is no list of foods")
    near = _near(raw["foods"], where)
    foods = tuple(_food(entry, vocabularies, near, where) for entry in raw["foods"])
    _check_unique(foods, where)
    return Foods(foods=foods, vocabularies=MappingProxyType(vocabularies))


def main() -> None:
    """Print how many foods have each value of each fact, and how few quadruples the poorest food has."""
    table = load_foods()
    print(f"{len(table.foods)} foods")
    for name in FACT_NAMES:
        known = [food for food in table.foods if food.fact(name) is not None]
        counts = Counter(food.fact(name).value for food in known)  # type: ignore[union-attr]
        fewest = [min(table.num_quadruples(food, name)[side] for food in known) for side in (0, 1)]
        print(f"\n{name}: known of {len(known)}, unknown of {len(table.foods) - len(known)};", end=" ")
        print(f"any of them in at least {fewest[0]} quadruples of values and {fewest[1]} of foods")
        for key, word in table.vocabularies[name].words.items():
            print(f"  {counts[key]:4}  {key:18} {word.en} | {word.zh}")


def _vocabulary(name: FactName, raw: Any, where: str) -> Vocabulary:
    where = f"{where}, vocabularies.{name}"
    if not isinstance(raw, dict) or len(raw) < 4:
        raise DataError(f"{where}: {shown(raw)} has no four values")
    words, overlaps = {}, {key: set[str]() for key in raw}
    for key, entry in raw.items():
        _check_keys(entry, {"en", "zh"}, f"{where}.{key}", optional={"overlaps"})
        if not KEY.fullmatch(key):
            raise DataError(f"{where}: key {shown(key)} is not of small letters, digits and underscores")
        en, zh = _text(entry["en"], f"{where}.{key}.en", LATIN), _text(entry["zh"], f"{where}.{key}.zh", HAN)
        words[key] = Word(key=key, en=en, zh=zh)
        for other in _texts(entry.get("overlaps", []), f"{where}.{key}.overlaps"):
            _check_known(other, raw, f"{where}.{key}.overlaps")
            overlaps[key].add(other)
            overlaps[other].add(key)
    for said in ([word.en.lower() for word in words.values()], [word.zh for word in words.values()]):
        for text, count in Counter(said).items():
            if count > 1:
                raise DataError(f"{where}: {shown(text)} is said for {count} values, each must have its own words")
    frozen = {key: frozenset(others) for key, others in overlaps.items()}
    return Vocabulary(name=name, words=MappingProxyType(words), overlaps=MappingProxyType(frozen))


def _food(entry: Any, vocabularies: Mapping[FactName, Vocabulary], near: Mapping[str, set[str]], where: str) -> Food:
    _check_keys(entry, NAME_KEYS | set(FACT_NAMES), f"{where}, food {_id_of(entry)}")
    food_id = entry["id"]
    where = f"{where}, food {food_id}"
    if not isinstance(entry["code"], str) or not CODE.fullmatch(entry["code"]):
        raise DataError(f"{where}.code: {shown(entry['code'])} is not hexadecimal code points like 1F34B-200D-1F7E9")
    facts = {name: _fact(entry[name], vocabularies[name], f"{where}.{name}") for name in FACT_NAMES}
    kind = facts.pop("kind")
    if kind is None:
        raise DataError(f"{where}.kind: null, but every food has a kind")
    return Food(
        code=entry["code"],
        food_id=food_id,
        name_en=_text(entry["name_en"], f"{where}.name_en", LATIN),
        name_zh=_text(entry["name_zh"], f"{where}.name_zh", HAN),
        aliases_en=_texts(entry["aliases_en"], f"{where}.aliases_en", LATIN),
        aliases_zh=_texts(entry["aliases_zh"], f"{where}.aliases_zh", HAN),
        near=frozenset(near[food_id]),
        source=_text(entry["source"], f"{where}.source", LATIN),
        kind=kind,
        origin=facts["origin"],
        taste=facts["taste"],
        main_ingredient=facts["main_ingredient"],
        serving=facts["serving"],
        occasion=facts["occasion"],
    )


def _fact(raw: Any, vocabulary: Vocabulary, where: str) -> Fact | None:
    if raw is None:
        return None
    _check_keys(raw, {"value"}, where, optional={"also"})
    values = _texts([raw["value"], *_texts(raw.get("also", []), f"{where}.also")], where)
    for value in values:
        _check_known(value, vocabulary.words, where)
    beside = frozenset().union(*(vocabulary.overlaps[value] for value in values))
    return Fact(value=raw["value"], also=(beside | set(values)) - {raw["value"]})


def _near(entries: list[Any], where: str) -> dict[str, set[str]]:
    near: dict[str, set[str]] = {_id_of(entry): set() for entry in entries}
    for entry in entries:
        food_id = _id_of(entry)
        if not SLUG.fullmatch(food_id):
            raise DataError(f"{where}: id {shown(food_id)} is not of small letters, digits and hyphens")
        for other in _texts(entry.get("near", []), f"{where}, food {food_id}.near"):
            _check_known(other, near.keys() - {food_id}, f"{where}, food {food_id}.near")
            near[food_id].add(other)
            near[other].add(food_id)
    return near


def _check_unique(foods: Iterable[Food], where: str) -> None:
    owners: dict[tuple[str, str], str] = {}
    for food in foods:
        said = [("code", food.code), ("id", food.food_id)]
        said += [("English name", name.lower()) for name in food.names("en")]
        said += [("Chinese name", name) for name in food.names("zh")]
        for each in said:
            if each in owners:
                raise DataError(
                    f"{where}, food {food.food_id}: {each[0]} {shown(each[1])} is of {owners[each]} already"
                )
            owners[each] = food.food_id


def _check_keys(raw: Any, needed: set[str], where: str, optional: Iterable[str] = ()) -> None:
    if not isinstance(raw, dict):
        raise DataError(f"{where}: {shown(raw)} is no object")
    for key in sorted(needed - set(raw)):
        raise DataError(f"{where}: {shown(key)} is missing")
    for key in sorted(set(raw) - needed - set(optional)):
        raise DataError(f"{where}: {shown(key)} is not known, {nearest(key, needed | set(optional))}")


def _check_known(value: str, known: Iterable[str], where: str) -> None:
    if value not in known:
        raise DataError(f"{where}: {shown(value)} is not known, {nearest(value, known)}")


def _text(raw: Any, where: str, script: re.Pattern[str]) -> str:
    if not isinstance(raw, str) or raw != raw.strip() or not script.search(raw):
        raise DataError(f"{where}: {shown(raw)} is no text of its language")
    return raw


def _texts(raw: Any, where: str, script: re.Pattern[str] = LATIN) -> tuple[str, ...]:
    if not isinstance(raw, list):
        raise DataError(f"{where}: {shown(raw)} is no list")
    texts = tuple(_text(each, where, script) for each in raw)
    if len(set(texts)) < len(texts):
        raise DataError(f"{where}: {shown(raw)} names something twice")
    return texts


def _id_of(entry: Any) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise DataError(f"a food has no id: {shown(entry)}")
    return str(entry["id"])


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    doubles = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if doubles:
        raise ValueError(f"key {shown(doubles[0])} stands twice in one object")
    return dict(pairs)


if __name__ == "__main__":
    main()
