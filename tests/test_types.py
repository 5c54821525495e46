"""The settings: what they allow, what they refuse, and how soon."""

import math
import time
from dataclasses import fields

import pytest

from ivl.errors import SettingsError, shown
from ivl.types import EngineConfig, GenerationConfig, Response

NUMBERS = (
    "max_new_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty",
    "random_seed", "min_new_tokens", "n", "logprobs",
)  # fmt: skip
BAD_NUMBERS = [math.nan, math.inf, -math.inf, float("1e400"), -1, 10**400, 10**5000, True, "1", [1], {}]


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


def refused(**settings: object) -> str:
    """The message, which is one line, short and quick."""
    begin = time.perf_counter()
    with pytest.raises(SettingsError) as caught:
        GenerationConfig(**settings)  # type: ignore[arg-type]
    # Milliseconds; the bound leaves room for a busy machine.
    assert time.perf_counter() - begin < 0.5
    message = str(caught.value)
    assert len(message) < 400
    assert "\n" not in message
    assert "0x" not in message
    return message


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", BAD_NUMBERS, ids=lambda value: shown(value)[:20])
def test_a_number_that_is_none_is_refused(name: str, value: object) -> None:
    assert refused(**{name: value}).startswith(f"{name}=")


@pytest.mark.parametrize("name", ["max_new_tokens", "temperature", "top_p", "min_p", "repetition_penalty", "n"])
def test_a_number_far_too_large_is_refused(name: str) -> None:
    assert f"{name}=1000000000000" in refused(**{name: 10**12})


def test_every_number_field_is_tried() -> None:
    kinds = {f.name for f in fields(GenerationConfig) if str(f.type).split(" ")[0] in {"int", "float"}}
    assert kinds == set(NUMBERS)


def test_answers_are_bounded() -> None:
    assert GenerationConfig(n=128).n == 128
    assert "1 to 128 answers" in refused(n=129)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stop_words": ["a"] * 65}, "stop_words holds 65 entries: at most 64 are allowed"),
        ({"stop_words": [""]}, "stop_words holds ''"),
        ({"stop_words": ["x" * 1001]}, "at most 1,000 characters"),
        ({"stop_words": ["\ud800"]}, "surrogate"),
        ({"stop_words": [7]}, "stop_words holds 7"),
        ({"stop_words": 7}, "stop_words=7 is not allowed: a list is needed"),
        ({"stop_words": {"a": 1}}, "a list is needed"),
        ({"stop_words": [nested(50_000)]}, "stop_words holds [["),
        ({"bad_words": ["a"] * 1025}, "at most 1,024"),
        ({"bad_words": [None]}, "bad_words holds None"),
        ({"bad_token_ids": [-1]}, "a token of bad_token_ids=-1"),
        ({"bad_token_ids": [2**31]}, "a token of bad_token_ids"),
        ({"bad_token_ids": [True]}, "a token of bad_token_ids"),
        ({"bad_token_ids": list(range(10**6))}, "1000000 entries"),
        ({"stop_token_ids": ["2"]}, "a token of stop_token_ids='2'"),
        ({"stop_token_ids": 2}, "stop_token_ids=2 is not allowed: a list is needed"),
        ({"allowed_token_ids": []}, "allowed_token_ids=() is not allowed: no token could come"),
        ({"allowed_token_ids": [True]}, "a token of allowed_token_ids=True"),
        ({"allowed_token_ids": [-1]}, "a token of allowed_token_ids=-1"),
        ({"allowed_token_ids": 3}, "allowed_token_ids=3 is not allowed: a list is needed"),
        (
            {"allowed_token_ids": range(2**18 + 1)},
            "allowed_token_ids=range(0, 262145) is not allowed: a list is needed",
        ),
        ({"allowed_token_ids": list(range(2**18 + 1))}, "at most 262,144 are allowed"),
        ({"allowed_token_ids": [1], "regex": "a"}, "regex and allowed_token_ids are given"),
        ({"allowed_token_ids": [1], "choice": ["a"]}, "choice and allowed_token_ids are given"),
        ({"choice": [""]}, "choice holds ''"),
        ({"choice": ["a"] * 1025}, "choice holds 1025 entries"),
        ({"regex": ""}, "regex holds ''"),
        ({"regex": "a" * 10_001}, "regex holds"),
        ({"regex": 5}, "regex holds 5"),
        ({"do_sample": "yes"}, "do_sample='yes'"),
        ({"ignore_eos": None}, "ignore_eos=None"),
        ({"regex": "a", "choice": ["b"]}, "choice and regex are given"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "0 to max_new_tokens"),
    ],
    ids=lambda value: shown(value)[:50],
)
def test_a_bad_value_is_refused_by_name(settings: dict[str, object], said: str) -> None:
    assert said in refused(**settings)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("json_object", "needs a 'type': one of text, "),
        ({}, "json_object, json_schema, regex_schema"),
        ({"type": "json"}, "{'type': 'json'}"),
        ({"type": ["text"]}, "needs a 'type': one of text, "),
        ({"type": "text" * 10**6}, "needs a 'type': one of text, "),
        ({"type": "json_object", "schema": {}}, "unknown key 'schema'"),
        ({"type": "json_schema"}, '"schema": {...}'),
        ({"type": "json_schema", "json_schema": {"type": "object"}}, '"schema": {...}'),
        ({"type": "json_schema", "json_schema": "{}"}, '"schema": {...}'),
        ({"type": "regex_schema"}, "regex_schema holds None"),
        ({"type": "regex_schema", "regex_schema": "x" * 10_001}, "at most 10,000"),
    ],
    ids=lambda value: shown(value)[:50],
)
def test_a_bad_response_format_is_refused(value: object, said: str) -> None:
    assert said in refused(response_format=value)


@pytest.mark.parametrize(
    "value",
    [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "dish", "schema": {"type": "object"}}},
        {"type": "regex_schema", "regex_schema": "[A-D]"},
    ],
)
def test_the_known_response_formats_are_taken(value: dict[str, object]) -> None:
    assert GenerationConfig(response_format=value).response_format == value


def test_lists_become_tuples_and_empty_ones_are_off() -> None:
    config = GenerationConfig(stop_words="a", bad_words=["b"], stop_token_ids=[2], choice=[], bad_token_ids=())  # type: ignore[arg-type]
    assert (config.stop_words, config.bad_words, config.stop_token_ids) == (("a",), ("b",), (2,))
    assert config.choice is None
    assert config.bad_token_ids is None
    assert hash(config) == hash(GenerationConfig(stop_words=("a",), bad_words=("b",), stop_token_ids=(2,)))


@pytest.mark.parametrize(
    "name",
    [
        "session_len", "max_batch_size", "block_size", "max_prefill_token_num", "tp", "vision_cache_bytes",
        "cache_max_entry_count",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", BAD_NUMBERS, ids=lambda value: shown(value)[:20])
def test_the_engines_numbers_are_checked(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"^{name}="):
        EngineConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [{"quantization": "int4"}, {"quantization": 8}, {"dtype": "float8"}, {"device": 0}, {"enable_prefix_caching": 1}],
    ids=str,
)
def test_the_engines_words_are_checked(settings: dict[str, object]) -> None:
    (name,) = settings
    with pytest.raises(SettingsError, match=f"^{name}="):
        EngineConfig(**settings)  # type: ignore[arg-type]


def test_what_the_engine_allows() -> None:
    config = EngineConfig(quantization="int8", block_size=7, cache_max_entry_count=1)
    assert (config.quantization, config.block_size) == ("int8", 7)


def test_a_response_is_the_first_answer_unless_told() -> None:
    assert Response(text="").index == 0
