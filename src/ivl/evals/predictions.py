"""What a subject said to a set, in a file that grows while it is asked and outlives its being killed.

In: answers, as they come. Out: a file of a header and one answer a line, of which every line but the last is whole at
any moment; and, when opened again, the answers that still hold. Knows no models and no scores: a score follows from the
text, so that a better scorer needs no question asked again.

The header says what made the answers: weights, adapter, settings. Where that differs now, the file becomes `.old` and a
new one is begun. Each line carries the digest of what was asked, words and pictures: only an answer to exactly what is
asked now is found. So a set may change or grow, and a run with a limit is the beginning of one without.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

from ivl.errors import SettingsError, shown

LONGEST_LINE = 4 * 2**20
"""Bytes; a longer line is taken as damaged."""
LOCK_FILE = ".lock"
_FORMAT = 1

Key = tuple[str, int, str]
"""Item, prompt, digest of what was asked."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was said to one item under one prompt."""

    item_id: str
    prompt: int
    asked: str
    """Digest of what was asked."""
    text: str
    num_tokens: int
    finish_reason: str
    """"" when there is no answer: `text` then says why."""

    @property
    def key(self) -> Key:
        """What it answers."""
        return (self.item_id, self.prompt, self.asked)

    @property
    def is_failed(self) -> bool:
        """Whether the item could not be answered."""
        return not self.finish_reason


class AnswerFile:
    """The answers of one subject to one set, old and new. Raises SettingsError where the file cannot be used."""

    def __init__(self, path: Path, fingerprint: Mapping[str, Any], tell: Callable[[str], None]) -> None:
        """`tell` hears, in one line each, what was set aside and why."""
        self.path = path
        self.answers: dict[Key, Answer] = {}
        self._header = {"format": _FORMAT, **fingerprint}
        self._file: BinaryIO | None = None
        with _usable(path):
            if path.exists():
                self._read(tell)

    def append(self, answer: Answer) -> None:
        """Keep an answer: it is in the file when this returns, whatever happens to the process."""
        known = self.answers.get(answer.key)
        self.answers[answer.key] = answer
        if known == answer:  # it failed again, for the same reason
            return
        with _usable(self.path):
            if self._file is None:
                self._file = self._open()
            _write(self._file, asdict(answer))

    def close(self) -> None:
        """May be called again; a later answer opens the file anew."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("ab", buffering=0)
        if file.tell() == 0:
            _write(file, self._header)
        return file

    def _read(self, tell: Callable[[str], None]) -> None:
        lines, whole_size = _scan(self.path)
        if lines and lines[0] != self._header:
            old = self.path.with_name(f"{self.path.name}.old")
            self.path.replace(old)
            why = _difference(lines[0], self._header)
            tell(f"{self.path} {why}: all is asked anew, and the earlier answers are in {old.name}")
            return
        if whole_size < self.path.stat().st_size:  # the run was killed within a line: that question is asked again
            os.truncate(self.path, whole_size)
        damaged = []
        for number, record in enumerate(lines[1:], start=2):
            answer = _as_answer(record)
            if answer is None:
                damaged.append(number)
            else:
                self.answers[answer.key] = answer
        if damaged:
            count = f" and {len(damaged) - 1} more lines are" if len(damaged) > 1 else " is"
            tell(f"{self.path}:{damaged[0]}{count} damaged: what they answered is asked again")


@contextlib.contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, which is made if need be. Raises SettingsError where one is in it."""
    import fcntl

    with _usable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise SettingsError(f"{folder} is in use by another run: wait for its end, or choose another folder") from None
    finally:
        os.close(handle)


def _scan(path: Path) -> tuple[list[Any], int]:
    """The value of each line that has its end, None for what is no JSON; and the bytes of all of them."""
    values: list[Any] = []
    whole_size = size = 0
    is_long = False
    with path.open("rb") as file:
        while piece := file.readline(LONGEST_LINE):
            size += len(piece)
            if piece.endswith(b"\n"):
                values.append(None if is_long else _decode(piece))
                whole_size, is_long = size, False
            else:
                is_long = True
    return values, whole_size


def _decode(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _as_answer(record: Any) -> Answer | None:
    kinds = {"item_id": str, "prompt": int, "asked": str, "text": str, "num_tokens": int, "finish_reason": str}
    assert list(kinds) == [field.name for field in fields(Answer)], "an answer's fields and their types differ"
    if not isinstance(record, dict) or record.keys() != kinds.keys():
        return None
    return Answer(**record) if all(type(record[name]) is kind for name, kind in kinds.items()) else None


def _difference(before: Any, now: Mapping[str, Any]) -> str:
    """In words, what made the answers in a file and is not so now."""
    if not isinstance(before, dict) or before.get("format") != _FORMAT:
        return "is no file of answers that this version reads"
    said = []
    for name, value in now.items():
        if before.get(name) != value:
            weights = name in ("model", "adapter")
            said.append(f"another {name}" if weights else f"{name}={shown(before.get(name))}, now {shown(value)}")
    return f"was made with {'; '.join(said) or 'other settings'}"


def _write(file: BinaryIO, record: Mapping[str, Any]) -> None:
    data = json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"
    while data:
        data = data[file.write(data) :]


@contextlib.contextmanager
def _usable(path: Path) -> Iterator[None]:
    """What the system says against a file, as our error."""
    try:
        yield
    except OSError as fault:
        raise SettingsError(
            f"{path} cannot be used: {fault.strerror or fault}: choose another folder for the results, or make room"
        ) from None
