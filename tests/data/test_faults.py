"""Each kind of error is counted under its rule."""

import pickle

import pytest

from ivl.data.faults import RULES, Fault, fault_of
from ivl.errors import DataError, ImageError, PromptError


@pytest.mark.parametrize(
    ("error", "rule"),
    [
        (DataError("a:1: no valid JSON: Expecting value at column 3"), "bad JSON"),
        (DataError("a:1: byte 3 (b7) is no UTF-8: the text has another encoding (GBK?); save it as UTF-8"), "encoding"),
        (DataError("a:1: picture 'box.jpg' does not exist in '.': check the path"), "missing file"),
        (DataError("a:1: picture '../x' lies outside of the image folder '.': move it there"), "path"),
        (
            DataError("a:1: the questions have 2 <image> and the record has 1 image: write <image> once for each"),
            "placeholder count",
        ),
        (DataError("a:1: <box>1</box> is no list of boxes: [[x1, y1, x2, y2], ...]"), "box"),
        (DataError("a:1: turn 2 is an empty answer: write it, or leave the record out"), "empty answer"),
        (DataError("a:1: the last turn is no answer"), "turns"),
        (DataError("a:1: the record is 3: an object {...} is needed"), "record"),
        (DataError("a:1: whatever", rule="too long"), "too long"),
        (ImageError("'a.png' does not exist: check the path"), "missing file"),
        (ImageError("'a.png' cannot be decoded: its data is cut off or damaged"), "image"),
        (ImageError("'a.png' is refused: it has more than 200 scans"), "image"),
        (
            PromptError("messages[0] has 1 <image> in its text and 2 images: write <image> once for each image"),
            "placeholder count",
        ),
        (PromptError("messages[1] is a second user message in a row: user and assistant take turns"), "turns"),
        (PromptError("a text of 5000000 characters is too long: at most 4194304 are read"), "too long"),
    ],
)
def test_rules(error, rule):
    fault = fault_of(error, "a:1")
    assert fault.rule == rule
    assert rule in RULES
    assert not fault.reason.startswith("a:1")
    assert str(fault) == f"a:1: {fault.reason}"


def test_faults_and_errors_go_to_other_processes():
    fault = Fault(where="a:1", reason="b", rule="image")
    assert pickle.loads(pickle.dumps(fault)) == fault
    error = pickle.loads(pickle.dumps(DataError("a:1: b", rule="box")))
    assert (str(error), error.rule) == ("a:1: b", "box")
