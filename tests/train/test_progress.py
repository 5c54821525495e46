import io
import os
import pty
import select
import signal
import subprocess
import sys
import textwrap
import time
from itertools import pairwise

import pytest
from rich.console import Console

from ivl.train.events import Notice
from ivl.train.progress import LiveProgress, PlainProgress, fit, make_progress
from train.made_up_run import answer, run_end, run_start, step_end, validation, whole_run


class Clock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def plain(events, seconds_between=0.0):
    stream, clock = io.StringIO(), Clock()
    progress = PlainProgress(stream, clock)
    for event in events:
        clock.now += seconds_between
        progress(event)
    progress.close()
    return stream.getvalue().splitlines()


def live(events, width=80):
    """What was sent to a terminal, and the last frame without its escapes."""
    stream, clock = io.StringIO(), Clock()
    progress = LiveProgress(Console(file=stream, force_terminal=True, width=width, color_system=None), clock)
    for event in events:
        clock.now += 0.5
        progress(event)
    frame = "\n".join(str_of(progress._rows(), width))
    progress.close()
    return stream.getvalue(), frame


def str_of(rows, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(rows)
    return console.file.getvalue().splitlines()


def test_plain_lines_of_a_quick_run_are_the_first_step_and_what_matters():
    assert plain(whole_run()) == [
        "trains for 20 steps: 1k of 12k parameters, on 2 x cpu",
        "step 0  validation loss 2.000  exact match 1 of 2",
        "step 1/20  epoch 0.10  loss 1.950  lr 1.00e-4  2k tok/s  8 smp/s  MFU 50%  1 GB  0:00 left",
        "step 5  validation loss 1.750 (was 2.000)  exact match 1 of 2 (was 1)",
        "step 5  saved runs/food/checkpoint-5 in 0.2 s",
        "step 10  validation loss 1.500 (was 1.750)  exact match 1 of 2 (was 1)",
        "step 10  saved runs/food/checkpoint-10 in 0.2 s",
        "step 15  validation loss 1.250 (was 1.500)  exact match 1 of 2 (was 1)",
        "step 15  saved runs/food/checkpoint-15 in 0.2 s",
        "step 20/20  epoch 2.00  loss 1.000  lr 1.00e-4  2k tok/s  8 smp/s  MFU 50%  1 GB  0:00 left",
        "step 20  validation loss 1.000 (was 1.250)  exact match 1 of 2 (was 1)",
        "step 20  saved runs/food/checkpoint-20 in 0.2 s",
        "done: 20 steps in 1:01: runs/food/adapter",
    ]


def test_plain_lines_come_every_few_seconds_and_more_rarely_later():
    steps = [run_start(total_steps=9999), *(step_end(step) for step in range(1, 9998))]
    printed = [int(line.split("/")[0][5:]) for line in plain(steps, seconds_between=1) if line.startswith("step")]
    gaps = [after - before for before, after in pairwise(printed)]
    assert printed[:3] == [1, 6, 11]
    assert min(gaps) == 5
    assert max(gaps) == gaps[-1] == 60


def test_the_time_left_counts_validations_too():
    stream, clock = io.StringIO(), Clock()
    progress = PlainProgress(stream, clock)
    progress(run_start(10, total_steps=20))
    for step in (11, 12):
        clock.now += 30  # half a second of it in the step
        progress(step_end(step))
    assert "step 11/20" in stream.getvalue()
    assert stream.getvalue().splitlines()[-1].endswith("4:00 left")


def test_a_resumed_and_a_stopped_run_say_so():
    lines = plain([run_start(8), run_end(12, finished=False)])
    assert lines[0].startswith("goes on after step 8 of 20 steps")
    assert lines[1] == "stopped after step 12 of 20 in 1:01; --resume goes on: runs/food/adapter"


def test_trouble_is_on_the_line():
    lines = plain([run_start(total_steps=1), step_end(1, num_dropped=3, data_seconds=0.2), run_end(1)])
    assert "  3 skipped  waits for data 40%  " in lines[1]
    assert lines[2] == "done: 1 step in 1:01, 3 samples skipped: runs/food/adapter"


def test_notices_cannot_steer_the_terminal():
    assert plain([Notice(text="a\x1b[2J\nb [bold]c")]) == ["note: a [2J b [bold]c"]
    assert "note: a [2J b [bold]c" in live([Notice(text="a\x1b[2J\nb [bold]c"), run_start()])[0]


def test_two_rows_fit_80_columns_with_everything_on():
    busy = step_end(12345, num_tokens=17_234, num_samples=8, memory_bytes=int(71.3 * 2**30), num_dropped=12)
    _, frame = live([run_start(total_steps=99999), busy])
    first, second = frame.splitlines()
    assert "12345/99999  epoch 1234.50" in first
    assert first.endswith(" left")
    assert second == "loss -615.2  lr 1.00e-4  34.5k tok/s  16 smp/s  MFU 50%  71.3 GB  12 skipped"
    assert max(len(first.rstrip()), len(second)) <= 80


@pytest.mark.parametrize("width", [10, 20, 40, 60, 79])
def test_narrow_terminals_get_whole_pieces_on_two_rows(width):
    _, frame = live([run_start(), step_end(3)], width)
    assert len(frame.splitlines()) == 2
    assert all(len(line.rstrip()) <= width for line in frame.splitlines())


def test_pieces_are_left_out_from_the_end():
    assert fit(["one", "two", "three"], 8) == "one  two"
    assert fit(["one", "two", "three"], 7) == "one"
    assert fit(["one"], 2) == "on"


def test_the_cursor_comes_back_at_the_end_and_after_an_error():
    sent, _ = live(whole_run())
    assert sent.count("\x1b[?25l") == sent.count("\x1b[?25h") == 1
    sent, _ = live(whole_run(last_step=7))
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")


def test_validations_and_saves_scroll_by_above_the_bar():
    sent, frame = live(whole_run())
    assert "step 5  validation loss 1.750 (was 2.000)  exact match 1 of 2 (was 1)" in sent
    assert "saved runs/food/checkpoint-20" in sent
    assert "done: 20 steps" in sent
    assert "20/20" in frame


def test_a_long_path_is_not_broken_into_rows():
    path = "runs/" + "x" * 200
    stream = io.StringIO()
    LiveProgress(Console(file=stream, force_terminal=True, width=40)).note(path)
    assert path in stream.getvalue()


def test_the_display_is_redrawn_by_events_alone_and_not_too_often():
    stream, clock = Terminal(), Clock()
    progress = LiveProgress(Console(file=stream, force_terminal=True, width=80), clock)
    progress(run_start(total_steps=1000))
    before = len(stream.getvalue())
    for step in range(1, 100):
        clock.now += 0.001
        progress(step_end(step))
    assert len(stream.getvalue()) == before
    progress.close()


def test_the_display_is_chosen_by_what_watches(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(make_progress(Terminal()), LiveProgress)
    assert isinstance(make_progress(io.StringIO()), PlainProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_progress(Terminal()), PlainProgress)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(make_progress(io.StringIO()), PlainProgress)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert isinstance(make_progress(Terminal()), PlainProgress)


def test_a_first_validation_without_answers():
    assert plain([validation(0)]) == ["step 0  validation loss 1.000"]
    lines = plain([validation(0), validation(5, answer("a", "tofu"))])
    assert lines[1] == "step 5  validation loss 1.000 (was 1.000)  exact match 1 of 1"


SCRIPT = """
    import os, signal, time
    from ivl.train.progress import make_progress
    from train.made_up_run import run_start, step_end
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background may have it ignored
    progress = make_progress()
    progress(run_start())
    progress(step_end(1))
    try:
        os.write(1, b"ready")  # past rich: the signal strikes the wait, in every run alike
        time.sleep(60)
    finally:
        {ending}
"""
WAYS = {"closed by the loop": "progress.close()", "closed by nobody": "pass"}


@pytest.mark.parametrize("ending", WAYS.values(), ids=WAYS)
def test_ctrl_c_leaves_the_terminal_sane(ending):
    script = textwrap.dedent(SCRIPT.format(ending=ending))
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    )
    sent, has_asked, deadline = b"", False, time.monotonic() + 120
    try:
        while (is_alive := process.poll() is None) or select.select([ours], [], [], 0)[0]:
            assert time.monotonic() < deadline, sent
            sent += read_some(ours) if is_alive else os.read(ours, 65536)
            if b"ready" in sent and not has_asked:
                process.send_signal(signal.SIGINT)
                has_asked = True
    finally:
        process.kill()
        process.wait()
        os.close(theirs)  # not sooner: some systems drop what nobody has read when the last writer leaves
        os.close(ours)
    assert b"\x1b[?25l" in sent, sent
    assert b"\x1b[?25h" in sent, sent
    assert sent.rindex(b"\x1b[?25h") > sent.rindex(b"\x1b[?25l")
    assert b"1/20" in sent
    assert b"KeyboardInterrupt" in sent


def test_the_cursor_comes_back_where_ctrl_c_struck_while_rich_was_writing():
    stream = Terminal()
    console = Console(file=stream, force_terminal=True, width=80)
    progress = LiveProgress(console, time.monotonic)
    progress(run_start())
    assert "\x1b[?25l" in stream.getvalue()
    console._enter_buffer()  # what an interrupt in the middle of a print leaves behind
    progress.close()
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def read_some(descriptor):
    """What a terminal was sent, within a tenth of a second."""
    return os.read(descriptor, 65536) if select.select([descriptor], [], [], 0.1)[0] else b""
