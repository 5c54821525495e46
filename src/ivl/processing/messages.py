"""What a person gives, as messages.

In: a text; a text with images, `("text", image)`; OpenAI's chat form; `Message` objects. Out: checked
messages. Every mistake is a PromptError that names the message and the field. Opens no image and knows no
template.
"""

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import PIL.Image

from ivl.errors import PromptError, nearest
from ivl.processing.tiling import MOST_TILES
from ivl.types import ImagePart, ImageSource, Message, Part, Role, TextPart, VideoPart

MAX_FRAMES = 1024
"""Frames that one video may be allowed."""

_ROLES = get_args(Role)
_DETAIL = {"auto": None, "high": None, "low": 1}
# What a part of OpenAI's content list may hold, by its type; LMDeploy's and transformers' forms with it.
_PART_KEYS = {
    "text": {"text"},
    "image_url": {"image_url"},
    "image_data": {"image_data"},
    "image": {"image", "path", "url", "max_tiles"},
    "video_url": {"video_url"},
    "video": {"video", "path", "url", "num_frames"},
}
_URL_KEYS = {
    "image_url": {"url", "detail", "max_tiles", "max_dynamic_patch"},
    "image_data": {"data", "max_tiles", "max_dynamic_patch"},
    "video_url": {"url", "num_frames"},
}


def to_messages(prompt: Any) -> tuple[Message, ...]:
    """The messages of one prompt.

    prompt: "text"; ("text", image) or ("text", [images]), the images before the text; a Message; or a list or
    tuple of Messages and OpenAI's message dicts. An image is a path, URL, data URI, bytes, PIL image or
    ImagePart. A last message of the assistant is a sample's answer or one that is begun: the reader decides.
    Raises PromptError: an unknown role, type or key, roles that do not take turns, a value of a wrong type.
    """
    if isinstance(prompt, str):
        messages: tuple[Message, ...] = (Message(role="user", parts=(TextPart(text=prompt),)),)
    elif isinstance(prompt, tuple) and prompt and isinstance(prompt[0], str):
        messages = (_from_pair(prompt),)
    elif isinstance(prompt, Mapping | Message):
        messages = (_message(prompt, "messages[0]"),)
    elif isinstance(prompt, list | tuple):
        messages = tuple(_message(each, f"messages[{index}]") for index, each in enumerate(prompt))
    else:
        raise PromptError(
            f"a prompt cannot be {show(prompt)}: give a text, (text, image), (text, [images]) or messages"
        )
    _check_turns(messages)
    return messages


def begun_text(messages: Sequence[Message]) -> str:
    """The answer that a prompt's last message begins; empty where it begins none."""
    last = messages[-1]
    return "".join(part.text for part in last.parts if isinstance(part, TextPart)) if last.role == "assistant" else ""


def show(value: object) -> str:
    """A value for an error message: short, and without an object's address."""
    if value is None or isinstance(value, str | int | float | bool):
        return reprlib.repr(value)
    return f"a value of type {type(value).__name__}"


def _from_pair(pair: Sequence[Any]) -> Message:
    if len(pair) != 2:
        raise PromptError(f"a prompt that begins with a text has 2 items, not {len(pair)}: (text, image or [images])")
    text, images = pair
    pictures = images if isinstance(images, list | tuple) else [images]
    parts = tuple(_picture(each, f"image {number} of the prompt") for number, each in enumerate(pictures, 1))
    return Message(role="user", parts=(*parts, TextPart(text=text)))


def _picture(value: Any, where: str) -> Part:
    if isinstance(value, ImagePart | VideoPart):
        return _checked(value, where)
    return ImagePart(source=_source(value, where))


def _source(value: Any, where: str) -> ImageSource:
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str | Path | bytes | PIL.Image.Image):
        return value
    raise PromptError(f"{where} is {show(value)}: a path, URL, data URI, bytes or PIL image is needed")


def _message(value: Any, where: str) -> Message:
    if isinstance(value, Message):
        _check_role(value.role, where)
        if not isinstance(value.parts, tuple) or not all(isinstance(part, Part) for part in value.parts):
            raise PromptError(f"{where}.parts must be a tuple of TextPart, ImagePart and VideoPart")
        parts = tuple(_checked(part, f"{where}.parts[{index}]") for index, part in enumerate(value.parts))
        return Message(role=value.role, parts=parts)
    if not isinstance(value, Mapping):
        raise PromptError(f"{where} is {show(value)}: a Message or a dict with 'role' and 'content' is needed")
    _check_keys(value, {"role", "content"}, where)
    for key in ("role", "content"):
        if key not in value:
            raise PromptError(f"{where} has no {key!r}: a message is {{'role': ..., 'content': ...}}")
    _check_role(value["role"], where)
    return Message(role=value["role"], parts=_content(value["content"], f"{where}.content"))


def _check_role(role: Any, where: str) -> None:
    if not isinstance(role, str) or role not in _ROLES:
        raise PromptError(f"{where}.role={show(role)} is not allowed: {nearest(str(role), _ROLES)}")


