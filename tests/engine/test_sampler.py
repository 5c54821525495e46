"""The sampler: greedy, filters, penalty, bars, masks, seeds, what it refuses; and no row knows its neighbours."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_driver import one_thread
from ivl.engine import drawing
from ivl.engine.request import SamplingParams
from ivl.engine.sampler import Choice, SamplingState, choose
from ivl.errors import EngineError, InputError

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, -3.0])
PROMPT = torch.tensor([0])
BIG = 1500


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """These tensors are small: on a busy machine threads would only wait for each other."""
    with one_thread():
        yield


class OnlyThese:
    """A token mask that always allows the same tokens."""

    def __init__(self, allowed: Sequence[int], size: int) -> None:
        self.words = torch.zeros(-(-size // 32), dtype=torch.int64)
        for token_id in allowed:
            self.words[token_id // 32] |= 1 << token_id % 32
        self.accepted: list[int] = []

    def bitmask(self) -> torch.Tensor:
        return (self.words - (self.words >> 31 << 32)).to(torch.int32)

    def accept(self, token_id: int) -> None:
        self.accepted.append(token_id)


class Broken(OnlyThese):
    """A token mask that raises."""

    def __init__(self, at: str, error: Exception) -> None:
        super().__init__([0], len(LOGITS))
        self.at, self.error = at, error

    def bitmask(self) -> torch.Tensor:
        if self.at == "bitmask":
            raise self.error
        return super().bitmask()

    def accept(self, token_id: int) -> None:
        raise self.error


def state(prompt: torch.Tensor = PROMPT, mask: object = None, **given_settings: Any) -> SamplingState:
    params = SamplingParams(**{"max_new_tokens": 9, "seed": 7, **given_settings})
    return SamplingState(params, prompt, mask)  # type: ignore[arg-type]


def one(logits: torch.Tensor, of: SamplingState) -> Choice:
    (choice,) = choose(logits[None], [of])
    return choice


def draws(count: int, logits: torch.Tensor = LOGITS, **given_settings: Any) -> list[int]:
    of = state(**{"temperature": 1.0, **given_settings})
    return [one(logits, of).token_id for _ in range(count)]


def many_draws(count: int, logits: torch.Tensor = LOGITS, **given_settings: Any) -> list[int]:
    """One draw each of `count` requests with seeds of their own, in one step."""
    states = [state(**{"temperature": 1.0, **given_settings, "seed": seed}) for seed in range(count)]
    return [choice.token_id for choice in choose(logits.expand(count, -1), states)]


def test_greedy_takes_the_most_likely_token() -> None:
    assert draws(3, temperature=0.0) == [0, 0, 0]


def test_samples_follow_the_softmax() -> None:
    count = 20_000
    tokens = torch.tensor(many_draws(count)).bincount(minlength=5) / count
    expected = LOGITS.softmax(-1)
    # Four standard deviations of a share estimated from so many draws.
    assert torch.all((tokens - expected).abs() < 4 * (expected * (1 - expected) / count).sqrt())


def test_filtered_samples_follow_the_softmax_of_what_is_left() -> None:
    count = 20_000
    tokens = torch.tensor(many_draws(count, top_k=3)).bincount(minlength=5)[:3] / count
    expected = LOGITS[:3].softmax(-1)
    assert torch.all((tokens - expected).abs() < 4 * (expected * (1 - expected) / count).sqrt())


def test_temperature_sharpens() -> None:
    assert many_draws(2000, temperature=0.3).count(0) > many_draws(2000, temperature=2.0).count(0) + 500


@pytest.mark.parametrize("temperature", [5e-324, 1e-30, 1e-3])
def test_a_tiny_temperature_is_greedy(temperature: float) -> None:
    assert draws(20, temperature=temperature) == [0] * 20


@pytest.mark.parametrize(
    ("given_settings", "allowed"),
    [
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 99}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.6}, {0}),  # the first token alone holds 0.64
        ({"top_p": 0.7}, {0, 1}),
        ({"top_p": 1e-9}, {0}),
        ({"min_p": 0.3}, {0, 1}),  # exp(-1) = 0.37 of the best passes, exp(-2) = 0.14 does not
        ({"min_p": 1.0}, {0}),
        ({"top_k": 3, "min_p": 0.1, "top_p": 0.99}, {0, 1, 2}),
        ({"top_k": 2, "top_p": 0.8}, {0, 1}),  # of two the first holds 0.73: top-p is a share of what top-k left
        ({"top_k": 2, "top_p": 0.7}, {0}),
    ],
)
def test_filters_keep_exactly_their_tokens(given_settings: dict[str, Any], allowed: set[int]) -> None:
    assert set(many_draws(3000, **given_settings)) == allowed


def test_of_equal_tokens_the_lower_ids_are_kept() -> None:
    assert set(many_draws(200, torch.zeros(5), top_k=2)) == {0, 1}


def test_a_seed_repeats_and_no_seed_varies() -> None:
    assert draws(50, seed=1) == draws(50, seed=1)
    assert draws(50, seed=1) != draws(50, seed=2)
    assert draws(50, seed=None) != draws(50, seed=None)


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits() -> None:
    # Penalised by 2, tokens 0 and 3 become 1 and -2; then 4, once chosen, falls from 1.5 to 0.75.
    logits = torch.tensor([2.0, -9.0, 0.9, -1.0, 1.5])
    of = state(torch.tensor([0, 3]), repetition_penalty=2.0)
    assert [one(logits, of).token_id for _ in range(3)] == [4, 0, 0]
    only = state(torch.tensor([0, 3]), OnlyThese([1, 3], 5), repetition_penalty=10.0)
    assert one(logits, only).token_id == 1


def test_a_prompt_token_beyond_the_vocabulary_is_no_fault() -> None:
    assert one(LOGITS, state(torch.tensor([0, 99]), repetition_penalty=5.0)).token_id == 1


def test_no_end_token_before_min_new_tokens() -> None:
    of = state(min_new_tokens=2, stop_token_ids=frozenset({0, 99}))
    assert [one(LOGITS, of).token_id for _ in range(3)] == [1, 1, 0]


def test_bad_tokens_and_bad_sequences_do_not_come() -> None:
    of = state(bad_token_ids=((0,), (1, 1), (1, 2, 1), (99,)))
    # 0 never; 1 not after 1; and 1, 2, 1 not as a whole.
    assert [one(LOGITS, of).token_id for _ in range(5)] == [1, 2, 2, 1, 2]


def test_a_token_mask_leaves_only_its_tokens() -> None:
    mask = OnlyThese([2, 40, 69], 70)
    logits = torch.linspace(5, 0, 70)
    assert one(logits, state(mask=mask)).token_id == 2
    assert mask.accepted == [2]
    states = [state(mask=OnlyThese([2, 31, 40, 63, 69], 70), temperature=9.0, seed=seed) for seed in range(300)]
    assert {choice.token_id for choice in choose(logits.expand(300, -1), states)} == {2, 31, 40, 63, 69}


def test_logits_of_others_stay_what_they_are() -> None:
    logits = torch.stack([LOGITS, LOGITS])
    choose(logits, [state(bad_token_ids=((0,),), repetition_penalty=3.0), state(mask=OnlyThese([4], 5))])
    assert torch.equal(logits, torch.stack([LOGITS, LOGITS]))


def test_logprobs_are_the_models_own() -> None:
    entry = one(LOGITS, state(temperature=0.5, top_k=1, logprobs=2)).logprob
    expected = LOGITS.log_softmax(-1).tolist()
    assert entry is not None
    assert entry.token_id == 0
    assert entry.logprob == pytest.approx(expected[0])
    assert [token for token, _ in entry.top] == [0, 1]
    assert entry.top[1][1] == pytest.approx(expected[1])
    barred = one(LOGITS, state(bad_token_ids=((0,),), logprobs=0)).logprob
    assert barred is not None
    assert (barred.token_id, barred.top) == (1, ())
    assert barred.logprob == pytest.approx(expected[1])


def test_only_rows_that_ask_get_logprobs() -> None:
    choices = choose(LOGITS.expand(3, -1), [state(), state(logprobs=20), state(temperature=1.0)])
    assert [choice.logprob is None for choice in choices] == [True, False, True]
    assert choices[1].logprob is not None
    assert len(choices[1].logprob.top) == 5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(
    "kind", [{}, {"temperature": 1.0}, {"top_p": 0.9, "temperature": 1.0}, {"logprobs": 3}], ids=str
)
def test_logits_that_are_not_finite_fail_their_row_alone(bad: float, kind: dict[str, Any]) -> None:
    logits = torch.stack([LOGITS] * 3)
    logits[1, 2] = bad
    states = [state(**kind) for _ in range(3)]
    first, broken, last = choose(logits, states)
    assert isinstance(broken.error, EngineError)
    assert "not finite at new token 0" in str(broken.error)
    assert first == last == one(LOGITS, state(**kind))
    assert [len(each.generated) for each in states] == [1, 0, 1]


def test_a_row_for_which_nothing_is_allowed_fails_alone() -> None:
    states = [
        state(),
        state(mask=OnlyThese([1], 5), bad_token_ids=((1,),)),
        state(mask=OnlyThese([], 5), temperature=1.0),
    ]
    fine, *failed = choose(LOGITS.expand(3, -1), states)
    assert fine.token_id == 0
    assert all("no token is allowed at new token 0" in str(each.error) for each in failed)


@pytest.mark.parametrize("at", ["bitmask", "accept"])
def test_a_mask_that_raises_fails_its_row_alone(at: str) -> None:
    ours, other = InputError("too complex"), ValueError("oh")
    states = [state(mask=Broken(at, ours)), state(), state(mask=Broken(at, other))]
    first, fine, last = choose(LOGITS.expand(3, -1), states)
    assert first.error is ours
    assert isinstance(last.error, EngineError)
    assert last.error.__cause__ is other
    assert fine == Choice(token_id=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_dtype_is_taken(dtype: torch.dtype) -> None:
    states = [state(), state(repetition_penalty=1.5), state(temperature=0.5, top_p=0.5), state(logprobs=1)]
    assert [choice.token_id for choice in choose(LOGITS.to(dtype).expand(4, -1), states)] == [0, 0, 0, 0]


def test_float64_is_not_cast_down() -> None:
    logits = torch.tensor([1.0, 1.0 + 1e-12], dtype=torch.float64)
    kinds: list[dict[str, Any]] = [{}, {"bad_token_ids": ((9,),)}, {"temperature": 1e-14, "top_k": 1}]
    assert [one(logits, state(**kind)).token_id for kind in kinds] == [1, 1, 1]


def test_no_rows_are_no_fault() -> None:
    assert choose(torch.empty(0, 5), []) == []


def reference(logits: torch.Tensor, params: SamplingParams, uniform: float) -> int:
    """The filters in plain Python, over all tokens in sorted order."""
    scaled = ((logits - logits.max()) / params.temperature).tolist()
    order = sorted(range(len(scaled)), key=lambda token_id: -scaled[token_id])
    weights = [math.exp(scaled[token_id]) for token_id in order]
    if params.top_k:
        weights = weights[: params.top_k]
    total, before, kept = sum(weights), 0.0, []
    for weight in weights:
        if not kept or (before < params.top_p * total and weight >= params.min_p * weights[0]):
            kept.append(weight)
        before += weight
    target = uniform * sum(kept)
    for token_id, weight in zip(order, kept, strict=False):
        target -= weight
        if target < 0:
            return token_id
    return order[len(kept) - 1]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.05, 0.7, 1.0, 3.0, 50.0]),
    st.sampled_from([0, 1, 50, 1023, 1024, 1025, 1400, BIG]),
    st.sampled_from([0.1, 0.5, 0.9, 0.999, 1.0]),
    st.sampled_from([0.0, 0.05, 0.9]),
)
def test_filters_equal_a_plain_loop_over_all_tokens(seed: int, temperature: float, k: int, p: float, m: float) -> None:
    if not k and p == 1.0 and not m:
        return
    logits = torch.randn(BIG, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3
    params = SamplingParams(max_new_tokens=1, temperature=temperature, top_k=k, top_p=p, min_p=m, seed=seed)
    uniform = torch.rand((), generator=torch.Generator().manual_seed(seed), dtype=torch.float64).item()
    assert one(logits, SamplingState(params, PROMPT)).token_id == reference(logits, params, uniform)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 3, 1000]), st.booleans())
def test_the_first_candidates_give_what_the_full_sort_gives(seed: int, levels: int, is_flat: bool) -> None:
    """Also where many logits are equal, as in bfloat16."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(12, BIG, generator=generator) * (0.1 if is_flat else 4)
    logits = (logits * levels).round() / levels
    kinds = [{"top_k": k, "top_p": p, "min_p": m} for k in (0, 40, 1024) for p in (0.6, 0.99) for m in (0.0, 0.01)]
    params = [SamplingParams(max_new_tokens=1, temperature=1.0, **kind) for kind in kinds]  # type: ignore[arg-type]
    uniforms = torch.rand(len(params), generator=generator).tolist()
    quick = drawing.draw(logits, params, uniforms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "NUM_CANDIDATES", BIG)
        assert torch.equal(quick, drawing.draw(logits, params, uniforms))


