"""Triton's compiler as a typed decorator, and the layout of a program.

In: a function in Triton's dialect. Out: the kernel, started as `kernel[grid](...)`, or a part that kernels call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import triton


def kernel(*, general: Sequence[str] = ()) -> Callable[[Callable[..., Any]], Any]:
    """Compile on first use; once for all values of the arguments named in `general`.

    Triton compiles a kernel anew where a whole number is 1 or divisible by 16 and where an address is aligned to 16
    bytes. Numbers and slices that change from step to step are named here, so that no step waits for the compiler.
    """
    decorate: Callable[[Callable[..., Any]], Any] = triton.jit(
        do_not_specialize=list(general), do_not_specialize_on_alignment=list(general)
    )
    return decorate


@dataclass(frozen=True, kw_only=True)
class ProgramShape:
    """How much an attention program holds at once. Shapes give the same result but for rounding."""

    queries: int
    """Rows of the score tile: a power of two of at least 16, what a tensor core takes."""
    positions: int
    """Cached positions that one step of the loop reads: a power of two of at least 16."""
    num_warps: int
    num_stages: int
    """Tiles in flight, the one that is computed on among them."""
