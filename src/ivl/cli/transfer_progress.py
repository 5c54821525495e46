"""How far files to or from a hub are: a bar on a terminal where `rich` is installed, else a line now and then.

In: what travels, the bytes done and the bytes there are. Out: text on stderr. Knows no hub.
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ivl.cli.terminal import note, one_line

if TYPE_CHECKING:
    from rich.progress import Progress

    from ivl.hub.patience import Telling

_SECONDS = 5.0
"""Between two lines where there is no bar."""


@contextlib.contextmanager
def transfer_progress() -> "Iterator[Telling]":
    """Gives what is to be told."""
    from ivl.hub.patience import Telling

    bar = _bar() if sys.stderr.isatty() else None
    if bar is None:
        yield Telling(progress=_Lines(), note=note)
        return
    with bar:
        task = bar.add_task("", total=None)

        def progress(name: str, done: int, total: int) -> None:
            bar.update(task, description=one_line(name).replace("[", "\\["), completed=done, total=total)

        yield Telling(progress=progress, note=lambda text: bar.console.print(one_line(text), markup=False, style="dim"))


def size_text(num_bytes: int) -> str:
    """A size for people, in powers of 1000."""
    size, unit = float(num_bytes), 0
    while size >= 999.5 and unit < 4:
        size, unit = size / 1000, unit + 1
    return f"{num_bytes} B" if unit == 0 else f"{size:.1f} {('B', 'kB', 'MB', 'GB', 'TB')[unit]}"


class _Lines:
    """A line every few seconds, and one at the end if it took that long."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._told = False

    def __call__(self, name: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS or (done == total and self._told):
            note(f"{one_line(name)}: {size_text(done)} of {size_text(total)}")
            self._last, self._told = now, True


def _bar() -> "Progress | None":
    """None where `rich` is not installed."""
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
    except ImportError:
        return None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)
