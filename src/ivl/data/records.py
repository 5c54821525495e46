"""A data file as records: any of them by its number, none held in memory.

In: a file of JSON Lines, a JSON list, or JSON objects one after the other. Out: one record as a dict. Every fault is
a DataError that begins with file and line and leaves the other records readable. Knows no data set's format.
"""

import json
import os
import re
import stat
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from ivl.data.indexing import MAX_RECORD_BYTES, RecordIndex, index_json
from ivl.errors import DataError, ImageError, shown
from ivl.processing.images import open_file, shown_path

MAX_DEPTH = 64
"""Objects and lists inside of each other; a conversation has four."""

_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
_BINARY = {
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"PAR1": "a Parquet file: write its rows as JSON Lines first",
    b"\xff\xfe": "UTF-16: save it as UTF-8",
    b"\xfe\xff": "UTF-16: save it as UTF-8",
    b"\x80": "a pickle or another binary file, and such files can run code when they are read: give JSON or CSV",
    b"\x93NUMPY": "an array of numpy: give JSON or CSV",
    b"SQLite": "a database: export its rows as CSV",
}


class IndexedFile:
    """The records of a file as bytes. Can be sent to another process, which opens the file anew.

    name: how messages call the file. make_index: finds the records, once. Raises DataError for what is no text file.
    """

    def __init__(self, path: str | os.PathLike[str], name: str, make_index: Callable[[BinaryIO, str], RecordIndex]):
        self.path = Path(path)
        self.name = name
        with open_data(self.path, name) as file:
            self._stamp = _stamp(file)
            self.index = make_index(file, name)
        self._handle: int | None = None

    def __len__(self) -> int:
        return len(self.index.offsets)

    @property
    def identity(self) -> str:
        """The file's real path, size and time of change."""
        size, changed = self._stamp
        return f"{os.path.realpath(self.path)} of {size} bytes, changed at {changed}"

    def where(self, index: int) -> str:
        """`name:line` of a record; where a line holds several, with the record's number in the file, from 1."""
        around = self.index.lines[max(index - 1, 0) : index + 2].tolist()
        line = int(self.index.lines[index])
        number = f", record {index + 1}" if around.count(line) > 1 else ""
        return f"{self.name}:{line}{number}"

    def raw(self, index: int) -> bytes:
        """The bytes of a record. Raises DataError when it is too long, or the file has changed since it was opened."""
        offset, length = int(self.index.offsets[index]), int(self.index.lengths[index])
        if length > MAX_RECORD_BYTES:
            raise DataError(
                f"{self.where(index)}: the record has {length:,} bytes: at most {MAX_RECORD_BYTES:,} are read; "
                "keep pictures in files, and name their paths"
            )
        if self._handle is None:
            self._handle = self._open()
        data = os.pread(self._handle, length, offset)
        if len(data) != length:
            raise DataError(f"{self.where(index)}: the file was cut while it was read: start again")
        return data

    def _open(self) -> int:
        with open_data(self.path, self.name) as file:
            if _stamp(file) != self._stamp:
                raise DataError(f"{self.name}: the file was changed while it was in use: start again")
            handle = os.dup(file.fileno())
        weakref.finalize(self, os.close, handle)
        return handle

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}


class RecordFile(IndexedFile):
    """The records of a JSON file as dicts."""

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        super().__init__(path, name or Path(path).name, index_json)

    def read(self, index: int) -> dict[str, Any]:
        """One record. Raises DataError: no valid JSON, no UTF-8, no object, nested too deep, a key given twice."""
        data = self.raw(index)
        try:
            return parse_object(data)
        except DataError as error:
            raise DataError(f"{self.where(index)}: {error}") from None


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`. Raises DataError that says what is wrong, and not where."""
    text = to_text(data)
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise DataError(f"the record is nested more than {MAX_DEPTH} deep")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        if "\\ud" in text.lower():
            # Half of a surrogate pair, which no text may hold, can only be written as an escape.
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if error.lineno == 1 else f"its line {error.lineno}, column {error.colno}"
        raise DataError(f"no valid JSON: {error.msg} at {place}") from None
    except UnicodeEncodeError:
        raise DataError("its text holds half of a surrogate pair (\\ud800 to \\udfff): no valid Unicode") from None
    except RecursionError:
        raise DataError("the record is nested too deep") from None
    except DataError:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise DataError(f"no valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"the record is {shown(value)}: an object {{...}} is needed")
    return value


def to_text(data: bytes) -> str:
    """UTF-8 as text. Raises DataError that names the first wrong byte."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        bad = data[error.start : error.start + 1].hex()
        raise DataError(
            f"byte {error.start + 1} ({bad}) is no UTF-8: the text has another encoding (GBK?); save it as UTF-8"
        ) from None


def open_data(path: Path, name: str) -> BinaryIO:
    """A data file, opened. Raises DataError: missing, a device or pipe, not text."""
    try:
        file = open_file(path, shown_path(str(path)))
    except ImageError as error:
        raise DataError(f"{name}: {error}") from None
    head = file.read(1024)
    reason = next((reason for magic, reason in _BINARY.items() if head.startswith(magic)), None)
    if reason is None and b"\0" in head:
        reason = "a binary file: give JSON or CSV"
    if reason is None and not head:
        reason = "empty"
    if reason is not None:
        file.close()
        raise DataError(f"{name}: the file is {reason}")
    file.seek(0)
    return file


def _stamp(file: BinaryIO) -> tuple[int, int]:
    state = os.fstat(file.fileno())
    assert stat.S_ISREG(state.st_mode), "open_file opens regular files only"
    return state.st_size, state.st_mtime_ns


def _depth(text: str) -> int:
    depth = most = 0
    for token in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        most = max(most, depth)
    return most


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise DataError(f"the key {shown(twice)} is given twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise DataError(f"no valid JSON: {name} is no number")
