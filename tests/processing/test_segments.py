"""Prompts in pieces: image tokens in their places, and the whole as a string."""

import pytest

from ivl.processing.segments import IMAGE, Segment, fill_images, text_of


def test_images_are_filled_in_order():
    filled = fill_images([Segment("a"), IMAGE, Segment("b"), IMAGE], [2, 1])
    assert text_of(filled) == "a<img><IMG_CONTEXT><IMG_CONTEXT></img>b<img><IMG_CONTEXT></img>"
    assert [segment.kind for segment in filled].count("control") == 6
    assert sum(segment.count for segment in filled if segment.text == "<IMG_CONTEXT>") == 3


def test_typed_marks_are_not_places():
    typed = [Segment("<image>")]
    assert fill_images(typed, []) == typed


@pytest.mark.parametrize("counts", [[], [1], [1, 2, 3], [1, 0]])
def test_counts_that_do_not_fit_are_a_broken_invariant(counts):
    with pytest.raises(AssertionError, match="places for images"):
        fill_images([IMAGE, IMAGE], counts)
