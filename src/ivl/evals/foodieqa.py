"""A folder in FoodieQA's layout -> sets of questions: three tasks, each in Chinese and English.

In: the folder (`images/`, `sivqa_tidy.json` on one picture, `mivqa_tidy.json` to choose among four, `textqa_tidy.json`
without pictures; and beside them optionally `dataset.json` with `name` and `licence`). Out: `EvalSet`s with the
authors' prompts. Fetches nothing and opens no picture. Fields differ between releases: what is there is read, and
what is missing is named with file, entry (from 0) and field.

An entry: `question`, `choices` (a list, or the text of one; unused with four pictures), `answer` (number from 0),
the same in English as `question_en` and `choices_en`; pictures in `food_meta.food_file`, or four in `images`.
Optional: `question_id`, `question_type`, `food_name`, `style`, `tags` {name: value}.
Source: https://huggingface.co/datasets/lyan62/FoodieQA (Li et al. 2024, arXiv 2406.11030).
"""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from ivl.data.foodieqa import TASKS, Language, Task, licence_of
from ivl.data.pictures import PictureFolder
from ivl.data.records import RecordFile
from ivl.errors import DataError, nearest, shown
from ivl.evals.choices import (
    find_picture,
    set_name,
    to_choices,
    to_letter,
    to_list,
    to_question,
    to_tags,
    to_text,
    unique_id,
)
from ivl.evals.foodieqa_prompts import NUM_PROMPTS, ask, picture_names
from ivl.evals.item import EvalSet, Item

LANGUAGES: tuple[Language, ...] = get_args(Language)

_QUESTION: Mapping[Language, tuple[str, ...]] = {"zh": ("question",), "en": ("question_en", "question_bi")}
_CHOICES: Mapping[Language, str] = {"zh": "choices", "en": "choices_en"}
_TITLES: Mapping[Task, str] = {"sivqa": "one picture", "mivqa": "one of four pictures", "textqa": "text only"}
_SPOKEN: Mapping[Language, str] = {"zh": "Chinese", "en": "English"}
_SHAPE = "a folder in FoodieQA's layout holds sivqa_tidy.json, mivqa_tidy.json or textqa_tidy.json"


@dataclass(frozen=True, kw_only=True)
class FoodieFolder:
    """What a folder says of itself, and where its tasks' files lie."""

    name: str
    """What its sets are called."""
    title: str
    licence: str
    files: Mapping[Task, Path]


@dataclass(frozen=True, kw_only=True)
class Entries:
    """The entries of one file that are records at all."""

    pictures: PictureFolder
    file: str
    records: tuple[tuple[int, Mapping[str, Any]], ...]
    """(number from 0, entry)."""
    faults: tuple[str, ...]

    def where(self, number: int) -> str:
        return f"{self.file}, entry {number}"

    def speaks(self, language: Language) -> bool:
        """Whether any entry has a question in that language."""
        return any(_question_field(entry, language)[1] for _, entry in self.records)


@dataclass
class _Found:
    """Sets so far, and what could not become one."""

    sets: list[EvalSet] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_foodieqa(folder: Path) -> bool:
    """Whether there is a file of FoodieQA's layout in the folder."""
    return any(_files(place) for place in _places(folder))


def find_foodieqa(folder: Path, name: str | None = None) -> FoodieFolder:
    """The folder's files. Raises DataError where it is none, holds none of the three, or its dataset.json is wrong.

    name: what its sets are called; None: what dataset.json says, or "foodieqa".
    """
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "not there"
        raise DataError(f"the folder {shown(str(folder))} is {kind}: {_SHAPE}")
    for place in _places(folder):
        files = _files(place)
        if files:
            title = _title(place)
            own = name or ("foodieqa" if title == "FoodieQA" else set_name(title))
            return FoodieFolder(name=own, title=title, licence=licence_of(place), files=files)
    raise DataError(
        f"{shown(str(folder))} holds no file of questions: {_SHAPE}; for FoodieQA itself ask for access to "
        "lyan62/FoodieQA on Hugging Face and download it with your own account"
    )


def open_foodieqa(
    folder: Path,
    *,
    name: str | None = None,
    tasks: Collection[str] | None = None,
    languages: Collection[str] | None = None,
) -> tuple[EvalSet, ...]:
    """Up to six sets, called "foodieqa-sivqa-zh" and so on: the tasks and languages that are there, or those wanted.

    A task or language that is wanted and not there is a line in the faults of the first set. Raises DataError where
    nothing can be asked.
    """
    source = find_foodieqa(folder, name)
    _check_known("task", tasks or (), TASKS)
    _check_known("language", languages or (), LANGUAGES)
    found = _Found()
    for task in TASKS:
        if tasks is not None and task not in tasks:
            continue
        if task not in source.files:
            found.notes.append(f"{task}_tidy.json is not in the folder: no questions on {_TITLES[task]}")
            continue
        entries = read_entries(source.files[task])
        for language in LANGUAGES:
            if languages is None and not entries.speaks(language):
                continue
            if languages is None or language in languages:
                _add_set(found, source, entries, task, language)
    if not found.sets:
        raise DataError(f"nothing in {shown(str(folder))} can be asked; {found.notes[0] if found.notes else _SHAPE}")
    first = found.sets[0]
    faults = (*found.notes, *first.faults)
    return (EvalSet(**{**first.__dict__, "faults": faults}), *found.sets[1:])


