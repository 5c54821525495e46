"""What a browser asks, checked: pictures and videos decoded once, sizes and shapes right.

In: an event's data, as hostile as any body. Out: an Asked; InputError and ImageError for what is wrong. Knows no
Gradio.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image

from ivl.errors import ImageError, InputError
from ivl.server.settings import ServerSettings
from ivl.types import GenerationConfig, ImagePart, Message, Part, VideoPart
from ivl.ui.foods import Cuisine
from ivl.ui.models import Models
from ivl.ui.pictures import data_uri, side_by_side
from ivl.ui.visitors import Picture, Turn, Visitor

LONGEST = 100_000
"""Characters of a question."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A turn that is to be answered."""

    index: int
    """Its place in the conversation; what stands there and after it is replaced."""
    turn: Turn
    before: list[Turn]
    """What stood there, to come back where no answer can be given."""
    number: int
    """The browser's own number of the question; 0: none."""


def read_asked(
    data: Any, visitor: Visitor, models: Models, cuisines: Sequence[Cuisine], name: str, generation: GenerationConfig
) -> Asked:
    """The turn that {"do": "ask" | "again" | "edit", ...} asks for."""
    if not isinstance(data, dict) or not isinstance(name, str):
        raise InputError("the question has a wrong shape: load the page again")
    models.offer(name)
    do, number = data.get("do"), data.get("number")
    index = count = len(visitor.turns)
    if do == "ask":
        pictures = _pictures(data.get("pictures"), models, cuisines)
        text = _text(data.get("text"))
    elif do in ("again", "edit"):
        index = _whole(data.get("turn"))
        if not 0 <= index < count:
            raise InputError("there is no such question in this chat: load the page again")
        pictures = visitor.turns[index].pictures
        text = _text(data.get("text")) if do == "edit" else visitor.turns[index].text
    else:
        raise InputError("the question has a wrong shape: load the page again")
    if not text.strip() and not pictures:
        raise InputError("there is no question: write one, or add a picture")
    if index >= models.settings.max_messages // 2:
        raise InputError("this chat has become too long: begin a new one")
    turn = Turn(text=text, pictures=pictures, name=name, generation=generation)
    return Asked(
        index=index,
        turn=turn,
        before=visitor.turns[index:],
        number=max(_whole(number), 0),
    )


def _whole(value: object) -> int:
    """A whole number; -1 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise InputError(f"a question is a text of at most {LONGEST} characters")
    # Half a surrogate pair, which JSON can hold, has no UTF-8.
    return value.encode("utf-8", "replace").decode("utf-8")


def sent_files(
    value: object, settings: ServerSettings, cuisines: Sequence[Cuisine] = ()
) -> list[ImagePart | VideoPart]:
    """The files of a question's [{"data": a data URI} or {"dish": [cuisine, dish]}, ...], unread. Raises InputError."""
    entries = value if value is not None else []
    if not isinstance(entries, list) or len(entries) > settings.max_images:
        raise InputError(f"a question has at most {settings.max_images} pictures and videos")
    return [_file(entry, cuisines, settings.max_image_bytes) for entry in entries]


def _pictures(value: object, models: Models, cuisines: Sequence[Cuisine]) -> tuple[Picture, ...]:
    files = sent_files(value, models.settings, cuisines)
    if not files:
        return ()
    message = Message(role="user", parts=tuple(files))
    return tuple(_picture(file, part) for file, part in zip(files, models.read([message])[0].parts, strict=True))


def _picture(file: ImagePart | VideoPart, read: Part) -> Picture:
    """What is kept of a picture or a video, from its file and what was read of it."""
    assert isinstance(file.source, bytes), "a file is kept by its bytes"
    if isinstance(read, VideoPart):
        assert read.frames, "a video was not read"
        return Picture(data=file.source, shown=data_uri(side_by_side(read.frames)), is_video=True)
    assert isinstance(read, ImagePart), "a picture stays one"
    assert isinstance(read.source, Image), "a picture was not read"
    return Picture(data=file.source, shown=data_uri(read.source))


def _file(entry: object, cuisines: Sequence[Cuisine], most_bytes: int) -> ImagePart | VideoPart:
    """The file of {"data": a data URI} or {"dish": [cuisine, dish]}, unread."""
    if isinstance(entry, dict) and isinstance(entry.get("data"), str):
        head, comma, encoded = entry["data"].partition(",")
        if head.startswith("data:") and head.endswith(";base64") and comma:
            try:
                data = base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                raise ImageError("a picture was damaged on its way: add it again") from None
            return VideoPart(source=data) if head.startswith("data:video/") else ImagePart(source=data)
    if isinstance(entry, dict) and isinstance(entry.get("dish"), list):
        place = entry["dish"]
        if len(place) == 2 and all(isinstance(at, int) and not isinstance(at, bool) and at >= 0 for at in place):
            group, dish = place
            if group < len(cuisines) and dish < len(cuisines[group].dishes):
                return ImagePart(source=_read(cuisines[group].dishes[dish].picture, most_bytes))
    raise InputError("a picture or video is sent by its bytes, or picked from the dishes")


def _read(path: Path, most_bytes: int) -> bytes:
    """A file; of one that is too large, one byte too many."""
    try:
        with path.open("rb") as opened:
            return opened.read(most_bytes + 1)
    except OSError as error:
        raise ImageError("this dish's picture is not there any more: choose another") from error
