"""Scores of a set: on the scale of its metric, and of each value of each tag."""

from dataclasses import replace

import pytest

from evals.made_results import choice_item, make_set
from ivl.evals.intervals import wilson
from ivl.evals.predictions import Answer
from ivl.evals.results import set_result


def answered(eval_set, *texts):
    answers = [
        Answer(item_id=item.item_id, prompt=0, asked="", text=text, num_tokens=1, finish_reason="stop")
        for item, text in zip(eval_set.items, texts, strict=True)
    ]
    return set_result("a", eval_set, eval_set, [answers])


def test_captions_end_at_ten():
    items = tuple(
        choice_item(number, choices=(), answers=(f"a dish of {word} on a large table",), tags=())
        for number, word in enumerate(("soup", "rice", "tofu", "fish"))
    )
    (score,) = answered(make_set("s", items, "cider"), *["nothing"] * 4).scores
    assert (score.mean, score.low, score.high) == (0, 0, pytest.approx(10 * wilson(0, 4)[1]))
    (score,) = answered(make_set("s", items, "cider"), *[item.answers[0] for item in items]).scores
    assert (score.mean, score.high) == (pytest.approx(10), pytest.approx(10))


def test_slices_stand_by_their_tags():
    tags = [("style", "ink"), ("dish", "soup")], [("style", "oil"), ("dish", "rice")], [("style", "ink")]
    items = tuple(replace(choice_item(number), tags=tuple(each)) for number, each in enumerate(tags))
    slices = answered(make_set("s", items), "A", "A", "C").slices
    assert [(tag, value, score.mean, score.n) for tag, value, score in slices] == [
        ("style", "ink", 1.0, 2),
        ("style", "oil", 0.0, 1),
        ("dish", "soup", 1.0, 1),
        ("dish", "rice", 0.0, 1),
    ]
