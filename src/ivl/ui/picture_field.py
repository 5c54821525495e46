"""Pictures and videos from a visitor, as data URIs: no upload route, no file on the server's disk.

In: the page's words. Out: a component whose value, as an input of a handler, is a list of data URIs.
"""

from typing import Any

import gradio as gr

from ivl.server.settings import ServerSettings
from ivl.ui.assets import script
from ivl.ui.words import Words


def picture_field(words: Words, settings: ServerSettings | None = None) -> gr.HTML:
    """A field to choose, drop, paste or photograph pictures and videos in. Its value is checked where it is read."""
    limits = settings or ServerSettings()
    empty: Any = []  # a value of our own component, which its script draws
    field = gr.HTML(
        value=empty,
        html_template='<div class="ivl-field"></div>',
        js_on_load=script("picture_field"),
        apply_default_css=False,
        words=words.section("picture"),
        max_bytes=limits.max_image_bytes,
        max_body=limits.max_body_bytes,
        most=limits.max_images,
    )
    words.bind(field, "picture", "words")
    return field
