"""Sets of questions by the words of a command line.

In: "food", "general", a part of one of these ("food:styles"), "easy-vqa", "foodieqa FOLDER" (two words), a folder in
FoodieQA's layout, or a file of questions. Out: `EvalSet`s, each with a name of its own. Knows no model and no command
line.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ivl.data.foodieqa import TASKS, Language
from ivl.errors import DataError, nearest, shown
from ivl.evals.easy_vqa import open_easy_vqa
from ivl.evals.foodieqa import LANGUAGES, is_foodieqa, open_foodieqa
from ivl.evals.item import EvalSet
from ivl.evals.own import ABILITIES, FOOD_PARTS, NAMING, own_foods, own_general
from ivl.evals.table_files import METRICS, SUFFIXES, open_table

NAMES = ("food", "general", "easy-vqa", "foodieqa")
"""Words that are not paths; "foodieqa" needs a folder behind it."""
PARTS: Mapping[str, tuple[str, ...]] = {"food": FOOD_PARTS, "general": ABILITIES}
"""Of a name, the words that may stand behind it and a colon: "food:styles"."""
T = TypeVar("T", bound=str)
ALL_TASKS = (*TASKS, NAMING, *ABILITIES)

_ALLOWED = (
    "food (or food:styles, food:dishes), general (or general:counting and so on), easy-vqa, foodieqa FOLDER, a folder "
    "with sivqa_tidy.json, or a file .tsv, .csv, .jsonl or .json"
)


def open_sets(
    words: Sequence[str],
    *,
    metric: str | None = None,
    languages: Collection[str] | None = None,
    tasks: Collection[str] | None = None,
) -> tuple[EvalSet, ...]:
    """The sets that the words name, in their order.

    metric: scores files of questions, whatever their rows say. languages: "zh", "en"; a set without a language stays.
    tasks: parts of foodieqa and food (sivqa, mivqa, textqa; naming of food) and abilities of general; the other sets
    have no parts. None: all. Raises DataError, one line: a word, task, language or metric that is not known, a set
    that cannot be read, nothing left to ask; MissingExtraError for easy-vqa where it is not installed.
    """
    _check("metric", () if metric is None else (metric,), METRICS)
    _check("language", languages or (), LANGUAGES)
    _check("task", tasks or (), ALL_TASKS)
    wanted = _Wanted(metric=metric, languages=_of(languages, LANGUAGES), tasks=_of(tasks, ALL_TASKS))
    sets: list[EvalSet] = []
    for word in _read(words):
        sets += _open(word, wanted)
    sets = [each for each in sets if languages is None or not each.language or each.language in languages]
    if not sets:
        raise DataError(f"no set to evaluate: name {_ALLOWED}")
    return _with_own_names(sets)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Wanted:
    metric: str | None
    languages: tuple[Language, ...] | None
    tasks: tuple[str, ...] | None

    def among(self, known: Collection[str]) -> tuple[str, ...] | None:
        """The tasks that a kind of set can have; None: all of them are wanted."""
        return None if self.tasks is None else tuple(task for task in self.tasks if task in known)


def _of(given: Collection[str] | None, known: Sequence[T]) -> tuple[T, ...] | None:
    return None if given is None else tuple(each for each in known if each in given)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Word:
    """What was named, one of NAMES or "file"."""

    kind: str
    path: Path = Path()
    part: str | None = None
    """One of PARTS; None: all of them."""


def _read(words: Sequence[str]) -> Iterator[_Word]:
    rest = iter(words)
    for word in rest:
        name, colon, part = word.partition(":")
        if word == "foodieqa":
            folder = next(rest, None)
            if folder is None:
                raise DataError("foodieqa needs its folder behind it: foodieqa FOLDER, which holds sivqa_tidy.json")
            yield _Word(kind=word, path=Path(folder).expanduser())
        elif word in NAMES:
            yield _Word(kind=word)
        elif colon and name in PARTS:
            if part not in PARTS[name]:
                allowed = ", ".join(f"{name}:{each}" for each in PARTS[name])
                raise DataError(f"{name} has no part {shown(part)}: allowed are {allowed}, and {name} for all of them")
            yield _Word(kind=name, part=part)
        else:
            yield _path(word)


def _path(word: str) -> _Word:
    path = Path(word).expanduser()
    if path.is_dir():
        return _Word(kind="foodieqa", path=path)
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return _Word(kind="file", path=path)
    if path.is_file():
        raise DataError(f"{shown(word)} is no file of questions: one of {', '.join(SUFFIXES)} is needed")
    if path.suffix.lower() in SUFFIXES or "/" in word:
        raise DataError(f"there is no file or folder {shown(word)}: name {_ALLOWED}")
    guess = nearest(word, NAMES)
    raise DataError(
        f"no set is called {shown(word)}: {f'{guess} ' if guess.startswith('did you mean') else ''}allowed: {_ALLOWED}"
    )


def _open(word: _Word, wanted: _Wanted) -> Sequence[EvalSet]:
    if word.kind == "easy-vqa":
        return [open_easy_vqa()]
    if word.kind == "file":
        return _open_file(word.path, wanted)
    tasks = wanted.among({"foodieqa": TASKS, "food": (*TASKS, NAMING), "general": ABILITIES}[word.kind])
    if word.kind == "general" and word.part is not None:
        tasks = (word.part,) if tasks is None or word.part in tasks else ()
    if tasks is not None and not tasks:
        return []
    if word.kind == "food":
        return own_foods(tasks, wanted.languages, FOOD_PARTS if word.part is None else (word.part,))
    if word.kind == "general":
        return own_general(tasks, wanted.languages)
    return open_foodieqa(word.path, tasks=tasks, languages=wanted.languages)


def _open_file(path: Path, wanted: _Wanted) -> Sequence[EvalSet]:
    """A file of questions; one of FoodieQA's own files is read with its folder."""
    task = path.name.partition("_")[0]
    if task in TASKS and path.suffix.lower() == ".json" and is_foodieqa(path.parent):
        return open_foodieqa(path.parent, tasks=[task], languages=wanted.languages)
    return open_table(path, metric=wanted.metric)


def _with_own_names(sets: Sequence[EvalSet]) -> tuple[EvalSet, ...]:
    """The sets, those of a name that was there before with a number behind it."""
    taken: set[str] = set()
    named = []
    for each in sets:
        name, number = each.name, 2
        while name in taken:
            name, number = f"{each.name}-{number}", number + 1
        taken.add(name)
        named.append(each if name == each.name else dataclasses.replace(each, name=name))
    return tuple(named)


def _check(kind: str, given: Collection[str], known: Collection[str]) -> None:
    for value in given:
        if value not in known:
            raise DataError(f"there is no {kind} {shown(value)}: {nearest(value, known)}")
