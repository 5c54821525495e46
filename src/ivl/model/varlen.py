"""Packed attention in one kernel call: torch's own varlen FlashAttention, for training on a GPU.

In and out as `attention.Attention`. Needs CUDA, a 16-bit type and a head width the kernel takes; `packed_attention`
chooses between it and the readable reference.

Shapes: T packed tokens, S sequences, H query heads, K key-value heads, Dh head width.
"""

import inspect
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ivl.model.attention import Attention, PackedAttention

_WIDEST_HEAD = 256


class VarlenAttention:
    """All sequences in one call, with no padding and none seeing another; differentiable."""

    def __init__(self, offsets: Sequence[int], device: torch.device) -> None:
        self.offsets = torch.tensor(offsets, dtype=torch.int32, device=device)
        self.longest = max(stop - start for start, stop in pairwise(offsets))
        self.kernel, self.options = _kernel()
        self.takes_groups = "enable_gqa" in self.options

    def __call__(self, layer_idx: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = q.to(v.dtype), k.to(v.dtype)  # the rotation may have widened them
        if not self.takes_groups and q.shape[1] != k.shape[1]:
            k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
        cu, longest = self.offsets, self.longest
        out: Tensor = self.kernel(q, k, v, cu, cu, longest, longest, **self.options)
        return out


def packed_attention(offsets: list[int], device: torch.device, dtype: torch.dtype, head_dim: int) -> Attention:
    """The quickest attention for whole packed sequences on `device` in `dtype`."""
    fits = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)
    if fits and head_dim <= _WIDEST_HEAD and head_dim % 8 == 0:
        return VarlenAttention(offsets, device)
    return PackedAttention(offsets)


def _kernel() -> tuple[Callable[..., Any], dict[str, Any]]:
    """The kernel and what makes it causal and grouped: torch named both differently from release to release."""
    from torch.nn.attention.varlen import varlen_attn  # here: it registers operators, which takes time

    takes = inspect.signature(varlen_attn).parameters
    options: dict[str, Any] = {"window_size": (-1, 0)} if "window_size" in takes else {"is_causal": True}
    if "enable_gqa" in takes:
        options["enable_gqa"] = True
    return varlen_attn, options
