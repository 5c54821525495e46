"""FoodieQA, from a folder that its authors gave a person access to, as questions and as LLaVA JSON.

In: the published folder (`images/`, `sivqa_tidy.json`). Out: `FoodieQuestion`s, conversations, and two files that
share no dish. Fetches nothing; opens no picture. Fields differ between releases: what is there is read, and what is
missing is named with file and entry.
Source: https://huggingface.co/datasets/lyan62/FoodieQA (Li et al. 2024, arXiv 2406.11030).
"""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ivl.data.foodieqa_answers import full_answer
from ivl.data.pictures import PictureFolder
from ivl.data.records import RecordFile
from ivl.errors import DataError, shown
from ivl.processing.images import shown_path

Language = Literal["zh", "en"]
Style = Literal["tutorial", "full"]

LICENCE = (
    "FoodieQA is licensed CC BY-NC-ND 4.0, and its authors allow evaluation in research only: ask them before you "
    "train on it, pass on neither it nor what is made from it, and cite arXiv 2406.11030"
)

_FILES = ("sivqa_tidy.json", "sivqa_filtered_bi.json")
_QUESTION: Mapping[Language, tuple[str, str]] = {
    "zh": ("question", "choices"),
    "en": ("question_en", "choices_en"),
}


@dataclass(frozen=True, kw_only=True)
class FoodieQuestion:
    """A question about one picture, and its choices."""

    where: str
    """File and entry."""
    id: str
    kind: str
    """The release's `question_type`, or empty."""
    dish: str
    """The dish's name, in Chinese."""
    image: str
    """Path of the picture, relative to the data set's folder."""
    question: str
    choices: tuple[str, ...]
    answer_idx: int

    @property
    def answer(self) -> str:
        return self.choices[self.answer_idx]


@dataclass(frozen=True, kw_only=True)
class FoodieQuestions:
    """What a folder holds."""

    folder: Path
    """The folder that pictures are relative to."""
    questions: tuple[FoodieQuestion, ...]
    faults: tuple[str, ...]
    """Entries that cannot be used, one line each."""
    missing: tuple[str, ...]
    """Entries whose picture is not there, one line each."""


def read_foodieqa(folder: Path, language: Language = "zh") -> FoodieQuestions:
    """The questions on single pictures. Raises DataError where there is no such file, or no entry can be used."""
    file = _open(folder)
    pictures = PictureFolder(file.path.parent)
    questions, faults, missing = [], [], []
    for index in range(len(file)):
        where = f"{file.name}, entry {index}"
        try:
            question = _question(file.read(index), where, language)
        except DataError as error:
            faults.append(f"{where}: {str(error).removeprefix(f'{file.where(index)}: ')}")
            continue
        try:
            questions.append(_with_picture(question, pictures))
        except DataError as error:
            missing.append(f"{where}: {error}")
    if not questions and not missing:
        advice = "; this release may be Chinese only: try --language zh" if language == "en" else ""
        raise DataError(f"no entry of {file.name} can be used; the first: {faults[0] if faults else 'none'}{advice}")
    return FoodieQuestions(
        folder=file.path.parent, questions=tuple(questions), faults=tuple(faults), missing=tuple(missing)
    )


def to_conversation(question: FoodieQuestion, style: Style, language: Language) -> dict[str, Any]:
    """A record of LLaVA JSON.

    style: "tutorial" writes the words of the InternVL2 tutorial's own conversion, the dish's name in Chinese in both
    languages; "full" a sentence that names the dish and answers the question.
    """
    if style == "full":
        answer = full_answer(question.question, question.answer, question.dish, question.kind, language)
    elif language == "zh":
        answer = f"{question.answer}，图中的菜是{question.dish}"
    else:
        answer = f"{question.answer}, the dish in the picture is {question.dish}"
    return {
        "id": question.id,
        "image": question.image,
        "conversations": [
            {"from": "human", "value": f"{question.question}\n<image>"},
            {"from": "gpt", "value": answer},
        ],
    }


