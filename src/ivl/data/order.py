"""Chance that comes out the same everywhere: orders and draws made from numbers alone.

In: whole numbers that name what is drawn. Out: orders and numbers that depend on nothing else: not on the process,
the platform or the version of a library. Only PCG64's raw bits are used, whose stream NumPy promises never to change
(NEP 19); what its `Generator` makes of them may change with a version. Knows no samples.
"""

import hashlib
import json

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int64]
"""(M,) numbers of samples, or places in an order."""


def bits(count: int, *key: int | str) -> NDArray[np.uint64]:
    """(count,) random 64-bit numbers that belong to `key`."""
    name = json.dumps([each if isinstance(each, str) else int(each) for each in key])
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.PCG64(int.from_bytes(digest, "little")).random_raw(count)


def shuffled(count: int, *key: int | str) -> Samples:
    """(count,) the numbers from 0 to count - 1 in the random order that belongs to `key`."""
    return np.argsort(bits(count, *key), kind="stable").astype(np.int64)


def drawn(pool: int, start: int, count: int, *key: int | str) -> Samples:
    """(count,) numbers below `pool`: those at `start` and after in one shuffled order of all of them after another.

    So consecutive draws take every number once before any a second time. `pool` is at least 1.
    """
    assert pool > 0, "nothing can be drawn from an empty pool"
    first, last = start // pool, (start + count - 1) // pool
    orders = [shuffled(pool, *key, turn) for turn in range(first, last + 1)]
    every = np.concatenate(orders) if orders else np.empty(0, np.int64)
    return every[start - first * pool : start - first * pool + count]
