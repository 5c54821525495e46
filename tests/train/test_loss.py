"""The chunked loss equals the plain one: value, gradients, weights; and makes no T x V logits."""

import pytest
import torch
import torch.nn.functional as F

from ivl.train import loss as loss_module
from ivl.train.loss import head_loss


def make(rows: int, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(rows)
    hidden = torch.randn(rows, 12, generator=generator, dtype=dtype).requires_grad_()
    head = torch.randn(50, 12, generator=generator, dtype=dtype).requires_grad_()
    targets = torch.randint(0, 50, (rows,), generator=generator)
    weights = torch.rand(rows, generator=generator, dtype=torch.float32)
    return hidden, head, targets, weights


def plain(hidden, head, targets, weights):
    losses = F.cross_entropy(hidden @ head.T, targets, reduction="none")
    return (losses * weights).sum(), losses


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 40])
def test_value_and_gradients_equal_the_plain_loss(rows, monkeypatch):
    monkeypatch.setattr(loss_module, "ROWS", 8)
    ours, theirs = make(rows), make(rows)
    total, losses = head_loss(*ours)
    expected, expected_losses = plain(*theirs)
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(losses, expected_losses.detach())
    (total * 3).backward()
    (expected * 3).backward()
    for got, wanted in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(got.grad, wanted.grad)


def test_gradcheck(monkeypatch):
    monkeypatch.setattr(loss_module, "ROWS", 3)
    hidden, head, targets, weights = make(7)
    assert torch.autograd.gradcheck(lambda h, w: head_loss(h, w, targets, weights)[0], (hidden, head))


def test_a_frozen_head_gets_no_gradient_and_costs_none():
    hidden, head, targets, weights = make(5)
    head.requires_grad_(False)
    head_loss(hidden, head, targets, weights)[0].backward()
    assert head.grad is None
    assert hidden.grad is not None


def test_losses_carry_no_gradient():
    total, losses = head_loss(*make(5))
    assert total.requires_grad
    assert not losses.requires_grad


def test_logits_of_all_rows_are_never_made(monkeypatch):
    monkeypatch.setattr(loss_module, "ROWS", 8)
    seen = []
    real = loss_module._softmax_loss
    monkeypatch.setattr(
        loss_module, "_softmax_loss", lambda logits, *rest: (seen.append(len(logits)), real(logits, *rest))[1]
    )
    head_loss(*make(20))
    assert seen == [8, 8, 4]


def test_products_in_bfloat16_stay_close():
    hidden, head, targets, weights = make(64, torch.float32)
    expected, _ = plain(hidden, head, targets, weights)
    with torch.autocast("cpu", torch.bfloat16):
        total, losses = head_loss(hidden, head, targets, weights)
    assert losses.dtype == torch.float32
    assert abs(total - expected) < 0.02 * expected
    total.backward()
    assert hidden.grad.dtype == torch.float32
