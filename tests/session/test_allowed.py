"""Answers of allowed tokens only: the mask's bits, what the pipeline then says, and what cannot be followed."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ivl
from engine_driver import one_thread
from exact_pipeline import exact_pipeline
from ivl.errors import EngineError, SettingsError
from ivl.session import Pipeline
from ivl.session.allowed import AllowedTokens
from ivl.types import GenerationConfig, Response

ALLOWED = (35, 36, 37, 64, 301)
GREEDY = GenerationConfig(max_new_tokens=8, ignore_eos=True, allowed_token_ids=ALLOWED)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def pipe(tiny_folder: Callable[[str], Path]) -> Iterator[Pipeline]:
    with exact_pipeline(tiny_folder("tiny-internlm2")) as pipe:
        yield pipe


def bits(mask: AllowedTokens, size: int) -> set[int]:
    words = mask.bitmask()
    assert words.shape == (-(-size // 32),)
    assert words.dtype == torch.int32
    return {32 * at + bit for at, word in enumerate(words.tolist()) for bit in range(32) if word >> bit & 1}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_masks_bits_are_the_allowed_tokens(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 200))
    allowed = data.draw(st.lists(st.integers(0, size - 1), min_size=1))
    mask = AllowedTokens(allowed, set(), size)
    assert bits(mask, size) == set(allowed)
    mask.accept(allowed[0])
    assert bits(mask.copy(), size) == set(allowed)


def oracle(pipe: Pipeline, prompt: str, allowed: tuple[int, ...], count: int) -> tuple[list[int], list[float]]:
    """The best allowed token at each position by whole forward passes, and its log-probability among all tokens."""
    model = ivl.load_model(pipe.folder).double()
    ids, logprobs = pipe.processor(prompt).input_ids, []
    for _ in range(count):
        logits = model(ids, None).logits[-1]
        best = max(sorted(allowed), key=lambda token_id: logits[token_id].item())
        logprobs.append(logits.log_softmax(-1)[best].item())
        ids = torch.cat((ids, torch.tensor([best])))
    return ids[-count:].tolist(), logprobs


def test_the_best_allowed_token_comes_and_its_logprob_is_the_models_own(pipe: Pipeline) -> None:
    response = pipe("Hello", replace(GREEDY, logprobs=1))
    expected, logprobs = oracle(pipe, "Hello", ALLOWED, 8)
    assert list(response.token_ids) == expected
    assert [entry.logprob for entry in response.logprobs] == pytest.approx(logprobs, abs=1e-6)
    # The most likely of all tokens is told, whether it was allowed or not.
    free = pipe("Hello", replace(GREEDY, allowed_token_ids=None, logprobs=1))
    assert response.logprobs[0].top == free.logprobs[0].top


def test_samples_and_several_answers_keep_to_the_allowed(pipe: Pipeline) -> None:
    answers: list[Response] = pipe("Hello", replace(GREEDY, temperature=2.0, random_seed=1, n=4))
    said = [answer.token_ids for answer in answers]
    assert set().union(*said) <= set(ALLOWED)
    assert len(set(said)) > 1


def test_neighbours_in_a_batch_are_as_free_as_before(pipe: Pipeline) -> None:
    free = replace(GREEDY, allowed_token_ids=None)
    alone, bound = pipe("Hello", free), pipe("Hi", GREEDY)
    streams = [pipe.stream(prompt, config) for prompt, config in (("Hello", free), ("Hi", GREEDY))]
    tokens = [tuple(token for piece in stream for token in piece.token_ids) for stream in streams]
    assert tokens == [alone.token_ids, bound.token_ids]


def test_an_allowed_end_token_ends_the_answer(pipe: Pipeline) -> None:
    (end,) = pipe.processor.stop_token_ids
    only_end = GenerationConfig(max_new_tokens=8, allowed_token_ids=(end,))
    assert (pipe("Hello", only_end).text, pipe("Hello", only_end).finish_reason) == ("", "stop")
    response = pipe("Hello", replace(only_end, allowed_token_ids=(end, 36), min_new_tokens=3))
    assert response.token_ids[:3] == (36, 36, 36)
    # Without an end token among them, the answer has its whole length.
    assert pipe("Hello", replace(GREEDY, ignore_eos=False)).finish_reason == "length"


def test_what_cannot_be_followed_is_refused_at_once(pipe: Pipeline) -> None:
    size, (end,) = pipe.config.text.vocab_size, pipe.processor.stop_token_ids
    refused = {
        f"allowed_token_ids holds {size}, which is no token of this model: its ids are 0 to {size - 1}": {
            "allowed_token_ids": (36, size)
        },
        "allowed_token_ids cannot be followed: bad_words, bad_token_ids and min_new_tokens bar every one": {
            "allowed_token_ids": (36, end),
            "bad_token_ids": (36,),
            "min_new_tokens": 1,
        },
    }
    for message, given_settings in refused.items():
        with pytest.raises(SettingsError, match=message):
            pipe("Hello", GenerationConfig(max_new_tokens=4, **given_settings))
    # One of them is left: fine.
    assert pipe("Hello", replace(GREEDY, bad_token_ids=ALLOWED[1:])).token_ids == (ALLOWED[0],) * 8


def test_a_dead_end_in_the_middle_is_told(pipe: Pipeline) -> None:
    word = pipe.processor.tokenizer.decode([36]) * 2
    config = GenerationConfig(max_new_tokens=4, allowed_token_ids=(36,), bad_words=(word,))
    assert tuple(pipe.processor.tokenizer.encode(word)) == (36, 36)
    with pytest.raises(EngineError, match=r"no token is allowed at new token 1.*allowed_token_ids"):
        pipe("Hello", config)
