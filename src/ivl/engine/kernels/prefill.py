"""Prefill: packed chunks of prompts against their paged caches, causally.

The chunk's own keys and values are in the cache already, so a fresh prompt, the next chunk of a long one and a
prompt whose beginning was cached are one case.
Shapes: T packed tokens, S sequences, H query heads, K key-value heads, Dh head width, D = Dh padded to a power of
two, B entries of a block table, M queries and N cached positions of a tile.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from ivl.engine.kernels.checks import check_arguments
from ivl.engine.kernels.jit import ProgramShape, kernel
from ivl.engine.kernels.tile import attend_tile, cache_rows, load_blocks, load_tile, nothing_seen


def paged_prefill(
    q: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    block_tables: Tensor,
    cu_seqlens: Tensor,
    context_lens: Tensor,
    max_query_len: int,
    scale: float,
    out: Tensor | None = None,
    shape: ProgramShape | None = None,
) -> Tensor:
    """q (T, H, Dh), caches (num_blocks, block_size, K, Dh), tables (S, B) -> (T, H, Dh).

    cu_seqlens (S + 1,) says where each sequence's queries begin, the longest has max_query_len of them. With
    context_lens (S,) positions in the cache, query i of L stands at context - L + i and sees positions up to its own.
    All whole numbers are int32. `out`, contiguous, is written if given, but for rows past cu_seqlens[S]; `shape` is
    for measurements.
    """
    (num_tokens, num_heads, head_dim), num_kv_heads = q.shape, key_cache.shape[2]
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device) if out is None else out
    check_arguments(q, key_cache, value_cache, block_tables, out)
    assert len(cu_seqlens) == len(block_tables) + 1, f"{len(cu_seqlens)} bounds for {len(block_tables)} sequences"
    if num_tokens == 0 or max_query_len == 0:
        return out
    shape = shape or _choose_shape(q.dtype, max_query_len)
    grid = (num_heads, len(context_lens), triton.cdiv(max_query_len, shape.queries))
    _prefill_kernel[grid](
        q, key_cache, value_cache, block_tables, cu_seqlens, context_lens, out,
        scale * math.log2(math.e), q.stride(0), q.stride(1), block_tables.stride(0),
        H=num_heads, K=num_kv_heads, DH=head_dim, BLOCK_SIZE=key_cache.shape[1],
        M=shape.queries, N=shape.positions, D=triton.next_power_of_2(head_dim),
        num_warps=shape.num_warps, num_stages=shape.num_stages,
    )  # fmt: skip
    return out


def _choose_shape(dtype: torch.dtype, max_query_len: int) -> ProgramShape:
    if dtype == torch.float32:  # no tensor cores: small tiles and many warps, for the registers' sake
        return ProgramShape(queries=16, positions=32, num_warps=8, num_stages=2)
    if max_query_len <= 16:
        return ProgramShape(queries=16, positions=64, num_warps=4, num_stages=3)
    if max_query_len <= 64:
        return ProgramShape(queries=64, positions=64, num_warps=4, num_stages=3)
    return ProgramShape(queries=128, positions=64, num_warps=8, num_stages=3)  # two warp groups, 64 queries each


@kernel(general=["tables_ptr", "starts_ptr", "contexts_ptr", "table_stride"])
def _prefill_kernel(
    q_ptr: tl.tensor,
    keys_ptr: tl.tensor,
    values_ptr: tl.tensor,
    tables_ptr: tl.tensor,
    starts_ptr: tl.tensor,
    contexts_ptr: tl.tensor,
    out_ptr: tl.tensor,
    qk_scale: tl.tensor,
    q_stride_t: tl.tensor,
    q_stride_h: tl.tensor,
    table_stride: tl.tensor,
    H: tl.constexpr,
    K: tl.constexpr,
    DH: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    D: tl.constexpr,
) -> None:
    """One program: M queries of one head of one sequence. The last queries, which see most, start first."""
    head, seq = tl.program_id(0), tl.program_id(1).to(tl.int64)
    begin, context = tl.load(starts_ptr + seq), tl.load(contexts_ptr + seq)
    length = tl.load(starts_ptr + seq + 1) - begin
    tile = tl.cdiv(length, M) - 1 - tl.program_id(2)
    if tile < 0:
        return
    table_ptr = tables_ptr + seq * table_stride
    keys_ptr += head // (H // K) * DH
    values_ptr += head // (H // K) * DH
    queries, dims = tile * M + tl.arange(0, M), tl.arange(0, D)
    tokens = begin.to(tl.int64) + queries
    used = (queries < length)[:, None] & (dims < DH)[None, :]
    q = tl.load(q_ptr + (tokens * q_stride_t)[:, None] + head * q_stride_h + dims[None, :], mask=used, other=0.0)

    acc, top, total = nothing_seen(M, D)
    first = context - length + tile * M  # position of the tile's first query
    all_see = (first + 1) // N * N  # whole tiles of positions that every query here sees
    end = tl.minimum(first + M, context)
    blocks = load_blocks(table_ptr, 0, end, BLOCK_SIZE, N)
    for at in range(0, all_see, N):
        rows = cache_rows(blocks, at, BLOCK_SIZE, N)
        blocks = load_blocks(table_ptr, at + N, end, BLOCK_SIZE, N)
        k, v = load_tile(keys_ptr, rows, None, K, DH, D, False), load_tile(values_ptr, rows, None, K, DH, D, False)
        acc, top, total = attend_tile(q, k, v, acc, top, total, None, qk_scale, False)
    for at in range(all_see, end, N):
        positions = at + tl.arange(0, N)
        rows = cache_rows(blocks, at, BLOCK_SIZE, N)
        blocks = load_blocks(table_ptr, at + N, end, BLOCK_SIZE, N)
        k = load_tile(keys_ptr, rows, positions < end, K, DH, D, True)
        v = load_tile(values_ptr, rows, positions < end, K, DH, D, True)
        seen = positions[None, :] <= (context - length + queries)[:, None]
        acc, top, total = attend_tile(q, k, v, acc, top, total, seen, qk_scale, True)

    out = (acc / total[:, None]).to(out_ptr.dtype.element_ty)
    tl.store(out_ptr + ((tokens * H + head) * DH)[:, None] + dims[None, :], out, mask=used)
