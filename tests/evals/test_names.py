"""Names in sentences: in the plural, inside longer names, and beside the names of other things."""

import pytest

from ivl.evals.item import Item
from ivl.evals.names import longer_names, score_name, with_plurals


def worth(text: str, *answers: str, others: tuple[str, ...] = ()) -> float:
    return score_name(Item(item_id="1", where="a", question="?", answers=answers, others=others), text)[1]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("strawberry", "These are strawberries."),
        ("Strawberry", "STRAWBERRIES"),
        ("peach", "two peaches"),
        ("glass", "glasses"),
        ("box", "boxes"),
        ("tomato", "tomatoes"),
        ("burrito", "burritos"),
        ("rice ball", "rice balls"),
        ("crème brûlée", "Crème brûlées"),
        ("toy", "toys"),
    ],
)
def test_the_plural_of_an_answer_is_right(answer, text):
    assert worth(text, answer) == 1
    assert worth(answer, answer) == 1


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("strawberries", "a strawberry"),
        ("glasses", "glass"),
        ("a", "as far as I see"),
        ("I", "it is"),
        ("go", "it goes"),
        ("berry", "strawberries"),
        ("rice", "It has its prices."),
        ("rice", "ricess"),
        ("ball of rice", "balls of rice"),
        ("7", "7s"),
        ("米", "米s"),
        ("leaf", "leafes"),
    ],
)
def test_other_words_are_not(answer, text):
    expected = float(answer == "米")  # a Chinese name may stand anywhere
    assert worth(text, answer) == expected


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("rice", 1),
        ("It is a rice cracker.", 0),
        ("rice crackers", 0),
        ("Rice, not a rice cracker", 0),
        ("rice crack", 1),
        ("congee", 0),
        ("rice and congee", 0),
    ],
)
def test_names_of_other_things(text, score):
    assert worth(text, "rice", "cooked rice", others=("rice cracker", "Congee")) == score


def test_a_plural_that_is_another_thing():
    assert worth("a pair of glasses", "glass") == 1
    assert worth("a pair of glasses", "glass", others=("glasses",)) == 0
    assert worth("a glass", "glass", others=("glasses",)) == 1
    assert worth("glasses", "glass", "glasses", others=("glasses",)) == 1


def test_plurals_of_names():
    assert with_plurals(["mango", "the fry", "饭团", "sunny-side up"]) == (
        "mango", "the fry", "饭团", "sunny-side up", "mangos", "mangoes", "fries"
    )  # fmt: skip


def test_longer_names_hold_the_shorter_as_words():
    found = longer_names([("rice",), ("rice ball",), ("licorice",), ("Rice cake", "tteok")])
    assert found["rice",] == ("Rice cake", "rice ball")
    assert found["rice ball",] == ()


def test_longer_names_hold_the_shorter_in_the_plural():
    found = longer_names(
        [("dumpling",), ("dumplings soup",), ("french fries", "fries"), ("ebi fry",), ("glass",), ("glasses",)]
    )
    assert found["dumpling",] == ("dumplings soup",)
    assert found["french fries", "fries"] == ("ebi fry",)  # several of which are "ebi fries"
    assert found["glass",] == ("glasses",)
    assert worth("glasses", "glasses", others=found["glasses",]) == 1
