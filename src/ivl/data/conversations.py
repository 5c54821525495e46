"""From a record's turns and pictures to messages: the rules that every format shares, and the official format.

In: one record as a dict, and the folder of its pictures. Out: messages, the last of them an answer, in which each
picture has its `<image>` and each video its `<video>`. Raises DataError with the reason; the caller says in which
record. Opens no picture and knows no template.

The rules are those of the official dataset.py and constants.py (https://github.com/OpenGVLab/InternVL, commit
2410d1d), where a record that it would train on in silence but wrongly is an error here.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ivl.data.pictures import PictureFolder
from ivl.errors import DataError, shown
from ivl.types import ImagePart, Message, Part, Role, TextPart, VideoPart

Record = Mapping[str, Any]

ROLES: Mapping[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}

_IMAGE = "<image>"
_VIDEO = "<video>"
# LMDeploy's own name for the place of an image counts too: the processor takes it for one.
_MARKS = {"image": re.compile("<image>|<IMAGE_TOKEN>"), "video": re.compile(_VIDEO)}
_BOX = re.compile(r"<box>(.*?)</box>", re.DOTALL)
_COORDINATES = re.compile(r"\[\s*\[[^\[\]]*\](?:\s*,\s*\[[^\[\]]*\])*\s*\]")
_FOUR = re.compile(r"\[([^\[\]]*)\]")
_WHOLE = re.compile(r"\s*\d{1,4}\s*")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn as a record has it."""

    role: Role
    text: str
    pictures: tuple[ImagePart | VideoPart, ...] = ()
    """Those that the record gives within this turn."""


def read_official(record: Record, folder: PictureFolder) -> tuple[Message, ...]:
    """Messages of the official format and LLaVA's: `conversations` of from/value, `image`, `video`, `clip`."""
    turns = [_turn(value, number) for number, value in enumerate(_list(record, "conversations"), 1)]
    return build(turns, images_of(record, folder), videos_of(record, folder))


def images_of(record: Record, folder: PictureFolder) -> list[ImagePart]:
    """The pictures that a record names beside its turns, under `image` or `images`."""
    return [ImagePart(source=folder.find(_path(value))) for value in _either(record, "image", "images")]


def videos_of(record: Record, folder: PictureFolder) -> list[VideoPart]:
    """The videos that a record names beside its turns, under `video` or `videos`; `clip` bounds the only one."""
    paths = [folder.find_video(_path(value)) for value in _either(record, "video", "videos")]
    clip = record.get("clip")
    if clip is None:
        return [VideoPart(source=path) for path in paths]
    if len(paths) != 1 or os.path.isdir(paths[0]):  # noqa: PTH112 - a string of PictureFolder
        raise DataError(f"clip={shown(clip)} goes with one video file; this record has {len(paths)} video(s)")
    start, end = _clip(clip)
    return [VideoPart(source=paths[0], start_s=start, end_s=end)]


def build(turns: Sequence[Turn], images: Sequence[ImagePart], videos: Sequence[VideoPart]) -> tuple[Message, ...]:
    """The messages of a conversation.

    images, videos: those that the record names beside its turns, in the order of their marks in the users' turns.
    One image or video without a mark is put before the first of these; several need one mark each. `<video>` is
    ordinary text where there is no video, and so are all marks in answers and system messages.
    """
    _check_order(turns)
    turns = _with_mark(turns, images, "image", _IMAGE)
    turns = _with_mark(turns, videos, "video", _VIDEO)
    loose: dict[str, list[Part]] = {"image": list(images), "video": list(videos)}
    messages = []
    for turn in turns:
        parts: list[Part] = list(turn.pictures)
        for kind, waiting in loose.items():
            taken = _count(turn, kind) if waiting else 0
            parts += waiting[:taken]
            del waiting[:taken]
        _check_boxes(turn.text)
        if turn.text or not parts:
            parts.append(TextPart(text=turn.text))
        messages.append(Message(role=turn.role, parts=tuple(parts)))
    return tuple(messages)


def to_role(name: object, number: int) -> Role:
    """The role that a turn names."""
    if not isinstance(name, str) or name not in ROLES:
        raise DataError(f"turn {number} is of {shown(name)}: human (user), gpt (assistant) or system is needed")
    return ROLES[name]


def to_text(value: object, number: int) -> str:
    """A turn's text."""
    if not isinstance(value, str):
        raise DataError(f"turn {number} holds {shown(value)}: a text is needed")
    return value


def _turn(value: object, number: int) -> Turn:
    """A turn of `conversations`; ShareGPT's files also write role and content."""
    if not isinstance(value, dict):
        raise DataError(f"turn {number} is {shown(value)}: {{'from': ..., 'value': ...}} is needed")
    role = to_role(value.get("from", value.get("role")), number)
    return Turn(role=role, text=to_text(value.get("value", value.get("content")), number))


