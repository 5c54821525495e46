"""FoodieQA's questions, from a folder of its layout: the published one that a person was given, or one of our own.

In: a folder with `images/` and at least one of `sivqa_tidy.json` (on one picture), `mivqa_tidy.json` (choose among
four pictures) and `textqa_tidy.json` (no picture). Out: `FoodieQuestion`s. Fetches nothing; opens no picture. Fields
differ between releases: what is there is read, and what is missing is named with file and entry.
Source: https://huggingface.co/datasets/lyan62/FoodieQA (Li et al. 2024, arXiv 2406.11030).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ivl.data.pictures import PictureFolder
from ivl.data.records import RecordFile
from ivl.errors import DataError, shown
from ivl.processing.images import shown_path

Language = Literal["zh", "en"]
Task = Literal["sivqa", "mivqa", "textqa"]
TASKS: tuple[Task, ...] = ("sivqa", "mivqa", "textqa")

LICENCE = (
    "FoodieQA is licensed CC BY-NC-ND 4.0, and its authors allow evaluation in research only: ask them before you "
    "train on it, pass on neither it nor what is made from it, and cite arXiv 2406.11030"
)

_OWN_CARD = "dataset.json"
_MOST_CARD_BYTES = 100_000
_FILES: Mapping[Task, tuple[str, ...]] = {
    "sivqa": ("sivqa_tidy.json", "sivqa_filtered_bi.json"),
    "mivqa": ("mivqa_tidy.json", "mivqa_filtered.json"),
    "textqa": ("textqa_tidy.json", "textqa_filtered.json"),
}
_QUESTION: Mapping[Language, tuple[str, str]] = {
    "zh": ("question", "choices"),
    "en": ("question_en", "choices_en"),
}
_NAME: Mapping[Language, str] = {"zh": "food_name", "en": "food_name_en"}
_WORD: Mapping[Language, str] = {"zh": "food_word", "en": "food_word_en"}
_NAMES: Mapping[Language, str] = {"zh": "food_names", "en": "food_names_en"}
_LETTERS = ("A", "B", "C", "D")


@dataclass(frozen=True, kw_only=True)
class FoodieQuestion:
    """A question and its choices."""

    where: str
    """File and entry."""
    task: Task
    language: Language
    id: str
    kind: str
    """The release's `question_type`, or empty."""
    dish: str
    """The dish's name in Chinese, by which parts are told apart; empty where several pictures are asked about."""
    name: str
    """The dish's name in the question's language where the release has it, else in Chinese; empty as `dish`."""
    word: str = ""
    """What the dish is called besides its name, such as "fruit"; empty: a dish."""
    images: tuple[str, ...] = ()
    """Paths of the pictures, relative to the data set's folder: one, four, or none."""
    image_names: tuple[str, ...] = ()
    """What is on four pictures, in the question's language, where the release says so."""
    question: str
    choices: tuple[str, ...]
    """Of four pictures their letters."""
    answer_idx: int

    @property
    def answer(self) -> str:
        return self.choices[self.answer_idx]

    @property
    def letter(self) -> str:
        return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[self.answer_idx]


@dataclass(frozen=True, kw_only=True)
class FoodieQuestions:
    """What a folder holds."""

    folder: Path
    """The folder that pictures are relative to."""
    questions: tuple[FoodieQuestion, ...]
    faults: tuple[str, ...]
    """Entries that cannot be used, one line each."""
    missing: tuple[str, ...]
    """Entries of which a picture is not there, one line each."""


def read_foodieqa(folder: Path, language: Language = "zh", tasks: Sequence[Task] = ("sivqa",)) -> FoodieQuestions:
    """The questions of these tasks. Raises DataError where a task has no file, or no entry of it can be used."""
    parts = [_read_task(folder, task, language) for task in tasks]
    return FoodieQuestions(
        folder=parts[0].folder,
        questions=tuple(question for part in parts for question in part.questions),
        faults=tuple(line for part in parts for line in part.faults),
        missing=tuple(line for part in parts for line in part.missing),
    )


def licence_of(folder: Path) -> str:
    """What to say of a folder's terms: FoodieQA's, unless a `dataset.json` there names the set and its licence.

    Raises DataError where that file cannot be understood.
    """
    card = folder.expanduser() / _OWN_CARD
    if not card.is_file():
        return LICENCE
    try:
        with card.open("rb") as file:
            values = json.loads(file.read(_MOST_CARD_BYTES).decode("utf-8"))
        name, licence = (_text(values.get(key), key) for key in ("name", "licence"))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        reason = str(error) if isinstance(error, DataError) else "it is not a JSON object with name and licence"
        raise DataError(f"{shown_path(str(card))}: {reason}") from None
    return f"{name} is licensed {licence}"


