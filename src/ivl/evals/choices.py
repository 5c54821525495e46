"""The fields of a question's record: lists, choices, the right answer, paths of pictures.

In: values as a data set's file has them. Out: plain values. Knows no data set. Every fault is a DataError that names
the field, the value got and what is allowed; the caller says in which record.
"""

import ast
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from ivl.data.pictures import PictureFolder
from ivl.errors import DataError, shown

Reading = Literal["number", "letter", "text"]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
IMAGE_MARK = "<image>"
MAX_LIST_CHARS = 16 * 2**20

_MARKS = re.compile("<image>|<IMAGE_TOKEN>")
_NO_ADVICE = ": check the path, or set image_folder"


def to_text(value: object, field: str) -> str:
    """A text, without blanks around it. Raises DataError for what is missing, blank or no text."""
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{field} is {'missing' if value is None else shown(value)}: a text is needed")
    return value.strip()


def to_question(value: object, field: str) -> str:
    """A question whose text marks no picture's place: the prompt does that."""
    text = to_text(value, field)
    if _MARKS.search(text):
        raise DataError(f"{field} holds {IMAGE_MARK}, the mark of a picture's place: leave it out")
    return text


def to_list(value: object, field: str) -> list[Any]:
    """A list, or a text that writes one as JSON or as Python does, as tables hold it."""
    if isinstance(value, list):
        return value
    if isinstance(value, str) and value.strip()[:1] == "[" and len(value) <= MAX_LIST_CHARS:
        found = parse_list(value.strip())
        if found is not None:
            return found
    raise DataError(f"{field} is {'missing' if value is None else shown(value)}: a list is needed")


def parse_list(text: str) -> list[Any] | None:
    """The list that a text writes; None where it writes none. Runs nothing: literals only."""
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, list) else None
    return None


def to_choices(value: object, field: str) -> tuple[str, ...]:
    """The choices as texts: 2 to 26 of them."""
    texts = to_list(value, field)
    for position, each in enumerate(texts):
        if isinstance(each, bool) or not isinstance(each, str | int | float) or not str(each).strip():
            raise DataError(f"{field}[{position}] is {shown(each)}: a text is needed")
        to_question(str(each), f"{field}[{position}]")
    if not 2 <= len(texts) <= len(LETTERS):
        raise DataError(f"{field} has {len(texts)} entries: 2 to {len(LETTERS)} choices are needed")
    return tuple(str(each).strip() for each in texts)


def to_letter(value: object, choices: tuple[str, ...], *, first: Reading | None = None) -> str:
    """The letter of the right choice, from the record's `answer`.

    value: the choice's number from 0, as a number or text (FoodieQA), its letter (VLMEvalKit), or its text.
    first: what the data set's layout says it is, where it could be two things. Raises DataError where it is none of
    these, or could be two and the layout does not tell.
    """
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))
    readings: dict[Reading, int] = {}
    if re.fullmatch("[0-9]{1,2}", text) and int(text) < len(choices):
        readings["number"] = int(text)
    if len(text) == 1 and text.upper() in LETTERS[: len(choices)]:
        readings["letter"] = LETTERS.index(text.upper())
    if choices.count(text) == 1:
        readings["text"] = choices.index(text)
    if first in readings:
        return LETTERS[readings[first]]
    if len(set(readings.values())) == 1:
        return LETTERS[next(iter(readings.values()))]
    reason = "missing" if value is None or value == "" else shown(value)
    both = f", and can be read as {' and as '.join(f'a {each}' for each in readings)} of different choices"
    last = LETTERS[len(choices) - 1]
    wanted = f"a letter from A to {last}, a number from 0 to {len(choices) - 1} or a choice's text"
    raise DataError(f"answer is {reason}{both if readings else ''}: {wanted} is needed")


def to_tags(record: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The pairs of a record's optional `tags` object."""
    tags = record.get("tags")
    if tags is None:
        return ()
    if not isinstance(tags, dict) or any(isinstance(value, dict | list) for value in tags.values()):
        raise DataError(f"tags is {shown(tags)}: an object of texts is needed")
    return tuple((str(key), str(value)) for key, value in tags.items() if value is not None)


def find_picture(pictures: PictureFolder, value: object, field: str, inner: str = "") -> str:
    """The real path of a picture in its folder, or in the folder `inner` of that one, or a data URI.

    Raises DataError for a file that is not there and for a path that leaves the folder.
    """
    try:
        return pictures.find(value)
    except DataError as first:
        if inner and isinstance(value, str) and not Path(value).is_absolute():
            try:
                return pictures.find(f"{inner}/{value}")
            except DataError:
                pass  # the first message speaks of the path as it is written
        raise DataError(f"{field}: {str(first).removesuffix(_NO_ADVICE)}") from None


def unique_id(wanted: object, number: int, taken: Iterable[str]) -> str:
    """The record's own id, or its number where it has none; with its number behind it where the id is taken."""
    text = str(wanted).strip() if isinstance(wanted, str | int) and not isinstance(wanted, bool) else ""
    name = text or str(number)
    return name if name not in taken else f"{name}#{number}"


def set_name(text: str) -> str:
    """A set's name, fit for a file's, made of any text: "ivl foods, train" is "ivl-foods-train"."""
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-_")[:64] or "set"
