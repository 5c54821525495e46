"""Runs a story: prints each command as a line to copy, runs it as a process of its own, stops where one fails.

In: a `Story`. Out: what its commands make, a record of them, and after each step the report. A command gets the
terminal as it is, so its progress looks as it does for a person; stdout that is kept is shown as it comes.
"""

import codecs
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ivl._version import __version__
from ivl.errors import InputError
from ivl.tutorial.record import FILE, LONGEST_OUTPUT, Ran, Record, check_same, read_record, write_record
from ivl.tutorial.report import write_report
from ivl.tutorial.step import Command, Step, Story
from ivl.tutorial.telling import check_start, step_lines

Say = Callable[[str], None]
_STOPPED = (130, 143)
"""Exit codes of a command that Ctrl-C or SIGTERM ended."""


def run_story(story: Story, *, start: str | None, is_quick: bool, say: Say, write: Say) -> Path:
    """Run all steps, or those from `start` on; the report's path.

    say: shows a line. write: shows text as it comes, on stdout. Raises InputError at the first command that fails, and
    where the folder holds what is not the tutorial's; KeyboardInterrupt where a command was stopped.
    """
    record = _begin(story, start, is_quick)
    page = write_report(story, record)
    for number, step in enumerate(story.steps, start=1):
        if start is not None and number <= story.names.index(start):
            continue
        for line in step_lines(step, number, len(story.steps)):
            say(line)
        try:
            _run_step(story, step, record, say, write)
        except KeyboardInterrupt:
            say(f"stopped in step {step.name}: {_go_on(story, step, record)}")
            raise
        page = write_report(story, record)
    return page


def _begin(story: Story, start: str | None, is_quick: bool) -> Record:
    """A folder to work in, without what the steps to come made there before, and its record."""
    check_start(story, start)
    if start is not None:
        record = read_record(story.out)
        check_same(record, story, start)
        record.failure = ""
    else:
        _check_folder(story.out)
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        record = Record(begun=now, machine=_machine(), is_quick=is_quick)
    first = 0 if start is None else story.names.index(start)
    for step in story.steps[first:]:
        record.steps.pop(step.name, None)
        for path in (*step.makes, *step.discards):
            _remove(path)
    write_record(record, story.out)
    return record


def _check_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        others = [path.name for path in out.iterdir()]
    except OSError as error:
        raise InputError(f"cannot make the folder {str(out)!r}: {error.strerror}; name another with --out") from None
    if others and FILE not in others:
        raise InputError(f"{str(out)!r} holds {min(others)!r} and is no tutorial's folder: name another with --out")


def _run_step(story: Story, step: Step, record: Record, say: Say, write: Say) -> None:
    done = record.steps.setdefault(step.name, [])
    try:
        for path, text in step.writes:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            say(f"# written: {path}")
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror}; name another --out") from None
    for command in step.commands:
        say(f"$ {command.line}")
        ran = run_command(command, write)
        done.append(ran)
        if ran.exit_code:
            record.failure = f"step {step.name}: exit code {ran.exit_code} of: {command.line}"
        write_record(record, story.out)
        if ran.exit_code:
            _stop(story, step, record, ran.exit_code)
    for path in step.discards:
        _remove(path)
    write_record(record, story.out)


def run_command(command: Command, write: Say) -> Ran:
    """Run it to its end, also when Ctrl-C is struck: it hears that too, and saves what it has."""
    words = [sys.executable, "-P", "-m", "ivl", *command.words]  # -P: nothing in the current folder is taken for ours
    began = time.perf_counter()
    pipe = subprocess.PIPE if command.keeps else None
    process = subprocess.Popen(words, stdout=pipe, stdin=subprocess.DEVNULL)  # noqa: S603 (our own, no shell)
    output: list[str] = []
    try:
        _pass_on(process, output, write)
        process.wait()
    except KeyboardInterrupt:
        process.communicate()
        raise
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    text = "".join(output)[:LONGEST_OUTPUT]
    return Ran(line=command.line, seconds=time.perf_counter() - began, exit_code=code, output=text)


def _pass_on(process: "subprocess.Popen[bytes]", output: list[str], write: Say) -> None:
    """Show what comes, and keep the beginning of it."""
    if process.stdout is None:
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    num_kept = 0
    while chunk := process.stdout.read1(65536):  # type: ignore[attr-defined]
        text = decoder.decode(chunk)
        write(text)
        if num_kept <= LONGEST_OUTPUT:
            output.append(text)
            num_kept += len(text)


def _stop(story: Story, step: Step, record: Record, code: int) -> None:
    write_report(story, record)
    if code in _STOPPED:
        raise KeyboardInterrupt
    reason = f"step {step.name} failed with exit code {code}, and its reason stands above"
    raise InputError(f"{reason}: when it is mended, {_go_on(story, step, record)}")


def _go_on(story: Story, step: Step, record: Record) -> str:
    options = ["--from", step.name, "--out", str(story.out)]
    options += ["-m", story.model] if story.model is not None else []
    options += ["--quick"] if record.is_quick else []
    return f"`{shlex.join(['ivl', 'tutorial', *options])}` goes on from there"


def _remove(path: Path) -> None:
    """A file or folder of our own making, or nothing."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be removed: {error.strerror}; name another --out") from None


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    machine = f"{platform.system()} {platform.machine()}, {cores} core{'s' * (cores != 1)}"
    return f"{machine}, ivl {__version__}, Python {platform.python_version()}"
