"""Who is on the page, and what each of them has said: one conversation for each, in memory only.

In: a session's name and its visitor. Out: a Visitor. Bounded: in number, in bytes of pictures, in time. Knows no
Gradio and no model.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ivl.errors import InputError
from ivl.types import GenerationConfig, ImagePart, Message, Part, TextPart, VideoPart
from ivl.ui.models import Cancel, Counts

MOST_VISITORS = 1000
MOST_BYTES = 512 * 2**20
LONGEST_IDLE_S = 3600.0


def as_question(files: Sequence[ImagePart | VideoPart], text: TextPart) -> Message:
    """What is asked about some files: videos, pictures, text; `<image>` in the text is a picture's place."""
    parts: list[Part] = [*sorted(files, key=lambda part: not isinstance(part, VideoPart)), text]
    return Message(role="user", parts=tuple(parts))


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture or a video that was sent."""

    data: bytes
    """The file as it was sent; decoded anew for each answer, because a decoded one may be a hundred times as large."""
    shown: str
    """A small data URI; of a video, the frames that are read, side by side."""
    is_video: bool = False


@dataclass(kw_only=True)
class Turn:
    """One question and its answer."""

    text: str
    pictures: tuple[Picture, ...] = ()
    answer: str = ""
    name: str = ""
    """The model that answers."""
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    counts: Counts | None = None
    """None: the answer is under way."""

    def question(self) -> Message:
        """The question as a model reads it: videos, pictures, text; `<image>` in the text is a picture's place."""
        files = [
            VideoPart(source=each.data) if each.is_video else ImagePart(source=each.data) for each in self.pictures
        ]
        return as_question(files, TextPart(text=self.text))


@dataclass(kw_only=True)
class Visitor:
    """One open page."""

    owner: str
    """The cookie of the browser that opened it."""
    turns: list[Turn] = field(default_factory=list)
    running: Cancel | None = None
    """Of the answer under way."""
    seen: float = 0.0

    @property
    def num_bytes(self) -> int:
        """Bytes of pictures and videos."""
        return sum(len(picture.data) for turn in self.turns for picture in turn.pictures)

    def messages(self, count: int) -> tuple[Message, ...]:
        """The conversation up to and with question `count - 1`; earlier ones without answer are left out."""
        made: list[Message] = []
        for turn in (each for each in self.turns[: count - 1] if each.answer):
            made += [turn.question(), Message(role="assistant", parts=(TextPart(text=turn.answer),))]
        return (*made, self.turns[count - 1].question())

    def stop(self) -> None:
        """End the answer under way, if there is one."""
        running = self.running
        if running is not None:
            running.set()


class Visitors:
    """All of them, the longest unseen forgotten first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Visitor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, session: str | None, owner: str) -> Visitor:
        """The visitor of a session, new where it is. Raises InputError where the session is another browser's."""
        if not session or not owner:
            raise InputError("this page has no session: load it again")
        now = self._clock()
        with self._lock:
            visitor = self._known.setdefault(session, Visitor(owner=owner))
            if visitor.owner != owner:
                raise InputError("this session is another visitor's: load the page again")
            visitor.seen = now
            self._known.move_to_end(session)
            self._forget(now)
        return visitor

    def known(self, session: str | None) -> Visitor | None:
        """The visitor of a session, if there is one."""
        return self._known.get(session or "")

    def _forget(self, now: float) -> None:
        """Drop whom nobody has seen for long, and the oldest ones beyond the limits; never the newest."""
        total = sum(visitor.num_bytes for visitor in self._known.values())
        for session, visitor in list(self._known.items())[:-1]:
            is_old = now - visitor.seen > LONGEST_IDLE_S
            if visitor.running is None and (is_old or len(self._known) > MOST_VISITORS or total > MOST_BYTES):
                total -= visitor.num_bytes
                del self._known[session]
