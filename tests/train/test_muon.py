"""Muon on stacks of matrices: torch's own numbers, and the formula's."""

import pytest
import torch
from torch import Tensor

from ivl.train import muon
from ivl.train.muon import StackedMuon, orthogonalise

OPTIONS = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9, "adjust_lr_fn": "match_rms_adamw"}
SHAPES = [(8, 8), (24, 8), (8, 24), (8, 8), (24, 8), (5, 7)]


def drawn(seed: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype) for shape in SHAPES]


def trained(optimizer: type[torch.optim.Optimizer], num_steps: int, without: tuple[int, ...] = ()) -> list[Tensor]:
    matrices = [torch.nn.Parameter(each) for each in drawn(seed=0)]
    made = optimizer(matrices, **OPTIONS)
    for number in range(num_steps):
        for idx, (matrix, grad) in enumerate(zip(matrices, drawn(seed=1 + number), strict=True)):
            matrix.grad = None if idx in without else grad
        made.step()
    return [each.detach() for each in matrices]


def by_formula(num_steps: int) -> list[Tensor]:
    """The published algorithm on one matrix after another, in float64."""
    matrices = drawn(seed=0, dtype=torch.float64)
    means = [torch.zeros_like(each) for each in matrices]
    for number in range(num_steps):
        for idx, grad in enumerate(drawn(seed=1 + number, dtype=torch.float64)):
            means[idx] = 0.9 * means[idx] + 0.1 * grad
            x = 0.1 * grad + 0.9 * means[idx]
            x = x / (x**2).sum().sqrt()
            for _ in range(5):
                gram = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
                curve = -4.7750 * gram + 2.0315 * gram @ gram
                x = 3.4445 * x + (curve @ x if x.shape[0] <= x.shape[1] else x @ curve)
            size = 0.2 * max(x.shape) ** 0.5
            matrices[idx] = (1 - 0.02 * 0.1) * matrices[idx] - 0.02 * size * x
    return matrices


def test_it_is_the_published_algorithm():
    for found, wanted in zip(trained(StackedMuon, 3), by_formula(3), strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-6)


def test_it_moves_as_torchs_own_but_for_bfloat16():
    before = drawn(seed=0)
    for found, wanted, start in zip(trained(StackedMuon, 1), trained(torch.optim.Muon, 1), before, strict=True):
        assert (found - wanted).norm() < 0.02 * (wanted - start).norm()


def test_the_number_stacked_changes_nothing(monkeypatch):
    whole = trained(StackedMuon, 2)
    monkeypatch.setattr(muon, "_MOST_NUMBERS", 1)
    for found, wanted in zip(trained(StackedMuon, 2), whole, strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_matrix_without_a_gradient_stays():
    start = drawn(seed=0)
    for idx, (found, before) in enumerate(zip(trained(StackedMuon, 2, without=(1, 5)), start, strict=True)):
        assert torch.equal(found, before) == (idx in (1, 5))


def test_its_state_is_torchs():
    matrices = [torch.nn.Parameter(each) for each in drawn(seed=0)]
    made, other = StackedMuon(matrices, **OPTIONS), torch.optim.Muon(matrices, **OPTIONS)
    for matrix, grad in zip(matrices, drawn(seed=1), strict=True):
        matrix.grad = grad
    made.step()
    other.load_state_dict(made.state_dict())
    assert torch.equal(other.state[matrices[0]]["momentum_buffer"], made.state[matrices[0]]["momentum_buffer"])


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 40, 10), (2, 10, 40)])
def test_singular_values_come_near_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert values.max() < 1.3
    assert values.median() > 0.65


def test_nothing_but_zeros_stays_so():
    assert orthogonalise(torch.zeros(2, 4, 6)).abs().max() == 0
