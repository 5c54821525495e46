"""Grounded answers, read for drawing: whole, half written, and wrong."""

import time

import pytest

from ivl.ui.boxes import read_places

CUP = "<ref>cup</ref><box>[[100, 250, 600, 750]]</box>"


def corners(text: str) -> list[tuple[str, int, int, int, int]]:
    return [(p.name, p.left, p.top, p.right, p.bottom) for p in read_places(text)[1]]


def test_marks_become_places_and_names_stay():
    text = f"A {CUP}, and two <ref>nuts</ref><box>[[0,0,10,10],[20,20,30,1000]]</box>."
    assert read_places(text)[0] == "A cup, and two nuts."
    assert corners(text) == [("cup", 100, 250, 600, 750), ("nuts", 0, 0, 10, 10), ("nuts", 20, 20, 30, 1000)]


def test_without_its_tags_a_list_follows_its_name():
    assert corners("I see: cup[[100, 250, 600, 750]].") == [("cup", 100, 250, 600, 750)]
    assert read_places("I see: cup[[100, 250, 600, 750]].")[0] == "I see: cup."


def test_a_box_alone_has_no_name():
    assert corners("<box>[[1,2,3,4]]</box>") == [("", 1, 2, 3, 4)]


def test_chinese_commas_are_read():
    assert corners("茶杯[[1，2，3，4]]") == [("茶杯", 1, 2, 3, 4)]


@pytest.mark.parametrize(
    "box",
    [
        "[[5,5,5,9]]",
        "[[0,0,1001,9]]",
        "[[9,9,1,1]]",
        "[[1,2,3]]",
        "[[-1,0,2,3]]",
        "[[0.1,0.2,0.3,0.4]]",
        "nonsense",
        "",
    ],
)
def test_what_is_no_box_is_not_drawn(box):
    assert corners(f"<ref>cup</ref><box>{box}</box>") == []
    assert read_places(f"<ref>cup</ref><box>{box}</box>")[0] == "cup"


@pytest.mark.parametrize("end", range(1, len(CUP)))
def test_a_half_written_mark_never_shows(end):
    plain, _ = read_places("See " + CUP[:end])
    assert "<" not in plain
    assert "[" not in plain
    assert "100" not in plain


@pytest.mark.parametrize("begun", ["[", "[ 1,2", "[1,2,3,4]", "[1,2,3,4],", "[1,2,3,4], [5"])
def test_a_list_without_tags_that_is_half_written_never_shows(begun):
    assert read_places("a [[1, 2]] cup[" + begun)[0] == "a [[1, 2]] cup"


@pytest.mark.parametrize("text", ["[1, 2]", "a[0] = [[1, 2], [3, 4]]", "2 < 3", "<b>bold</b>", "x"])
def test_ordinary_text_stays(text):
    assert read_places(text) == (text, ())


def test_boxes_are_bounded_and_quick():
    many = "<box>[" + ",".join(["[1,2,3,4]"] * 5000) + "]</box>"
    assert len(read_places(many)[1]) == 100
    started = time.process_time()
    for last in ("<box>" * 20_000, "", " 1,2" * 20_000):
        read_places("<ref>" * 20_000 + "[[" * 20_000 + last)
    assert time.process_time() - started < 2
