"""Sets of questions by the words of a command line.

In: "food", "general", "easy-vqa", "foodieqa FOLDER" (two words), a folder in FoodieQA's layout, or a file of
questions. Out: `EvalSet`s, each with a name of its own. Knows no model and no command line.
"""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from ivl.data.foodieqa import TASKS, Language
from ivl.errors import DataError, nearest, shown
from ivl.evals.easy_vqa import open_easy_vqa
from ivl.evals.foodieqa import LANGUAGES, is_foodieqa, open_foodieqa
from ivl.evals.item import EvalSet
from ivl.evals.own import ABILITIES, NAMING, own_foods, own_general
from ivl.evals.table_files import METRICS, SUFFIXES, open_table

NAMES = ("food", "general", "easy-vqa", "foodieqa")
"""Words that are not paths; "foodieqa" needs a folder behind it."""
T = TypeVar("T", bound=str)
ALL_TASKS = (*TASKS, NAMING, *ABILITIES)

_ALLOWED = (
    "food, general, easy-vqa, foodieqa FOLDER, a folder with sivqa_tidy.json, or a file .tsv, .csv, .jsonl or .json"
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
    for word, place in _pairs(words):
        sets += _open(word, place, wanted)
    sets = [each for each in sets if languages is None or not each.language or each.language in languages]
    if not sets:
        raise DataError(f"no set to evaluate: name {_ALLOWED}")
    return _with_own_names(sets)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Wanted:
    metric: str | None
    languages: tuple[Language, ...] | None
    tasks: tuple[str, ...] | None

    def parts(self, known: Collection[str]) -> tuple[str, ...] | None:
        """The tasks that a kind of set can have; None: all of them are wanted."""
        return None if self.tasks is None else tuple(task for task in self.tasks if task in known)


def _of(given: Collection[str] | None, known: Sequence[T]) -> tuple[T, ...] | None:
    return None if given is None else tuple(each for each in known if each in given)


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """(what it is, where it lies): the word itself for names, "folder" or "file" for paths."""
    rest = iter(words)
    for word in rest:
        if word == "foodieqa":
            folder = next(rest, None)
            if folder is None:
                raise DataError("foodieqa needs its folder behind it: foodieqa FOLDER, which holds sivqa_tidy.json")
            yield word, Path(folder).expanduser()
        elif word in NAMES:
            yield word, Path()
        else:
            yield _path(word)


def _path(word: str) -> tuple[str, Path]:
    path = Path(word).expanduser()
    if path.is_dir():
        return "foodieqa", path
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return "file", path
    if path.is_file():
        raise DataError(f"{shown(word)} is no file of questions: one of {', '.join(SUFFIXES)} is needed")
    if path.suffix.lower() in SUFFIXES or "/" in word:
        raise DataError(f"there is no file or folder {shown(word)}: name {_ALLOWED}")
    guess = nearest(word, NAMES)
    raise DataError(
        f"no set is called {shown(word)}: {f'{guess} ' if guess.startswith('did you mean') else ''}allowed: {_ALLOWED}"
    )


def _open(word: str, place: Path, wanted: _Wanted) -> Sequence[EvalSet]:
    if word == "easy-vqa":
        return [open_easy_vqa()]
    if word == "file":
        return _open_file(place, wanted)
    parts = wanted.parts({"foodieqa": TASKS, "food": (*TASKS, NAMING), "general": ABILITIES}[word])
    if parts is not None and not parts:
        return []
    if word == "food":
        return own_foods(parts, wanted.languages)
    if word == "general":
        return own_general(parts, wanted.languages)
    return open_foodieqa(place, tasks=parts, languages=wanted.languages)


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
