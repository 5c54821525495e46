"""The page: its head, its tabs, and how they are wired.

In: models, dishes. Out: Gradio Blocks. Knows no sockets: `run.py` listens, `mounting.py` puts it into an app.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from PIL.Image import Image

from ivl.errors import DataError, ImageError
from ivl.types import ImagePart, Message
from ivl.ui import compare, how
from ivl.ui.assets import script
from ivl.ui.chat import Chat, ChatHandles
from ivl.ui.foods import Cuisine, read_foods
from ivl.ui.models import Models
from ivl.ui.pictures import thumbnail
from ivl.ui.telling import told
from ivl.ui.visitors import Visitors
from ivl.ui.words import Words

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_DEFAULT_TOKENS = 512
# A visitor's own choice from last time, else the browser's language.
_LANGUAGE = """() => {
  try { if (localStorage.getItem("ivl-language")) return localStorage.getItem("ivl-language"); } catch {}
  return (navigator.language || "en").startsWith("zh") ? "zh" : "en";
}"""
_REMEMBER = """(language) => { try { localStorage.setItem("ivl-language", language); } catch {} }"""


def build_page(
    models: Models, cuisines: Sequence[Cuisine] | None = None, visitors: Visitors | None = None
) -> gr.Blocks:
    """The whole page. cuisines: the quick bar; None: the package's own food set."""
    words = Words()
    dishes = read_foods() if cuisines is None else cuisines
    chat = Chat(models, words, dishes, visitors or Visitors())
    page: gr.Blocks
    with gr.Blocks(analytics_enabled=False, title=words.text("page.title"), fill_width=True) as page:
        name = _head(models, words)
        with gr.Tabs():
            with gr.Tab(words.text("page.chat_tab"), id="chat") as tab:
                handles = _chat_tab(chat, models, words, dishes, name)
            words.bind(tab, "page.chat_tab")
            for key, build in (("compare", compare.build), ("how", how.build)):
                with gr.Tab(words.text(f"page.{key}_tab"), id=key) as tab:
                    build(models, words, handles)
                words.bind(tab, f"page.{key}_tab")
        words.connect()
        page.load(None, None, words.language, js=_LANGUAGE, **_QUIET)
        words.language.input(None, words.language, None, js=_REMEMBER, **_QUIET)
        page.unload(chat.closed)
    return page


def _head(models: Models, words: Words) -> gr.Dropdown:
    """The name of the page, the model, the language, light or dark."""
    with gr.Row(elem_id="ivl-head"):
        title = gr.HTML(
            html_template='<header class="ivl-header"></header>', js_on_load=script("header"), apply_default_css=False,
            words=words.section("page"), elem_classes="ivl-title",
        )  # fmt: skip
        words.bind(title, "page", "words")
        name = gr.Dropdown(
            list(models.names()), value=models.names()[0], label=words.text("page.model"), interactive=True,
            container=False, show_label=False, filterable=False, elem_id="ivl-model",
        )  # fmt: skip
        words.bind(name, "page.model")
        words.language.render()  # type: ignore[no-untyped-call]
    return name


def _chat_tab(chat: Chat, models: Models, words: Words, cuisines: Sequence[Cuisine], name: gr.Dropdown) -> ChatHandles:
    with gr.Row(elem_id="ivl-chat"):
        with gr.Column(scale=7, min_width=300, elem_id="ivl-main"):
            view = _own("view", words, value=told(None))
            composer = _own(
                "composer", words, max_bytes=models.settings.max_image_bytes, max_body=models.settings.max_body_bytes
            )
        with gr.Column(scale=3, min_width=280, elem_id="ivl-side"):
            _own("foods", words, cuisines=[_shown(cuisine, models) for cuisine in cuisines])
            settings = _settings(models, words)
    answered = gr.on(
        [composer.submit, view.submit], chat.respond, [name, *settings, words.language], view, concurrency_limit=None,
        trigger_mode="multiple", **_QUIET,
    )  # fmt: skip
    composer.stop(chat.stop, None, None, concurrency_limit=None, **_QUIET)
    view.clear(chat.clear, None, view, concurrency_limit=None, **_QUIET)
    return ChatHandles(last=chat.last, answered=answered)


def _settings(models: Models, words: Words) -> list[gr.Slider]:
    most = models.most_tokens
    with gr.Accordion(words.text("page.settings"), open=False) as box:
        temperature = gr.Slider(0, 2, 0, step=0.05, label=words.text("page.temperature"))
        top_p = gr.Slider(0.05, 1, 0.8, step=0.05, label=words.text("page.top_p"))
        tokens = gr.Slider(1, most, min(_DEFAULT_TOKENS, most), step=1, label=words.text("page.max_tokens"))
    words.bind(box, "page.settings")
    for slider, key in ((temperature, "page.temperature"), (top_p, "page.top_p"), (tokens, "page.max_tokens")):
        words.bind(slider, key)
        words.bind(slider, f"{key}_info", "info")
        slider.info = words.text(f"{key}_info")
    return [temperature, top_p, tokens]


def _own(kind: str, words: Words, **props: Any) -> gr.HTML:
    """One of our components: static/KIND.js draws it."""
    component = gr.HTML(
        html_template=f'<div class="ivl-{kind}"></div>', js_on_load=script(kind), apply_default_css=False,
        words=words.section(kind), **props,
    )  # fmt: skip
    words.bind(component, kind, "words")
    return component


def _shown(cuisine: Cuisine, models: Models) -> dict[str, Any]:
    """A cuisine as the quick bar draws it. Raises DataError for what is no picture."""
    dishes = []
    for dish in cuisine.dishes:
        try:
            (message,) = models.read([Message(role="user", parts=(ImagePart(source=dish.picture.read_bytes()),))])
        except (ImageError, OSError) as error:
            raise DataError(f"{dish.picture} cannot be a dish: {error}", rule="bad picture") from error
        (part,) = message.parts
        assert isinstance(part, ImagePart), "a picture stays one"
        assert isinstance(part.source, Image), "a picture was not read"
        dishes.append({"names": dish.names, "uri": thumbnail(part.source)})
    return {"names": cuisine.names, "dishes": dishes}
