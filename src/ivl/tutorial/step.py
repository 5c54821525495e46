"""The values that the tutorial is made of: steps, their commands, and the questions of its chats.

In: nothing. Out: frozen dataclasses. Knows no files and no processes.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked about a picture before and after."""

    picture: Path
    language: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command, as a person types it."""

    words: tuple[str, ...]
    """Without `ivl`."""
    keeps: bool = False
    """Whether what it prints is kept for the report, besides being shown."""
    asks: Question | None = None
    """Of a chat."""
    subject: str = ""
    """Who answers in a chat: one of `story.SUBJECTS`."""

    @property
    def line(self) -> str:
        """To be copied into a shell."""
        return shlex.join(("ivl", *self.words))


@dataclass(frozen=True, kw_only=True)
class Step:
    """A part of the story."""

    name: str
    """For --from."""
    title: str
    about: str
    """What it does and what to look at, in a sentence or two."""
    commands: tuple[Command, ...] = ()
    writes: tuple[tuple[Path, str], ...] = ()
    """Files and their text, written before the first command."""
    makes: tuple[Path, ...] = ()
    """Files and folders that the step leaves; they are removed before it is done anew."""
    discards: tuple[Path, ...] = ()
    """Files and folders that nobody needs once it is done."""
    report: tuple[tuple[str, Path], ...] = ()
    """(what it is, where it lies) of pages that the commands write."""
    left_out: str = ""
    """Why there is nothing to do, or not all of it; empty: it is done in full."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """The whole: steps in their order, and what the report has to know of them."""

    steps: tuple[Step, ...]
    out: Path
    """Folder of everything that it makes."""
    model: str | None
    """As the person named it; None: the small one in the package."""
    questions: tuple[Question, ...]
    subjects: dict[str, Path | None]
    """Who is compared, and the adapter's folder; the first is the model as it was."""
    runs: dict[str, Path]
    """Folders of training runs by their subject."""
    food_results: Path
    """Folder of the evaluation of what was taught."""
    general_results: Path | None
    """And of what may be forgotten; None where there is no set for it."""
    foods: Path
    """The food set's folder."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the steps."""
        return tuple(step.name for step in self.steps)
