"""The schedule is transformers', number for number."""

import pytest
import torch
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from ivl.train.config import OptimSettings
from ivl.train.schedule import lr_factor


def theirs(name: str, warmup: int, total: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    if name == "constant":
        schedule = get_constant_schedule_with_warmup(optimizer, warmup)
    else:
        make = get_cosine_schedule_with_warmup if name == "cosine" else get_linear_schedule_with_warmup
        schedule = make(optimizer, warmup, total)
    return [schedule.lr_lambdas[0](step) for step in range(total + 1)]


@pytest.mark.parametrize("name", ["cosine", "linear", "constant"])
@pytest.mark.parametrize(
    ("ratio", "total", "warmup"), [(0.03, 100, 3), (0.03, 101, 4), (0.0, 17, 0), (0.5, 7, 4), (1.0, 5, 5), (0.1, 1, 1)]
)
def test_equals_transformers(name, ratio, total, warmup):
    config = OptimSettings(warmup_ratio=ratio, lr_schedule=name)
    assert [lr_factor(step, total, config) for step in range(total + 1)] == theirs(name, warmup, total)


def test_ends_at_zero_and_peaks_after_warmup():
    config = OptimSettings(warmup_ratio=0.1)
    assert lr_factor(0, 50, config) == 0
    assert lr_factor(5, 50, config) == 1
    assert lr_factor(50, 50, config) == 0


def test_a_step_outside_the_run_is_a_broken_invariant():
    with pytest.raises(AssertionError, match="step 11 of 10"):
        lr_factor(11, 10, OptimSettings())
