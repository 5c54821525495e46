"""What a person gives: every form, and every mistake with its place."""

import copy
from pathlib import Path

import PIL.Image
import pytest

from ivl.errors import PromptError
from ivl.processing.messages import to_messages
from ivl.types import ImagePart, Message, TextPart, VideoPart

IMAGE = PIL.Image.new("RGB", (4, 4))
URL = "https://example.com/a.png"


def user(*parts):
    return Message(role="user", parts=parts)


def text(value):
    return TextPart(text=value)


def image(source, **fields):
    return ImagePart(source=source, **fields)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("hi", (user(text("hi")),)),
        ("", (user(text("")),)),
        (("hi", "a.png"), (user(image("a.png"), text("hi")),)),
        (("hi", Path("a.png")), (user(image(Path("a.png")), text("hi")),)),
        (("hi", b"bytes"), (user(image(b"bytes"), text("hi")),)),
        (("hi", bytearray(b"bytes")), (user(image(b"bytes"), text("hi")),)),
        (("hi", ["a.png", b"b"]), (user(image("a.png"), image(b"b"), text("hi")),)),
        (("hi", ("a.png",)), (user(image("a.png"), text("hi")),)),
        (("hi", []), (user(text("hi")),)),
        (("hi", image("a", max_tiles=2)), (user(image("a", max_tiles=2), text("hi")),)),
        (("hi", VideoPart(source="v.mp4")), (user(VideoPart(source="v.mp4"), text("hi")),)),
        (user(text("hi")), (user(text("hi")),)),
        ([user(text("hi"))], (user(text("hi")),)),
        ((user(text("hi")),), (user(text("hi")),)),
        ({"role": "user", "content": "hi"}, (user(text("hi")),)),
        ([{"role": "user", "content": []}], (user(),)),
    ],
)
def test_short_forms(prompt, expected):
    assert to_messages(prompt) == expected


def test_a_pil_image_is_taken_as_it_is():
    (message,) = to_messages(("hi", IMAGE))
    assert message.parts[0].source is IMAGE


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "hi"}, text("hi")),
        ({"type": "image_url", "image_url": {"url": URL}}, image(URL)),
        ({"type": "image_url", "image_url": URL}, image(URL)),
        ({"type": "image_url", "image_url": {"url": URL, "detail": "auto"}}, image(URL)),
        ({"type": "image_url", "image_url": {"url": URL, "detail": "high"}}, image(URL)),
        ({"type": "image_url", "image_url": {"url": URL, "detail": "low"}}, image(URL, max_tiles=1)),
        ({"type": "image_url", "image_url": {"url": URL, "max_dynamic_patch": 6}}, image(URL, max_tiles=6)),
        ({"type": "image_url", "image_url": {"url": URL, "max_tiles": 6}}, image(URL, max_tiles=6)),
        ({"type": "image_data", "image_data": {"data": b"x"}}, image(b"x")),
        ({"type": "image", "image": b"x"}, image(b"x")),
        ({"type": "image", "path": "a.png"}, image("a.png")),
        ({"type": "image", "url": URL, "max_tiles": 3}, image(URL, max_tiles=3)),
        ({"type": "video", "video": "v.mp4"}, VideoPart(source="v.mp4")),
        ({"type": "video", "path": "v.mp4", "num_frames": 4}, VideoPart(source="v.mp4", num_frames=4)),
        ({"type": "video_url", "video_url": {"url": URL}}, VideoPart(source=URL)),
        (image(URL), image(URL)),
    ],
)
def test_parts_of_openai_messages(part, expected):
    assert to_messages([{"role": "user", "content": [part]}]) == (user(expected),)


def test_a_conversation_and_what_an_api_sends_back():
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image", "path": "b"}]},
        {"role": "assistant", "content": "c", "refusal": None, "annotations": [], "tool_calls": None},
        {"role": "user", "content": "d"},
    ]
    before = copy.deepcopy(messages)
    assert [message.role for message in to_messages(messages)] == ["system", "user", "assistant", "user"]
    assert messages == before


def content(*parts):
    return [{"role": "user", "content": list(parts)}]


