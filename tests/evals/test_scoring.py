"""Each metric reads and scores an answer its own way; what cannot be read is None and 0, never a guess."""

from typing import get_args

import pytest

from ivl.errors import DataError
from ivl.evals.item import Asked, EvalSet, Item, Metric, Prediction
from ivl.evals.scoring import check_item, rescore, score

BOX = "[[100, 100, 300, 300]]"


def item(*answers, choices=(), item_id="1", **more):
    return Item(item_id=item_id, where="food.jsonl:3", question="What is it?", answers=answers, choices=choices, **more)


def eval_set(metric, *items):
    return EvalSet(name="made", title="Made", items=items, metric=metric, ask=lambda item, prompt: Asked(messages=()))


def scored(metric, one, text):
    return score(eval_set(metric, one), one, text)


@pytest.mark.parametrize(
    ("metric", "one", "text", "parsed", "worth"),
    [
        ("choice", item("B", choices=("egg", "tofu")), "The answer is (B).", "B", 1.0),
        ("choice", item("B", choices=("egg", "tofu")), "egg", "A", 0.0),
        ("choice", item("B", choices=("egg", "tofu")), "C", None, 0.0),
        ("choice", item("B", choices=("egg", "tofu")), "A or B", None, 0.0),
        ("exact", item("mapo tofu", "tofu"), "The Tofu.", "tofu", 1.0),
        ("exact", item("tofu"), "It is tofu.", "it is tofu", 0.0),
        ("contains", item("tofu"), "It is tofu.", "it is tofu", 1.0),
        ("contains", item("tofu", others=("tofu soup",)), "It is tofu soup.", "it is tofu soup", 0.0),
        ("vqa", item(*["two"] * 3, *["3"] * 7), "the 2", "2", 0.9),
        ("vqa", item("", *["two"] * 9), "2", "2", 1.0),
        ("anls", item("kitten"), " mitten\n", "mitten", 5 / 6),
        ("relaxed", item("100"), "104", "104", 1.0),
        ("iou", item(BOX), "<ref>it</ref><box>[[100, 100, 300, 200]]</box>", "[[100, 100, 300, 200]]", 1.0),
        ("iou", item(BOX), "[100, 100, 300, 199]", "[[100, 100, 300, 199]]", 0.0),
        ("iou", item("[[0, 0, 9, 9]]", BOX), BOX, BOX, 1.0),
        ("iou", item("[[0, 0, 9, 9], [100, 100, 300, 300]]"), BOX, BOX, 2 / 3),
        ("iou", item(BOX), "[[100, 100, 300]]", None, 0.0),
        ("cider", item("an apple"), "An apple.", "an apple", 0.0),
    ],
)
def test_every_metric(metric, one, text, parsed, worth):
    assert scored(metric, one, text) == (parsed, pytest.approx(worth))


@pytest.mark.parametrize("metric", get_args(Metric))
@pytest.mark.parametrize("text", ["", "  \n"])
def test_nothing_said_is_nothing_read(metric, text):
    one = {"choice": item("A", choices=("egg", "tofu")), "iou": item(BOX)}.get(metric, item("tofu"))
    assert scored(metric, one, text) == (None, 0.0)


@pytest.mark.parametrize(
    ("metric", "one", "message"),
    [
        ("exact", item(), "an answer is missing or empty"),
        ("exact", item("tofu", " "), "an answer is missing or empty"),
        ("vqa", item("", " "), "an answer is missing or empty"),
        ("choice", item("A", choices=("egg",)), "1 choices; 2 to 26"),
        ("choice", item("C", choices=("egg", "tofu")), "'C' is no choice; allowed: one letter of AB"),
        ("choice", item("b", choices=("egg", "tofu")), "'b' is no choice"),
        ("choice", item("AB", choices=("egg", "tofu")), "'AB' is no choice"),
        ("iou", item("[[1, 2, 3]]"), "no list of boxes"),
        ("iou", item(BOX, "[[1, 2, 3, 1004]]"), "no list of boxes"),
    ],
)
def test_an_item_that_no_answer_fits_is_told_with_its_place(metric, one, message):
    with pytest.raises(DataError, match=message) as caught:
        scored(metric, one, "tofu")
    assert str(caught.value).startswith("food.jsonl:3: ")
    assert caught.value.rule
    with pytest.raises(DataError, match=message):
        check_item(metric, one)


def said(item_id, text, parsed="read", score=0.0):
    return Prediction(item_id=item_id, prompt=0, text=text, parsed=parsed, score=score, finish_reason="stop")


def test_captions_are_scored_with_the_whole_set():
    items = [item(text, item_id=text[0]) for text in ("a red apple", "two bowls of soup", "our dog sleeps well")]
    made = eval_set("cider", *items)
    answers = [said("t", "two bowls of soup"), said("a", "A red apple!")]
    worth = rescore(made, answers)
    assert worth == pytest.approx([10.0, 7.5])  # three words have no n-gram of four
    assert rescore(made, answers[:1]) == worth[:1]


def test_a_caption_that_was_not_given_has_nothing():
    items = [item(text, item_id=text[0]) for text in ("a red apple", "two bowls of soup")]
    assert rescore(eval_set("cider", *items), [said("a", "a red apple", parsed=None)]) == [0.0]


def test_other_scores_stay_as_they_are():
    assert rescore(eval_set("exact", item("tofu")), [said("1", "tofu", score=1.0)]) == [1.0]


def test_a_strangers_prediction_is_told():
    with pytest.raises(ValueError, match="made has no item 'x'"):
        rescore(eval_set("cider", item("tofu")), [said("x", "tofu")])
