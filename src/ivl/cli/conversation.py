"""A conversation at the terminal. In: typed lines. Out: streamed answers.

Pictures wait for the next question and go into the history with it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ivl.cli.streaming import Streaming
from ivl.cli.terminal import enable_line_editing, note, warn, well_formed, write_answer
from ivl.cli.transcript import save
from ivl.errors import InputError, IvlError, nearest

if TYPE_CHECKING:
    import PIL.Image

    from ivl.session import Pipeline
    from ivl.types import GenerationConfig

HELP = {
    "/image PATH": "add a picture (or several) to the next question",
    "/clear": "forget the conversation and the pictures",
    "/save FILE": "keep the conversation: FILE.md to read, FILE.json to use again",
    "/help": "show these lines",
    "/exit": "leave, as Ctrl-D does",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A picture that was read, and where from."""

    name: str
    image: PIL.Image.Image

    @classmethod
    def load(cls, name: str, *, as_viewed: bool) -> Picture:
        """Read a path or URL; raises ImageError."""
        from ivl.processing import load_image

        return cls(name=name, image=load_image(name, as_viewed=as_viewed))


class Conversation:
    """Reads lines until the end of input; a line is a question or, with a slash, a command."""

    def __init__(
        self, pipe: Pipeline, system: str | None, gen_config: GenerationConfig, pictures: list[Picture]
    ) -> None:
        self._pipe, self._system, self._gen_config = pipe, system, gen_config
        self._session = pipe.session(system)
        self._waiting = list(pictures)
        self._asked: list[str] = []  # names of the pictures in the history, in its order
        self._saved: set[Path] = set()
        self._is_over = False
        self._commands = {
            "/image": self._image,
            "/clear": self._clear,
            "/save": self._save,
            "/help": self._help,
            "/exit": self._exit,
        }

    def run(self) -> None:
        """Talk until /exit or the end of input. Ctrl-C ends what is going on, never the conversation."""
        enable_line_editing()
        note("Type a question. /image PATH adds a picture, /help shows more, Ctrl-D leaves.")
        self._tell_waiting(self._waiting)
        while not self._is_over:
            try:
                self._take(well_formed(input("> ")))
            except EOFError:
                write_answer("\n")
                return
            except KeyboardInterrupt:
                write_answer("\n")
                note("Ctrl-D or /exit leaves")
            except IvlError as error:
                warn(str(error))

    def _take(self, line: str) -> None:
        if not line.startswith("/"):
            if line.strip():
                self._ask(line.strip())
            return
        name, _, rest = line.strip().partition(" ")
        if name not in self._commands:
            raise InputError(f"no such command {name!r}: {nearest(name, self._commands)}")
        self._commands[name](rest.strip())

    def _ask(self, question: str) -> None:
        before, streaming = len(self._session.messages), Streaming()
        ending = ""
        try:
            streaming.run(self._session.stream(as_prompt(question, self._waiting), self._gen_config))
        except KeyboardInterrupt:
            ending = " · stopped"
        finally:
            write_answer("\n")
            if len(self._session.messages) > before:
                self._asked += [each.name for each in self._waiting]
                self._waiting.clear()
        note(streaming.summary() + ending)

    def _image(self, rest: str) -> None:
        if not rest:
            raise InputError("which picture? Give its path or URL: /image PATH")
        as_viewed = self._pipe.processor.as_viewed
        pictures = [Picture.load(name, as_viewed=as_viewed) for name in _names(rest)]
        self._waiting += pictures
        self._tell_waiting(pictures)

    def _tell_waiting(self, pictures: list[Picture]) -> None:
        for picture in pictures:
            from ivl.explain.anatomy import picture_cost

            limit = self._pipe.processor.max_tiles
            cost = picture_cost(self._pipe.config, *picture.image.size, max_tiles=limit)
            note(f"{picture.name}: {cost.text()}; it goes with the next question")

    def _clear(self, rest: str) -> None:
        self._session = self._pipe.session(self._system)
        self._waiting.clear()
        self._asked.clear()
        note("a new conversation")

    def _save(self, rest: str) -> None:
        path = Path(rest).expanduser()
        save(path, self._session.messages, self._asked, may_replace=path in self._saved)
        self._saved.add(path)
        note(f"saved to {path}")

    def _help(self, rest: str) -> None:
        for usage, text in HELP.items():
            note(f"{usage:<12} {text}")

    def _exit(self, rest: str) -> None:
        self._is_over = True


def as_prompt(question: str, pictures: Sequence[Picture]) -> str | tuple[str, list[PIL.Image.Image]]:
    """A question and its pictures in the form that a pipeline takes."""
    return (question, [each.image for each in pictures]) if pictures else question


def _names(rest: str) -> list[str]:
    """The paths of an /image line: one path that may hold spaces, or several as a shell would split them."""
    if Path(rest).expanduser().exists():
        return [str(Path(rest).expanduser())]
    try:
        names = shlex.split(rest)
    except ValueError:  # an odd quote
        names = [rest]
    return [name if "://" in name else str(Path(name).expanduser()) for name in names]
