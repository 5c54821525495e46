"""Memory that does not grow for as long as a server runs.

Two libraries keep more than is good for one. glibc keeps what is free between buffers in use, and requests take and
free buffers of many sizes on several threads. oneDNN, torch's matrix products on a CPU, keeps a kernel for each of the
last 1,024 shapes, and nearly every step of a busy engine has a new one. In: nothing. Out: bounds. Knows no requests.
"""

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_KERNELS = "128"
"""Some 20 MB; a step uses less than ten."""


def bound_kernel_cache() -> None:
    """To be called before a model is loaded: oneDNN reads this once. What a person has set stays."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", _KERNELS)


@contextmanager
def loaded() -> Iterator[None]:
    """What is there already, model and libraries, will stay: the garbage collector need not look at it any more, and
    looks the more often at what requests leave behind."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def trimmer() -> Callable[[], object]:
    """What tidies up: collects garbage and gives free memory back. For any thread; it takes some milliseconds."""
    trim: Any = None
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none

    def tidy() -> None:
        gc.collect()
        if trim is not None:
            trim(0)

    return tidy


class Pace:
    """When it is time to trim: not more often than every `period_s`, and only if something was done since."""

    def __init__(self, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period_s = period_s
        self._clock = clock
        self._last = clock()
        self._done = 0

    def is_due(self, done: int) -> bool:
        """done: how much was done so far, in any unit."""
        now = self._clock()
        if done == self._done or now < self._last + self._period_s:
            return False
        self._last, self._done = now, done
        return True
