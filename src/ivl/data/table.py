"""A table of pictures, questions and answers: a CSV or TSV file, read row by row.

In: a file whose first row names its columns. Out: one row as a dict of texts, which formats.py reads as a question
and its answer. Every fault of a row is a DataError that begins with file and line and leaves other rows readable.
"""

import csv
import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ivl.data.formats import ANSWER_KEYS, IMAGE_KEYS, QUESTION_KEYS
from ivl.data.indexing import MAX_RECORD_BYTES, IndexBuilder, Line, RecordIndex, lines_of
from ivl.data.records import IndexedFile, to_text
from ivl.errors import DataError, shown

_DELIMITERS = (",", "\t", ";")
_MOST_DAMAGED = 1000


class TableFile(IndexedFile):
    """The rows of a CSV or TSV file. Raises DataError where its first row does not name the columns it needs."""

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        self.delimiter = ","
        self.columns: list[str] = []
        super().__init__(path, name or Path(path).name, self._make_index)

    def read(self, index: int) -> dict[str, str]:
        """One row, by its columns' names. Raises DataError: no UTF-8, a stray quote, too few or too many cells."""
        try:
            cells = _cells(to_text(self.raw(index)), self.delimiter)
        except (DataError, csv.Error) as error:
            reason = str(error).removeprefix(f"{self.where(index)}: ")
            raise DataError(f"{self.where(index)}: the row cannot be read: {reason}") from None
        if len(cells) != len(self.columns):
            raise DataError(
                f"{self.where(index)}: the row has {len(cells)} cells and the table {len(self.columns)} columns "
                f"({', '.join(self.columns)[:100]}): put a text that holds {self.delimiter!r} in double quotes"
            )
        return dict(zip(self.columns, cells, strict=True))

    def _make_index(self, file: BinaryIO, name: str) -> RecordIndex:
        """Finds the rows; the first one names the columns and says what parts them."""
        for line in itertools.islice(lines_of(file), 1):
            self._read_columns(line[2], name)
        rows = index_rows(file, name, self.delimiter)
        return RecordIndex(offsets=rows.offsets[1:], lengths=rows.lengths[1:], lines=rows.lines[1:])

    def _read_columns(self, line: bytes, name: str) -> None:
        try:
            text = to_text(line[:MAX_RECORD_BYTES])
            tables = {delimiter: _cells(text, delimiter) for delimiter in _DELIMITERS}
        except (DataError, csv.Error) as error:
            raise DataError(f"{name}:1: the row of column names cannot be read: {error}") from None
        self.delimiter = max(tables, key=lambda delimiter: len(tables[delimiter]))
        self.columns = [column.strip().lower() for column in tables[self.delimiter]]
        has_input = {*IMAGE_KEYS, *QUESTION_KEYS} & set(self.columns)
        if not has_input or not set(ANSWER_KEYS) & set(self.columns):
            raise DataError(
                f"{name}:1: neither JSON nor a table with known columns; its first line: {shown(text.strip())}; a "
                f"table needs a column image, file_name or question, and one of {', '.join(ANSWER_KEYS)}"
            )
        twice = next((column for column in self.columns if self.columns.count(column) > 1), None)
        if twice is not None:
            raise DataError(f"{name}:1: two columns are called {shown(twice)}: rename one")


def index_rows(file: BinaryIO, name: str, delimiter: str) -> RecordIndex:
    """The rows of a table, its first one included; a row goes on over line breaks in double quotes.

    A row with a stray quote is a row of its first line only, so that it takes no other rows with it.
    """
    found, num_damaged = IndexBuilder(), 0
    lines = lines_of(file)
    while True:
        feed = _Feed(lines)
        try:
            for _ in csv.reader(feed, delimiter=delimiter, strict=True):
                row = feed.take()
                if not all(line.isspace() for _, _, line, _ in row):
                    found.add(row[0][0], sum(length for _, length, _, _ in row), row[0][3])
            return found.build()
        except csv.Error:
            (offset, length, _, number), *rest = feed.take()
            found.add(offset, length, number)
            lines = itertools.chain(rest, lines)
        num_damaged += 1
        if num_damaged > _MOST_DAMAGED:
            raise DataError(f"{name}: more than {_MOST_DAMAGED:,} rows have stray double quotes: is this a table?")


class _Feed:
    """Gives lines to the csv module, and keeps those that it took since the last row."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._taken: list[Line] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self._taken.append(line)
            yield line[2].decode("latin-1")  # quotes and delimiters are single bytes of UTF-8 too

    def take(self) -> list[Line]:
        taken, self._taken = self._taken, []
        return taken


def _cells(text: str, delimiter: str) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
