"""Two answers as HTML: escaped, with marks around what differs, the same told in words."""

from ivl.ui.compare_view import Side, view
from ivl.ui.models import Counts
from ivl.ui.words import Words

COUNTS = Counts(prompt_tokens=3, answer_tokens=11, finish_reason="stop", first_s=0.5, total_s=1.5, tiles=1)


def shown(left: str, right: str, **more: object) -> str:
    sides = [Side(name="a", text=left, counts=COUNTS), Side(name="b", text=right, counts=COUNTS)]
    return view(sides, Words(), "en")


def test_only_what_differs_is_marked():
    html = shown("two burgers and a dog", "three burgers and a dog")
    assert "<mark>two </mark>burgers and a dog" in html
    assert "<mark>three </mark>burgers and a dog" in html
    assert "underlined" in html
    assert "两<mark>个</mark>汉堡和狗" in shown("两个汉堡和狗", "两汉堡和狗")


def test_the_same_answers_are_told_so():
    html = shown("the same", "the same ")
    assert "<mark>" not in html
    assert "Both say the same." in html


def test_answers_with_little_in_common_have_no_marks():
    assert "<mark>" not in shown("one two three four", "five six seven four")
    assert "<mark>" not in shown("a " * 2000, "a " * 1999)


def test_nothing_a_model_says_runs():
    html = shown("<script>alert(1)</script> same words here", "<img src=x onerror=y> same words here")
    assert "<script" not in html
    assert "<img" not in html


def test_a_growing_answer_has_no_table_and_tells_nothing_yet():
    html = view([Side(name="a", text="o"), Side(name="b")], Words(), "en")
    assert "<table" not in html
    assert '<p class="ivl-compare-status" role="status"></p>' in html
    assert html.count('aria-busy="true"') == 2


def test_the_rate_leaves_the_first_token_out():
    assert "<td>10.0</td>" in shown("x", "y")


def test_an_empty_view_says_what_will_be_there():
    assert "side by side" in view([], Words(), "en")
