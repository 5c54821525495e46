"""The tab "Compare": one question, with its pictures and videos, to two models or to a base and its adapter, answered
side by side.

In: two names, pictures and videos, a question. Out: `compare_view`'s HTML, again and again while the answers grow. One
button stops both. The answers are greedy, so that only the models differ.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import gradio as gr
from gradio.context import Context

from ivl.errors import InputError, IvlError
from ivl.types import GenerationConfig, Message, Part, TextPart, VideoPart
from ivl.ui.asked import LONGEST, sent_files
from ivl.ui.chat import ChatHandles, owner_of
from ivl.ui.compare_view import Side, head, view
from ivl.ui.models import Cancel, ClosingError, Models
from ivl.ui.picture_field import picture_field
from ivl.ui.visitors import as_question
from ivl.ui.words import Words

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_EVERY_S = 0.08
"""Seconds between two pieces that a browser gets."""
_DEFAULT_TOKENS = 256


def build(models: Models, words: Words, chat: ChatHandles | None) -> None:
    """The tab's components and events, inside a `gr.Tab`."""
    tab = Compare(models, words, chat)
    plain: dict[str, Any] = {"apply_default_css": False, "padding": False}
    intro = gr.HTML(tab.intro("en"), **plain)
    with gr.Row(elem_id="ivl-compare-question"):
        with gr.Column(scale=2, min_width=220):
            pictures = picture_field(words, models.settings)
        with gr.Column(scale=5, min_width=280):
            left, right = _names(models, words)
            question = gr.Textbox(lines=2, max_lines=8, max_length=LONGEST, label=words.text("compare.question"))
            most = _most(models, words)
            with gr.Row():
                ask = gr.Button(words.text("compare.ask"), variant="primary", min_width=120)
                stop = gr.Button(words.text("compare.stop"), variant="stop", min_width=120, interactive=False)
                take = gr.Button(words.text("compare.take"), min_width=120, visible=chat is not None)
    state = gr.State([], time_to_live=3600)
    shown = gr.HTML(tab.redraw([], "en"), elem_id="ivl-compare-answers", **plain)
    for button, key in ((ask, "ask"), (stop, "stop"), (take, "take")):
        words.bind(button, f"compare.{key}", "value")
    words.bind(question, "compare.question")
    language, outputs = words.language, [state, shown, ask, stop]
    language.change(tab.intro, language, intro, concurrency_limit=None, **_QUIET)
    language.change(tab.redraw, [state, language], shown, concurrency_limit=None, **_QUIET)
    gr.on(
        [ask.click, question.submit],
        tab.ask,
        [left, right, pictures, question, most, language],
        outputs,
        concurrency_limit=None,
        trigger_mode="once",
        **_QUIET,
    )
    stop.click(tab.stop, None, None, concurrency_limit=None, **_QUIET)
    take.click(tab.take, None, [pictures, question], concurrency_limit=None, **_QUIET)
    if Context.root_block is not None:
        Context.root_block.unload(tab.closed)


def _names(models: Models, words: Words) -> list[gr.Dropdown]:
    """The two names, next to one another; where there is more than one model, they differ at first."""
    names, made = list(models.names()), []
    with gr.Row():
        for key, first in (("left", names[0]), ("right", names[min(1, len(names) - 1)])):
            label = words.text(f"compare.{key}")
            made.append(gr.Dropdown(names, value=first, label=label, filterable=False, min_width=120))
            words.bind(made[-1], f"compare.{key}")
    return made


def _most(models: Models, words: Words) -> gr.Slider:
    most = models.most_tokens
    slider = gr.Slider(1, most, min(_DEFAULT_TOKENS, most), step=1, label=words.text("compare.most"))
    words.bind(slider, "compare.most")
    return slider


