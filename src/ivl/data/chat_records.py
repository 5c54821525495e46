"""Records in the form of chat APIs: OpenAI's `messages`, and ms-swift's and ShareGPT's `messages` with `images`.

In: one record as a dict, and the folder of its pictures. Out: messages. Raises DataError with the reason; the caller
says in which record. What changes training but is not done here (tools, weights of messages) is an error.
"""

from typing import Any

from ivl.data.conversations import Record, Turn, build, images_of, to_role, to_text, videos_of
from ivl.data.pictures import PictureFolder
from ivl.errors import DataError, nearest, shown
from ivl.types import ImagePart, Message, VideoPart

_PARTS = ("text", "image_url", "image", "video", "video_url")
_DETAIL = {"auto": None, "high": None, "low": 1}
_CHANGES = ("tools", "functions", "audios", "objects", "tool_calls", "function_call")
"""Keys that, unless empty, make a record something that is not trained here."""


def read_chat(record: Record, folder: PictureFolder) -> tuple[Message, ...]:
    """Messages of a record with `messages` of role and content, the content a text or a list of parts."""
    _refuse(record, "the record")
    values = record["messages"]
    if not isinstance(values, list) or not values:
        raise DataError(f"messages is {shown(values)}: a list of turns is needed")
    turns = [_turn(value, number, folder) for number, value in enumerate(values, 1)]
    return build(turns, images_of(record, folder), videos_of(record, folder))


def _turn(value: object, number: int, folder: PictureFolder) -> Turn:
    if not isinstance(value, dict):
        raise DataError(f"turn {number} is {shown(value)}: {{'role': ..., 'content': ...}} is needed")
    _refuse(value, f"turn {number}")
    if value.get("weight") not in (None, 1) or value.get("loss") not in (None, True, 1):
        raise DataError(f"turn {number} is not to be trained by its weight or loss: here all answers are trained")
    role = to_role(value.get("role", value.get("from")), number)
    content = value.get("content", value.get("value"))
    if not isinstance(content, list):
        return Turn(role=role, text=to_text(content, number))
    return _from_parts(role, content, number, folder)


def _from_parts(role: Any, content: list[Any], number: int, folder: PictureFolder) -> Turn:
    """A turn whose content is a list: each picture gets its mark where it stands among the texts."""
    texts: list[str] = []
    pictures: list[ImagePart | VideoPart] = []
    typed = any("<image>" in str(part.get("text")) for part in content if isinstance(part, dict))
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str) or kind not in _PARTS:
            raise DataError(f"turn {number} has a part of type {shown(kind)}: {nearest(str(kind), _PARTS)}")
        if kind == "text":
            texts.append(to_text(part.get("text"), number))
            continue
        if role != "user":
            raise DataError(f"turn {number} of the {role} holds a picture: only questions may")
        pictures.append(_picture(part, kind, folder))
        if not typed:
            texts.append("<video>\n" if isinstance(pictures[-1], VideoPart) else "<image>\n")
    return Turn(role=role, text="".join(texts), pictures=tuple(pictures))


def _picture(part: Record, kind: str, folder: PictureFolder) -> ImagePart | VideoPart:
    """The picture or video of a part: a text, or an object with `url` or `path`."""
    value = part.get(kind, part.get("path", part.get("url")))
    fields = value if isinstance(value, dict) else {"url": value}
    source = fields.get("url", fields.get("path"))
    if kind.startswith("video"):
        return VideoPart(source=folder.find_video(source))
    detail = fields.get("detail") or "auto"
    if not isinstance(detail, str) or detail not in _DETAIL:
        raise DataError(f"detail={shown(detail)} is not allowed: {nearest(str(detail), _DETAIL)}")
    return ImagePart(source=folder.find(source), max_tiles=_DETAIL[detail])


def _refuse(fields: Record, what: str) -> None:
    for key in _CHANGES:
        if fields.get(key):
            raise DataError(f"{what} has {key!r}, which is not trained here: leave it out, or write it as text")
