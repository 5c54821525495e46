"""Where pictures stand: marks in the text, or the order of the parts; and counts that do not fit."""

import pytest

from ivl.errors import PromptError
from ivl.processing.placement import arrange, place_frames
from ivl.processing.segments import text_of
from ivl.types import ImagePart, Message, TextPart, VideoPart

A, B = ImagePart(source="a"), ImagePart(source="b")
V, W = VideoPart(source="v"), VideoPart(source="w")


def pieces(*parts, role="user"):
    message = Message(role=role, parts=tuple(TextPart(text=p) if isinstance(p, str) else p for p in parts))
    return arrange(message, 4)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("hi",), ("hi",)),
        ((), ()),
        (("",), ()),
        ((A, "hi"), (A, "\n", "hi")),
        (("hi", A), ("hi", A, "\n")),
        ((A, B, "hi"), (A, "\n", B, "\n", "hi")),
        (("one", A, "two", B, "three"), ("one", A, "\n", "two", B, "\n", "three")),
        (("see <image> and <image>.", A, B), ("see ", A, " and ", B, ".")),
        ((A, B, "see <image> and <image>."), ("see ", A, " and ", B, ".")),
        ((A, "<image>"), (A,)),
        ((A, "see <IMAGE_TOKEN>!"), ("see ", A, "!")),
        ((A, B, "<IMAGE_TOKEN> <image>"), (A, " ", B)),
        ((A, "x <image>", " y"), ("x ", A, " y")),
        ((V, "what?"), (V, "what?")),
        ((V, "<video>\nwhat?"), (V, "what?")),
        ((V, "see <video> now"), ("see ", V, " now")),
        ((V, W, "<video>\n<video>\nx"), (V, W, "x")),
        ((V, A, "<image> and <video>"), (A, " and ", V)),
        ((V, A, "<image> then"), (V, A, " then")),
        (("what is <video>?",), ("what is <video>?",)),
    ],
)
def test_pieces_stand_in_reading_order(parts, expected):
    assert pieces(*parts) == expected


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_marks_in_other_messages_are_text(role):
    assert pieces("a <image> <video> <IMAGE_TOKEN>", role=role) == ("a <image> <video> <IMAGE_TOKEN>",)


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        (("<image>",), "has 1 <image> in its text and 0 images: write <image> once for each image"),
        (("<image> <image>", A), "has 2 <image> in its text and 1 images"),
        (("<image>", A, B), "has 1 <image> in its text and 2 images"),
        (("<IMAGE_TOKEN>",), "has 1 <image> in its text and 0 images"),
        (("<video> <video>", V), "has 2 <video> in its text and 1 videos"),
        (("<video>", V, W), "has 1 <video> in its text and 2 videos"),
        (("<image>" * 100_000, A), "has 100000 <image> in its text and 1 images"),
    ],
)
def test_counts_that_do_not_fit_raise(parts, error):
    with pytest.raises(PromptError, match=r"^messages\[4\] " + error):
        pieces(*parts)


def test_frames_as_in_the_official_video_example():
    assert text_of(place_frames(2)) == "Frame1: <image>\nFrame2: <image>\n"
    assert place_frames(0) == []
