"""The run's own record, `metrics.jsonl`: one line for each event, and reading it back as curves.

In: events. Out: lines {"kind": "run_start" | "step" | "validation" | "saved" | "notice" | "run_end", "step": ...,
"time": ...} with all their numbers. Knows no terminal and no drawing.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ivl.train.curves import Point
from ivl.train.events import Event, Notice, RunEnd, RunStart, Saved, StepEnd, Validation
from ivl.train.json_lines import JsonLines, Record, read_lines

KINDS: dict[type, str] = {
    RunStart: "run_start",
    StepEnd: "step",
    Validation: "validation",
    Saved: "saved",
    Notice: "notice",
    RunEnd: "run_end",
}


def read_metrics(path: Path) -> list[Record]:
    """The lines of a metrics.jsonl; a last line that was cut off is passed over.

    Raises DataError with the line's number for any other damaged line, OSError for no file.
    """
    return list(read_lines(path))


class MetricsLog:
    """Observer that appends to metrics.jsonl. Raises OSError where it cannot."""

    def __init__(
        self, path: Path, first_step: int, *, log_steps: int = 1, clock: Callable[[], float] = time.time
    ) -> None:
        """Lines after `first_step` are dropped: the resumed run does these steps again."""
        self._lines = JsonLines(path, first_step)
        self._recorder = Recorder(log_steps, first_step)
        self._clock = clock

    @property
    def num_damaged(self) -> int:
        """Lines that were unreadable when the file was opened, and are gone."""
        return self._lines.num_damaged

    def __call__(self, event: Event) -> None:
        self._write(self._recorder.add(event))

    def close(self) -> None:
        """Writes steps that still wait for their line."""
        try:
            self._write(self._recorder.flush())
        finally:
            self._lines.close()

    def _write(self, records: list[Record]) -> None:
        now = round(self._clock(), 3)
        if records:
            self._lines.append({**record, "time": now} for record in records)


class Recorder:
    """Events as records. A record of steps covers `log_steps` of them, or those before any other event."""

    def __init__(self, log_steps: int = 1, first_step: int = 0) -> None:
        self._log_steps, self._step = log_steps, first_step
        self._peak: float | None = None
        self._waiting: list[StepEnd] = []

    def add(self, event: Event) -> list[Record]:
        """The records that are complete with this event."""
        if isinstance(event, Notice):
            return [*self.flush(), {"kind": KINDS[Notice], "step": self._step, "text": event.text}]
        if isinstance(event, StepEnd):
            self._step = event.step
            self._waiting.append(event)
            return self.flush() if event.step % self._log_steps == 0 else []
        if isinstance(event, RunStart) and event.flops_per_second:
            self._peak = event.flops_per_second * event.world_size
        return [*self.flush(), _record(event)]

    def flush(self) -> list[Record]:
        """The steps that wait, as one record or none."""
        steps, self._waiting = self._waiting, []
        return [self._join(steps)] if steps else []

    def _join(self, steps: list[StepEnd]) -> Record:
        last = steps[-1]
        record = {"kind": "step", **asdict(last), "num_steps": len(steps)}
        for name in ("loss", "grad_norm"):
            record[name] = sum(getattr(each, name) for each in steps) / len(steps)
        for name in ("num_samples", "num_tokens", "num_tiles", "seconds", "data_seconds", "flops"):
            record[name] = sum(getattr(each, name) for each in steps)
        record["memory_bytes"] = max(each.memory_bytes for each in steps)
        if record["seconds"] > 0:
            record["tokens_per_second"] = record["num_tokens"] / record["seconds"]
            record["samples_per_second"] = record["num_samples"] / record["seconds"]
            if self._peak:
                record["mfu"] = record["flops"] / record["seconds"] / self._peak
        return record


def _record(event: RunStart | Validation | Saved | RunEnd) -> Record:
    kind = KINDS[type(event)]
    if isinstance(event, Validation):
        lengths = [len(each.given) for each in event.answers]
        figures: Record = {"loss": event.loss, "exact_match": event.exact_match, "num_answers": len(lengths)}
        figures["mean_characters"] = sum(lengths) / len(lengths) if lengths else None
        return {"kind": kind, "step": event.step, **figures}
    record = asdict(event)
    step = record.pop("first_step", record.pop("step", 0))
    return {"kind": kind, "step": step, **record}


@dataclass(frozen=True, kw_only=True)
class History:
    """A run's past, in the order of steps."""

    starts: tuple[Record, ...] = ()
    """One for each time that it was started or resumed."""
    steps: tuple[Record, ...] = ()
    validations: tuple[Record, ...] = ()
    saved: tuple[Record, ...] = ()
    notices: tuple[Record, ...] = ()
    end: Record | None = None
    """Of the newest start; None while it runs, or if it was killed."""

    def curve(self, name: str, *, of_validation: bool = False) -> list[Point]:
        """(step, value) wherever there is a value."""
        records = self.validations if of_validation else self.steps
        return [
            (record["step"], float(record[name])) for record in records if isinstance(record.get(name), int | float)
        ]

    @property
    def last_step(self) -> int:
        return max((record["step"] for record in (*self.steps, *self.validations)), default=0)


def read_history(path: Path) -> History:
    """A metrics.jsonl as curves. A step or validation that was done again counts as it was the last time."""
    kinds: dict[str, list[Record]] = {kind: [] for kind in KINDS.values()}
    end: Record | None = None
    for record in read_lines(path):
        kind = record.get("kind")
        if kind in kinds:
            kinds[kind].append(record)
        if kind in ("run_start", "run_end"):
            end = record if kind == "run_end" else None
    return History(
        starts=tuple(kinds["run_start"]),
        steps=_newest(kinds["step"]),
        validations=_newest(kinds["validation"]),
        saved=tuple(kinds["saved"]),
        notices=tuple(kinds["notice"]),
        end=end,
    )


def _newest(records: list[Record]) -> tuple[Record, ...]:
    by_step = {record["step"]: record for record in records}
    return tuple(by_step[step] for step in sorted(by_step))
