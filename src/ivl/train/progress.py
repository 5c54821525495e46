"""What a person at the terminal sees of a run: a live display, or plain lines where nobody watches.

In: events. Out: text on stderr, as commands keep stdout for answers. Knows no files. Without `rich`, or into a file or
pipe, lines are printed: the first step, then one every few seconds at most, and always validations, saves and the end.
"""

from __future__ import annotations

import atexit
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

from ivl.train.curves import Smooth
from ivl.train.events import Event, Notice, RunEnd, RunStart, Saved, StepEnd, Validation
from ivl.train.wording import counted, duration, gigabytes, number, percent, short

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Clock = Callable[[], float]
WINDOW = 20
"""Steps that rates and the loss are averaged over."""
LIVE_SECONDS = 0.1
LINE_SECONDS = (5.0, 60.0)
"""Between plain lines: in the first minutes, and in a run of an hour and more."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Progress(Protocol):
    """An observer that also prints what others have to say."""

    def __call__(self, event: Event) -> None: ...

    def note(self, text: str) -> None:
        """Print a line without disturbing the display."""
        ...

    def close(self) -> None: ...


def make_progress(stream: TextIO | None = None, clock: Clock = time.monotonic) -> Progress:
    """The live display on a terminal where `rich` is installed, else plain lines; `stream` defaults to stderr."""
    stream = stream or sys.stderr
    if stream.isatty():
        try:
            from rich.console import Console
        except ImportError:
            return PlainProgress(stream, clock)
        console = Console(file=stream)
        if not console.is_dumb_terminal:
            return LiveProgress(console, clock)
    return PlainProgress(stream, clock)


class PlainProgress:
    """Plain lines for logs."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._meter = Meter(clock)
        self._began = self._printed = clock()
        self._is_first = True

    def __call__(self, event: Event) -> None:
        line = self._meter.add(event)
        if isinstance(event, RunStart):
            self._began = self._clock()
        if isinstance(event, StepEnd) and (self._is_first or self._meter.is_done or self._is_due()):
            line = "  ".join(["step " + self._meter.place(), *self._meter.figures()])
            self._is_first, self._printed = False, self._clock()
        if line:
            self.note(line)

    def note(self, text: str) -> None:
        print(_CONTROL.sub(" ", text), file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing is held."""

    def _is_due(self) -> bool:
        now = self._clock()
        low, high = LINE_SECONDS
        return now - self._printed >= min(high, max(low, (now - self._began) / 60))


class LiveProgress:
    """A bar and the newest figures in two rows, redrawn in place; other lines scroll by above them.

    It is redrawn by events only: a thread that redraws would hold its lock in worker processes that are forked.
    """

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        from rich.live import Live

        self._console, self._clock = console, clock
        self._meter = Meter(clock)
        self._live = Live(console=console, auto_refresh=False)
        self._drawn = float("-inf")

    def __call__(self, event: Event) -> None:
        line = self._meter.add(event)
        if line:
            self.note(line)
        if isinstance(event, RunStart):
            atexit.register(self.close)  # the cursor comes back even if nobody closes
            self._live.start()
        if isinstance(event, RunStart | StepEnd) and (self._is_due() or self._meter.is_done):
            self._live.update(self._rows(), refresh=True)
            self._drawn = self._clock()
        if isinstance(event, RunEnd):
            self.close()

    def note(self, text: str) -> None:
        self._console.print(_CONTROL.sub(" ", text), markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leaves the last state on the screen and gives the cursor back; may be called again."""
        while self._console._buffer_index:  # Ctrl-C struck inside a print: rich would hold back all that follows
            self._console._exit_buffer()
        if self._live.is_started:
            self._live.update(self._rows(), refresh=True)
        self._live.stop()
        atexit.unregister(self.close)

    def _is_due(self) -> bool:
        return self._clock() - self._drawn >= LIVE_SECONDS

    def _rows(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        meter, width = self._meter, self._console.width
        place = Text(fit([meter.place(), *meter.times()], max(10, width - 12)), no_wrap=True)
        first = Table.grid(expand=True, padding=(0, 1, 0, 0))
        first.add_column(ratio=1)
        first.add_column(no_wrap=True)
        first.add_row(ProgressBar(total=max(1, meter.total), completed=meter.step), place)
        return Group(first, Text(fit(meter.rates(), width), no_wrap=True, overflow="crop", style="dim"))


class Meter:
    """A run's newest figures as pieces of text."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.total = self.step = 0
        self._last: StepEnd | None = None
        self._peak: float | None = None
        self._smooth = Smooth(WINDOW)
        self._loss = float("nan")
        self._recent: deque[StepEnd] = deque(maxlen=WINDOW)
        self._times: deque[tuple[int, float]] = deque(maxlen=500)
        self._validation: Validation | None = None

    @property
    def is_done(self) -> bool:
        return self.step >= self.total

    def add(self, event: Event) -> str:
        """The line that the event is worth; empty for a step."""
        if isinstance(event, StepEnd):
            self._add_step(event)
            return ""
        if isinstance(event, RunStart):
            return self._begin(event)
        if isinstance(event, Validation):
            before, self._validation = self._validation, event
            return _validation_line(event, before)
        if isinstance(event, Notice):
            return f"note: {event.text}"
        if isinstance(event, Saved):
            return f"step {event.step:,}  saved {event.path} in {event.seconds:.1f} s"
        return self._end_line(event)

    def place(self) -> str:
        """128/1000."""
        return f"{self.step}/{self.total}"

    def times(self) -> list[str]:
        """Epoch and time left."""
        epoch = [f"epoch {self._last.epoch:.2f}"] if self._last else []
        return [*epoch, *([] if self._last is None else [f"{duration(self._seconds_left())} left"])]

    def rates(self) -> list[str]:
        """Loss and speed, what matters most first."""
        last = self._last
        if last is None:
            return ["the first step is on its way"]
        seconds = sum(each.seconds for each in self._recent)
        pieces = [f"loss {number(self._loss)}", f"lr {number(last.lr)}"]
        if seconds > 0:
            pieces.append(f"{short(sum(each.num_tokens for each in self._recent) / seconds)} tok/s")
            pieces.append(f"{short(sum(each.num_samples for each in self._recent) / seconds)} smp/s")
            if self._peak:
                pieces.append(f"MFU {percent(sum(each.flops for each in self._recent) / seconds / self._peak)}")
        pieces.append(gigabytes(last.memory_bytes))
        if last.num_dropped:
            pieces.append(f"{last.num_dropped} skipped")
        waiting = sum(each.data_seconds for each in self._recent) / seconds if seconds > 0 else 0
        return [*pieces, f"waits for data {waiting:.0%}"] if waiting > 0.1 else pieces

    def figures(self) -> list[str]:
        """All pieces of a plain line, behind its step."""
        times = self.times()
        return [*times[:1], *self.rates(), *times[1:]]

    def _begin(self, event: RunStart) -> str:
        self.total, self.step = event.total_steps, event.first_step
        self._smooth = Smooth(min(WINDOW, event.total_steps / WINDOW))  # a short run's average must not lag behind it
        self._peak = event.flops_per_second * event.world_size if event.flops_per_second else None
        self._times.append((event.first_step, self._clock()))
        begun = f"goes on after step {event.first_step:,} of" if event.first_step else "trains for"
        devices = f"{event.world_size} x " if event.world_size > 1 else ""
        return (
            f"{begun} {counted(event.total_steps, 'step')}: {short(event.num_trainable)} of "
            f"{short(event.num_parameters)} parameters, on {devices}{event.device}"
        )

    def _add_step(self, event: StepEnd) -> None:
        self._last, self.step = event, event.step
        self._loss = self._smooth.add(event.loss)
        self._recent.append(event)
        self._times.append((event.step, self._clock()))

    def _seconds_left(self) -> float:
        """By the wall clock, so that validations and saves count too."""
        (first_step, began), (last_step, now) = self._times[0], self._times[-1]
        return (now - began) / max(1, last_step - first_step) * max(0, self.total - self.step)

    def _end_line(self, event: RunEnd) -> str:
        skipped = (
            f", {counted(self._last.num_dropped, 'sample')} skipped" if self._last and self._last.num_dropped else ""
        )
        if event.finished:
            return f"done: {counted(event.step, 'step')} in {duration(event.seconds)}{skipped}: {event.output}"
        return (
            f"stopped after step {event.step:,} of {self.total:,} in {duration(event.seconds)}{skipped}; "
            f"--resume goes on: {event.output}"
        )


def fit(pieces: list[str], width: int) -> str:
    """As many of the pieces as fit, from the first on."""
    text = pieces[0]
    for piece in pieces[1:]:
        if len(text) + 2 + len(piece) > width:
            break
        text += "  " + piece
    return text[:width]


def _validation_line(event: Validation, before: Validation | None) -> str:
    was = f" (was {number(before.loss)})" if before else ""
    line = f"step {event.step:,}  validation loss {number(event.loss)}{was}"
    if event.exact_match is None:
        return line
    was = f" (was {_num_right(before)})" if before and before.answers else ""
    return f"{line}  exact match {_num_right(event)} of {len(event.answers)}{was}"


def _num_right(event: Validation) -> int:
    return round((event.exact_match or 0) * len(event.answers))
