"""Muon for many matrices at once: those of one shape are stacked, and one product orthogonalises all of them.

The numbers are those of `torch.optim.Muon`, which takes one matrix after another: some 3,000 small kernels a step for
85 matrices, where this starts 200. Matrices on a CPU are orthogonalised in float32, since products in bfloat16 take
hundreds of times as long on most CPUs.

Shapes: B matrices of m rows and n columns.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

_MOST_NUMBERS = 2**26
"""Of matrices that are stacked: the stack and its products take some 16 bytes each."""


class StackedMuon(torch.optim.Muon):
    """`torch.optim.Muon` with Nesterov's momentum and match_rms_adamw, for whole matrices on one device."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            assert group["adjust_lr_fn"] == "match_rms_adamw", "updates have no other size here"
            for matrices in _stacks(each for each in group["params"] if each.grad is not None):
                self._step(matrices, group["lr"], group["weight_decay"], group["momentum"])
        return loss

    def _step(self, matrices: list[Tensor], lr: float, weight_decay: float, momentum: float) -> None:
        """Change matrices of one shape."""
        grads = [each.grad for each in matrices if each.grad is not None]
        means = [self._mean(each) for each in matrices]
        torch._foreach_lerp_(means, grads, 1 - momentum)
        updates = torch.stack(torch._foreach_lerp(grads, means, momentum))  # (B, m, n)
        updates = orthogonalise(updates).to(updates.dtype)
        torch._foreach_mul_(matrices, 1 - lr * weight_decay)
        # As large as AdamW's updates are: Liu et al. 2025, arXiv 2502.16982.
        torch._foreach_add_(matrices, updates.unbind(), alpha=-lr * 0.2 * max(updates.shape[1:]) ** 0.5)

    def _mean(self, matrix: Tensor) -> Tensor:
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        mean: Tensor = state["momentum_buffer"]
        return mean


def orthogonalise(matrices: Tensor, num_steps: int = 5) -> Tensor:
    """(B, m, n) -> about U V^T of each one's singular value decomposition U S V^T, in bfloat16 but on a CPU.

    Newton and Schulz's iteration with the coefficients of Jordan et al. 2024 (kellerjordan.github.io/posts/muon),
    which leaves singular values between about 0.7 and 1.2.
    """
    x = matrices if matrices.device.type == "cpu" else matrices.bfloat16()
    is_tall = x.shape[-2] > x.shape[-1]
    if is_tall:
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(num_steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.mT if is_tall else x


def _stacks(matrices: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Matrices of one shape and type together, as many as may be stacked."""
    alike: dict[tuple[torch.Size, torch.dtype], list[Tensor]] = defaultdict(list)
    for each in matrices:
        alike[each.shape, each.dtype].append(each)
    for (shape, _), found in alike.items():
        most = max(1, _MOST_NUMBERS // shape.numel())
        for start in range(0, len(found), most):
            yield found[start : start + most]