def _list(record: Record, key: str) -> list[Any]:
    value = record.get(key)
    if not isinstance(value, list) or not value:
        raise DataError(f"{key} is {shown(value)}: a list of turns is needed")
    return value


def _either(record: Record, one: str, many: str) -> list[Any]:
    """What stands under one of two keys, as a list; null and empty are nothing."""
    given = [record[key] for key in (one, many) if record.get(key) not in (None, "", [])]
    if len(given) > 1:
        raise DataError(f"the record has both {one} and {many}: leave one out")
    value = given[0] if given else []
    return value if isinstance(value, list) else [value]


def _path(value: object) -> object:
    """A picture's path; ms-swift and Hugging Face also write {"path": ..., "bytes": null}."""
    return value.get("path") if isinstance(value, dict) and not value.get("bytes") else value


def _clip(value: object) -> tuple[float, float]:
    """Begin and end in seconds."""
    if isinstance(value, list) and len(value) == 2:
        start, end = value
        numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in value)
        if numbers and 0 <= start < end and math.isfinite(end):
            return float(start), float(end)
    raise DataError(f"clip={shown(value)} is not allowed: [begin, end] in seconds, 0 <= begin < end, is needed")


def _check_order(turns: Sequence[Turn]) -> None:
    """Raise DataError unless the turns are [system], then user and assistant in turns, an answer last, none empty."""
    last = ""
    for number, turn in enumerate(turns, 1):
        if turn.role == "system" and number > 1:
            raise DataError(f"turn {number} is a system message: only the first may be one")
        if turn.role == last:
            raise DataError(f"turns {number - 1} and {number} are both of the {last}: user and assistant take turns")
        if turn.role != "system" and not turn.text.strip() and not turn.pictures:
            kind = "answer" if turn.role == "assistant" else "question"
            raise DataError(f"turn {number} is an empty {kind}: write it, or leave the record out")
        last = turn.role
    if last != "assistant":
        raise DataError("the last turn is no answer: there is nothing to learn from after the last answer")
    if not any(turn.role == "user" for turn in turns):
        raise DataError("there is an answer and no question")


def _with_mark(
    turns: Sequence[Turn], loose: Sequence[ImagePart] | Sequence[VideoPart], kind: str, mark: str
) -> Sequence[Turn]:
    """The turns, with the mark of a single image or video added. Raises DataError where the counts differ."""
    inside = [sum(_kind(part) == kind for part in turn.pictures) for turn in turns]
    marks = sum(_count(turn, kind) for turn in turns)
    if not loose:
        if kind == "image" or any(inside):
            for turn, num_inside in zip(turns, inside, strict=True):
                if _count(turn, kind) not in (0, num_inside):
                    raise DataError(_counts(_count(turn, kind), num_inside, kind, mark))
        return turns
    if any(inside):
        raise DataError(f"the record has {kind}s both within its turns and beside them: leave one out")
    if marks == 0 and len(loose) == 1:
        first = next(index for index, turn in enumerate(turns) if turn.role == "user")
        marked = Turn(role="user", text=f"{mark}\n{turns[first].text}", pictures=turns[first].pictures)
        return [*turns[:first], marked, *turns[first + 1 :]]
    if marks != len(loose):
        raise DataError(_counts(marks, len(loose), kind, mark))
    return turns


def _counts(marks: int, pictures: int, kind: str, mark: str) -> str:
    return (
        f"the questions have {marks} {mark} and the record has {pictures} {kind}{'' if pictures == 1 else 's'}: "
        f"write {mark} once for each"
    )


def _count(turn: Turn, kind: str) -> int:
    return len(_MARKS[kind].findall(turn.text)) if turn.role == "user" else 0


def _kind(part: ImagePart | VideoPart) -> str:
    return "image" if isinstance(part, ImagePart) else "video"


def _check_boxes(text: str) -> None:
    """Raise DataError unless every box is [[x1, y1, x2, y2], ...] of whole numbers from 0 to 1000."""
    if "<box>" not in text:
        return
    boxes = _BOX.findall(text)
    if len(boxes) != text.count("<box>"):
        raise DataError("a <box> has no </box> after it")
    for box in boxes:
        numbers = [inner.split(",") for inner in _FOUR.findall(box)]
        whole = all(_WHOLE.fullmatch(each) and int(each) <= 1000 for four in numbers for each in four)
        if not _COORDINATES.fullmatch(box.strip()) or not whole or any(len(four) != 4 for four in numbers):
            raise DataError(
                f"<box>{shown(box)[1:-1]}</box> is no list of boxes: [[x1, y1, x2, y2], ...] of whole numbers from 0 "
                "to 1000, which are thousandths of the picture's width and height; convert pixels or shares to them"
            )
