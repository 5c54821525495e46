"""One picture from a visitor, as a data URI: no upload route, no file on the server's disk.

In: the page's words. Out: a component whose value, as an input of a handler, is a data URI or "".
"""

import gradio as gr

from ivl.server.settings import ServerSettings
from ivl.ui.assets import script
from ivl.ui.words import Words


def picture_field(words: Words, settings: ServerSettings | None = None) -> gr.HTML:
    """A field to choose, drop, paste or photograph a picture in. Its value is checked where it is read, not here."""
    field = gr.HTML(
        value="",
        html_template='<div class="ivl-field"></div>',
        js_on_load=script("picture_field"),
        apply_default_css=False,
        words=words.section("picture"),
        max_bytes=(settings or ServerSettings()).max_image_bytes,
    )
    words.bind(field, "picture", "words")
    return field
