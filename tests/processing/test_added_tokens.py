"""Cutting texts at added tokens: the longest one, in linear time."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivl.processing.added_tokens import MAX_LENGTH, AddedToken, AddedTokenSplitter, any_of


def split(text, *words, **flags):
    splitter = AddedTokenSplitter(AddedToken(id=i, text=word, **flags) for i, word in enumerate(words))
    return [piece if isinstance(piece, str) else (piece.text,) for piece in splitter.split(text)]


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("", ("<a>",), []),
        ("x", (), ["x"]),
        ("x<a>y", ("<a>",), ["x", ("<a>",), "y"]),
        ("<a><a>", ("<a>",), [("<a>",), ("<a>",)]),
        ("<ab>", ("<a", "<ab>"), [("<ab>",)]),
        ("<ab", ("<a", "<ab>"), [("<a",), "b"]),
        ("aaaa", ("a", "aa", "aaa"), [("aaa",), ("a",)]),
        ("<<a>>", ("<a>", "<"), [("<",), ("<a>",), ">"]),
        ("a.b", ("a.b", "axb"), [("a.b",)]),
        ("a+b", ("a.b",), ["a+b"]),
    ],
)
def test_the_longest_token_is_found(text, words, expected):
    assert split(text, *words) == expected


def test_a_single_word_is_not_found_within_a_word():
    assert split("a word, swords", "word", single_word=True) == ["a ", ("word",), ", swords"]


@settings(derandomize=True)
@given(st.sets(st.text("ab<>", min_size=1, max_size=4), min_size=1, max_size=12), st.text("ab<>", max_size=20))
def test_the_expression_finds_what_a_plain_one_finds(words, text):
    plain = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    assert re.findall(any_of(words), text) == re.findall(plain, text)


def test_tokens_that_are_beginnings_of_each_other_do_not_overflow():
    words = ["a" * length for length in range(1, MAX_LENGTH + 1)]
    assert split("a" * (MAX_LENGTH + 1), *words) == [("a" * MAX_LENGTH,), ("a",)]


def test_many_tokens_take_no_longer_to_look_for():
    words = [f"<|reserved_{index}|>" for index in range(2_000)]
    start = time.perf_counter()
    assert split("<|reserved_" * 50_000, *words) == ["<|reserved_" * 50_000]
    assert time.perf_counter() - start < 5
