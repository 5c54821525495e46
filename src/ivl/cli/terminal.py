"""What the commands print and read: answers on stdout, everything else on stderr.

Text from a model or a file is shown without control characters, so that it cannot steer the terminal.
"""

import contextlib
import glob
import os
import re
import sys

import click

from ivl.errors import InputError

MAX_PIPED_CHARS = 1_000_000
# C0 and C1 control characters but tab and newline.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARKS = {"ok": ("green", "ok"), "warning": ("yellow", "warning"), "problem": ("red", "problem")}


def one_line(text: str) -> str:
    """A text without line breaks and control characters."""
    return _CONTROL.sub("", " ".join(text.split()))


def write_answer(text: str) -> None:
    """Part of an answer to stdout, at once: as it is into a file or pipe, cleaned on a terminal."""
    sys.stdout.write(_CONTROL.sub("", text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def note(text: str) -> None:
    """A dim line on stderr."""
    text = _CONTROL.sub("", text.replace("\n", " "))  # spaces stay: they may be columns
    click.echo(click.style(text, dim=True), err=True, color=_color())


def status(text: str) -> None:
    """A dim line on stderr for a person who waits; nothing where nobody watches."""
    if sys.stderr.isatty():
        note(text)


def warn(text: str) -> None:
    """An error that does not end the command."""
    click.echo(f"{click.style('error:', fg='red')} {one_line(text)}", err=True, color=_color())


def tell_error(message: str) -> None:
    """One line on stderr, without addresses."""
    click.echo(f"error: {re.sub(r'0x[0-9a-fA-F]{4,}', '0x...', one_line(message))}", err=True)


def mark(level: str) -> str:
    """The coloured word for a check's outcome, eight columns wide."""
    colour, word = _MARKS[level]
    return click.style(f"{word:<8}", fg=colour)


def show(line: str = "") -> None:
    """A line of a report on stdout."""
    click.echo(line, color=_color())


def read_question() -> str:
    """All of a piped stdin."""
    text = sys.stdin.read(MAX_PIPED_CHARS + 1)
    if len(text) > MAX_PIPED_CHARS:
        raise InputError(f"the question on stdin is longer than {MAX_PIPED_CHARS:,} characters: shorten it")
    return well_formed(text).strip()


def well_formed(text: str) -> str:
    """A text whose bytes were no UTF-8 where it was typed, with the broken characters replaced."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def enable_line_editing() -> None:
    """Arrow keys, a history of this chat's questions and Tab for file names, where readline is available."""
    with contextlib.suppress(ImportError):
        import readline

        readline.set_completer_delims(" \t\n")
        readline.set_completer(_complete_path)
        is_libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")


def _complete_path(text: str, state: int) -> str | None:
    matches = sorted(glob.glob(glob.escape(os.path.expanduser(text)) + "*"))  # noqa: PTH111, PTH207 - text, not paths
    return matches[state] + ("/" if os.path.isdir(matches[state]) else "") if state < len(matches) else None  # noqa: PTH112


def _color() -> bool | None:
    """None lets click decide by whether the stream is a terminal."""
    return False if os.environ.get("NO_COLOR") else None
