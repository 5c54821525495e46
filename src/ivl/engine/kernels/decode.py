"""Decoding: one query of each sequence against its whole paged cache.

A sequence's positions are shared out among `num_splits` programs (flash decoding, Dao and others 2023); a second
kernel merges their parts. Shares follow from the lengths on the device and the grid from the shapes alone, so a
CUDA graph replays with other lengths.
Shapes: S sequences, H query heads, K key-value heads, G = H / K, Dh head width, D = Dh padded to a power of two,
B entries of a block table.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from ivl.engine.kernels.checks import check_arguments
from ivl.engine.kernels.jit import ProgramShape, kernel
from ivl.engine.kernels.tile import attend_tile, cache_rows, load_blocks, load_tile, nothing_seen

_MAX_SPLITS = 128
_TILE = 64  # positions of one step of a program's loop
# A program that reads more positions than these would still run when all others are done.
_LONGEST_SHARE = 4096


def choose_splits(num_rows: int, num_kv_heads: int, max_context: int, num_sms: int) -> int:
    """Into how many shares to cut each row's context: a power of two, so that few kernels are compiled.

    Enough programs for two on each of `num_sms` multiprocessors, each with at least a tile of `max_context` to read.
    Rounding differs between numbers of shares: who must repeat results to the bit keeps it fixed.
    """
    if max_context <= 0 or num_rows <= 0:
        return 1
    wanted = max(2 * num_sms / (num_rows * num_kv_heads), max_context / _LONGEST_SHARE)
    useful = min(wanted, max_context / _TILE, _MAX_SPLITS)
    return int(triton.next_power_of_2(max(1, math.ceil(useful))))


def paged_decode(
    q: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    block_tables: Tensor,
    context_lens: Tensor,
    scale: float,
    num_splits: int,
    out: Tensor | None = None,
    shape: ProgramShape | None = None,
) -> Tensor:
    """q (S, H, Dh), caches (num_blocks, block_size, K, Dh), tables (S, B), context_lens (S,) -> (S, H, Dh).

    A row sees its positions 0 to context_lens - 1, its own key among them; a length of 0 gives zeros. Tables and
    lengths are int32. `out`, contiguous, is written if given; `shape` is for measurements.
    """
    (num_rows, num_heads, head_dim), num_kv_heads = q.shape, key_cache.shape[2]
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device) if out is None else out
    check_arguments(q, key_cache, value_cache, block_tables, out)
    assert 1 <= num_splits <= _MAX_SPLITS, f"{num_splits} splits, 1 to {_MAX_SPLITS} are possible"
    if num_rows == 0:
        return out
    # With a single share the first kernel writes the result itself; what it notes for the merge is not read.
    cells = (num_rows, num_heads, num_splits)
    parts = out if num_splits == 1 else torch.empty((*cells, head_dim), dtype=torch.float32, device=q.device)
    logs = torch.empty(cells, dtype=torch.float32, device=q.device)
    width = triton.next_power_of_2(head_dim)
    shape = shape or _choose_shape(q.dtype, num_heads // num_kv_heads)
    _share_kernel[(num_kv_heads, num_splits, num_rows)](
        q, key_cache, value_cache, block_tables, context_lens, parts, logs,
        scale * math.log2(math.e), q.stride(0), q.stride(1), block_tables.stride(0),
        G=num_heads // num_kv_heads, K=num_kv_heads, DH=head_dim, BLOCK_SIZE=key_cache.shape[1],
        M=shape.queries, N=shape.positions, D=width, num_warps=shape.num_warps, num_stages=shape.num_stages,
    )  # fmt: skip
    if num_splits > 1:
        _merge_kernel[(num_heads, num_rows)](
            parts, logs, out, num_splits, DH=head_dim, D=width, SPLITS=triton.next_power_of_2(num_splits), num_warps=4
        )
    return out


def _choose_shape(dtype: torch.dtype, group: int) -> ProgramShape:
    queries = max(16, triton.next_power_of_2(group))
    if dtype == torch.float32:  # no tensor cores: small tiles and many warps, for the registers' sake
        return ProgramShape(queries=queries, positions=32, num_warps=8, num_stages=2)
    return ProgramShape(queries=queries, positions=_TILE, num_warps=4, num_stages=3)


@kernel(general=["tables_ptr", "contexts_ptr", "table_stride"])
def _share_kernel(
    q_ptr: tl.tensor,
    keys_ptr: tl.tensor,
    values_ptr: tl.tensor,
    tables_ptr: tl.tensor,
    contexts_ptr: tl.tensor,
    parts_ptr: tl.tensor,
    logs_ptr: tl.tensor,
    qk_scale: tl.tensor,
    q_stride_s: tl.tensor,
    q_stride_h: tl.tensor,
    table_stride: tl.tensor,
    G: tl.constexpr,
    K: tl.constexpr,
    DH: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    D: tl.constexpr,
) -> None:
    """One program: the G query heads of one key-value head against one share of one row's positions.

    Heads are neighbours in the grid, for their keys are neighbours in memory. Writes the share's attention and the
    log2 of its sum of weights; an empty share writes zeros and -inf.
    """
    kv_head, split, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    context = tl.load(contexts_ptr + row)
    share = tl.cdiv(tl.cdiv(context, N), tl.num_programs(1)) * N
    start = split * share
    end = tl.minimum(start + share, context)
    table_ptr = tables_ptr + row * table_stride

    heads = kv_head * G + tl.arange(0, M)
    dims = tl.arange(0, D)
    used = (tl.arange(0, M) < G)[:, None] & (dims < DH)[None, :]
    q = tl.load(
        q_ptr + row * q_stride_s + (heads * q_stride_h)[:, None] + dims[None, :], mask=used, other=0.0
    )  # (M, D)

    acc, top, total = nothing_seen(M, D)
    blocks = load_blocks(table_ptr, start, end, BLOCK_SIZE, N)
    for at in range(start, end, N):
        inside = at + tl.arange(0, N) < end
        rows = cache_rows(blocks, at, BLOCK_SIZE, N)
        blocks = load_blocks(table_ptr, at + N, end, BLOCK_SIZE, N)
        k = load_tile(keys_ptr + kv_head * DH, rows, inside, K, DH, D, True)
        v = load_tile(values_ptr + kv_head * DH, rows, inside, K, DH, D, True)
        acc, top, total = attend_tile(q, k, v, acc, top, total, inside[None, :], qk_scale, True)

    nothing = total == 0.0  # not `top == -inf`: a NaN among the scores must show in the result
    part = acc / tl.where(nothing, 1.0, total)[:, None]
    cells = (row * (K * G) + heads) * tl.num_programs(1) + split  # (M,) of (S, H, splits)
    tl.store(parts_ptr + (cells * DH)[:, None] + dims[None, :], part.to(parts_ptr.dtype.element_ty), mask=used)
    log = tl.where(nothing, float("-inf"), top + tl.log2(total))
    tl.store(logs_ptr + cells, log, mask=tl.arange(0, M) < G)


@kernel(general=["num_splits"])
def _merge_kernel(
    parts_ptr: tl.tensor,
    logs_ptr: tl.tensor,
    out_ptr: tl.tensor,
    num_splits: tl.tensor,
    DH: tl.constexpr,
    D: tl.constexpr,
    SPLITS: tl.constexpr,
) -> None:
    """One program: one row and head. parts (S, H, splits, Dh), logs (S, H, splits) -> out (S, H, Dh)."""
    cell = tl.program_id(1).to(tl.int64) * tl.num_programs(0) + tl.program_id(0)
    splits, dims = tl.arange(0, SPLITS), tl.arange(0, D)
    there = splits < num_splits
    logs = tl.load(logs_ptr + cell * num_splits + splits, mask=there, other=float("-inf"))
    top = tl.max(logs, 0)
    weights = tl.exp2(logs - tl.where(top == float("-inf"), 0.0, top))  # all zero for an empty row
    total = tl.sum(weights, 0)
    pointers = parts_ptr + ((cell * num_splits + splits) * DH)[:, None] + dims[None, :]
    parts = tl.load(pointers, mask=there[:, None] & (dims < DH)[None, :], other=0.0)  # (SPLITS, D)
    out = tl.sum(parts * weights[:, None], 0) / tl.where(total == 0.0, 1.0, total)
    tl.store(out_ptr + cell * DH + dims, out.to(out_ptr.dtype.element_ty), mask=dims < DH)
