"""The command itself: quick help, one-line errors, exit codes."""

import os
import resource
import statistics
import subprocess
import sys
from importlib import import_module

import click
import pytest

from ivl._version import __version__
from ivl.cli.main import COMMANDS, run
from ivl.errors import CheckpointError


def test_help_is_quick():
    """`ivl --help` in under 0.3 s, the median of seven cold starts.

    Processor time is measured: help waits for nothing, and other load on the machine stretches the wall time.
    """
    command, seconds = [sys.executable, "-m", "ivl", "--help"], []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert all(name in done.stdout for name in COMMANDS)
    assert statistics.median(seconds) < 0.3


@pytest.mark.parametrize("args", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_loads_no_torch(args):
    code = f"import sys\nfrom ivl.cli.main import run\nassert run({args}) == 0\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_version(ivl_command):
    assert ivl_command("--version").out == f"ivl {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_by_example(ivl_command, name):
    shown = ivl_command(name, "--help")
    assert shown.code == 0
    assert f"  ivl {name}" in shown.out.split("Examples:")[1]
    options = [line for line in shown.out.splitlines() if line.lstrip().startswith("-")]
    assert all(len(line.split("  ")) > 1 for line in options), "every option has a help text"


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["caht"], "did you mean 'chat'?"),
        (["chat", "--temprature", "1"], "Did you mean"),
        (["chat", "--top-k", "many"], "'many' is not a valid integer"),
        (["info", "a", "b"], "(b)"),
        (["frobnicate"], f"allowed: {', '.join(sorted(COMMANDS))}"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_two(ivl_command, args, named):
    shown = ivl_command(*args)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert named in shown.err
    assert "--help" in shown.err


@click.command()
def failing():
    """Stands for a command."""


@pytest.fixture
def fails_with(monkeypatch):
    """Makes `ivl info` raise this."""

    def arrange(error):
        def body():
            raise error

        monkeypatch.setattr(import_module("ivl.cli.info"), "info", click.Command("info", callback=body))

    return arrange


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CheckpointError("no weights"), 1, "error: no weights\n"),
        (CheckpointError("two\nlines \x1b[31mred"), 1, "error: two lines [31mred\n"),
        (
            ValueError("<Thing object at 0x7f00deadbeef>"),
            1,
            "error: unexpected ValueError: <Thing object at 0x...>",
        ),
        (MemoryError(), 1, "error: unexpected MemoryError"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_are_one_line(ivl_command, fails_with, error, code, line):
    fails_with(error)
    shown = ivl_command("info")
    assert shown.code == code
    assert shown.err.lstrip("\n").startswith(line)
    assert "Traceback" not in shown.err
    assert shown.err.strip().count("\n") == 0


def test_a_traceback_on_request(fails_with, monkeypatch):
    fails_with(CheckpointError("no weights"))
    monkeypatch.setenv("IVL_DEBUG", "1")
    with pytest.raises(CheckpointError):
        run(["info"])


def test_a_reader_that_leaves_early_is_no_fault():
    """`ivl ... | head -c 1`: the pipe breaks while the answer is written."""
    code = (
        "import click, ivl.cli.main as m, ivl.cli.info as i\n"
        "def body():\n"
        "    for _ in range(100000): click.echo('many words')\n"
        "i.info = click.Command('info', callback=body)\n"
        "import sys; sys.argv = ['ivl', 'info']; m.main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    _, err = process.communicate(timeout=20)
    assert err == b""


def test_a_terminal_without_chinese_shows_question_marks():
    code = (
        "import click, sys, ivl.cli.info as i\n"
        "from ivl.cli.main import main\n"
        "i.info = click.Command('info', callback=lambda: click.echo('\\u98df'))\n"
        "sys.argv = ['ivl', 'info']; main()"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "?\n", "")
