"""A file of one JSON object a line that grows while a run goes on and outlives its being killed.

In: records, dictionaries with a `step`. Out: a file in which every line but the last is whole at any moment, and which
after a resume holds only what belongs to the run's own past. Knows nothing of what the records mean.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ivl.errors import DataError

Record = dict[str, Any]
LONGEST_LINE = 4 * 2**20
"""Bytes; a longer line is taken as damaged."""


class JsonLines:
    """Appends records to a file. Raises OSError where the file cannot be written; what was written stays readable."""

    def __init__(self, path: Path, first_step: int) -> None:
        """Lines of a later step than `first_step` leave the file first; all do for a run that begins at 0."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.num_damaged = _keep_until(path, first_step)
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._is_torn = False

    def append(self, records: Iterable[Record]) -> None:
        """Write them, all or none: after a full disk the next call first removes what was half written."""
        data = b"".join(_encode(record) for record in records)
        if self._is_torn:
            self._file.truncate(self._size)
        self._is_torn = True
        written = 0
        while written < len(data):
            written += self._file.write(data[written:])
        self._is_torn = False
        self._size += written

    def close(self) -> None:
        """May be called again."""
        if self._is_torn and not self._file.closed:
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
        self._file.close()


def read_lines(path: Path) -> Iterator[Record]:
    """The records of a file, one at a time; a last line without its end was cut off and is passed over.

    Raises DataError with the line's number for any other line that is no JSON object, OSError for no file.
    """
    for line_number, record, is_torn in _scan(path):
        if record is not None:
            yield record
        elif not is_torn:
            raise DataError(f"{path}:{line_number} is not a line of JSON with a step: remove the line")


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file at once: a reader sees the old or the new one, never half. Raises OSError."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def _keep_until(path: Path, first_step: int) -> int:
    """Rewrite the file without later and damaged lines, if it has any; the number of damaged ones."""
    if not path.exists():
        return 0
    partial = path.with_name(f".{path.name}.partial")
    num_damaged, drops = 0, False
    with partial.open("wb") as kept:
        for _, record, is_torn in _scan(path):
            keeps = record is not None and first_step > 0 and record["step"] <= first_step
            if record is not None and keeps:
                kept.write(_encode(record))
            drops = drops or not keeps
            num_damaged += record is None and not is_torn
        kept.flush()
        os.fsync(kept.fileno())
    if drops:
        partial.replace(path)
    else:
        partial.unlink()
    return num_damaged


def _scan(path: Path) -> Iterator[tuple[int, Record | None, bool]]:
    """Each line's number, its record or None, and whether it is a last line without its end."""
    with path.open("rb") as file:
        line_number = 0
        while line := file.readline(LONGEST_LINE):
            line_number += 1
            is_whole = line.endswith(b"\n")
            while not line.endswith(b"\n") and (line := file.readline(LONGEST_LINE)):
                is_whole = False
            yield line_number, _decode(line) if is_whole else None, not line.endswith(b"\n")


def _decode(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_record = isinstance(record, dict) and isinstance(record.get("step"), int)
    return record if is_record else None


def _encode(record: Record) -> bytes:
    """JSON knows neither NaN nor infinity: they become null."""
    plain = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in record.items()
    }
    return json.dumps(plain, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"