class Compare:
    """What the tab's events do. Holds what runs, by visitor, as long as it runs."""

    def __init__(self, models: Models, words: Words, chat: ChatHandles | None) -> None:
        self._models, self._words, self._chat = models, words, chat
        self._running: dict[tuple[str, str], list[Cancel]] = {}

    def intro(self, language: str) -> str:
        """What the tab is for, and how to get a second model."""
        key = "lead" if len(self._models.names()) > 1 else "alone"
        return head(self._words.text("compare.title", language), self._words.text(f"compare.{key}", language))

    def redraw(self, sides: list[Side], language: str) -> str:
        """What was shown last, in another language."""
        return view(sides, self._words, language)

    async def ask(
        self,
        left: object,
        right: object,
        pictures: object,
        question: object,
        most: object,
        language: str,
        request: gr.Request,
    ) -> AsyncGenerator[list[Any], None]:
        """Answer a question twice. Gives values of the state, the view and the buttons that ask and stop."""
        visitor = _visitor(request)
        if visitor in self._running:
            yield [gr.skip()] * 4
            return
        sides = [Side(name=str(name)[:80]) for name in (left, right)]
        cancels = [Cancel() for _ in sides]
        self._running[visitor] = cancels
        try:
            yield self._values(sides, language)
            messages, generation = self._asked(pictures, question, most)
            tasks = [
                asyncio.create_task(self._follow(side, messages, generation, cancel, visitor[0], language))
                for side, cancel in zip(sides, cancels, strict=True)
            ]
            try:
                waiting: set[asyncio.Task[None]] = set(tasks)
                while waiting:
                    _, waiting = await asyncio.wait(waiting, timeout=_EVERY_S)
                    yield self._values(sides, language)
            finally:
                for cancel in cancels:
                    cancel.set()
                await asyncio.gather(*tasks, return_exceptions=True)
        except IvlError as error:
            for side in sides:
                side.error = str(error)
            yield self._values(sides, language)
        finally:
            del self._running[visitor]

    def stop(self, request: gr.Request) -> None:
        """End both of the visitor's answers. What was said so far is kept."""
        for cancel in self._running.get(_visitor(request), []):
            cancel.set()

    def closed(self, request: gr.Request) -> None:
        """The tab is gone: nobody reads the answers."""
        self.stop(request)

    def take(self, request: gr.Request) -> list[Any]:
        """The last question of the visitor's chat, with the pictures and videos that it is about."""
        last = self._chat.last(request) if self._chat else None
        if last is None:
            return [gr.skip(), gr.skip()]
        shown = ([part for part in message.parts if not isinstance(part, TextPart)] for message in last.messages)
        files = next((parts for parts in reversed(list(shown)) if parts), [])
        text = "".join(part.text for part in last.messages[-1].parts if isinstance(part, TextPart))
        return [[_data_uri(part) for part in files], text.strip()]

    async def _follow(
        self,
        side: Side,
        messages: tuple[Message, ...],
        generation: GenerationConfig,
        cancel: Cancel,
        salt: str,
        language: str,
    ) -> None:
        """Let one answer grow to its end, which may be an error's."""
        try:
            pieces = self._models.stream(side.name, messages, generation, cancel, salt=salt)
            async with aclosing(pieces):
                async for piece in pieces:
                    side.text += piece.text
                    side.counts = piece.counts or side.counts
        except ClosingError:
            side.error = self._words.text("errors.closing", language)
        except IvlError as error:
            side.error = str(error)

    def _asked(self, pictures: object, question: object, most: object) -> tuple[tuple[Message, ...], GenerationConfig]:
        """The message and settings that a browser asks for. Raises InputError and ImageError."""
        if not isinstance(question, str) or len(question) > LONGEST or not isinstance(pictures, list | None):
            raise InputError("the question has a wrong shape: load the page again")
        if not question.strip() and not pictures:
            raise InputError("there is no question: write one, or add a picture")
        if not isinstance(most, int | float) or isinstance(most, bool) or not 1 <= most < 2**31:
            raise InputError("the longest answer is no number of tokens: load the page again")
        files = sent_files([{"data": each} for each in pictures or ()], self._models.settings)
        text = TextPart(text=question.encode("utf-8", "replace").decode())
        generation = GenerationConfig(max_new_tokens=int(most), temperature=0)
        return (as_question(files, text),), generation

    def _values(self, sides: list[Side], language: str) -> list[Any]:
        is_done = all(side.is_done for side in sides)
        html = view(sides, self._words, language)
        return [
            sides if is_done else gr.skip(),
            html,
            gr.update(interactive=is_done),
            gr.update(interactive=not is_done),
        ]


def _data_uri(part: Part) -> str:
    """A picture or video of the chat, as the field holds it."""
    assert not isinstance(part, TextPart), "a text is no picture"
    assert isinstance(part.source, bytes), "the chat keeps pictures as the bytes of their files"
    # Browsers and readers look at the bytes; any kind of picture or video may stand here.
    kind = "video/mp4" if isinstance(part, VideoPart) else "image/png"
    return f"data:{kind};base64,{base64.b64encode(part.source).decode()}"


def _visitor(request: gr.Request) -> tuple[str, str]:
    return request.session_hash or "", owner_of(request)
