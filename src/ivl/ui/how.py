"""The tab "How it works": the visitor's last answer taken apart, with what `explain` draws.

In: the visitor's last answer, and which word of it, layer and picture to look at. Out: HTML. Nothing is computed before
the visitor asks for it; what the engine is needed for (a word's attention, the times) runs for few visitors at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr

from ivl.errors import IvlError
from ivl.explain.attention import Gaze, gaze_in
from ivl.explain.markup import safe, section
from ivl.explain.prompt_sections import gaze_figure, prompt_section, time_section
from ivl.explain.sections import grid_section, tiles_section, tokens_section
from ivl.explain.style import STYLE
from ivl.explain.timing import Timing, measure
from ivl.explain.walk import Walk, take_walk
from ivl.explain.wording import wording
from ivl.ui.chat import Answered, ChatHandles
from ivl.ui.models import Models
from ivl.ui.words import Words

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_MOST_WORDS = 160
"""Words of an answer to choose from."""
_LATE = "late"
"""The choice of the mean over the last half of the layers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What one visitor's tab shows. Small: the walk, with its pixels, is made anew when it is needed."""

    answered: Answered
    picture: int = 0
    word: int = 0
    """Of the answer's words, the one whose attention is known."""
    gaze: Gaze | None = None
    timing: Timing | None = None


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The tab's components, in the order in which handlers give them."""

    state: gr.State
    status: gr.HTML
    picture: gr.Radio
    walk: gr.HTML
    word: gr.Radio
    layer: gr.Dropdown
    gaze: gr.HTML
    time: gr.HTML

    def all(self) -> list[Any]:
        return list(vars(self).values())


def build(models: Models, words: Words, chat: ChatHandles | None) -> None:
    """The tab's components and events, inside a `gr.Tab`. Without a chat there is nothing to show but the way there."""
    tab = How(models, words, chat)
    gr.HTML(f"<style>{STYLE}</style>", apply_default_css=False, padding=False)
    intro = gr.HTML(tab.intro("en"), apply_default_css=False, padding=False)
    words.language.change(tab.intro, words.language, intro, concurrency_limit=None, **_QUIET)
    if chat is None:
        return
    show = gr.Button(words.text("how.show"), variant="primary", elem_id="ivl-how-show")
    words.bind(show, "how.show", "value")
    parts = _components(words)
    language, state = words.language, parts.state
    slow = _QUIET | {"concurrency_limit": 2, "concurrency_id": "ivl-how"}
    show.click(tab.show, language, parts.all(), **slow)
    picks = [state, parts.picture, parts.word, parts.layer, language]
    # Whatever was picked while an earlier pick is drawn is drawn after it, all together.
    picked = [each.input for each in (parts.picture, parts.word, parts.layer)]
    last = _QUIET | {"concurrency_limit": 2, "concurrency_id": "ivl-how", "trigger_mode": "always_last"}
    gr.on(picked, tab.pick, picks, [state, parts.status, parts.walk, parts.gaze], **last)
    redrawn = [parts.status, parts.picture, parts.walk, parts.layer, parts.gaze, parts.time]
    language.change(tab.redraw, picks, redrawn, **slow)
    chat.answered.then(tab.told_new, [state, language], parts.status, concurrency_limit=None, **_QUIET)


def _components(words: Words) -> _Parts:
    plain: dict[str, Any] = {"apply_default_css": False, "padding": False}
    state = gr.State(None, time_to_live=3600)
    status = gr.HTML(_status(""), **plain)
    picture = gr.Radio([], label=words.text("how.picture"), visible=False)
    words.bind(picture, "how.picture")
    walk = gr.HTML("", **plain)
    word = gr.Radio([], label=words.text("how.word"), visible=False, elem_classes="ivl-how-words")
    layer = gr.Dropdown([], label=words.text("how.layer"), visible=False, filterable=False)
    gaze, time = gr.HTML("", **plain), gr.HTML("", **plain)
    words.bind(word, "how.word")
    words.bind(layer, "how.layer")
    return _Parts(state=state, status=status, picture=picture, walk=walk, word=word, layer=layer, gaze=gaze, time=time)


