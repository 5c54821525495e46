"""How far an evaluation is: bars on a terminal where `rich` is installed, else a line now and then.

In: what a run tells of itself. Out: text on stderr. Knows no sets.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ivl.cli.terminal import note, one_line

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from ivl.evals.runner import Progress

Tell = Callable[["Progress"], None]

SECONDS = 10.0
"""Between two lines where there are no bars."""


@contextlib.contextmanager
def answering_progress() -> Iterator[Tell]:
    """Gives what is to be told how far a run is: bars on a terminal where `rich` is installed, else lines."""
    bars = _bars() if sys.stderr.isatty() else None
    if bars is None:
        yield _Lines()
        return
    with bars:
        yield _Bars(bars)


class _Pace:
    """Answers a second, and the time that is left: answers of an earlier run cost none."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._first = 0

    def words(self, progress: "Progress") -> str:
        """12.3 a second, 1:15 left; empty before anything can be said."""
        from ivl.evals.report_words import duration

        new, now = progress.all_done - progress.all_reused, time.monotonic()
        if self._began is None:
            self._began, self._first = now, new
        seconds, num = now - self._began, new - self._first
        if seconds < 1 or not num:
            return ""
        rate = num / seconds
        return f", {rate:.3g} a second, {duration((progress.all_total - progress.all_done) / rate)} left"


class _Lines:
    """A line every few seconds, and one at the end of each set."""

    def __init__(self) -> None:
        self._last, self._pace = time.monotonic(), _Pace()
        self._known: set[tuple[str, str]] = set()

    def __call__(self, progress: "Progress") -> None:
        if progress.stage == "notice":
            note(one_line(progress.notice))
        elif progress.stage == "opening":
            note(f"{one_line(progress.subject)}: loading ...")
        else:
            self._tell(progress)

    def _tell(self, progress: "Progress") -> None:
        key, title = (progress.subject, progress.set_name), one_line(f"{progress.subject}, {progress.set_name}")
        is_new = key not in self._known
        self._known.add(key)
        if is_new:  # before anything is asked: what an earlier run left
            if progress.done:
                note(f"{title}: {progress.done:,} of {progress.total:,} answers are there from an earlier run")
            return
        pace, now = self._pace.words(progress), time.monotonic()
        if now - self._last >= SECONDS or progress.done == progress.total:
            run = f"{progress.all_done:,} of {progress.all_total:,} of the run"
            note(f"{title}: {progress.done:,} of {progress.total:,} answers ({run}{pace}){_failed(progress)}")
            self._last = now


class _Bars:
    """A bar for each subject on each set while it is asked, and one of the whole run."""

    def __init__(self, bars: "Bars") -> None:
        self._bars, self._pace = bars, _Pace()
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._all = bars.add_task("loading", total=None, pace="")

    def __call__(self, progress: "Progress") -> None:
        from rich.text import Text

        if progress.stage == "notice":
            self._bars.console.print(Text(one_line(progress.notice), style="dim"))
            return
        if progress.stage == "opening":
            self._bars.update(self._all, description=_plain(f"loading {progress.subject}"))
            return
        key, title = (progress.subject, progress.set_name), f"{progress.subject} · {progress.set_name}"
        if key not in self._tasks:  # all are told before the first question; a bar is seen while it moves
            self._tasks[key] = self._bars.add_task(_plain(title), total=progress.total, pace="", visible=False)
            return
        is_over = progress.done == progress.total
        self._bars.update(self._tasks[key], completed=progress.done, pace=_failed(progress)[2:], visible=not is_over)
        if is_over:
            text = f"{one_line(title)}: {progress.total:,} answers{_failed(progress)}"
            self._bars.console.print(Text(text, style="dim"))
        pace = self._pace.words(progress)
        self._bars.update(
            self._all, description="all", completed=progress.all_done, total=progress.all_total, pace=pace[2:]
        )


def _failed(progress: "Progress") -> str:
    return f", {progress.num_failed:,} could not be answered" if progress.num_failed else ""


def _plain(text: str) -> str:
    """A text that rich takes as it is."""
    return one_line(text).replace("[", "\\[")


def _bars() -> "Bars | None":
    """None where `rich` is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    except ImportError:
        return None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
    return Progress(*columns, console=Console(stderr=True), transient=True)
