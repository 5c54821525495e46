"""A conversation as a file: JSON in OpenAI's chat form, which a pipeline takes as a prompt, or Markdown."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ivl.errors import InputError
from ivl.types import ImagePart, Message, TextPart

_SPEAKERS = {"system": "System", "user": "You", "assistant": "Model"}


def save(path: Path, history: Sequence[Message], pictures: Sequence[str], *, may_replace: bool = False) -> None:
    """Write a history whose pictures, in their order, have these paths or URLs. Raises InputError."""
    renderers = {".json": _as_json, ".md": _as_markdown}
    if path.suffix not in renderers:
        raise InputError(f"cannot save to {str(path)!r}: the name must end in .json or .md")
    text = renderers[path.suffix](history, iter([_lasting(name) for name in pictures]))
    try:
        with path.open("w" if may_replace else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{str(path)!r} is there already: choose another name") from None
    except OSError as error:
        raise InputError(f"cannot save to {str(path)!r}: {error.strerror}") from None


def _lasting(name: str) -> str:
    """A name that still holds in another working folder."""
    return name if "://" in name or name.startswith("data:") else str(Path(name).resolve())


def _as_json(messages: Sequence[Message], pictures: Iterator[str]) -> str:
    turns = [
        {"role": message.role, "content": [_part(part, pictures) for part in message.parts]} for message in messages
    ]
    return json.dumps(turns, ensure_ascii=False, indent=2) + "\n"


def _part(part: object, pictures: Iterator[str]) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        return {"type": "image_url", "image_url": {"url": next(pictures)}}
    assert isinstance(part, TextPart), f"a typed conversation holds text and pictures, not {type(part).__name__}"
    return {"type": "text", "text": part.text}


def _as_markdown(messages: Sequence[Message], pictures: Iterator[str]) -> str:
    return "\n".join(f"**{_SPEAKERS[each.role]}**\n\n{_blocks(each, pictures)}\n" for each in messages)


def _blocks(message: Message, pictures: Iterator[str]) -> str:
    """A message's pictures and texts as paragraphs."""
    return "\n\n".join(
        f"![picture](<{next(pictures)}>)" if isinstance(part, ImagePart) else part.text  # type: ignore[union-attr]
        for part in message.parts
    )