def split_by_dish(
    questions: Sequence[FoodieQuestion], test_share: float, seed: int
) -> tuple[list[FoodieQuestion], list[FoodieQuestion]]:
    """Training and test questions, none of whose dishes and pictures are in both.

    test_share: of the questions, met as nearly as whole dishes allow. The same seed gives the same split, and a
    question that is added moves few others. Raises DataError where one part would be empty.
    """
    groups = _groups(questions)
    order = sorted(groups, key=lambda dish: hashlib.sha256(f"{seed}:{dish}".encode()).digest())
    wanted, test = test_share * len(questions), list[FoodieQuestion]()
    for dish in order:
        if abs(len(test) + len(groups[dish]) - wanted) < abs(len(test) - wanted):
            test += groups[dish]
    chosen = {question.where for question in test}
    train = [question for question in questions if question.where not in chosen]
    if not train or (test_share > 0 and not test):
        raise DataError(
            f"{len(questions)} questions on {len(groups)} dishes cannot be split with a test share of {test_share:g}: "
            "no dish may be in both parts, and neither may be empty"
        )
    return train, [question for question in questions if question.where in chosen]


def _groups(questions: Sequence[FoodieQuestion]) -> dict[str, list[FoodieQuestion]]:
    """Questions by dish; dishes that share a picture are one."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    for question in questions:
        ends = sorted([root(f"dish {_plain(question.dish)}"), root(f"picture {question.image}")])
        parent[ends[1]] = ends[0]
    groups: dict[str, list[FoodieQuestion]] = {}
    for question in questions:
        groups.setdefault(root(f"dish {_plain(question.dish)}"), []).append(question)
    return groups


def _plain(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).split()).casefold()


def _open(folder: Path) -> RecordFile:
    """The file of questions, in the folder or in the folder of the same name that the hub puts into it."""
    for place in (folder, folder / "FoodieQA"):
        others = sorted(path.name for path in place.glob("sivqa_*.json"))
        for name in (*_FILES, *others):
            if (place / name).is_file():
                return RecordFile(place / name)
    raise DataError(
        f"{shown_path(str(folder))} has no {_FILES[0]}: ask for access to lyan62/FoodieQA on Hugging Face, download it "
        "with your own account, and name its folder"
    )


def _question(entry: Mapping[str, Any], where: str, language: Language) -> FoodieQuestion:
    """An entry's question. Raises DataError that names the field that is missing or wrong."""
    asked, offered = _QUESTION[language]
    meta = entry.get("food_meta")
    meta = meta if isinstance(meta, dict) else {}
    choices = entry.get(offered)
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(each, str) for each in choices):
        raise DataError(f"{offered} is {shown(choices)}: a list of texts is needed")
    return FoodieQuestion(
        where=where,
        id=str(entry.get("question_id", where.rpartition(" ")[2])),
        kind=str(entry.get("question_type") or ""),
        dish=_text(meta.get("food_name") or entry.get("food_name"), "food_name"),
        image=_text(meta.get("food_file"), "food_meta.food_file"),
        question=_text(entry.get(asked), asked),
        choices=tuple(choices),
        answer_idx=_answer_idx(entry.get("answer"), len(choices)),
    )


def _text(value: object, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{field} is {'missing' if value is None else shown(value)}: a text is needed")
    return value.strip()


def _answer_idx(value: object, num_choices: int) -> int:
    """The place of the right choice: "0" to "3", or the number itself."""
    number = int(value) if isinstance(value, str) and value.strip() in set("0123456789") else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < num_choices:
        raise DataError(f"answer is {shown(value)}: a number from 0 to {num_choices - 1} is needed")
    return number


def _with_picture(question: FoodieQuestion, pictures: PictureFolder) -> FoodieQuestion:
    """The question with its picture's path relative to the folder. Raises DataError where there is no such file."""
    try:
        found = pictures.find(question.image)
    except DataError as first:
        try:
            found = pictures.find(f"images/{question.image}")
        except DataError:
            raise first from None
    relative = Path(found).relative_to(pictures.root).as_posix()
    return FoodieQuestion(**{**question.__dict__, "image": relative})
