"""Sentences are told from bare names in both languages, and the shares add up."""

import pytest

from ivl.evals.item import Prediction
from ivl.evals.style import is_sentence, manner


@pytest.mark.parametrize(
    "text",
    [
        "This is mapo tofu.",
        "The dish is from Sichuan",
        "There are three dumplings.",
        "It's a bowl of noodles",
        "The picture shows a red apple on a table.",
        "I can't see any apple.",
        "Cooks in Sichuan prepare this with pepper.",
        "这是麻婆豆腐。",
        "图中的菜是麻婆豆腐",
        "有三个饺子。",
        "图里没有苹果。",
        "川菜，图中的菜是麻婆豆腐",
        "这道菜属于川菜。",
    ],
)
def test_sentences(text):
    assert is_sentence(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "B",
        "3",
        "three",
        "Mapo tofu",
        "Mapo tofu.",
        "Sweet and sour pork.",
        "Sichuan cuisine",
        "It is",
        "a bowl of beef noodle soup with spring onions",
        "麻婆豆腐",
        "麻婆豆腐。",
        "川菜",
        "是的",
        "有",
        "红色。",
        "西红柿炒鸡蛋。",
        "兰州牛肉拉面配小碟凉菜",
    ],
)
def test_bare_names(text):
    assert not is_sentence(text)


def said(text, num_tokens=3, finish_reason="stop"):
    return Prediction(
        item_id="1", prompt=0, text=text, parsed=None, score=0.0, num_tokens=num_tokens, finish_reason=finish_reason
    )


def test_manner():
    answers = [said("This is mapo tofu.", 6), said("Mapo tofu ", 3), said("这是麻婆豆腐。", 6), said(" ", 1)]
    found = manner([*answers, said("the picture is missing: it could not be opened.", 0, finish_reason="")])
    assert (found.n, found.mean_tokens, found.mean_characters) == (4, 4.0, (18 + 9 + 7) / 4)
    assert (found.style_score, found.bare, found.empty) == (0.5, 0.25, 0.25)


def test_no_answers_have_no_manner():
    with pytest.raises(ValueError, match="none of 1 predictions"):
        manner([said("no such file", finish_reason="")])
