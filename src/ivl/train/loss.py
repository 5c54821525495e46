"""Cross-entropy through the vocabulary without its logits: only labelled tokens, a few rows at a time.

In: hidden states, the head's weight, targets and weights. Out: the weighted sum of losses, with the gradients that
autograd asks for, and each token's loss to look at. T x V logits never exist: 8,192 tokens of InternVL2-2B would take
3 GB in float32. The gradient is made in the forward, where the rows' logits are at hand (Hsu et al. 2024,
arXiv 2410.10989), so the backward only scales it.

Shapes: L labelled tokens, D width, V vocabulary, R rows of a chunk.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

ROWS = 1024
"""Rows of logits that exist at once: R x V in float32, 380 MB for InternVL2-2B."""


def head_loss(hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """sum(weights * cross_entropy(hidden @ head.T, targets)) and the unweighted losses (L,), which carry no gradient.

    hidden (L, D); head (V, D); targets (L,) ids, none masked; weights (L,) float32. Products are in autocast's type
    where it is on, everything after them in float32 or wider. Gradients reach hidden and, if it trains, head.
    """
    device = hidden.device.type
    product_type = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    total, losses = _HeadLoss.apply(hidden, head, targets, weights, product_type)  # type: ignore[no-untyped-call]
    return total, losses


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, product_type: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_head = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        wide = torch.promote_types(hidden.dtype, torch.float32)
        head_typed = head.to(product_type)
        hidden_grad = torch.empty_like(hidden) if wants_hidden else None
        head_grad = torch.zeros_like(head, dtype=wide) if wants_head else None
        losses = torch.empty(len(hidden), dtype=wide, device=hidden.device)
        for start in range(0, len(hidden), ROWS):
            rows = slice(start, start + ROWS)
            typed = hidden[rows].to(product_type)
            probabilities, losses[rows] = _softmax_loss(typed @ head_typed.T, targets[rows], wide)
            if hidden_grad is None and head_grad is None:
                continue
            probabilities.scatter_add_(1, targets[rows, None], torch.full_like(losses[rows, None], -1))
            slope = probabilities.mul_(weights[rows, None]).to(product_type)  # (R, V): d loss / d logits
            if hidden_grad is not None:
                hidden_grad[rows] = (slope @ head_typed).to(hidden.dtype)
            if head_grad is not None:
                head_grad += (slope.T @ typed).to(wide)
        ctx.save_for_backward(hidden_grad, None if head_grad is None else head_grad.to(head.dtype))
        ctx.mark_non_differentiable(losses)
        return (losses * weights).sum(), losses

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden_grad, head_grad = ctx.saved_tensors  # type: ignore[attr-defined]
        scaled = (None if grad is None else grad * grads[0].to(grad.dtype) for grad in (hidden_grad, head_grad))
        return (*scaled, None, None, None)


def _softmax_loss(logits: Tensor, targets: Tensor, wide: torch.dtype) -> tuple[Tensor, Tensor]:
    """Logits (R, V) -> their softmax (R, V) and the cross-entropy (R,), both in `wide`."""
    logits = logits.to(wide)
    normaliser = logits.logsumexp(-1)  # (R,)
    losses = normaliser - logits.gather(1, targets[:, None])[:, 0]
    return logits.sub_(normaliser[:, None]).exp_(), losses
