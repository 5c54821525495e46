"""Which format a record has, told by its keys, and how it is read.

In: one record as a dict, and the folder of its pictures. Out: messages. `FORMATS` lists what is
known. Raises DataError with the reason; the caller says in which record.
"""

import re
from collections.abc import Callable
from typing import TypeAlias

from ivl.data.chat_records import read_chat
from ivl.data.conversations import Record, Turn, build, read_official
from ivl.data.pictures import PictureFolder
from ivl.errors import DataError, shown
from ivl.types import ImagePart, Message

FORMATS = (
    "{'conversations': [{'from': 'human' | 'gpt', 'value': ...}], 'image': ...} (InternVL, LLaVA), "
    "{'messages': [{'role': ..., 'content': ...}], 'images': ...} (OpenAI, ms-swift), "
    "{'image': ..., 'question': ..., 'answer': ...} (also as CSV), "
    "or {name: {'root': ..., 'annotation': ...}} (InternVL's meta file)"
)
IMAGE_KEYS = ("image", "images", "file_name", "image_path")
QUESTION_KEYS = ("question", "prompt")
ANSWER_KEYS = ("answer", "text", "caption")
SYSTEM_KEYS = ("system",)

Reader: TypeAlias = Callable[[Record, PictureFolder], tuple[Message, ...]]

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_CAPTION_QUESTIONS = {True: "请描述这张图片。", False: "Describe this picture."}


def read_record(record: Record, folder: PictureFolder) -> tuple[Message, ...]:
    """The messages of a record of any format."""
    return find_reader(record)(record, folder)


def find_reader(record: Record) -> Reader:
    """What reads a record of this format. Raises DataError for formats that are unknown or not for training."""
    if "chosen" in record or {"rejected", "rejected_response", "rejected_messages"} & record.keys():
        raise DataError(
            "the record is a preference pair (chosen, rejected), and this trainer learns from answers: give each as "
            "{'image': ..., 'question': ..., 'answer': the chosen one}"
        )
    if {"food_meta", "choices"} <= record.keys():
        raise DataError("this is FoodieQA's own file: run `ivl data foodieqa FOLDER -o OUT` and use OUT/train.json")
    if "conversations" in record:
        return read_official
    if "messages" in record:
        return read_chat
    if _key(record, ANSWER_KEYS) and _key(record, (*IMAGE_KEYS, *QUESTION_KEYS)):
        return read_pair
    keys = ", ".join(shown(key) for key in list(record)[:8]) or "none"
    raise DataError(f"the record has none of the known formats; its keys: {keys}; allowed: {FORMATS}")


def read_pair(record: Record, folder: PictureFolder) -> tuple[Message, ...]:
    """The messages of one question and its answer; a picture without a question is to be described.

    Several pictures stand in a list, or in one text parted by `;`. Without marks all come before the question.
    """
    answer = _text(record, ANSWER_KEYS)
    asked = _key(record, QUESTION_KEYS)
    paths = _paths(record)
    if asked is None and not paths:
        raise DataError("the record has neither a question nor a picture")
    question = _CAPTION_QUESTIONS[bool(_CHINESE.search(answer))] if asked is None else _text(record, QUESTION_KEYS)
    images = [ImagePart(source=folder.find(path)) for path in paths]
    if "<image>" not in question and question.strip():
        question = "<image>\n" * len(images) + question
    turns = [Turn(role="user", text=question), Turn(role="assistant", text=answer)]
    if _key(record, SYSTEM_KEYS) and record["system"]:
        turns.insert(0, Turn(role="system", text=_text(record, SYSTEM_KEYS)))
    return build(turns, images, [])


def _key(record: Record, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in record), None)


def _text(record: Record, names: tuple[str, ...]) -> str:
    key = _key(record, names)
    assert key is not None, f"none of {names} in a record that was chosen for having one"
    value = record[key]
    if not isinstance(value, str):
        raise DataError(f"{key} is {shown(value)}: a text is needed")
    return value


def _paths(record: Record) -> list[object]:
    key = _key(record, IMAGE_KEYS)
    value: object = record[key] if key else None
    if value is None or value == "":
        return []
    if isinstance(value, str) and value[:5].lower() != "data:":
        return [path.strip() for path in value.split(";") if path.strip()]
    return value if isinstance(value, list) else [value]