KINDS: list[dict[str, Any]] = [
    {},
    {"temperature": 1.0},
    {"temperature": 0.7, "top_k": 40},
    {"temperature": 5.0, "top_p": 0.999},
    {"temperature": 1.3, "min_p": 0.02},
    {"repetition_penalty": 1.3, "temperature": 1.0},
    {"min_new_tokens": 3, "stop_token_ids": frozenset({1, 2, 3})},
    {"bad_token_ids": ((5,), (6, 7)), "temperature": 2.0},
    {"logprobs": 4, "temperature": 1.0},
    {"mask": True, "temperature": 3.0, "top_p": 0.9},
]


def fresh(row: int) -> SamplingState:
    kind = dict(KINDS[row])
    mask = OnlyThese(range(row, BIG, 7), BIG) if kind.pop("mask", False) else None
    return state(torch.arange(50), mask, **{**kind, "seed": row})


@settings(max_examples=12, deadline=None)
@given(st.permutations(range(len(KINDS))), st.integers(1, len(KINDS)), st.integers(0, 10**6))
def test_a_row_does_not_depend_on_its_neighbours(order: list[int], count: int, seed: int) -> None:
    steps = torch.randn(3, len(KINDS), BIG, generator=torch.Generator().manual_seed(seed))
    alone = []
    for row in range(len(KINDS)):
        of = fresh(row)
        alone.append([one(step[row], of) for step in steps])
    rows = order[:count]
    states = [fresh(row) for row in rows]
    together = [choose(step[rows], states) for step in steps]
    assert [list(choices) for choices in zip(*together, strict=True)] == [alone[row] for row in rows]
