"""What has been done of a story: written after every command, read again to go on or to write the report.

In: a folder. Out: `tutorial.json` in it, the old one or the new one at any moment; and `Record`s. Knows no processes.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ivl.errors import InputError, shown
from ivl.tutorial.step import Command, Story

FILE = "tutorial.json"
SCHEMA = 1
LONGEST_OUTPUT = 20_000
"""Characters of what a command printed that are kept."""
_MOST_BYTES = 16 * 2**20


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One command that was run."""

    line: str
    seconds: float
    exit_code: int
    output: str = ""
    """What it printed on stdout, where that is kept."""


@dataclass(kw_only=True)
class Record:
    """Of one run of the story; it grows."""

    begun: str
    """Date and time in UTC."""
    machine: str
    is_quick: bool = False
    steps: dict[str, list[Ran]] = field(default_factory=dict)
    """By step, in order; the last step may be unfinished."""
    failure: str = ""
    """One line, where a command failed."""

    def seconds(self, step: str) -> float:
        """Wall time of a step's commands."""
        return sum(ran.seconds for ran in self.steps.get(step, []))

    def answers(self, story: Story) -> dict[tuple[int, str], str]:
        """What was said in chats, by (index of the question, subject)."""
        said = {}
        for step in story.steps:
            for command, ran in zip(step.commands, self.steps.get(step.name, []), strict=False):
                if command.asks is not None and ran.exit_code == 0:
                    said[story.questions.index(command.asks), command.subject] = ran.output.strip()
        return said

    def output(self, story: Story, step: str) -> list[tuple[Command, str]]:
        """What a step's commands printed."""
        commands = next(each.commands for each in story.steps if each.name == step)
        return [(command, ran.output) for command, ran in zip(commands, self.steps.get(step, []), strict=False)]


def write_record(record: Record, folder: Path) -> None:
    """Replace the file. Raises InputError where it cannot be written."""
    partial = folder / f".{FILE}.partial"
    text = json.dumps({"schema": SCHEMA, **asdict(record)}, ensure_ascii=False, indent=1)
    try:
        partial.write_bytes(text.encode("utf-8", "replace") + b"\n")
        partial.replace(folder / FILE)
    except OSError as error:
        raise InputError(f"{str(folder / FILE)!r} cannot be written: {error.strerror}; name another --out") from None


def read_record(folder: Path) -> Record:
    """Raises InputError where there is none, or none that this version reads."""
    path = folder / FILE
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_MOST_BYTES))
        return _record(data)
    except OSError:
        raise InputError(
            f"{str(folder)!r} holds no tutorial to go on with: run `ivl tutorial` without --from"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        message = f"{str(path)!r} is damaged or of another version: run `ivl tutorial` without --from"
        raise InputError(message) from None


def _record(data: Any) -> Record:
    if data.pop("schema") != SCHEMA:
        raise ValueError("another schema")
    steps = {str(name): [Ran(**ran) for ran in ran_commands] for name, ran_commands in data.pop("steps").items()}
    return Record(**data, steps=steps)


def check_same(record: Record, story: Story, start: str) -> None:
    """Raise InputError unless every step before `start` was done, by the very commands of this story."""
    for step in story.steps[: story.names.index(start)]:
        ran = record.steps.get(step.name, [])
        lines = [command.line for command in step.commands]
        if [each.line for each in ran] != lines[: len(ran)]:
            raise InputError(
                f"step {step.name} in {str(story.out)!r} was done with other settings: give the same ones, or begin "
                "anew without --from"
            )
        if len(ran) < len(lines) or any(each.exit_code for each in ran):
            raise InputError(f"--from {shown(start)}: step {step.name} is not done yet; go on with --from {step.name}")
