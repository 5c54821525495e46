"""Texts that mean the same are the same, others are not, and each measure has its paper's numbers."""

import random
import time

import pytest

from ivl.evals.texts import (
    anls,
    edit_distance,
    exact_match,
    find_names,
    mention,
    normalise,
    relaxed_accuracy,
    vqa_accuracy,
    vqa_normalise,
)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Mapo Tofu", "mapo tofu"),
        ("  mapo \n tofu. ", "mapo tofu"),
        ("The mapo tofu!", "mapo tofu"),
        ("**An apple**", "apple"),
        ("“麻婆豆腐”。", "麻婆豆腐"),
        ("麻婆 豆腐", "麻婆豆腐"),
        ("《Ｍａｐｏ》", "mapo"),
        ("（３）", "3"),
        ("A", "a"),
        ("a.", "a"),
        ("the", "the"),
        ("another", "another"),
        (".5", ".5"),
        ("5.", "5"),
        ("-5", "-5"),
        ("50%", "50%"),
        ("$5", "$5"),
        ("C#", "c#"),
        ("rock 'n' roll", "rock 'n' roll"),
        ("Straße", "strasse"),
        ("...", "..."),
        ("", ""),
    ],
)
def test_normalise(text, normal):
    assert normalise(text) == normal
    assert normalise(normal) == normal


def test_exact_match():
    assert exact_match("The Mapo tofu.", ["egg", "mapo tofu"]) == 1.0
    assert exact_match("It is mapo tofu.", ["mapo tofu"]) == 0.0
    assert exact_match("", ["mapo tofu"]) == 0.0
    assert exact_match("麻婆豆腐。", ["麻婆豆腐"]) == 1.0


@pytest.mark.parametrize(
    ("text", "answers", "rivals", "score"),
    [
        ("This is mapo tofu.", ["mapo tofu"], (), 1),
        ("This is Mapo  Tofu, from Sichuan", ["Mapo tofu"], ("egg",), 1),
        ("图中的菜是麻婆豆腐。", ["麻婆豆腐"], ("豆腐",), 1),
        ("这是麻婆 豆腐", ["麻婆豆腐"], (), 1),
        ("It is mapo tofu", ["tofu"], ("mapo tofu",), 0),
        ("It is tofu", ["tofu"], ("mapo tofu",), 1),
        ("mapo tofu or egg", ["mapo tofu"], ("egg",), 0),
        ("mapo tofu or bean curd", ["mapo tofu", "bean curd"], (), 1),
        ("dumplings", ["dumpling"], (), 0),
        ("a price", ["rice"], (), 0),
        ("这是tofu吗", ["tofu"], (), 1),
        ("a dish", ["mapo tofu"], (), 0),
        ("", ["mapo tofu"], (), 0),
        ("mapo tofu", ["mapo tofu"], ("Mapo tofu",), 1),
        ("C++ code", ["c++"], (), 1),
    ],
)
def test_mention(text, answers, rivals, score):
    assert mention(text, answers, rivals) == score


def test_names_are_found_longest_first_and_in_a_moment():
    assert find_names("Tofu, mapo tofu and eggs", ["tofu", "mapo tofu", "egg"]) == [(0, 4, 0), (6, 15, 1)]
    started = time.perf_counter()
    assert len(find_names("辣" * 20_000, ["辣"])) == 20_000
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Yes.", "yes"),
        ("the two dogs", "2 dogs"),
        ("None", "0"),
        ("dont", "don't"),
        ("Wont", "won't"),
        ("red, blue", "red blue"),
        ("red,blue", "red blue"),
        ("1,000", "1000"),
        ("blue/green", "blue green"),
        ("3.5 m.", "3.5 m"),
        ("It's", "it's"),
        ("a\ncat", "cat"),
        ("T-shirt", "t shirt"),
        ("shell", "shell"),
    ],
)
def test_vqa_normalise(text, normal):
    assert vqa_normalise(text) == normal


@pytest.mark.parametrize(("matching", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_vqa_accuracy_of_ten_people(matching, score):
    assert vqa_accuracy("Two", ["2"] * matching + ["5"] * (10 - matching)) == pytest.approx(score)


def test_vqa_accuracy_of_a_list_of_right_answers():
    assert vqa_accuracy("the sofa", ["couch", "sofa"]) == 1.0
    assert vqa_accuracy("bed", ["couch", "sofa"]) == 0.0
    assert vqa_accuracy("bed", ["bed"]) == 1.0


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("麻婆豆腐", "麻辣豆腐", 1)],
)
def test_edit_distance(one, other, distance):
    assert edit_distance(one, other) == edit_distance(other, one) == distance


@pytest.mark.parametrize(
    ("text", "answers", "score"),
    [
        ("kitten", ["kitten"], 1.0),
        ("KITTEN ", ["kitten"], 1.0),
        ("mitten", ["kitten", "dog"], 5 / 6),
        ("ab", ["ac"], 0.0),  # a distance of exactly half
        ("abc", ["abd"], 2 / 3),
        ("dog", ["kitten"], 0.0),
        ("", ["kitten"], 0.0),
        ("two  words", ["two words"], 1.0),
    ],
)
def test_anls(text, answers, score):
    assert anls(text, answers) == pytest.approx(score)


def test_a_long_answer_is_compared_in_a_moment():
    started = time.perf_counter()
    assert anls("x" * 1_000_000, ["kitten"]) == 0.0
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("text", "answer", "score"),
    [
        ("100", "100", 1),
        ("105", "100", 1),
        ("95", "100", 1),
        ("105.1", "100", 0),
        ("94.9", "100", 0),
        ("-100", "100", 0),
        ("45%", "0.45", 1),
        ("45%", "44%", 1),
        ("45%", "45", 0),
        ("1,234", "1234", 1),
        ("1,234", "1.234", 0),
        ("12,34", "1234", 0),
        ("100.", "100", 1),
        ("0", "0", 1),
        ("0.0", "0", 1),
        ("0.01", "0", 0),
        ("1e3", "1000", 1),
        ("nan", "nan", 1),
        ("inf", "1e999", 0),
        ("Yes", "yes", 1),
        ("Blue.", "blue", 1),
        ("light blue", "blue", 0),
        ("2019", "1990", 1),
        ("", "5", 0),
        ("-", "-", 1),
    ],
)
def test_relaxed_accuracy(text, answer, score):
    assert relaxed_accuracy(text, [answer]) == score


def test_no_measure_fails_on_any_text():
    rng = random.Random(0)
    marks = "aA1 .,-+%e'\"\n麻婆（）。\u0301\u200b\x00🍜١"
    for _ in range(500):
        one, other = ("".join(rng.choices(marks, k=rng.randint(0, 8))) for _ in range(2))
        for measure in (exact_match, mention, vqa_accuracy, anls, relaxed_accuracy):
            assert 0.0 <= measure(one, [other]) <= 1.0
            if measure is not mention:
                assert measure(one, [one]) == 1.0, (measure, one)
