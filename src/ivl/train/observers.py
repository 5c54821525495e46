"""Who is told about a run: the recipe's observers in their order, kept from ever costing the run.

In: a recipe and the run's folder. Out: observers. What goes wrong outside the run, such as a full disk or a terminal
that is gone, is told on one line; an error of the program is not hidden.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from ivl.errors import IvlError, TrainingError
from ivl.train.config import TrainConfig
from ivl.train.events import Event, Observer
from ivl.train.metrics import MetricsLog
from ivl.train.progress import make_progress
from ivl.train.report import ReportWriter
from ivl.train.trackers import Trackers


def make_observers(config: TrainConfig, work_dir: Path, first_step: int, data_lines: list[str]) -> list[Observer]:
    """Observers for rank 0, to be told in this order: metrics.jsonl, trackers, the report, the terminal.

    first_step: steps done before, 0 for a new run; what the files in work_dir say of later steps is dropped.
    data_lines: what the report says of the data, a line each.
    Raises MissingExtraError for a tracker that is not installed, TrainingError if work_dir cannot be written.
    """
    progress = make_progress()
    say = _careful(progress.note)
    observers: list[Observer] = []
    try:
        metrics = MetricsLog(work_dir / "metrics.jsonl", first_step, log_steps=config.log_steps)
        if metrics.num_damaged:
            say(f"metrics.jsonl: {metrics.num_damaged} damaged lines were removed")
        observers.append(Guarded(metrics, "metrics.jsonl", say))
        if config.report_to:
            observers.append(Guarded(Trackers(config, work_dir, first_step, say), "report_to", say))
        report = ReportWriter(config, work_dir, first_step, data_lines, say)
    except OSError as error:
        for observer in observers:
            observer.close()
        raise TrainingError(f"work_dir={work_dir} cannot be written to: {error.strerror or error}") from error
    return [*observers, Guarded(report, "report.html", say), Guarded(progress, "progress", say)]


class Guarded:
    """An observer whose trouble with the world outside becomes one line."""

    def __init__(self, observer: Observer, name: str, say: Callable[[str], None]) -> None:
        self._observer, self._name, self._say = observer, name, say
        self._has_said = False

    def __call__(self, event: Event) -> None:
        with self._guard():
            self._observer(event)

    def close(self) -> None:
        with self._guard():
            self._observer.close()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except (OSError, IvlError) as error:
            if not self._has_said:
                self._has_said = True
                reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
                self._say(f"warning: {self._name} is incomplete ({reason}); the run goes on")


def _careful(note: Callable[[str], None]) -> Callable[[str], None]:
    """Where the terminal itself is gone, nothing can be said."""

    def say(text: str) -> None:
        with contextlib.suppress(OSError):
            note(text)

    return say