class How:
    """What the tab's events do."""

    def __init__(self, models: Models, words: Words, chat: ChatHandles | None) -> None:
        self._models, self._words, self._chat = models, words, chat

    def intro(self, language: str) -> str:
        """What the tab is for."""
        title, lead = (self._words.text(f"how.{key}", language) for key in ("title", "lead"))
        return f'<div class="ivl-how-part"><h2>{safe(title)}</h2><p>{safe(lead)}</p></div>'

    def show(self, language: str, request: gr.Request) -> Iterator[list[Any]]:
        """Take the visitor's last answer apart: first what is quick, then a word's attention, then the times.

        Gives values of all components, in order.
        """
        answered = self._chat.last(request) if self._chat else None
        if answered is None:
            yield self._failed(self._words.text("how.nothing", language))
            return
        shown = Shown(answered=answered)
        try:
            walk = self._walk(shown)
            yield [
                shown,
                self._told("looking" if walk.words and walk.pictures else "timing", language),
                self._pictures(walk, shown, language),
                self._sections(walk, shown.picture, language),
                self._choices(walk, shown),
                gr.update(visible=False),
                "",
                "",
            ]
            if walk.words and walk.pictures:
                shown = self._gaze(shown, walk, 0)
                told, layers = self._told("timing", language), self._layers(shown, _LATE, language)
                yield [shown, told, *[gr.skip()] * 3, layers, self._heat(walk, shown, _LATE, language), gr.skip()]
            shown = replace(shown, timing=self._measure(shown, walk))
            yield [shown, self._told("done", language), *[gr.skip()] * 5, self._times(shown, language)]
        except IvlError as error:
            yield [shown, _status(str(error), is_error=True), *[gr.skip()] * 6]

    def pick(self, shown: Shown | None, picture: object, word: object, layer: object, language: str) -> list[Any]:
        """Look at another picture or word, or through another layer. Gives state, status, walk and attention."""
        if shown is None:
            return [gr.skip()] * 4
        try:
            walk = self._walk(shown)
            at, to = _index(picture, len(walk.pictures)) or 0, _index(word, min(len(walk.words), _MOST_WORDS)) or 0
            sections = gr.skip() if at == shown.picture else self._sections(walk, at, language)
            if walk.words and walk.pictures and (shown.gaze is None or to != shown.word):
                shown = self._gaze(shown, walk, to)
            shown = replace(shown, picture=at)
            return [shown, self._told("done", language), sections, self._heat(walk, shown, layer, language)]
        except IvlError as error:
            return [shown, _status(str(error), is_error=True), gr.skip(), gr.skip()]

    def redraw(self, shown: Shown | None, picture: object, word: object, layer: object, language: str) -> list[Any]:
        """The same in another language. Gives status, pictures, walk, layers, attention and times."""
        if shown is None:
            return [_status(""), *[gr.skip()] * 5]
        walk = self._walk(shown)
        return [
            _status(""),
            self._pictures(walk, shown, language),
            self._sections(walk, shown.picture, language),
            self._layers(shown, layer, language),
            self._heat(walk, shown, layer, language),
            self._times(shown, language) if shown.timing else gr.skip(),
        ]

    def told_new(self, shown: Shown | None, language: str, request: gr.Request) -> Any:
        """Say that what is shown is no longer the last answer."""
        last = self._chat.last(request) if self._chat else None
        is_new = shown is not None and last is not None and last.answer != shown.answered.answer
        return self._told("new", language) if is_new else gr.skip()

    def _walk(self, shown: Shown) -> Walk:
        pipe = self._models.offer(shown.answered.name).pipe
        messages = self._models.read(shown.answered.messages, pipe)
        return take_walk(pipe.processor, messages, shown.answered.counts.token_ids)

    def _gaze(self, shown: Shown, walk: Walk, index: int) -> Shown:
        """With the attention of the answer's word `index`."""
        offer, word = self._models.offer(shown.answered.name), walk.words[index]
        length = walk.num_prompt + max(shown.answered.generation.max_new_tokens, len(walk.answer_ids))
        gaze = gaze_in(
            offer.pipe,
            walk.inputs,
            walk.answer_ids,
            word.start,
            word.stop,
            bound=max(min(length, offer.pipe.session_len), walk.num_prompt + word.stop),
            adapter=offer.adapter,
        )
        return replace(shown, gaze=gaze, word=index)

    def _measure(self, shown: Shown, walk: Walk) -> Timing:
        offer = self._models.offer(shown.answered.name)
        count = max(2, min(32, shown.answered.counts.answer_tokens))
        messages, read = shown.answered.messages, partial(self._models.read, pipe=offer.pipe)
        return measure(offer.pipe, messages, walk.inputs, num_tokens=count, adapter=offer.adapter, read=read)

    def _sections(self, walk: Walk, picture: int, language: str) -> str:
        words = wording(language)
        parts = [grid_section, tiles_section, tokens_section] if walk.pictures else []
        drawn = [part(walk, picture, words) for part in parts] + [prompt_section(walk, words)]
        if walk.words and walk.pictures:
            drawn.append(section(words.gaze_title, words.gaze_intro, name="head"))
        return "".join(drawn)

    def _times(self, shown: Shown, language: str) -> str:
        return time_section(shown.timing, wording(language)) if shown.timing else ""

    def _heat(self, walk: Walk, shown: Shown, layer: object, language: str) -> str:
        if shown.gaze is None:
            return ""
        word, through = walk.words[shown.word].text, _index(layer, len(shown.gaze.shares))
        return gaze_figure(walk, shown.gaze, word, through, shown.picture, wording(language))

    def _pictures(self, walk: Walk, shown: Shown, language: str) -> dict[str, Any]:
        names = [
            (self._words.text("how.picture_n", language, number=at + 1), str(at)) for at in range(len(walk.pictures))
        ]
        return gr.update(choices=names, value=str(shown.picture), visible=len(names) > 1)

    def _choices(self, walk: Walk, shown: Shown) -> dict[str, Any]:
        names = [(word.text, str(at)) for at, word in enumerate(walk.words[:_MOST_WORDS])]
        return gr.update(choices=names, value=str(shown.word), visible=bool(names and walk.pictures))

    def _layers(self, shown: Shown, layer: object, language: str) -> dict[str, Any]:
        if shown.gaze is None:
            return gr.update(visible=False)
        words, count = wording(language), len(shown.gaze.shares)
        names = [(words.layers_late.format(count=count - count // 2), _LATE)]
        names += [(words.layers_one.format(number=at + 1, count=count), str(at)) for at in range(count)]
        through = _index(layer, count)
        return gr.update(choices=names, value=_LATE if through is None else str(through), visible=True)

    def _told(self, key: str, language: str) -> str:
        return _status(self._words.text(f"how.{key}", language))

    def _failed(self, message: str) -> list[Any]:
        return [None, _status(message, is_error=True), *[gr.skip()] * 6]


def _status(text: str, is_error: bool = False) -> str:
    """A line that screen readers read out when it changes."""
    name = "ivl-how-status ivl-error" if is_error else "ivl-how-status"
    return f'<p class="{name}" role="status">{safe(text)}</p>' if text else '<p role="status" hidden></p>'


def _index(value: object, count: int) -> int | None:
    """A choice that a browser sent, as the number it stands for; None for anything else."""
    is_number = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6
    return int(str(value)) if is_number and int(str(value)) < count else None
