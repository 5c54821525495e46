"""A conversation on a real pseudo-terminal: keys are typed, signals come from the terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FAKE = Path(__file__).with_name("fake_ivl.py")


class Terminal:
    """A process on a pseudo-terminal, and what it has shown so far."""

    def __init__(self, *args):
        self.keys, screen = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(FAKE), *args],
            stdin=screen, stdout=screen, stderr=screen, start_new_session=True, env=environment,
            # A test run in the background ignores Ctrl-C, and so would what it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        os.close(screen)
        self.shown = ""

    def type(self, text):
        os.write(self.keys, text.encode())

    def press_ctrl_c(self):
        """As a person does: not in the microseconds before the process waits, where Python misses it."""
        time.sleep(0.2)
        self.type("\x03")

    def wait_for(self, text, seconds=20):
        """Read until `text` is shown; what was shown up to there is forgotten."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} was not shown, but: {self.shown!r}"
            if select.select([self.keys], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self.keys, 4096).decode()
                except OSError:  # the process has gone
                    assert text in self.shown, f"{text!r} was not shown, but: {self.shown!r}"
        before, _, self.shown = self.shown.partition(text)
        return before

    def end(self):
        """The exit code of the process."""
        return self.process.wait(timeout=20)

    def rest(self):
        """What was shown since, once the process has ended."""
        while select.select([self.keys], [], [], 0)[0]:
            try:
                self.shown += os.read(self.keys, 4096).decode()
            except OSError:
                break
        return self.shown

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.keys)


@pytest.fixture
def terminal():
    opened = Terminal("chat")
    yield opened
    opened.close()


def test_ctrl_c_stops_the_answer_and_not_the_chat(terminal, tmp_path):
    terminal.wait_for("> ")
    terminal.type("count\n")
    terminal.wait_for("one two")
    terminal.press_ctrl_c()
    stopped = terminal.wait_for("stopped")
    assert "five" not in stopped
    assert "tokens/s" in stopped
    terminal.wait_for("> ")
    terminal.type("again\n")
    terminal.wait_for("four five")
    terminal.wait_for("> ")
    terminal.type(f"/save {tmp_path / 'chat.md'}\n")
    terminal.wait_for("saved")
    terminal.wait_for("> ")
    terminal.type("\x04")
    assert terminal.end() == 0
    saved = (tmp_path / "chat.md").read_text("utf-8")
    assert saved.count("**You**") == 2
    assert saved.index("one two") < saved.index("again") < saved.index("four five")


def test_ctrl_c_while_typing_keeps_the_chat(terminal):
    terminal.wait_for("> ")
    terminal.type("half a quest")
    terminal.wait_for("half a quest")
    terminal.press_ctrl_c()
    terminal.wait_for("Ctrl-D or /exit leaves")
    terminal.wait_for("> ")
    terminal.type("/exit\n")
    assert terminal.end() == 0


def test_the_last_question_comes_back_with_the_up_key(terminal):
    terminal.wait_for("> ")
    terminal.type("zebra\n")
    terminal.wait_for("five")
    terminal.wait_for("> ")
    terminal.type("\x1b[A")
    terminal.wait_for("zebra")
    terminal.press_ctrl_c()
    terminal.wait_for("leaves")
    terminal.wait_for("> ")
    terminal.type("\x04")
    assert terminal.end() == 0


def test_ctrl_c_ends_a_single_question_quietly():
    terminal = Terminal("chat", "-p", "count")
    try:
        terminal.wait_for("one two")
        terminal.press_ctrl_c()
        assert terminal.end() == 130
        assert "Traceback" not in terminal.rest()
    finally:
        terminal.close()
