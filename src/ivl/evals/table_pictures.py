"""The pictures of a row: base64 in the file itself, another row's, or files beside it.

In: the cells `image` and `image_path` (or `images`) of one row after another. Out: sources of pictures. Nothing is
decoded but base64. Source of the rules: VLMEvalKit, `vlmeval/dataset/image_base.py`: `image` holds a picture in
base64, a list of them, or in at most 64 characters the `index` of the row whose pictures these are; `image_path`
counts where there is no `image`.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivl.data.pictures import PictureFolder
from ivl.errors import DataError, shown
from ivl.evals.choices import find_picture, parse_list
from ivl.types import ImageSource

MAX_HELD_BYTES = 4 * 2**30
"""Of all pictures within one file, decoded from base64."""

_LONGEST_INDEX = 64
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")

Pictures = tuple[ImageSource, ...]


class RowPictures:
    """The pictures of the rows of one file. `folder`: paths are relative to it and may not leave it."""

    def __init__(self, folder: Path) -> None:
        self._folder = PictureFolder(folder)
        self._held = 0

    def decoded(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row with bytes in the place of base64, which takes a third more room.

        Raises DataError where the file's pictures are too large to be held.
        """
        changed = {}
        for field in ("image", "images"):
            value = row.get(field)
            if isinstance(value, list) or (isinstance(value, str) and len(value) > _LONGEST_INDEX):
                changed[field] = [self._from_text(each, field) for each in _several(value)]
        return {**row, **changed} if changed else row

    def read(self, row: Mapping[str, Any], indices: frozenset[str]) -> Pictures | str:
        """The pictures of a row that is decoded, or the index of the row that holds them; indices: those of all rows.

        Raises DataError that names the field.
        """
        for field in ("image", "images", "image_path"):
            value = row.get(field)
            if value in (None, "", []):
                continue
            if isinstance(value, str | int) and str(value).strip() in indices and _is_index(value, row):
                return str(value).strip()
            return tuple(self._picture(each, field) for each in _several(value))
        return ()

    def _from_text(self, value: object, field: str) -> object:
        data = _from_base64(value) if isinstance(value, str) and len(value) > _LONGEST_INDEX else None
        self._held += len(data or b"")
        if self._held > MAX_HELD_BYTES:
            raise DataError(
                f"{field}: the pictures in this file take more than {MAX_HELD_BYTES:,} bytes: keep them in files, and "
                "name these in image_path"
            )
        return value if data is None else data

    def _picture(self, value: object, field: str) -> ImageSource:
        if isinstance(value, bytes):
            return value
        try:
            return find_picture(self._folder, value, field)
        except DataError as error:
            if isinstance(value, str) and len(value) > _LONGEST_INDEX and "." not in value:
                raise DataError(f"{field} is {shown(value)}: neither a picture in base64 nor a path") from None
            raise error from None


def index_of(row: Mapping[str, Any]) -> str:
    """What other rows call this one; empty where it has no name."""
    value = next((row[name] for name in ("index", "id", "question_id") if row.get(name) not in (None, "")), "")
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _is_index(value: str | int, row: Mapping[str, Any]) -> bool:
    return len(str(value)) <= _LONGEST_INDEX and str(value).strip() != index_of(row)


def _several(value: object) -> list[Any]:
    """The entries of a list, or of a text that writes one; else the value alone."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        return parse_list(value.strip()) or [value]
    return value if isinstance(value, list) else [value]


def _from_base64(text: str) -> bytes | None:
    """The bytes of a picture; None where the text is something else."""
    if not _BASE64.fullmatch(text):
        return None
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if data.startswith(_PICTURES) else None