def read_entries(path: Path) -> Entries:
    """The entries of a file. Raises DataError where it cannot be read as a whole."""
    file = RecordFile(path)
    records, faults = [], []
    for number in range(len(file)):
        try:
            records.append((number, file.read(number)))
        except DataError as error:
            faults.append(f"{file.name}, entry {number}: {str(error).removeprefix(f'{file.where(number)}: ')}")
    return Entries(pictures=PictureFolder(path.parent), file=file.name, records=tuple(records), faults=tuple(faults))


def picture_of(entry: Mapping[str, Any], pictures: PictureFolder) -> str:
    """The picture of an entry on one picture."""
    meta = meta_of(entry)
    name, value = next(
        ((name, value) for name, value in (("food_meta.food_file", meta.get("food_file")), *_loose(entry)) if value),
        ("food_meta.food_file", None),
    )
    if value is None:
        raise DataError(f"{name} is missing: the path of a picture is needed")
    return find_picture(pictures, value, name, inner="images")


def meta_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = entry.get("food_meta")
    return meta if isinstance(meta, dict) else {}


def tags_of(entry: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The slices an entry is counted in."""
    meta = meta_of(entry)
    known = {
        "question_type": entry.get("question_type"),
        "style": entry.get("style") or meta.get("style"),
        "dish": entry.get("food_name") or meta.get("food_name"),
    }
    return tuple({**{key: str(value) for key, value in known.items() if value}, **dict(to_tags(entry))}.items())


def _add_set(found: _Found, source: FoodieFolder, entries: Entries, task: Task, language: Language) -> None:
    name = f"{source.name}-{task}-{language}"
    items, faults = _read_items(entries, task, language)
    if not items:
        reason = faults[0] if faults else f"{entries.file} has no entries"
        found.notes.append(f"{name}: no entry can be asked in {_SPOKEN[language]}; the first: {reason}")
        return
    found.sets.append(
        EvalSet(
            name=name,
            title=f"{source.title}: {_TITLES[task]}, {_SPOKEN[language]}",
            items=tuple(items),
            metric="choice",
            ask=functools.partial(ask, task, language),
            num_prompts=NUM_PROMPTS,
            language=language,
            licence=source.licence,
            faults=tuple(faults),
        )
    )


def _read_items(entries: Entries, task: Task, language: Language) -> tuple[list[Item], list[str]]:
    items, faults, taken = [], list(entries.faults), set[str]()
    for number, entry in entries.records:
        where = entries.where(number)
        try:
            item_id = unique_id(entry.get("question_id", entry.get("qid")), number, taken)
            items.append(_read_item(entry, task, language, entries.pictures, item_id, where))
        except DataError as error:
            faults.append(f"{where}: {error}")
            continue
        taken.add(item_id)
    return items, faults


def _read_item(
    entry: Mapping[str, Any], task: Task, language: Language, pictures: PictureFolder, item_id: str, where: str
) -> Item:
    """Raises DataError that names the field that is missing or wrong."""
    name, value = _question_field(entry, language)
    question = to_question(value, name)
    images: tuple[str, ...] = ()
    if task == "mivqa":
        choices = picture_names(language)
        paths = to_list(entry.get("images"), "images")
        if len(paths) != len(choices):
            raise DataError(f"images has {len(paths)} entries: {len(choices)} pictures are needed")
        images = tuple(
            find_picture(pictures, path, f"images[{index}]", inner="images") for index, path in enumerate(paths)
        )
    else:
        choices = to_choices(entry.get(_CHOICES[language]), _CHOICES[language])
        images = (picture_of(entry, pictures),) if task == "sivqa" else ()
    return Item(
        item_id=item_id,
        where=where,
        question=question,
        answers=(to_letter(entry.get("answer"), choices, first="number"),),
        images=images,
        choices=choices,
        tags=tags_of(entry),
    )


def _question_field(entry: Mapping[str, Any], language: Language) -> tuple[str, Any]:
    """Name and value of the question in a language; None where it has none."""
    names = _QUESTION[language]
    return next(((name, entry[name]) for name in names if entry.get(name)), (names[0], None))


def _loose(entry: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    """Where other releases keep the one picture."""
    images = entry.get("images")
    only = images[0] if isinstance(images, list) and len(images) == 1 else None
    return (("food_file", entry.get("food_file")), ("image", entry.get("image")), ("images[0]", only))


def _places(folder: Path) -> tuple[Path, ...]:
    """The folder, and the one of the same name that the hub puts into it."""
    return (folder, folder / "FoodieQA")


def _files(place: Path) -> dict[Task, Path]:
    """Each task's file: the published one, else one with another ending."""
    files: dict[Task, Path] = {}
    for task in TASKS:
        others = sorted([*place.glob(f"{task}_*.json"), *place.glob(f"{task}*.jsonl"), *place.glob(f"{task}.json")])
        wanted = [place / f"{task}_tidy.json", place / f"{task}_filtered_bi.json", *others]
        present = next((path for path in wanted if path.is_file()), None)
        if present is not None:
            files[task] = present
    return files


def _title(place: Path) -> str:
    """The data set's name: its own dataset.json's, or FoodieQA's."""
    path = place / "dataset.json"
    return to_text(RecordFile(path).read(0).get("name"), f"{path.name}: name") if path.is_file() else "FoodieQA"


def _check_known(kind: str, given: Collection[str], allowed: Sequence[str]) -> None:
    for value in given:
        if value not in allowed:
            raise DataError(f"there is no {kind} {shown(value)}: {nearest(value, allowed)}")
