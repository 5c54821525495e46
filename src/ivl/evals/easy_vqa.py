"""easy-VQA: simple questions on drawn shapes, an outside set that comes as the PyPI package `easy-vqa`.

In: the installed package's files, found without running its code, or a folder that holds them. Out: its 9,673 test
questions as a set, or a split as training data in JSON Lines. The words are the same in both.
Source: https://github.com/vzhou842/easy-VQA (MIT, Victor Zhou 2019): 4,000 + 1,000 pictures of 64x64, 38,575 + 9,673
questions, 13 answers.
"""

import importlib.util
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivl.data.pictures import PictureFolder
from ivl.data.records import open_data
from ivl.errors import DataError, MissingExtraError, nearest, shown
from ivl.evals.item import EvalSet, Item
from ivl.evals.table_files import SHORT_EN, Wording

SPLITS = ("train", "test")
MAX_FILE_BYTES = 64 * 2**20

_COLOURS = frozenset({"black", "blue", "brown", "gray", "green", "red", "teal", "yellow"})
_NUMBER = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, kw_only=True)
class _Question:
    number: int
    text: str
    answer: str
    image: str
    """Path in the split's folder."""


def open_easy_vqa(folder: Path | None = None) -> EvalSet:
    """The test questions. folder: the package's, or its `data`; None: the installed one.

    Raises MissingExtraError where the package is not installed, DataError for a folder without its files.
    """
    place = _data_folder(folder) / "test"
    pictures = PictureFolder(place)
    items, faults = list[Item](), list[str]()
    for question in _questions(place, faults):
        where = f"test/questions.json, entry {question.number}"
        try:
            image = pictures.find(question.image)
        except DataError as error:
            faults.append(f"{where}: {error}")
            continue
        items.append(
            Item(
                item_id=str(question.number),
                where=where,
                question=question.text,
                answers=(question.answer,),
                images=(image,),
                tags=(("answer_type", _kind(question.answer)),),
            )
        )
    if not items:
        raise DataError(
            f"no question of {shown(str(place))} can be asked; the first: {faults[0] if faults else 'none'}"
        )
    return EvalSet(
        name="easy-vqa",
        title="easy-VQA, test split",
        items=tuple(items),
        metric="exact",
        ask=Wording(metric="exact", hints={}),
        language="en",
        faults=tuple(faults),
    )


def write_easy_vqa(split: str, folder: Path, *, source: Path | None = None, force: bool = False) -> Path:
    """Writes a split as training data and gives its path: `easy_vqa_train.jsonl`, beside its pictures.

    One record a line, in the official format; pictures are copied to `images/train/`, to which the records' paths are
    relative from `folder`. force: replace the file. Raises DataError: no such split, the file is there already, a
    question that cannot be used; MissingExtraError as `open_easy_vqa`.
    """
    if split not in SPLITS:
        raise DataError(f"easy-VQA has no split {shown(split)}: {nearest(split, SPLITS)}")
    place = _data_folder(source) / split
    path = folder / f"easy_vqa_{split}.jsonl"
    if path.exists() and not force:
        raise DataError(f"{shown(str(path))} is there already: replace it by force, or name another folder")
    faults: list[str] = []
    pictures, records, copied = PictureFolder(place), list[str](), dict[str, str]()
    for question in _questions(place, faults):
        name = f"images/{split}/{Path(question.image).name}"
        copied[name] = copied.get(name) or pictures.find(question.image)
        records.append(json.dumps(_record(question, name, split), ensure_ascii=False) + "\n")
    if faults:
        raise DataError(f"easy-VQA's files are damaged: {faults[0]}")
    (folder / "images" / split).mkdir(parents=True, exist_ok=True)
    for name, picture in copied.items():
        shutil.copyfile(picture, folder / name)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    partial.write_text("".join(records), encoding="utf-8")
    os.replace(partial, path)  # noqa: PTH105 - whole or not at all
    return path


def _record(question: _Question, image: str, split: str) -> dict[str, Any]:
    return {
        "id": f"easy-vqa-{split}-{question.number}",
        "image": image,
        "conversations": [
            {"from": "human", "value": f"<image>\n{question.text}{SHORT_EN}"},
            {"from": "gpt", "value": question.answer},
        ],
    }


def _data_folder(folder: Path | None) -> Path:
    """The folder with `train` and `test` in it."""
    if folder is None:
        found = importlib.util.find_spec("easy_vqa")
        if found is None or not found.origin or not found.submodule_search_locations:  # a lone easy_vqa.py is not it
            raise MissingExtraError("easy-vqa is not installed: pip install easy-vqa (3 MB), which holds its pictures")
        folder = Path(found.origin).parent
    for place in (folder / "data", folder):
        if (place / "test" / "questions.json").is_file():
            return place
    raise DataError(f"{shown(str(folder))} has no test/questions.json: name the folder `data` of the package easy-vqa")


def _questions(place: Path, faults: list[str]) -> Iterator[_Question]:
    """The questions of a split; entries that are none are added to `faults`."""
    path = place / "questions.json"
    for number, entry in enumerate(_read_list(path)):
        where = f"{place.name}/questions.json, entry {number}"
        if not isinstance(entry, list) or len(entry) != 3:
            faults.append(f"{where} is {shown(entry)}: [question, answer, number of the picture] is needed")
            continue
        text, answer, image = entry
        if not all(isinstance(each, str) and each.strip() for each in (text, answer)):
            faults.append(f"{where}: question {shown(text)} and answer {shown(answer)} must be texts")
        elif not _NUMBER.fullmatch(str(image)):
            faults.append(f"{where}: picture {shown(image)} is no number")
        else:
            yield _Question(number=number, text=text.strip(), answer=answer.strip(), image=f"images/{image}.png")


def _read_list(path: Path) -> list[Any]:
    with open_data(path, path.name) as file:
        data = file.read(MAX_FILE_BYTES + 1)
    try:
        found = json.loads(data) if len(data) <= MAX_FILE_BYTES else None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown(str(path))}: no valid JSON: {error}") from None
    if not isinstance(found, list):
        raise DataError(f"{shown(str(path))}: a list of at most {MAX_FILE_BYTES:,} bytes is needed")
    return found


def _kind(answer: str) -> str:
    if answer in ("yes", "no"):
        return "yes or no"
    return "colour" if answer in _COLOURS else "shape"
