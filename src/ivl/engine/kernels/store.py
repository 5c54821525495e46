"""New keys and values into their slots of the paged cache.

In: keys and values of packed tokens, a slot for each. Out: the cache, changed in place.
Shapes: T packed tokens, K key-value heads, Dh head width.
"""

import triton
import triton.language as tl
from torch import Tensor

from ivl.engine.kernels.jit import kernel


def write_cache(k: Tensor, v: Tensor, key_cache: Tensor, value_cache: Tensor, slots: Tensor) -> None:
    """k, v (T, K, Dh) into key_cache, value_cache (num_blocks, block_size, K, Dh) at slots (T,) int64.

    k and v may be views with any strides, but for the last axis; the caches are contiguous. A negative slot
    writes nothing. Two tokens never share a slot.
    """
    num_tokens, num_kv_heads, head_dim = k.shape
    assert (k.stride(2), v.stride(2)) == (1, 1), f"a head's numbers lie apart: strides {k.stride()}, {v.stride()}"
    assert all(x.is_contiguous() for x in (key_cache, value_cache)), "the cache is a view with gaps"
    assert key_cache.shape[2:] == k.shape[1:] == v.shape[1:], f"{k.shape} does not fit a cache {key_cache.shape}"
    if num_tokens == 0:
        return
    block = min(1024, triton.next_power_of_2(num_kv_heads * head_dim))
    grid = (num_tokens, triton.cdiv(num_kv_heads * head_dim, block))
    strides = (k.stride(0), k.stride(1), v.stride(0), v.stride(1))
    _write_kernel[grid](
        k, v, key_cache, value_cache, slots, *strides, NUM=num_kv_heads * head_dim, HEAD_DIM=head_dim, BLOCK=block
    )


@kernel(general=["slots_ptr"])
def _write_kernel(
    k_ptr: tl.tensor,
    v_ptr: tl.tensor,
    keys_ptr: tl.tensor,
    values_ptr: tl.tensor,
    slots_ptr: tl.tensor,
    k_stride_t: tl.tensor,
    k_stride_h: tl.tensor,
    v_stride_t: tl.tensor,
    v_stride_h: tl.tensor,
    NUM: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """One program: BLOCK of the NUM = K * Dh numbers of one token."""
    token = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots_ptr + token).to(tl.int64)
    if slot < 0:
        return
    numbers = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    head, dim = numbers // HEAD_DIM, numbers % HEAD_DIM
    inside = numbers < NUM
    k = tl.load(k_ptr + token * k_stride_t + head * k_stride_h + dim, mask=inside)
    v = tl.load(v_ptr + token * v_stride_t + head * v_stride_h + dim, mask=inside)
    # 64 bits: a slot times the numbers in it passes 2**31 in any large cache.
    tl.store(keys_ptr + slot * NUM + numbers, k, mask=inside)
    tl.store(values_ptr + slot * NUM + numbers, v, mask=inside)