def _check_keys(value: Mapping[Any, Any], allowed: set[str], where: str) -> None:
    for key, entry in value.items():
        # A message that came from an API carries its unused fields as null or empty.
        if key not in allowed and entry not in (None, [], {}):
            raise PromptError(f"{where} has an unknown key {show(key)}: {nearest(str(key), allowed)}")


def _content(content: Any, where: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(text=content),)
    if isinstance(content, list | tuple):
        return tuple(_part(part, f"{where}[{index}]") for index, part in enumerate(content))
    raise PromptError(f"{where} is {show(content)}: a string or a list of parts is needed")


def _part(part: Any, where: str) -> Part:
    if isinstance(part, Part):
        return _checked(part, where)
    if not isinstance(part, Mapping) or "type" not in part:
        raise PromptError(f"{where} is {show(part)}: a dict with a 'type' is needed, one of {', '.join(_PART_KEYS)}")
    kind = part["type"]
    if not isinstance(kind, str) or kind not in _PART_KEYS:
        raise PromptError(f"{where}.type={show(kind)} is not allowed: {nearest(str(kind), _PART_KEYS)}")
    _check_keys(part, _PART_KEYS[kind] | {"type"}, where)
    if kind == "text":
        return _checked(TextPart(text=part.get("text", None)), where)
    fields, source = _picture_fields(part, kind, where)
    if kind.startswith("video"):
        return _checked(VideoPart(source=source, num_frames=fields.get("num_frames", 8)), where)
    return _checked(ImagePart(source=source, max_tiles=_tile_limit(fields, where)), where)


def _picture_fields(part: Mapping[Any, Any], kind: str, where: str) -> tuple[Mapping[Any, Any], Any]:
    """The mapping that holds a picture's options, and the picture itself."""
    if kind in _URL_KEYS:
        value = part.get(kind)
        key = "data" if kind == "image_data" else "url"
        fields = value if isinstance(value, Mapping) else {key: value}
        _check_keys(fields, _URL_KEYS[kind], f"{where}.{kind}")
        names = [key]
    else:
        fields = part
        names = [kind, "path", "url"]
    given = [name for name in names if fields.get(name) is not None]
    if len(given) != 1:
        raise PromptError(f"{where} of type {kind!r} needs exactly one of {', '.join(names)}; got {len(given)}")
    return fields, _source(fields[given[0]], f"{where}.{given[0]}")


def _tile_limit(fields: Mapping[Any, Any], where: str) -> int | None:
    detail = fields.get("detail") or "auto"
    if not isinstance(detail, str) or detail not in _DETAIL:
        raise PromptError(f"{where}.detail={show(detail)} is not allowed: {nearest(str(detail), _DETAIL)}")
    limit = fields.get("max_tiles", fields.get("max_dynamic_patch"))
    return _DETAIL[detail] if limit is None else limit


def _checked(part: Part, where: str) -> Part:
    """The part itself, its values checked."""
    if isinstance(part, TextPart):
        if not isinstance(part.text, str):
            raise PromptError(f"{where}.text is {show(part.text)}: a string is needed")
    elif isinstance(part, ImagePart):
        _source(part.source, f"{where}.source")
        if part.max_tiles is not None:
            _check_number(part.max_tiles, f"{where}.max_tiles", MOST_TILES)
    else:
        if part.frames is not None:
            _check_frames(part, where)
        elif not isinstance(part.source, str | Path | bytes):
            raise PromptError(f"{where}.source is {show(part.source)}: a path, URL, data URI or bytes is needed")
        _check_number(part.num_frames, f"{where}.num_frames", MAX_FRAMES)
    return part


def _check_frames(part: VideoPart, where: str) -> None:
    frames = part.frames
    if part.source or not isinstance(frames, tuple) or not all(isinstance(each, PIL.Image.Image) for each in frames):
        raise PromptError(f"{where}.frames needs a tuple of PIL images and no source beside it")
    if not 1 <= len(frames) <= MAX_FRAMES:
        raise PromptError(f"{where}.frames holds {len(frames)}: 1 to {MAX_FRAMES} are allowed")


def _check_number(value: Any, where: str, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise PromptError(f"{where}={show(value)} is not allowed: a whole number from 1 to {most}")


def _check_turns(messages: Sequence[Message]) -> None:
    """Raise PromptError unless a system message, if any, is first, and user and assistant take turns."""
    last: str | None = None
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if message.role == "system" and index > 0:
            raise PromptError(f"{where} is a system message: only messages[0] may be one")
        if message.role != "user" and not all(isinstance(part, TextPart) for part in message.parts):
            raise PromptError(f"{where} of the {message.role} holds a picture: only user messages may")
        if message.role == last:
            raise PromptError(f"{where} is a second {last} message in a row: user and assistant take turns")
        last = message.role
    if not any(message.role == "user" for message in messages):
        raise PromptError("there is no user message: the model has nothing to answer")
