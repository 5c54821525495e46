"""Pieces that the command line's tests share."""

import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

import ivl.cli.conversation
from cli.fake_ivl import FakePipeline
from ivl.cli.main import run


@pytest.fixture
def ivl_command(capsys):
    """Runs a command line in this process; gives .code, .out, .err."""

    def command(*args) -> SimpleNamespace:
        code = run([str(arg) for arg in args])
        shown = capsys.readouterr()
        return SimpleNamespace(code=code, out=shown.out, err=shown.err)

    return command


@pytest.fixture
def fake(monkeypatch) -> Iterator[FakePipeline]:
    """The pipeline that `ivl chat` gets."""
    import ivl.session

    pipe = FakePipeline()
    monkeypatch.setattr(ivl.session, "pipeline", pipe)
    return pipe


@pytest.fixture
def typing(monkeypatch):
    """Types these lines at the terminal and leaves with Ctrl-D; KeyboardInterrupt stands for Ctrl-C."""

    def type_lines(*lines):
        waiting = iter(lines)

        def read(prompt=""):
            line = next(waiting, EOFError)
            if isinstance(line, str):
                return line
            raise line

        monkeypatch.setattr("builtins.input", read)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr(ivl.cli.conversation, "enable_line_editing", lambda: None)

    return type_lines
