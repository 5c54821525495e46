"""Watching ranks: pass signals on, see who ends or falls silent, and say who spoiled the run.

In: the ranks' processes and their private folder. Out: one exit code, or a TrainingError that names a rank, what it
was doing and its last line. Knows nothing of how ranks are started.

One rank that fails makes the others fail: they lose a connection, or wait for ever. So the fault is sought in this
order: a rank that was killed by a signal, the rank that first reported a mistake with a name, the rank that first
failed otherwise; and of ranks that all fell silent, one that is stopped, or else the one that is behind.
"""

import contextlib
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ivl.errors import TrainingError
from ivl.train.heartbeat import read_beat

GRACE = 15.0
"""Seconds between SIGTERM and SIGKILL for ranks of a run that has failed."""
_POLL = 0.05
_STOPPED = {143, 130}
"""Exit codes of ranks that were told to stop."""
_LAST_BYTES = 8192


@dataclass(frozen=True, kw_only=True, eq=False)
class Rank:
    """One started rank."""

    number: int
    process: "subprocess.Popen[bytes]"
    started: float
    """By `time.monotonic`."""

    @property
    def code(self) -> int | None:
        """Its exit code, 128 + n when signal n ended it; None while it runs."""
        code = self.process.poll()
        return 128 - code if code is not None and code < 0 else code