def turns(*roles):
    return [{"role": role, "content": "x"} for role in roles]


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        (7, r"a prompt cannot be 7: give a text"),
        (None, "a prompt cannot be None"),
        (object(), "a prompt cannot be a value of type object"),
        ([], "there is no user message"),
        ((), "there is no user message"),
        (["hi"], r"messages\[0\] is 'hi': a Message or a dict"),
        (("hi",), "has 2 items, not 1"),
        (("hi", "a", "b"), "has 2 items, not 3"),
        (("hi", 7), "image 1 of the prompt is 7: a path, URL"),
        (("hi", ["a", None]), "image 2 of the prompt is None"),
        (
            [{"role": "usr", "content": "x"}],
            r"messages\[0\].role='usr' is not allowed: did you mean 'user'\?",
        ),
        ([{"role": None, "content": "x"}], r"messages\[0\].role=None is not allowed: allowed: assistant, "),
        ([{"role": ["user"], "content": "x"}], r"messages\[0\].role=a value of type list is not allowed"),
        ([{"role": "user", "contents": "x"}], r"messages\[0\] has an unknown key 'contents': did you mean"),
        ([{"role": "user"}], r"messages\[0\] has no 'content'"),
        ([{"content": "x"}], r"messages\[0\] has no 'role'"),
        ([{"role": "user", "content": None}], r"messages\[0\].content is None: a string or a list"),
        ([*turns("user"), {"role": "assistant", "content": 3}], r"messages\[1\].content is 3"),
        (content("x"), r"messages\[0\].content\[0\] is 'x': a dict with a 'type' is needed"),
        (content({"text": "x"}), r"content\[0\] is a value of type dict: a dict with a 'type'"),
        (content({"type": "text"}), r"content\[0\].text is None: a string is needed"),
        (content({"type": "text", "text": 3}), r"content\[0\].text is 3"),
        (
            content({"type": "txt", "text": "x"}),
            r"content\[0\].type='txt' is not allowed: did you mean 'text'\?",
        ),
        (content({"type": 3}), r"content\[0\].type=3 is not allowed"),
        (content({"type": "text", "text": "x"}, {"type": "image_ur"}), r"content\[1\].type='image_ur'"),
        (
            content({"type": "text", "txt": "x"}),
            r"content\[0\] has an unknown key 'txt': did you mean 'text'\?",
        ),
        (content({"type": "image_url"}), r"of type 'image_url' needs exactly one of url; got 0"),
        (content({"type": "image_url", "image_url": {}}), r"needs exactly one of url; got 0"),
        (
            content({"type": "image_url", "image_url": {"ulr": "x"}}),
            r"image_url has an unknown key 'ulr': did you",
        ),
        (content({"type": "image_url", "image_url": 3}), r"content\[0\].url is 3"),
        (
            content({"type": "image_url", "image_url": {"url": URL, "detail": "hi"}}),
            r"detail='hi' is not allowed",
        ),
        (content({"type": "image"}), "needs exactly one of image, path, url; got 0"),
        (content({"type": "image", "path": "a", "url": "b"}), "needs exactly one of image, path, url; got 2"),
        (
            content({"type": "image", "path": "a", "max_tiles": 0}),
            "max_tiles=0 is not allowed: a whole number from 1",
        ),
        (content({"type": "image", "path": "a", "max_tiles": 10**9}), "max_tiles=1000000000 is not allowed"),
        (content({"type": "image", "path": "a", "max_tiles": True}), "max_tiles=True is not allowed"),
        (content({"type": "video", "video": IMAGE}), "source is a value of type Image: a path, URL"),
        (content({"type": "video", "path": "v", "num_frames": 10**6}), "num_frames=1000000 is not allowed"),
        (content(VideoPart(frames=())), r"frames holds 0: 1 to 1024"),
        (content(VideoPart(frames=(IMAGE, "v.png"))), "frames needs a tuple of PIL images"),
        (content(VideoPart(frames=[IMAGE])), "frames needs a tuple of PIL images"),
        (content(VideoPart(source="v", frames=(IMAGE,))), "and no source beside it"),
        (turns("user", "user"), r"messages\[1\] is a second user message in a row"),
        (turns("user", "assistant", "assistant"), r"messages\[2\] is a second assistant message in a row"),
        (turns("user", "system"), r"messages\[1\] is a system message: only messages\[0\] may be one"),
        (turns("system", "system", "user"), r"messages\[1\] is a system message"),
        (turns("system"), "there is no user message"),
        (turns("assistant"), "there is no user message"),
        (
            [*turns("user"), {"role": "assistant", "content": [{"type": "image", "path": "a"}]}],
            r"messages\[1\] of the assistant holds a picture: only user messages may",
        ),
        ([Message(role="person", parts=())], r"messages\[0\].role='person' is not allowed"),
        ([Message(role="user", parts=[TextPart(text="x")])], r"messages\[0\].parts must be a tuple"),
        ([Message(role="user", parts=(TextPart(text=3),))], r"messages\[0\].parts\[0\].text is 3"),
        ([Message(role="user", parts=(ImagePart(source=3),))], r"messages\[0\].parts\[0\].source is 3"),
    ],
)
def test_mistakes_are_named(prompt, error):
    with pytest.raises(PromptError, match=error) as caught:
        to_messages(prompt)
    message = str(caught.value)
    assert "\n" not in message
    assert " at 0x" not in message
    assert len(message) < 300


def test_a_long_value_is_shown_short():
    with pytest.raises(PromptError) as caught:
        to_messages([{"role": "x" * 10**6, "content": "x"}])
    assert len(str(caught.value)) < 200


def test_a_conversation_may_begin_with_an_answer():
    assert [message.role for message in to_messages(turns("assistant", "user"))] == ["assistant", "user"]
