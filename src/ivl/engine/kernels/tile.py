"""The step that decoding and prefill share: some queries meet one tile of cached keys and values.

Softmax runs over the tiles as they come (Milakov and Gimelshein 2018; Dao 2022): `top` is the largest score of a
query so far, `total` the sum of its weights relative to it, `acc` the weighted sum of values. Scores are powers
of two: log2(e) is folded into the scale.
Shapes: M queries, N cached positions, D = Dh padded to a power of two.
"""

import triton.language as tl

from ivl.engine.kernels.jit import kernel


@kernel()
def load_blocks(
    table_ptr: tl.tensor, start: tl.tensor, end: tl.tensor, BLOCK_SIZE: tl.constexpr, N: tl.constexpr
) -> tl.tensor:
    """The blocks that hold the N positions from `start`, a multiple of N: one id, or (N,); 0 from `end` on.

    A loop loads the next tile's blocks before it reads this tile: where an address hangs on a load in the same
    step, the compiler fetches one tile less ahead.
    """
    if N <= BLOCK_SIZE:  # both are powers of two: the tile lies in one block
        blocks = tl.load(table_ptr + start // BLOCK_SIZE, mask=start < end, other=0)
    else:
        positions = start + tl.arange(0, N)
        blocks = tl.load(table_ptr + positions // BLOCK_SIZE, mask=positions < end, other=0)
    return blocks


@kernel()
def cache_rows(blocks: tl.tensor, start: tl.tensor, BLOCK_SIZE: tl.constexpr, N: tl.constexpr) -> tl.tensor:
    """Rows (N,) of the cache, seen as (num_blocks * block_size, K, Dh), of the N positions from `start`.

    64 bits: a row times the numbers in it passes 2**31 in any large cache.
    """
    return blocks.to(tl.int64) * BLOCK_SIZE + (start + tl.arange(0, N)) % BLOCK_SIZE


@kernel()
def load_tile(
    cache_ptr: tl.tensor,
    rows: tl.tensor,
    inside: tl.tensor,
    HEADS: tl.constexpr,
    DH: tl.constexpr,
    D: tl.constexpr,
    MASKED: tl.constexpr,
) -> tl.tensor:
    """Keys or values (N, D) of one head, whose address in row 0 is `cache_ptr`.

    MASKED: zeros where `inside` (N,) is false. Whatever lies there, NaN too, must not be read: 0 * NaN is NaN.
    """
    dims = tl.arange(0, D)
    pointers = cache_ptr + (rows * (HEADS * DH))[:, None] + dims[None, :]
    if MASKED:
        tile = tl.load(pointers, mask=inside[:, None] & (dims < DH)[None, :], other=0.0)
    elif DH < D:
        tile = tl.load(pointers, mask=(dims < DH)[None, :], other=0.0)
    else:
        tile = tl.load(pointers)
    return tile


@kernel()
def nothing_seen(M: tl.constexpr, D: tl.constexpr) -> tl.tensor:
    """acc (M, D), top (M,), total (M,) before the first tile."""
    acc = tl.zeros([M, D], dtype=tl.float32)
    top = tl.full([M], float("-inf"), dtype=tl.float32)
    total = tl.zeros([M], dtype=tl.float32)
    return acc, top, total


@kernel()
def attend_tile(
    q: tl.tensor,
    k: tl.tensor,
    v: tl.tensor,
    acc: tl.tensor,
    top: tl.tensor,
    total: tl.tensor,
    seen: tl.tensor,
    qk_scale: tl.tensor,
    MASKED: tl.constexpr,
) -> tl.tensor:
    """q (M, D), k and v (N, D), seen (M, N) or (1, N) -> acc (M, D), top (M,), total (M,), float32, one tile on.

    "ieee": float32 is multiplied as float32, never as tf32. Each query must have seen a position by the end of its
    first tile, else its `top` is -inf and the difference of two such is NaN.
    """
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * qk_scale  # (M, N)
    if MASKED:
        scores = tl.where(seen, scores, float("-inf"))
    new_top = tl.maximum(top, tl.max(scores, 1))
    weights = tl.exp2(scores - new_top[:, None])
    shrink = tl.exp2(top - new_top)
    total = total * shrink + tl.sum(weights, 1)
    acc = tl.dot(weights.to(v.dtype), v, acc * shrink[:, None], input_precision="ieee")
    return acc, new_top, total
