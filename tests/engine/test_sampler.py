"""The sampler: greedy, filters, penalty, seeds, and what it refuses."""

import math

import pytest
import torch

from ivl.engine.request import SamplingParams
from ivl.engine.sampler import Sampler
from ivl.errors import EngineError

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, -3.0])


def draws(count: int, logits: torch.Tensor = LOGITS, **settings: object) -> list[int]:
    params = SamplingParams(max_new_tokens=count, **{"temperature": 1.0, "seed": 7, **settings})
    sampler = Sampler(params, torch.tensor([0]), len(logits))
    return [sampler.choose(logits)[0] for _ in range(count)]


def test_greedy_takes_the_most_likely_token() -> None:
    assert draws(3, temperature=0.0) == [0, 0, 0]


def test_samples_follow_the_softmax() -> None:
    count = 20_000
    tokens = torch.tensor(draws(count)).bincount(minlength=5) / count
    expected = LOGITS.softmax(-1)
    # Four standard deviations of a share estimated from so many draws.
    assert torch.all((tokens - expected).abs() < 4 * (expected * (1 - expected) / count).sqrt())


def test_temperature_sharpens() -> None:
    assert draws(2000, temperature=0.3).count(0) > draws(2000, temperature=2.0).count(0) + 500


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 99}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.6}, {0}),  # the first token alone holds 0.64
        ({"top_p": 0.7}, {0, 1}),
        ({"top_p": 1e-9}, {0}),
        ({"min_p": 0.3}, {0, 1}),  # exp(-1) = 0.37 of the best passes, exp(-2) = 0.14 does not
        ({"min_p": 1.0}, {0}),
        ({"top_k": 3, "min_p": 0.1, "top_p": 0.99}, {0, 1, 2}),
    ],
)
def test_filters_keep_exactly_their_tokens(settings: dict[str, object], allowed: set[int]) -> None:
    assert set(draws(3000, **settings)) == allowed


def test_a_seed_repeats_and_no_seed_varies() -> None:
    assert draws(50, seed=1) == draws(50, seed=1)
    assert draws(50, seed=1) != draws(50, seed=2)
    assert draws(50, seed=None) != draws(50, seed=None)


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits() -> None:
    params = SamplingParams(max_new_tokens=1, repetition_penalty=2.0, logprobs=0)
    sampler = Sampler(params, torch.tensor([0, 3]), 5)
    assert sampler._shape(LOGITS).tolist() == [1.0, 1.0, 0.0, -2.0, -3.0]
    sampler.choose(torch.tensor([0.0, 5.0, 0.0, 0.0, 0.0]))
    assert sampler._shape(LOGITS).tolist() == [1.0, 0.5, 0.0, -2.0, -3.0]


def test_no_end_token_before_min_new_tokens() -> None:
    params = SamplingParams(max_new_tokens=9, min_new_tokens=2, stop_token_ids=frozenset({0}))
    sampler = Sampler(params, torch.tensor([1]), 5)
    assert [sampler.choose(LOGITS)[0] for _ in range(3)] == [1, 1, 0]


def test_logprobs_are_the_models_own() -> None:
    params = SamplingParams(max_new_tokens=1, temperature=0.5, top_k=1, logprobs=2)
    _, entry = Sampler(params, torch.tensor([0]), 5).choose(LOGITS)
    expected = LOGITS.log_softmax(-1).tolist()
    assert entry is not None
    assert entry.logprob == pytest.approx(expected[0])
    assert [token for token, _ in entry.top] == [0, 1]
    assert entry.top[1][1] == pytest.approx(expected[1])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_fail_the_request(bad: float) -> None:
    logits = LOGITS.clone()
    logits[2] = bad
    with pytest.raises(EngineError, match="not finite at new token 0"):
        draws(1, logits)
