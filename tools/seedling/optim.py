"""Two optimisers in one: Muon for weight matrices inside the layers, AdamW for everything else.

Muon (Jordan et al. 2024) takes each matrix's momentum to the nearest orthogonal matrix; updates are scaled to the size
of AdamW's (Liu et al. 2025, arXiv 2502.16982), so both share one learning rate. Matrices of one shape run as one batch.
"""

import torch
from torch import Tensor, nn


class Optimiser:
    """Steps all parameters of some modules."""

    def __init__(self, groups: list[tuple[nn.Module, float]], lr: float, decay: float = 0.05) -> None:
        """`groups`: modules with the factor on the learning rate of each."""
        self.lr = lr
        self.decay = decay
        self.muon: dict[tuple[torch.Size, float], list[nn.Parameter]] = {}
        plain: list[dict[str, object]] = []
        for module, factor in groups:
            matrices, others = split_parameters(module)
            for matrix in matrices:
                self.muon.setdefault((matrix.shape, factor), []).append(matrix)
            wide = [p for p in others if p.dim() > 1]
            narrow = [p for p in others if p.dim() <= 1]
            plain.append({"params": wide, "weight_decay": 0.02, "factor": factor})
            plain.append({"params": narrow, "weight_decay": 0.0, "factor": factor})
        self.momentum = {key: torch.zeros(len(ps), *key[0], device=ps[0].device) for key, ps in self.muon.items()}
        self.adam = torch.optim.AdamW(plain, lr=lr, betas=(0.9, 0.98), fused=plain[0]["params"][0].is_cuda)  # type: ignore[index]
        self.parameters = [p for module, _ in groups for p in module.parameters()]

    @torch.no_grad()
    def step(self, scale: float, clip: float = 1.0) -> Tensor:
        """One step at `scale` times the learning rate; returns the gradients' norm. Gradients are cleared."""
        norm = nn.utils.clip_grad_norm_([p for p in self.parameters if p.grad is not None], clip)
        for group in self.adam.param_groups:
            group["lr"] = self.lr * scale * group["factor"]
        self.adam.step()
        for key, parameters in self.muon.items():
            self._step_matrices(key, parameters, scale)
        for parameter in self.parameters:
            parameter.grad = None
        return norm

    def _step_matrices(self, key: tuple[torch.Size, float], parameters: list[nn.Parameter], scale: float) -> None:
        shape, factor = key
        used = [p for p in parameters if p.grad is not None]
        if len(used) != len(parameters):
            return
        lr = self.lr * scale * factor
        gradients = torch.stack([p.grad for p in parameters]).float()  # type: ignore[misc]
        momentum = self.momentum[key].mul_(0.95).add_(gradients, alpha=0.05)
        update = orthogonal(gradients.lerp(momentum, 0.95)) * (0.2 * max(shape) ** 0.5)
        torch._foreach_mul_(parameters, 1 - lr * self.decay)
        torch._foreach_add_(parameters, [u.to(parameters[0].dtype) for u in update.unbind(0)], alpha=-lr)


def split_parameters(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices of the layers, and all else (embeddings, the head, the patch embedding, norms, biases)."""
    matrices, others = [], []
    for name, parameter in module.named_parameters():
        inside = parameter.dim() == 2 and ("layers." in name or name.startswith("fc"))
        (matrices if inside else others).append(parameter)
    return matrices, others


def orthogonal(x: Tensor, steps: int = 5) -> Tensor:
    """(M, r, c) -> matrices of about the same singular vectors and singular values near 1 (Newton-Schulz)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.shape[1] > x.shape[2]
    x = x.bfloat16() if x.is_cuda else x
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).float()


class Average:
    """Exponential moving average of a module's parameters."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters = list(module.parameters())
        self.values = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], 1 - self.decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the module's parameters with the average."""
        for parameter, value in zip(self.parameters, self.values, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)
