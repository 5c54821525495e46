"""What both attention kernels take for granted of their arguments, checked from shapes and strides alone.

In: tensors. Out: an AssertionError that says what does not fit. Reads no number on the device.
"""

from torch import Tensor

_BLOCK_SIZES = tuple(2**power for power in range(4, 13))


def check_arguments(q: Tensor, key_cache: Tensor, value_cache: Tensor, block_tables: Tensor, out: Tensor) -> None:
    """q and out (rows, H, Dh), caches (num_blocks, block_size, K, Dh), block_tables (S, B)."""
    _, block_size, num_kv_heads, head_dim = key_cache.shape
    assert q.shape[2] == head_dim, f"heads of width {q.shape[2]}, a cache for {head_dim}"
    assert q.shape[1] % num_kv_heads == 0, f"{q.shape[1]} query heads, {num_kv_heads} key-value heads"
    assert key_cache.shape == value_cache.shape, f"keys {key_cache.shape}, values {value_cache.shape}"
    assert out.shape == q.shape, f"an output {out.shape} for queries {q.shape}"
    assert block_size in _BLOCK_SIZES, f"block size {block_size}, possible are {_BLOCK_SIZES}"
    dtypes = {x.dtype for x in (q, key_cache, value_cache, out)}
    assert len(dtypes) == 1, f"queries, cache and output of several types: {dtypes}"
    assert (q.stride(2), block_tables.stride(1)) == (1, 1), f"gaps: {q.stride()}, {block_tables.stride()}"
    assert all(x.is_contiguous() for x in (key_cache, value_cache, out)), "the cache or the output has gaps"
