"""The attention of one engine step on an NVIDIA GPU: paged cache, Triton kernels.

In: where this step's tokens go and which blocks each sequence has; then layer by layer q, k and v. Out: attention of
every token over its own sequence. Knows nothing of schedules and of who the sequences belong to. Importing this
module needs Triton.

Shapes: T packed tokens, S sequences, B entries of a block table, L layers, H query heads, K key-value heads, Dh head
width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ivl.engine.kernels import paged_decode, paged_prefill, write_cache


@dataclass(frozen=True, kw_only=True)
class TritonAttention:
    """An `Attention` for one step. Decoding sequences come first, one token each; chunks of prompts follow."""

    key_cache: Tensor
    """(L, num_blocks, block_size, K, Dh), contiguous; block_size a power of two of at least 16, better 64."""
    value_cache: Tensor
    """Like key_cache."""
    slots: Tensor
    """(T,) int64, block * block_size + offset of each token; below 0: its key and value are kept nowhere."""
    block_tables: Tensor
    """(S, B) int32, block ids in order."""
    context_lens: Tensor
    """(S,) int32, positions in the cache after this step; 0 gives zeros for a decoding row that only fills a graph."""
    num_decodes: int
    """How many of the S sequences decode."""
    cu_seqlens: Tensor | None
    """(S - num_decodes + 1,) int32, from 0: where each chunk begins after the decoding tokens; None: no chunk."""
    max_query_len: int
    """Tokens of the longest chunk."""
    num_splits: int
    """Shares of a decoding row's positions, see `kernels.choose_splits`."""

    def __call__(self, layer_idx: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (T, H, Dh), k and v (T, K, Dh) -> (T, H, Dh); keeps k and v in the cache first."""
        keys, values = self.key_cache[layer_idx], self.value_cache[layer_idx]
        write_cache(k, v, keys, values, self.slots)
        scale, n = q.shape[-1] ** -0.5, self.num_decodes
        out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
        if n:
            tables, lens = self.block_tables[:n], self.context_lens[:n]
            paged_decode(q[:n], keys, values, tables, lens, scale, self.num_splits, out[:n])
        if self.cu_seqlens is not None:
            tables, lens = self.block_tables[n:], self.context_lens[n:]
            paged_prefill(q[n:], keys, values, tables, self.cu_seqlens, lens, self.max_query_len, scale, out[n:])
        return out
