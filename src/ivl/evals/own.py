"""The package's own sets: food in FoodieQA's shape, dishes to be named, and what a model can do besides.

In: the folders that `ivl.zoo` names. Out: `EvalSet`s. `foods_folder()` holds `test_styles` (known dishes in styles
held out) and `test_dishes` (dishes held out), each in FoodieQA's layout, and `foods.json`, all names of all dishes.
`general_folder()` holds `test.jsonl` in the layout of table_files.py, each row with a tag `ability` and optionally
`language`. Opens no picture.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ivl import zoo
from ivl.data.foodieqa import Language
from ivl.data.records import RecordFile
from ivl.errors import DataError, shown
from ivl.evals.choices import set_name, to_list, to_tags, to_text
from ivl.evals.foodieqa import Entries, find_foodieqa, meta_of, open_foodieqa, picture_of, read_entries, tags_of
from ivl.evals.item import EvalSet, Item, Metric
from ivl.evals.names import longer_names
from ivl.evals.table_files import Wording, read_rows

FOOD_PARTS = ("styles", "dishes")
"""What is new in them: the art's style, or the dish."""
NAMING = "naming"
ABILITIES = ("kind", "counting", "colour", "position", "ocr", "grounding", "refusal")
"""Those of the package's set; another one in the file is a set too."""

_QUESTIONS: Mapping[Language, tuple[str, ...]] = {
    "zh": ("这是什么菜？", "图中的食物叫什么名字？", "图片里是什么食物？"),
    "en": ("What dish is this?", "What is the food in the picture called?", "Which food does the picture show?"),
}
_SPOKEN: Mapping[Language, str] = {"zh": "Chinese", "en": "English"}


_Names = Mapping[tuple[str, Language], tuple[str, ...]]
"""(dish, language) -> all accepted names."""


@dataclass
class _Dish:
    """What one picture shows."""

    where: str
    image: str
    names: tuple[str, ...]
    """All accepted ones."""
    tags: tuple[tuple[str, str], ...]


@dataclass
class _Slices:
    """The items of one ability and metric."""

    items: list[Item] = field(default_factory=list)
    languages: set[str] = field(default_factory=set)


def food_sets(
    folder: Path,
    parts: Collection[str] = FOOD_PARTS,
    *,
    tasks: Collection[str] | None = None,
    languages: Collection[Language] | None = None,
) -> tuple[EvalSet, ...]:
    """The food set's questions and names, for each of the parts that is there.

    tasks: of sivqa, mivqa, textqa and naming. Raises DataError where there is nothing that is wanted.
    """
    sets: list[EvalSet] = []
    for part in parts:
        place, name = folder / f"test_{part}", f"food-{part}"
        if not place.is_dir():
            continue
        there = find_foodieqa(place, name).files
        asked = [task for task in there if tasks is None or task in tasks]
        if asked:
            sets += open_foodieqa(place, name=name, tasks=asked, languages=languages)
        if "sivqa" in there and (tasks is None or NAMING in tasks):
            sets += naming_sets(place, name, languages)
    if not sets:
        raise DataError(f"the food set in {shown(str(folder))} holds nothing that is wanted: is it built?")
    return tuple(sets)


def naming_sets(folder: Path, name: str, languages: Collection[Language] | None = None) -> tuple[EvalSet, ...]:
    """Each picture of a folder's `sivqa` questions once: what is it called?

    Names: those of the dish that the entry's tag `dish` names in `foods.json` beside the folder; else `food_name` in
    Chinese and `food_name_en` in English, of the entry or its `food_meta`. A language without any name is no set.
    """
    source = find_foodieqa(folder, name)
    entries = read_entries(source.files["sivqa"])
    known = _known_names(folder.parent / "foods.json")
    sets = []
    for language in _QUESTIONS:
        if languages is not None and language not in languages:
            continue
        dishes, faults = _dishes(entries, language, known)
        if dishes:
            sets.append(
                EvalSet(
                    name=f"{name}-{NAMING}-{language}",
                    title=f"{name}: dishes named in {_SPOKEN[language]}",
                    items=_naming_items(dishes, language, known),
                    metric="contains",
                    ask=Wording(metric="contains", hints={}, is_bare=True),
                    language=language,
                    licence=source.licence,
                    faults=faults,
                )
            )
    return tuple(sets)


