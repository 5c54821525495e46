"""A sign of life of each rank, in one small file a rank, so that a rank that hangs can be named.

In: what a rank is doing, told by the rank itself at every change. Out: `Beat`s, read by the process that started the
ranks. A beat says what begins now, and all ranks go through the same phases of a step: so of ranks that are silent the
one with the fewest beats has kept the others waiting. Knows no processes and no training.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LENGTH = 512
"""Bytes of a beat. All have one length, so that a shorter one leaves nothing of the one before it in the file."""


@dataclass(frozen=True, kw_only=True)
class Beat:
    """What a rank last told."""

    step: int = 0
    phase: str = "starting"
    count: int = 0
    """Beats of this step so far."""
    waits: bool = False
    """Whether it waits for other ranks."""
    time: float
    """By `time.monotonic`, which all processes of a machine share."""

    @property
    def progress(self) -> tuple[bool, int, int, float]:
        """Of ranks that are silent, the smallest is the one that the others wait for."""
        return self.waits, self.step, self.count, self.time


class Heartbeat:
    """Told by a rank; costs one write to a file that stays open, a few microseconds.

    folder: where the launcher looks; None (a single process, or ranks that torchrun started) writes nothing.
    """

    def __init__(self, folder: Path | None = None, rank: int = 0) -> None:
        self._step, self._phase, self._count = 0, "starting", 0
        self._file: int | None = None
        if folder is not None:
            self._file = os.open(_path(folder, rank), os.O_WRONLY | os.O_CREAT, 0o600)

    def beat(self, step: int, phase: str) -> None:
        """This rank begins `phase` ("reading data", "forward", "saving" ...) of step `step`."""
        self._count = self._count + 1 if step == self._step else 1
        self._step, self._phase = step, phase[:60]
        self._write(waits=False)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what ends only when other ranks do their part."""
        self._write(waits=True)
        yield
        self._write(waits=False)

    def _write(self, waits: bool) -> None:
        if self._file is None:
            return
        told = {"step": self._step, "phase": self._phase, "count": self._count, "waits": waits}
        text = json.dumps(told | {"time": time.monotonic()})
        os.pwrite(self._file, text.encode("ascii").ljust(_LENGTH), 0)


def read_beat(folder: Path, rank: int, started: float) -> Beat:
    """The last beat of a rank; "starting" at `started` where it has told nothing yet."""
    with contextlib.suppress(OSError, ValueError, TypeError), _path(folder, rank).open("rb") as file:
        return Beat(**json.loads(file.read(_LENGTH)))
    return Beat(time=started)


def _path(folder: Path, rank: int) -> Path:
    return folder / f"beat-{rank}.json"
