"""A sample is shown from the ids, labels and pixels that training gets."""

import io

import numpy as np
import PIL.Image
import pytest

from data.fake_source import example
from ivl.data.rendering import MAX_SHOWN, Span, shortened, to_text, view, visible
from ivl.data.settings import DataSettings
from ivl.types import Message, TextPart
from parity.prompts import tiny_processor

PROCESSOR = tiny_processor("internlm2-chat", "internlm2")
RED_AND_BLUE = PIL.Image.new("RGB", (112, 56), "red")
RED_AND_BLUE.paste("blue", (56, 0, 112, 56))


def test_what_is_trained_and_where_the_images_are():
    made = example("<image>\nWhat? 鱼", "Noodles 面.", [RED_AND_BLUE], id="a")
    later = (
        Message(role="user", parts=(TextPart(text="And?"),)),
        Message(role="assistant", parts=(TextPart(text="x"),)),
    )
    made = type(made)(messages=made.messages + later, where="f:3", id="a")
    shown = view(made, PROCESSOR, DataSettings())
    assert [span.text for span in shown.spans if span.kind == "trained"] == ["Noodles 面.<|im_end|>", "x<|im_end|>"]
    assert [span.text for span in shown.spans if span.kind == "image"] == ["<image: 3 tiles, 12 tokens>"]
    image = PROCESSOR.render(made.messages).split("<img>")[1].split("</img>")[0]
    whole = "".join(span.text for span in shown.spans)
    expected = PROCESSOR.render(made.messages).replace(f"<img>{image}</img>", "<image: 3 tiles, 12 tokens>")
    assert whole.endswith(expected)  # before it the tokenizer puts its own beginning
    size = PROCESSOR.measure(made.messages)
    assert shown.title == f"f:3 (id a): {size.num_tokens} tokens, {size.num_trained} trained"


def test_tiles_are_the_pixels():
    shown = view(example(images=[RED_AND_BLUE, PIL.Image.new("RGB", (56, 56), "lime")]), PROCESSOR, DataSettings())
    first, second = shown.sheets
    assert (first.columns, len(first.tiles), len(second.tiles)) == (2, 3, 1)
    assert first.caption == "picture 1: 112 x 56 pixels, 2 x 1 tiles and a thumbnail, 12 tokens"
    assert second.caption == "picture 2: 56 x 56 pixels, 1 x 1 tiles, 4 tokens"
    colours = [np.asarray(PIL.Image.open(io.BytesIO(tile))).mean(axis=(0, 1)).round(-1) for tile in first.tiles[:2]]
    assert np.allclose(colours, [[250, 0, 0], [0, 0, 250]], atol=10)


def test_a_sample_that_loses_tiles_says_so():
    made = example(images=[PIL.Image.new("RGB", (224, 112))])
    fit = PROCESSOR.measure(made.messages, max_tiles=2).num_tokens
    shown = view(made, PROCESSOR, DataSettings(max_length=fit))
    assert shown.title.endswith(", 7 tiles an image instead of 12")


def test_text_on_a_terminal_and_off_it():
    shown = view(example("a", "b"), PROCESSOR, DataSettings())
    assert to_text(shown, colour=False).endswith("[[b<|im_end|>]]")
    assert to_text(shown, colour=True).endswith("\x1b[32mb<|im_end|>\x1b[0m")


def test_nothing_steers_the_terminal():
    shown = view(example("a\x1b[2Jb\u202ec", "\x07d", where="f\x1b]0;x:1"), PROCESSOR, DataSettings())
    text = to_text(shown, colour=False)
    assert "a\ufffd[2Jb\ufffdc" in text
    assert "[[\ufffdd<|im_end|>]]" in text
    assert not set(text) & set("\x1b\x07\u202e")
    assert visible("a\tb\n中文 é") == "a\tb\n中文 é"


@pytest.mark.parametrize("length", [MAX_SHOWN, MAX_SHOWN + 1, 10 * MAX_SHOWN])
def test_long_texts_show_their_ends(length):
    text = "a" * (length - 1) + "z"
    short = shortened(text)
    assert short.endswith("z")
    assert short.startswith("aaa")
    if length == MAX_SHOWN:
        assert short == text
    else:
        assert f"[... {length - MAX_SHOWN:,} characters are not shown ...]" in short


def test_spans_of_one_kind_are_joined():
    shown = view(example("a", "b"), PROCESSOR, DataSettings())
    assert [span.kind for span in shown.spans] == ["text", "trained"]
    assert shown.spans[1] == Span(text="b<|im_end|>", kind="trained")
