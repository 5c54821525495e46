"""Boxes are read from every form that InternVL writes and from no other, and matched one to one."""

import pytest

from ivl.evals.boxes import box_score, boxes_text, overlap, read_boxes

ONE = ((100, 200, 300, 400),)
TWO = ((100, 200, 300, 400), (0, 0, 1000, 1000))


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("<ref>the cat</ref><box>[[100, 200, 300, 400]]</box>", ONE),
        ("<ref>猫</ref><box>[[100,200,300,400]]</box>。", ONE),
        ("<box>[[100, 200, 300, 400]]</box>", ONE),
        ("the cat[[100, 200, 300, 400]]", ONE),
        ("[[100, 200, 300, 400]]", ONE),
        ("[100, 200, 300, 400]", ONE),
        ("It is at [ 100 ,200，300,  400 ].", ONE),
        ("<ref>a</ref><box>[[100, 200, 300, 400], [0, 0, 1000, 1000]]</box>", TWO),
        ("<ref>a</ref><box>[[100, 200, 300, 400]]</box><ref>b</ref><box>[[0, 0, 1000, 1000]]</box>", TWO),
        ("[100, 200, 300, 400], [0, 0, 1000, 1000]", TWO),
    ],
)
def test_boxes_are_read(text, boxes):
    assert read_boxes(text) == boxes
    assert read_boxes(boxes_text(boxes)) == boxes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "There is no cat.",
        "<ref>the cat</ref><box></box>",
        "100, 200, 300, 400",
        "[]",
        "[[]]",
        "[[100, 200, 300]]",
        "[[100, 200, 300, 400, 500]]",
        "[[100, 200, 300, 400], [0, 0, 1000]]",
        "[[100, 200, 300, 1001]]",
        "[[-1, 200, 300, 400]]",
        "[[0.1, 0.2, 0.3, 0.4]]",
        "[[300, 200, 100, 400]]",
        "[[100, 400, 300, 200]]",
        "[[100, 200, 100, 400]]",
        "[[100, 200, 300, four]]",
        "[[100, 200, 300, 400], [0, 0, 10",
        "<box>[[100, 200, 300, 400",
        "[[100 200 300 400]]",
        "[[10000, 20000, 30000, 40000]]",
    ],
)
def test_what_is_no_box_is_not_read(text):
    assert read_boxes(text) is None


@pytest.mark.parametrize(
    ("one", "other", "iou"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3),
        ((0, 0, 10, 10), (0, 0, 10, 5), 0.5),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),
        ((0, 0, 10, 10), (20, 20, 30, 30), 0.0),
        ((0, 0, 100, 100), (25, 25, 75, 75), 0.25),
    ],
)
def test_overlap(one, other, iou):
    assert overlap(one, other) == overlap(other, one) == pytest.approx(iou)


LEFT, RIGHT, NOWHERE = (0, 0, 100, 100), (500, 0, 600, 100), (900, 900, 1000, 1000)


@pytest.mark.parametrize(
    ("found", "expected", "score"),
    [
        ([LEFT], [LEFT], 1),
        ([(0, 0, 100, 50)], [LEFT], 1),
        ([(0, 0, 100, 49)], [LEFT], 0),
        ([NOWHERE], [LEFT], 0),
        ([RIGHT, LEFT], [LEFT, RIGHT], 1),
        ([LEFT], [LEFT, RIGHT], 2 / 3),
        ([LEFT, LEFT], [LEFT, RIGHT], 1 / 2),
        ([LEFT, RIGHT, NOWHERE], [LEFT], 1 / 2),
        # The first box fits both, the second only the first: a greedy matching would lose one.
        ([(0, 0, 100, 100), (0, 0, 100, 60)], [(0, 0, 100, 90), (10, 0, 110, 100)], 1),
    ],
)
def test_score_is_f1_of_the_best_matching(found, expected, score):
    assert box_score(found, expected) == pytest.approx(score)


def test_many_equal_boxes_are_matched_in_a_moment():
    assert box_score([LEFT] * 90, [LEFT] * 60) == pytest.approx(120 / 150)
