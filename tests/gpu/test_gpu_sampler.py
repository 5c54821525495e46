"""The sampler draws on a GPU what it draws on a CPU, and alone what it draws beside others."""

from itertools import product

import pytest
import torch
from torch import Tensor

from ivl.engine.request import SamplingParams
from ivl.engine.sampler import SamplingState, choose

pytestmark = pytest.mark.gpu

VOCAB = 92_553
SETTINGS = [
    {"temperature": t, "top_k": k, "top_p": p, "min_p": m, "repetition_penalty": r, "logprobs": n}
    for t, k, p, m, (r, n) in product((0.0, 0.7), (0, 40), (1.0, 0.8), (0.0, 0.05), ((1.0, None), (1.3, 3)))
]
PROMPT = torch.arange(50)


def states() -> list[SamplingState]:
    made = [SamplingParams(max_new_tokens=9, seed=seed, **each) for seed, each in enumerate(SETTINGS)]  # type: ignore[arg-type]
    return [SamplingState(params, PROMPT) for params in made]


def draw(logits: Tensor, among: list[SamplingState]) -> list[int]:
    """Three tokens for each row, from logits that are turned by one each time."""
    tokens = []
    for turn in range(3):
        choices = choose(logits.roll(turn, dims=-1), among)
        assert [choice.error for choice in choices] == [None] * len(among)
        tokens += [choice.token_id for choice in choices]
    return tokens


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_draws_what_a_cpu_draws(dtype: torch.dtype) -> None:
    # Integers by eighths are exact in both types: no sum is rounded differently enough to turn a token.
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randint(-64, 64, (len(SETTINGS), VOCAB), generator=generator) / 8).to(dtype)
    together = draw(logits.cuda(), states())
    assert together == draw(logits, states())
    alone = [draw(logits[i : i + 1].cuda(), [state]) for i, state in enumerate(states())]
    assert [alone[i][turn] for turn in range(3) for i in range(len(SETTINGS))] == together
