"""How far the reading of data sets is: a bar on a terminal where `rich` is installed, else a line now and then.

In: a data set's name, the records done and the records there are. Out: text on stderr. Knows no data.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ivl.cli.terminal import note, one_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Tell = Callable[[str, int, int], None]

_SECONDS = 5.0
"""Between two lines where there is no bar."""


@contextlib.contextmanager
def reading_progress() -> Iterator[Tell]:
    """Gives what is to be told the data set's name, the records done and the records there are."""
    bar = _bar() if sys.stderr.isatty() else None
    if bar is None:
        yield _Lines()
        return
    with bar:
        yield _Bar(bar)


class _Lines:
    """A line every few seconds, and one at a data set's end if it took that long."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._told = ""

    def __call__(self, name: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS or (done == total and self._told == name):
            note(f"{one_line(name)}: {done:,} of {total:,} records read")
            self._last, self._told = now, name


class _Bar:
    """A bar for each data set."""

    def __init__(self, bar: "Progress") -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(one_line(name).replace("[", "\\["), total=total)
        self._bar.update(self._tasks[name], completed=done)


def _bar() -> "Progress | None":
    """None where `rich` is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
