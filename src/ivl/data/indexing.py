"""Where the records of a text file lie: one pass over its bytes, after which any record is read by itself.

In: an open file. Out: `RecordIndex`, the place, length and line of each record. Judges only what separates records
(lines, brackets, quotes); what a record says, and whether it is valid, is left to who reads it, so that one bad
record spoils no other. Holds no file in memory: lines are read one by one, lists are mapped.
"""

import json
import mmap
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ivl.errors import DataError

MAX_RECORD_BYTES = 16 * 2**20
"""Longer records are found but not read; a picture as a data URI takes up to a few megabytes."""
BOM = b"\xef\xbb\xbf"
Line: TypeAlias = tuple[int, int, bytes, int]
"""Offset, length, bytes and number of a line."""

_BLANK = b" \t\r\n"
_SPACE = re.compile(rb"[ \t\r\n]*+")
# Up to the next bracket that is not inside of a string. Possessive: a quote that is never closed costs one pass.
_TO_BRACKET = re.compile(rb'[^\[\]{}"]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^\[\]{}"]*+)*+([\[\]{}])', re.DOTALL)
_OPENED_BY = {b"]": ord("["), b"}": ord("{")}
_MAX_OPEN = 10_000


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordIndex:
    """The places of N records, in the order of the file."""

    offsets: NDArray[np.int64]
    """(N,) bytes from the beginning of the file."""
    lengths: NDArray[np.int64]
    """(N,) bytes."""
    lines: NDArray[np.int64]
    """(N,) line on which each begins, from 1."""


class IndexBuilder:
    """Collects the places of records."""

    def __init__(self) -> None:
        self._columns = (array("q"), array("q"), array("q"))

    def add(self, offset: int, length: int, line: int) -> None:
        for column, value in zip(self._columns, (offset, length, line), strict=True):
            column.append(value)

    def __len__(self) -> int:
        return len(self._columns[0])

    def build(self) -> RecordIndex:
        offsets, lengths, lines = (np.array(column, dtype=np.int64) for column in self._columns)
        return RecordIndex(offsets=offsets, lengths=lengths, lines=lines)


def index_json(file: BinaryIO, name: str) -> RecordIndex:
    """The records of JSON Lines, of a JSON list, or of JSON objects one after the other, by what the file holds.

    Raises DataError where a list or an object that spans lines does not end: nothing after it can be told apart.
    """
    head = _first_line(file)
    if head.startswith(b"["):
        return _index_values(file, name)
    if head.startswith(b"{") and not _is_json(head):
        try:
            return _index_values(file, name)
        except DataError:  # then it is lines, the first of them a bad one
            return _index_lines(file)
    return _index_lines(file)


def lines_of(file: BinaryIO) -> Iterator[Line]:
    """Each line from the file's beginning, without a byte order mark.

    A line that is longer than MAX_RECORD_BYTES has its full length and only its first bytes.
    """
    file.seek(0)
    offset = len(BOM) if file.read(len(BOM)) == BOM else 0
    file.seek(offset)
    number = 0
    while line := file.readline(MAX_RECORD_BYTES + 1):
        number += 1
        length, piece = len(line), line
        while not piece.endswith(b"\n") and (piece := file.readline(MAX_RECORD_BYTES)):
            length += len(piece)
        yield offset, length, line, number
        offset += length


def _index_lines(file: BinaryIO) -> RecordIndex:
    """One record a line; blank lines are none."""
    found = IndexBuilder()
    for offset, length, line, number in lines_of(file):
        if length > len(line) or not line.isspace():
            found.add(offset, length, number)
    return found.build()


def _index_values(file: BinaryIO, name: str) -> RecordIndex:
    """The values of a list, or objects that follow one another."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _ValueScan(data, name).run()


class _ValueScan:
    """Goes over a mapped file from bracket to bracket."""

    def __init__(self, data: mmap.mmap, name: str) -> None:
        self.data, self.name = data, name
        self.found = IndexBuilder()
        self.line, self.counted = 1, 0

    def run(self) -> RecordIndex:
        pos = _skip_blank(self.data, len(BOM) if self.data[: len(BOM)] == BOM else 0)
        in_list = self.data[pos : pos + 1] == b"["
        done = pos = pos + in_list
        while bracket := _TO_BRACKET.match(self.data, pos):
            start = bracket.start(1)
            self._between(done, start, is_first=done == pos and not len(self.found), in_list=in_list)
            if bracket[1] in _OPENED_BY:
                self._expect(in_list and bracket[1] == b"]", start)
                self._expect(_skip_blank(self.data, start + 1) == len(self.data), start + 1)
                return self.found.build()
            done = pos = self._end_of(start, bracket.end())
            self.found.add(start, done - start, self._line_at(start))
        self._expect(not in_list and _skip_blank(self.data, pos) == len(self.data), done)
        return self.found.build()

    def _end_of(self, start: int, pos: int) -> int:
        """Where the value ends whose bracket stands at `start`."""
        opened = bytearray(self.data[start : start + 1])
        while opened:
            bracket = _TO_BRACKET.match(self.data, pos)
            self._expect(bracket is not None and len(opened) < _MAX_OPEN, start)
            assert bracket is not None, "told apart above"
            pos = bracket.end()
            opener = _OPENED_BY.get(bracket[1])
            if opener is None:
                opened += bracket[1]
            else:
                self._expect(opened.pop() == opener, start)
        return pos

    def _between(self, done: int, start: int, *, is_first: bool, in_list: bool) -> None:
        """What stands between two values: a comma in a list; anything else is a record of its own, a bad one."""
        gap = self.data[done:start]
        inner = gap.strip(_BLANK)
        closes = self.data[start : start + 1] == b"]"
        if in_list and not is_first and not closes:
            self._expect(inner.startswith(b","), start)
        inner = inner.removeprefix(b",").removesuffix(b",").strip(_BLANK)
        if inner:
            self._expect(in_list, start)
            offset = done + gap.index(inner)
            self.found.add(offset, len(inner), self._line_at(offset))

    def _line_at(self, offset: int) -> int:
        self.line += self.data[self.counted : offset].count(b"\n")
        self.counted = offset
        return self.line

    def _expect(self, holds: object, offset: int) -> None:
        if not holds:
            raise DataError(
                f"{self.name}:{self._line_at(max(offset, self.counted))}: the list breaks off in the record "
                "that begins here: a quote, a comma or a bracket is missing; mend it, or write one record a line"
            )


def _first_line(file: BinaryIO) -> bytes:
    """The first line that is not blank, at most MAX_RECORD_BYTES of it."""
    return next((line.strip(_BLANK) for _, _, line, _ in lines_of(file) if not line.isspace()), b"")


def _skip_blank(data: mmap.mmap, pos: int) -> int:
    blank = _SPACE.match(data, pos)
    return blank.end() if blank else pos


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
