"""The rows of a TSV or CSV file, one by one, whose cells may hold whole pictures.

In: a file whose first row names its columns. Out: for each further row, where it stands, and its cells by column, or
what is wrong with it. Reads as pandas does, whose `to_csv` wrote the field's files: a cell in double quotes may hold
delimiters and line breaks, and a quote elsewhere is text. (The csv module stops at cells of 128 KiB, and its limit is
one for the whole process.) At most MAX_RECORD_BYTES of a row are held.
"""

import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from ivl.data.indexing import MAX_RECORD_BYTES, Line, lines_of
from ivl.data.records import open_data, to_text
from ivl.errors import DataError, shown

_DELIMITERS = {".tsv": "\t", ".csv": ","}
_QUOTED = re.compile(r'"((?:[^"]++|"")*+)"')
_MOST_LINES = 200
"""Of one row. A quote that is never closed costs this row and no other."""


def rows_of(path: Path) -> Iterator[tuple[str, dict[str, str] | DataError]]:
    """(file:line, cells that are not empty, by their columns' names; or the fault). Raises DataError for the file.

    Columns' names are in small letters, but for those of one capital letter, which are choices.
    """
    delimiter = _DELIMITERS[path.suffix.lower()]
    with open_data(path, path.name) as file:
        lines = _Lines(lines_of(file), delimiter)
        columns: list[str] = []
        for number, cells in lines.rows():
            where = f"{path.name}:{number}"
            if not columns:
                columns = _columns(cells, where)
            elif isinstance(cells, DataError):
                yield where, cells
            elif len(cells) != len(columns):
                yield where, DataError(f"the row has {len(cells)} cells and the table {len(columns)} columns")
            else:
                yield where, {name: cell for name, cell in zip(columns, cells, strict=True) if cell.strip()}


def column_name(text: str) -> str:
    """A column's or key's name as this room knows it: "Question" is "question", "A" stays the first choice."""
    name = text.strip()
    return name if len(name) == 1 and "A" <= name <= "Z" else name.lower()


def _columns(cells: list[str] | DataError, where: str) -> list[str]:
    if isinstance(cells, DataError):
        raise DataError(f"{where}: the row of column names cannot be read: {cells}")
    columns = [column_name(cell) for cell in cells]
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where}: two columns are called {shown(twice)}: rename one")
    if "question" not in columns or not {"answer", "answers"} & set(columns):
        raise DataError(
            f"{where}: the columns are {shown(', '.join(columns))}: question and answer are needed, and image or "
            "image_path, A, B, C, D, hint, category and index where there are any"
        )
    return columns


class _Lines:
    """Puts lines together to rows."""

    def __init__(self, lines: Iterator[Line], delimiter: str) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self._delimiter = delimiter

    def rows(self) -> Iterator[tuple[int, list[str] | DataError]]:
        """(line, its cells) of each row that is not blank."""
        while (line := self._next()) is not None:
            _, length, data, number = line
            if length > len(data):
                yield number, DataError(f"the row has more than {MAX_RECORD_BYTES:,} bytes: keep pictures in files")
            elif not data.isspace():
                yield number, self._row(data)

    def _row(self, data: bytes) -> list[str] | DataError:
        taken: list[Line] = []
        try:
            while (cells := _cells(to_text(data).rstrip("\r\n"), self._delimiter)) is None:
                data += self._up_to_a_quote(taken, len(data))
        except DataError as error:
            self._again.extendleft(reversed(taken))
            return error
        return cells

    def _up_to_a_quote(self, taken: list[Line], length: int) -> bytes:
        """The next lines, up to one in which the open quote may close."""
        pieces: list[bytes] = []
        while not pieces or b'"' not in pieces[-1]:
            line = self._next()
            if line is not None:
                taken.append(line)
                length += line[1]
                pieces.append(line[2])
            if line is None or len(taken) >= _MOST_LINES or length > MAX_RECORD_BYTES:
                raise DataError(
                    f"a double quote opens a cell and does not close it within {_MOST_LINES} lines and "
                    f"{MAX_RECORD_BYTES:,} bytes"
                )
        return b"".join(pieces)

    def _next(self) -> Line | None:
        return self._again.popleft() if self._again else next(self._lines, None)


def _cells(text: str, delimiter: str) -> list[str] | None:
    """The cells of a row; None while a quoted cell is open."""
    cells, pos = [], 0
    while True:
        quoted = None
        if text.startswith('"', pos):
            quoted = _QUOTED.match(text, pos)
            if quoted is None:
                return None
        start = quoted.end() if quoted else pos
        end = text.find(delimiter, start)
        end = len(text) if end < 0 else end
        cells.append((quoted[1].replace('""', '"') if quoted else "") + text[start:end])
        if end == len(text):
            return cells
        pos = end + 1
