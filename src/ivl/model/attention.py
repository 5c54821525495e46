"""The attention protocol, and its readable reference on torch's scaled_dot_product_attention.

The decoder calls `attention(layer_idx, q, k, v)` and knows nothing of sequences, caches or kernels: whoever runs the
model hands over the attention that fits (packed for training and whole prompts, cached for decoding).

Shapes: T packed tokens, S sequences, H query heads, K key-value heads, G = H / K, Dh head width.
"""

from itertools import pairwise
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Attention(Protocol):
    """Causal attention of packed tokens, each within its own sequence."""

    def __call__(self, layer_idx: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (T, H, Dh), k and v (T, K, Dh) -> (T, H, Dh)."""
        ...


class PackedAttention:
    """Sequences lie end to end; `offsets` (S + 1 whole numbers, the host's cu_seqlens) says where each begins."""

    def __init__(self, offsets: list[int]) -> None:
        self.offsets = offsets
        lengths = {stop - start for start, stop in pairwise(offsets)}
        # Sequences of one length run as one batch: one kernel call instead of S.
        self.batch = len(offsets) - 1 if len(lengths) == 1 else 0

    def __call__(self, layer_idx: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.batch:
            q, k, v = (x.view(self.batch, -1, *x.shape[1:]) for x in (q, k, v))  # (B, L, heads, Dh)
            return causal_attention(q, k, v).flatten(0, 1)
        spans = [slice(start, stop) for start, stop in pairwise(self.offsets)]
        return torch.cat([causal_attention(q[None, s], k[None, s], v[None, s])[0] for s in spans])


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q (B, L, H, Dh), k and v (B, L, K, Dh) -> (B, L, H, Dh), each token seeing itself and those before it."""
    grouped = q.shape[2] != k.shape[2]
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True, enable_gqa=grouped
    )
    return out.transpose(1, 2)


class CachedAttention:
    """One sequence that grows: its keys and values are kept, new tokens attend to all of them.

    Holds 2 * layers * K * capacity * Dh numbers. After all layers saw the new tokens, `advance` counts them.
    """

    def __init__(self, num_layers: int, num_kv_heads: int, head_dim: int, capacity: int, like: Tensor) -> None:
        # (K, capacity, Dh): a head's keys lie together, so that decoding reads them in one run.
        shape = (2, num_layers, num_kv_heads, capacity, head_dim)
        self.cache = torch.empty(shape, dtype=like.dtype, device=like.device)
        self.length = 0

    def __call__(self, layer_idx: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        start, stop = self.length, self.length + len(q)
        keys, values = self.cache[0, layer_idx], self.cache[1, layer_idx]
        keys[:, start:stop] = k.transpose(0, 1)
        values[:, start:stop] = v.transpose(0, 1)
        if start == 0:
            return causal_attention(q[None], k[None], v[None])[0]
        assert len(q) == 1, f"{len(q)} tokens after {start} cached ones: only one at a time is supported"
        # One token sees every key: its G heads of a group become the rows of one product with that group's keys.
        grouped = q.view(1, keys.shape[0], -1, q.shape[-1])  # (1, K, G, Dh)
        return F.scaled_dot_product_attention(grouped, keys[None, :, :stop], values[None, :, :stop]).reshape(q.shape)

    def advance(self, num_tokens: int) -> None:
        """Count tokens that every layer has stored."""
        self.length += num_tokens
