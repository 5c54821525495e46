"""The Chat tab's answers: questions of a browser -> answers, streamed into the view.

In: events of our own components, hostile until checked. Out: values of the view. One conversation for each visitor.
"""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ivl.errors import InputError, IvlError
from ivl.types import GenerationConfig, Message
from ivl.ui.asked import Asked, read_asked
from ivl.ui.foods import Cuisine
from ivl.ui.front import COOKIE
from ivl.ui.models import Cancel, ClosingError, Counts, Models
from ivl.ui.telling import told
from ivl.ui.visitors import Turn, Visitor, Visitors
from ivl.ui.words import Words

_EVERY_S = 0.06
"""Seconds between two pieces that a browser gets."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A visitor's last finished exchange."""

    name: str
    """The model that answered."""
    messages: tuple[Message, ...]
    """The conversation up to and with the question; pictures as the bytes of their files."""
    answer: str
    generation: GenerationConfig
    counts: Counts


@dataclass(frozen=True, kw_only=True)
class ChatHandles:
    """What other tabs may know of the chat."""

    last: Callable[[gr.Request], Answered | None]
    """A visitor's last finished exchange, if there is one."""
    answered: Any
    """Gradio's dependency of asking: `answered.then(...)` runs after each answer."""


class Chat:
    """All conversations of a page."""

    def __init__(self, models: Models, words: Words, cuisines: Sequence[Cuisine], visitors: Visitors) -> None:
        self._models, self._words, self._cuisines, self._visitors = models, words, cuisines, visitors

    async def respond(
        self,
        event: gr.EventData,
        name: str,
        temperature: float,
        top_p: float,
        max_tokens: float,
        language: str,
        request: gr.Request,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Answer a question, a changed one, or one again. Gives values of the view."""
        asked: Asked | None = None
        visitor: Visitor | None = None
        cancel, error = Cancel(), ""
        try:
            visitor = self._visitors.find(request.session_hash, owner_of(request))
            if visitor.running is not None:
                yield told(visitor, error=self._words.text("errors.busy", language))
                return
            visitor.running = cancel
            generation = _generation(temperature, top_p, max_tokens)
            asked = await asyncio.to_thread(
                read_asked, event._data, visitor, self._models, self._cuisines, name, generation
            )
            async with aclosing(self._answer(asked, visitor, cancel, request.session_hash or "")) as values:
                async for value in values:
                    yield value
        except ClosingError:
            error = self._words.text("errors.closing", language)
        except IvlError as failure:
            error = str(failure)
        except Exception:
            # Our own fault: the words of an error could hold what somebody said.
            traceback.print_tb(sys.exc_info()[2])
            error = self._words.text("errors.failed", language)
        finally:
            if visitor is not None and visitor.running is cancel:
                visitor.running = None
        if error and visitor is not None and asked is not None and not visitor.turns[asked.index].answer:
            visitor.turns[asked.index :] = asked.before
        yield told(visitor, taken=asked.number if asked else 0, error=error)

    async def _answer(
        self, asked: Asked, visitor: Visitor, cancel: Cancel, salt: str
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Add the turn, and its answer as it comes."""
        visitor.turns[asked.index :] = [asked.turn]
        yield told(visitor, taken=asked.number)
        turn, messages, last = asked.turn, visitor.messages(asked.index + 1), 0.0
        pieces = self._models.stream(turn.name, messages, turn.generation, cancel, salt=salt)
        async with aclosing(pieces):
            async for piece in pieces:
                turn.answer += piece.text
                turn.counts = piece.counts or turn.counts
                if time.monotonic() - last > _EVERY_S and piece.counts is None:
                    last = time.monotonic()
                    yield told(visitor, taken=asked.number)

    def stop(self, request: gr.Request) -> None:
        """End the visitor's answer. What was said so far is kept."""
        visitor = self._own(request)
        if visitor is not None:
            visitor.stop()

    def clear(self, request: gr.Request) -> dict[str, Any]:
        """Forget the visitor's conversation."""
        visitor = self._own(request)
        if visitor is not None:
            visitor.stop()
            visitor.turns = []
        return told(None)

    def closed(self, request: gr.Request) -> None:
        """The tab is gone: nobody reads the answer."""
        self.stop(request)

    def last(self, request: gr.Request) -> Answered | None:
        """See `ChatHandles`."""
        visitor = self._own(request)
        turns: list[Turn] = visitor.turns if visitor else []
        index = next((at for at in reversed(range(len(turns))) if turns[at].counts and turns[at].answer), None)
        if visitor is None or index is None:
            return None
        turn = turns[index]
        assert turn.counts is not None, "an answer without counts is under way"
        return Answered(
            name=turn.name,
            messages=visitor.messages(index + 1),
            answer=turn.answer,
            generation=turn.generation,
            counts=turn.counts,
        )

    def _own(self, request: gr.Request) -> Visitor | None:
        visitor = self._visitors.known(request.session_hash)
        return visitor if visitor is not None and visitor.owner == owner_of(request) else None


def owner_of(request: gr.Request) -> str:
    """The cookie that `Front` has checked; empty where there is none."""
    return str(request.cookies.get(COOKIE, ""))


def _generation(temperature: object, top_p: object, max_tokens: object) -> GenerationConfig:
    """The sliders' values as settings. Raises InputError and SettingsError."""
    heat, share, most = (_number(value) for value in (temperature, top_p, max_tokens))
    # At temperature 0 nothing is drawn, so top-p has no part.
    return GenerationConfig(max_new_tokens=int(most), temperature=heat, top_p=share if heat > 0 else None)


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 2**31:
        raise InputError("the settings are no numbers: load the page again")
    return float(value)