def general_sets(
    folder: Path, *, tasks: Collection[str] | None = None, languages: Collection[str] | None = None
) -> tuple[EvalSet, ...]:
    """One set for each ability in `test.jsonl`, called "general-counting" and so on.

    tasks: abilities; languages: of rows that have a tag `language`. Raises DataError where nothing is left.
    """
    path = folder / "test.jsonl"
    rows = read_rows(path)
    slices: defaultdict[tuple[str, Metric], _Slices] = defaultdict(_Slices)
    faults = list(rows.faults)
    for metric, items in rows.items.items():
        for item in items:
            tags = dict(item.tags)
            if "ability" not in tags:
                faults.append(f"{item.where}: tags has no ability: {', '.join(ABILITIES)} or another is needed")
            elif (tasks is None or tags["ability"] in tasks) and _is_wanted(tags.get("language"), languages):
                found = slices[tags["ability"], metric]
                found.items.append(item)
                found.languages.add(tags.get("language", ""))
    if not slices:
        raise DataError(f"no row of {shown(str(path))} is wanted; {faults[0] if faults else 'it has other abilities'}")
    abilities = [ability for ability, _ in slices]
    sets = []
    for number, ((ability, metric), found) in enumerate(slices.items()):
        suffix = f"-{metric}" if abilities.count(ability) > 1 else ""
        sets.append(
            EvalSet(
                name=f"general-{set_name(ability)}{suffix}",
                title=f"general: {ability}",
                items=tuple(found.items),
                metric=metric,
                ask=Wording(metric=metric, hints=rows.hints, is_bare=True),
                language=found.languages.pop() if len(found.languages) == 1 else "",
                faults=tuple(faults) if number == 0 else (),
            )
        )
    return tuple(sets)


def own_foods(
    tasks: Collection[str] | None, languages: Collection[Language] | None, parts: Collection[str] = FOOD_PARTS
) -> tuple[EvalSet, ...]:
    """`food_sets` of the package."""
    return food_sets(zoo.foods_folder(), parts, tasks=tasks, languages=languages)


def own_general(tasks: Collection[str] | None, languages: Collection[str] | None) -> tuple[EvalSet, ...]:
    """`general_sets` of the package."""
    return general_sets(zoo.general_folder(), tasks=tasks, languages=languages)


def _is_wanted(language: str | None, languages: Collection[str] | None) -> bool:
    return languages is None or language is None or language in languages


def _dishes(entries: Entries, language: Language, known: _Names) -> tuple[list[_Dish], tuple[str, ...]]:
    """One for each picture, and the entries that name nothing where others do."""
    dishes: dict[str, _Dish] = {}
    faults: dict[str, str] = {}
    for number, entry in entries.records:
        where = entries.where(number)
        try:
            image = picture_of(entry, entries.pictures)
            names = known.get((_dish_of(entry), language)) or _names(entry, language)
        except DataError as error:
            faults[where] = f"{where}: {error}"
            continue
        if image not in dishes:
            tags = tuple((key, value) for key, value in tags_of(entry) if key != "question_type")
            dishes[image] = _Dish(where=where, image=image, names=names, tags=tags)
    return list(dishes.values()), tuple(faults.values())


def _names(entry: Mapping[str, Any], language: Language) -> tuple[str, ...]:
    field = "food_name" if language == "zh" else "food_name_en"
    return (to_text(meta_of(entry).get(field) or entry.get(field), field),)


def _dish_of(entry: Mapping[str, Any]) -> str:
    return dict(to_tags(entry)).get("dish", "")


def _known_names(path: Path) -> _Names:
    """All names of all dishes, the usual one first; nothing where the file is not there."""
    if not path.is_file():
        return {}
    file, names = RecordFile(path), dict[tuple[str, Language], tuple[str, ...]]()
    for number in range(len(file)):
        row = file.read(number)
        for language in _QUESTIONS:
            fields = (f"name_{language}", f"aliases_{language}")
            try:
                texts = [row.get(fields[0]), *to_list(row.get(fields[1], []), fields[1])]
                key = to_text(row.get("id"), "id"), language
                names[key] = tuple(dict.fromkeys(to_text(text, fields[0]) for text in texts))
            except DataError as error:
                raise DataError(f"{file.where(number)}: {error}") from None
    return names


def _naming_items(dishes: Sequence[_Dish], language: Language, known: _Names) -> tuple[Item, ...]:
    """Questions take turns, so that no single wording decides."""
    questions = _QUESTIONS[language]
    everything = [
        *(dish.names for dish in dishes),
        *(names for (_, spoken), names in known.items() if spoken == language),
    ]
    others = longer_names(everything)
    return tuple(
        Item(
            item_id=str(number),
            where=dish.where,
            question=questions[number % len(questions)],
            answers=dish.names,
            others=others[dish.names],
            images=(dish.image,),
            tags=dish.tags,
        )
        for number, dish in enumerate(dishes)
    )