def _read_task(folder: Path, task: Task, language: Language) -> FoodieQuestions:
    file = _open(folder, task)
    pictures = PictureFolder(file.path.parent)
    questions, faults, missing = [], [], []
    for index in range(len(file)):
        where = f"{file.name}, entry {index}"
        try:
            question = _question(file.read(index), where, task, language)
        except DataError as error:
            faults.append(f"{where}: {str(error).removeprefix(f'{file.where(index)}: ')}")
            continue
        try:
            found = tuple(_find(image, pictures) for image in question.images)
            questions.append(replace(question, images=found))
        except DataError as error:
            missing.append(f"{where}: {error}")
    if not questions and not missing:
        advice = "; this release may be Chinese only: try --language zh" if language == "en" else ""
        raise DataError(f"no entry of {file.name} can be used; the first: {faults[0] if faults else 'none'}{advice}")
    return FoodieQuestions(
        folder=file.path.parent, questions=tuple(questions), faults=tuple(faults), missing=tuple(missing)
    )


def _open(folder: Path, task: Task) -> RecordFile:
    """The file of questions, in the folder or in the folder of the same name that the hub puts into it."""
    for place in (folder, folder / "FoodieQA"):
        others = sorted(path.name for path in place.glob(f"{task}_*.json"))
        for name in (*_FILES[task], *others):
            if (place / name).is_file():
                return RecordFile(place / name)
    raise DataError(
        f"{shown_path(str(folder))} has no {_FILES[task][0]}: ask for access to lyan62/FoodieQA on Hugging Face, "
        "download it with your own account, and name its folder"
    )


def _question(entry: Mapping[str, Any], where: str, task: Task, language: Language) -> FoodieQuestion:
    """An entry's question. Raises DataError that names the field that is missing or wrong."""
    meta = entry.get("food_meta")
    meta = meta if isinstance(meta, dict) else {}
    choices = _LETTERS if task == "mivqa" else _choices(entry, _QUESTION[language][1])
    dish = "" if task == "mivqa" else _text(meta.get("food_name") or entry.get("food_name"), "food_name")
    name = meta.get(_NAME[language]) or entry.get(_NAME[language])
    word = meta.get(_WORD[language]) or entry.get(_WORD[language])
    return FoodieQuestion(
        where=where,
        task=task,
        language=language,
        id=str(entry.get("question_id", where.rpartition(" ")[2])),
        kind=str(entry.get("question_type") or ""),
        dish=dish,
        name=name.strip() if dish and isinstance(name, str) and name.strip() else dish,
        word=word.strip() if isinstance(word, str) else "",
        images=_images(entry, meta, task),
        image_names=_image_names(entry.get(_NAMES[language])) if task == "mivqa" else (),
        question=_text(entry.get(_QUESTION[language][0]), _QUESTION[language][0]),
        choices=choices,
        answer_idx=_answer_idx(entry.get("answer"), len(choices)),
    )


def _choices(entry: Mapping[str, Any], field: str) -> tuple[str, ...]:
    choices = entry.get(field)
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(each, str) for each in choices):
        raise DataError(f"{field} is {shown(choices)}: a list of texts is needed")
    return tuple(choices)


def _images(entry: Mapping[str, Any], meta: Mapping[str, Any], task: Task) -> tuple[str, ...]:
    if task == "textqa":
        return ()
    if task == "sivqa":
        return (_text(meta.get("food_file"), "food_meta.food_file"),)
    images = entry.get("images")
    if not isinstance(images, list) or len(images) != len(_LETTERS) or not all(isinstance(i, str) for i in images):
        raise DataError(f"images is {shown(images)}: a list of {len(_LETTERS)} paths is needed")
    return tuple(images)


def _image_names(value: object) -> tuple[str, ...]:
    """The names of the four foods, or nothing where the release has none."""
    fits = isinstance(value, list) and len(value) == len(_LETTERS) and all(isinstance(name, str) for name in value)
    return tuple(value) if fits and isinstance(value, list) else ()


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


def _find(image: str, pictures: PictureFolder) -> str:
    """A picture's path relative to the folder. Raises DataError where there is no such file."""
    try:
        found = pictures.find(image)
    except DataError as first:
        try:
            found = pictures.find(f"images/{image}")
        except DataError:
            raise first from None
    return Path(found).relative_to(pictures.root).as_posix()
