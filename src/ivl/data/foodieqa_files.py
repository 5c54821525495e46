"""FoodieQA's folder -> two files of LLaVA JSON that share no dish.

In: a folder of its layout, and where to write. Out: `train.json` and `test.json`, each written whole or not at all, and
what was done. Replaces nothing without being told to.
"""

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ivl.data.foodieqa import TASKS, FoodieQuestion, FoodieQuestions, Language, Task, read_foodieqa
from ivl.data.foodieqa_records import Form, Record, Style, to_records
from ivl.data.foodieqa_split import split_by_dish
from ivl.data.settings import check_choice, check_number
from ivl.errors import DataError, SettingsError, shown
from ivl.processing.images import shown_path


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What was written, and what was left out."""

    train: Path
    test: Path | None
    """None with a test share of 0."""
    image_folder: Path
    """What the records' pictures are relative to."""
    num_train: int
    num_test: int
    num_train_dishes: int
    num_test_dishes: int
    num_straddling: int
    """Questions on several pictures of which some are in each part: they are in neither."""
    faults: tuple[str, ...]
    """Entries that could not be read, one line each."""
    missing: tuple[str, ...]
    """Entries of which a picture is not there, one line each."""


def convert_foodieqa(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    style: Style = "tutorial",
    language: Language | Literal["both"] = "zh",
    tasks: Sequence[Task] = ("sivqa",),
    form: Form = "open",
    naming: bool = False,
    test_share: float = 0.2,
    seed: int = 42,
    force: bool = False,
) -> Converted:
    """Write train.json and test.json into the folder `output`.

    style, form, naming: as in `to_records`. force: replace the files. Raises DataError: no FoodieQA there, nothing
    usable, files that are there already; SettingsError for an option's value.
    """
    check_choice("style", style, ("tutorial", "full"))
    check_choice("language", language, ("zh", "en", "both"))
    check_choice("form", form, ("open", "letters", "both"))
    check_tasks(tasks)
    check_number("test_share", test_share, 0, 0.9)
    check_number("seed", seed, 0, 2**63 - 1, whole=True)
    out = Path(output).expanduser()
    paths = {"train": out / "train.json", "test": out / "test.json"}
    for path in paths.values():
        if path.exists() and not force:
            raise DataError(f"{shown_path(str(path))} is there already: give --force to replace it, or another folder")
    read = _read(Path(folder).expanduser(), language, tasks)
    train, test = split_by_dish(read.questions, test_share, seed)
    parts = {"train": train, "test": test}
    records = {name: list(to_records(part, style, form, naming)) for name, part in parts.items()}
    _write({paths[name]: _to_json(part) for name, part in records.items() if part}, paths["test"])
    return Converted(
        train=paths["train"],
        test=paths["test"] if test else None,
        image_folder=read.folder,
        num_train=len(records["train"]),
        num_test=len(records["test"]),
        num_train_dishes=_num_dishes(train),
        num_test_dishes=_num_dishes(test),
        num_straddling=len(read.questions) - len(train) - len(test),
        faults=read.faults,
        missing=read.missing,
    )


def check_tasks(tasks: Sequence[str]) -> None:
    """Raise SettingsError unless `tasks` are one or more different tasks."""
    for task in tasks:
        check_choice("tasks", task, TASKS)
    if not tasks or len(set(tasks)) < len(tasks):
        raise SettingsError(f"tasks={shown(','.join(tasks))} is not allowed: each of {', '.join(TASKS)} at most once")


def _read(folder: Path, language: Language | Literal["both"], tasks: Sequence[Task]) -> FoodieQuestions:
    """The questions in one language or both, each with an id of its own."""
    if language != "both":
        read = read_foodieqa(folder, language, tasks)
        return replace(read, questions=tuple(_renamed(question, tasks, "") for question in read.questions))
    parts = []
    for task in tasks:
        parts.append(read_foodieqa(folder, "zh", [task]))
        try:
            parts.append(read_foodieqa(folder, "en", [task]))
        except DataError as error:
            parts.append(replace(parts[0], questions=(), missing=(), faults=(f"in English {error}",)))
    return FoodieQuestions(
        folder=parts[0].folder,
        questions=tuple(_renamed(each, tasks, f"-{each.language}") for part in parts for each in part.questions),
        faults=tuple(dict.fromkeys(line for part in parts for line in part.faults)),
        missing=tuple(dict.fromkeys(line for part in parts for line in part.missing)),
    )


def _renamed(question: FoodieQuestion, tasks: Sequence[Task], suffix: str) -> FoodieQuestion:
    prefix = f"{question.task}-" if len(tasks) > 1 else ""
    return replace(question, id=f"{prefix}{question.id}{suffix}")


def _num_dishes(questions: Sequence[FoodieQuestion]) -> int:
    return len({question.dish for question in questions if question.dish})


def _to_json(records: Sequence[Record]) -> str:
    return json.dumps(records, ensure_ascii=False, indent=2) + "\n"


def _write(texts: dict[Path, str], test: Path) -> None:
    """Put whole files in place; at no time does a train.json stand beside the test.json of another split."""
    waiting: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            waiting[path] = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            with waiting[path].open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        test.unlink(missing_ok=True)
        for path, whole in waiting.items():
            whole.replace(path)
    except OSError as error:
        place = shown_path(str(error.filename or test.parent))
        raise DataError(f"{place} cannot be written: {error.strerror or error}") from None
    finally:
        for whole in waiting.values():
            whole.unlink(missing_ok=True)
