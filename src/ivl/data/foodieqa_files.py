"""FoodieQA's folder -> two files of LLaVA JSON that share no dish.

In: the published folder and where to write. Out: `train.json` and `test.json`, each written whole or not at all, and
what was done. Replaces nothing without being told to.
"""

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ivl.data.foodieqa import FoodieQuestion, Language, Style, read_foodieqa, split_by_dish, to_conversation
from ivl.data.settings import check_choice, check_number
from ivl.errors import DataError
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
    faults: tuple[str, ...]
    """Entries that could not be read, one line each."""
    missing: tuple[str, ...]
    """Entries whose picture is not there, one line each."""


def convert_foodieqa(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    style: Style = "tutorial",
    language: Language = "zh",
    test_share: float = 0.2,
    seed: int = 42,
    force: bool = False,
) -> Converted:
    """Write train.json and test.json into the folder `output`.

    force: replace them. Raises DataError: no FoodieQA there, nothing usable, files that are there already;
    SettingsError for an option's value.
    """
    check_choice("style", style, ("tutorial", "full"))
    check_choice("language", language, ("zh", "en"))
    check_number("test_share", test_share, 0, 0.9)
    check_number("seed", seed, 0, 2**63 - 1, whole=True)
    out = Path(output).expanduser()
    paths = {"train": out / "train.json", "test": out / "test.json"}
    for path in paths.values():
        if path.exists() and not force:
            raise DataError(f"{shown_path(str(path))} is there already: give --force to replace it, or another folder")
    read = read_foodieqa(Path(folder).expanduser(), language)
    train, test = split_by_dish(read.questions, test_share, seed)
    parts = {"train": train, "test": test}
    _write({paths[name]: _to_json(part, style, language) for name, part in parts.items() if part}, paths["test"])
    return Converted(
        train=paths["train"],
        test=paths["test"] if test else None,
        image_folder=read.folder,
        num_train=len(train),
        num_test=len(test),
        num_train_dishes=len({question.dish for question in train}),
        num_test_dishes=len({question.dish for question in test}),
        faults=read.faults,
        missing=read.missing,
    )


def _to_json(questions: Sequence[FoodieQuestion], style: Style, language: Language) -> str:
    records = [to_conversation(question, style, language) for question in questions]
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