class Watch:
    """Waits for all ranks of a run. timeout: seconds without any sign of life from all of them."""

    def __init__(self, ranks: Sequence[Rank], folder: Path, timeout: float, grace: float = GRACE) -> None:
        self.ranks = ranks
        self.folder = folder
        self.timeout = timeout
        self.grace = grace
        self.asked: list[int] = []
        """Signals that this process got, in order."""

    def wait(self) -> int:
        """The run's exit code. Raises TrainingError when a rank failed or fell silent."""
        with self._listening():
            while (codes := [rank.code for rank in self.ranks]).count(0) < len(codes):
                if any(code not in (None, 0) for code in codes):
                    return self._end(codes)
                if self.asked.count(signal.SIGINT) > 1:
                    self._stop(grace=0)
                    return 130
                self._check_silence()
                time.sleep(_POLL)
        return 0

    def _end(self, codes: list[int | None]) -> int:
        """A rank left with an error or because it was told to: see the others out, and say what happened."""
        if self.asked and all(code is None or code in _STOPPED or code == 0 for code in codes):
            return self._stop_together()
        failed = [rank for rank, code in zip(self.ranks, codes, strict=True) if code not in (None, 0)]
        told_to_stop = {rank.code for rank in failed} <= _STOPPED
        # One that lost its partner reports later than the partner that caused it, but may be seen first.
        time.sleep(0 if told_to_stop else 4 * _POLL)
        failed = [rank for rank in self.ranks if rank.code not in (None, 0)]
        self._stop(self.grace)
        if told_to_stop:
            return max(rank.code or 0 for rank in failed)
        raise TrainingError(self._blame(failed))

    def _stop_together(self) -> int:
        """All were told to stop, and each saves and leaves by itself; raises where one cannot."""
        while any(rank.code is None for rank in self.ranks):
            if self.asked.count(signal.SIGINT) > 1:
                self._stop(grace=0)
                return 130
            self._check_silence()
            time.sleep(_POLL)
        failed = [rank for rank in self.ranks if rank.code not in (0, *_STOPPED)]
        if failed:
            raise TrainingError(self._blame(failed))
        return 128 + self.asked[0]

    def _stop(self, grace: float) -> None:
        """End every rank that still runs."""
        self._send(signal.SIGTERM if grace else signal.SIGKILL)
        deadline = time.monotonic() + grace
        while any(rank.code is None for rank in self.ranks) and time.monotonic() < deadline:
            time.sleep(_POLL)
        self._send(signal.SIGKILL)
        for rank in self.ranks:
            rank.process.wait()

    def _send(self, number: int) -> None:
        for rank in self.ranks:
            if rank.process.poll() is None:
                rank.process.send_signal(number)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Pass SIGTERM and SIGINT on to the ranks."""

        def pass_on(number: int, frame: FrameType | None) -> None:
            self.asked.append(number)
            self._send(number)

        if threading.current_thread() is not threading.main_thread():
            yield  # Python lets only the main thread listen
            return
        before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _check_silence(self) -> None:
        """Raise TrainingError, with every rank killed, when none of those that run has told anything for too long."""
        running = [rank for rank in self.ranks if rank.code is None]
        beats = {rank.number: read_beat(self.folder, rank.number, rank.started) for rank in running}
        now = time.monotonic()
        if not running or now - max(beat.time for beat in beats.values()) < self.timeout:
            return
        stopped = [rank for rank in running if _is_stopped(rank.process.pid)]
        first = min(stopped or running, key=lambda rank: beats[rank.number].progress)
        beat = beats[first.number]
        self._send(signal.SIGKILL)
        where = f"{beat.phase} (step {beat.step})" if beat.step else beat.phase
        state = "its process is stopped; " if stopped else ""
        raise TrainingError(
            f"rank {first.number} fell silent {now - beat.time:.0f} s ago while {where}, and the others waited for it: "
            f"{state}all ranks were ended after timeout={self.timeout:g} s; resume goes on from the newest checkpoint"
            f"{self._more()}"
        )

    def _blame(self, failed: Sequence[Rank]) -> str:
        """One line about the rank that failed first."""
        told = {rank.number: self._told(rank) for rank in failed}
        first = min(failed, key=lambda rank: _gravity(rank, told[rank.number]))
        said = told[first.number].get("line") or self._last_line(first)
        how = _ending(first, bool(told[first.number]))
        more = "" if told[first.number].get("is_ours") else self._more()  # a mistake with a name needs no traceback
        return f"rank {first.number} {how}{': ' if said else ''}{said}{more}"

    def _more(self) -> str:
        return f" (more in {self.folder})" if kept_files(self.folder) else ""

    def _told(self, rank: Rank) -> dict[str, Any]:
        """What a rank reported before it ended; empty where it could not."""
        with contextlib.suppress(OSError, ValueError):
            told = json.loads((self.folder / f"error-{rank.number}.json").read_text("utf-8"))
            return told if isinstance(told, dict) else {}
        return {}

    def _last_line(self, rank: Rank) -> str:
        """The last line that a rank wrote; rank 0 wrote to the terminal."""
        with contextlib.suppress(OSError), (self.folder / f"rank-{rank.number}.log").open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LAST_BYTES))
            lines = [line for line in file.read(_LAST_BYTES).decode("utf-8", "replace").splitlines() if line.strip()]
            return lines[-1].strip()[:500] if lines else ""
        return ""


def kept_files(folder: Path) -> list[Path]:
    """What ranks wrote that may explain a failure."""
    return [path for path in folder.iterdir() if path.name.startswith(("rank-", "traceback-")) and path.stat().st_size]


def _gravity(rank: Rank, told: dict[str, Any]) -> tuple[int, float]:
    """The smaller, the more likely the cause. SIGABRT is NCCL's way of saying that another rank is gone."""
    code = rank.code or 0
    if not told and code > 128 and code != 128 + signal.SIGABRT and code not in _STOPPED:
        return 0, 0.0
    if not told:
        return 3, 0.0
    return (1 if told.get("is_ours") else 2), float(told.get("time", 0.0))


def _ending(rank: Rank, has_told: bool) -> str:
    code = rank.code or 0
    if has_told or code <= 128:
        return "failed" if has_told else f"ended with exit code {code}"
    try:
        name = signal.Signals(code - 128).name
    except ValueError:
        return f"ended with exit code {code}"
    hint = ", as when memory runs out" if code - 128 == signal.SIGKILL else ""
    return f"was ended by {name}{hint}"


def _is_stopped(pid: int) -> bool:
    """Whether the process is suspended (SIGSTOP, Ctrl-Z, a debugger); False where the system does not tell."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] in "Tt"
    return False
