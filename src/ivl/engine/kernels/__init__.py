"""Attention over the paged cache on NVIDIA GPUs, in Triton. Only this folder imports Triton.

In: tensors of one layer and one step. Out: the same results that plain attention over each sequence gives. Knows
nothing of requests, layers or schedules. The cache holds keys and values as (num_blocks, block_size, K, Dh); a block
table names the blocks of a sequence in order; slot = block * block_size + offset.
"""

from ivl.engine.kernels.decode import choose_splits, paged_decode
from ivl.engine.kernels.jit import ProgramShape
from ivl.engine.kernels.prefill import paged_prefill
from ivl.engine.kernels.store import write_cache

__all__ = ["ProgramShape", "choose_splits", "paged_decode", "paged_prefill", "write_cache"]
