"""The most that this device does, measured: products, reading and copying of memory.

In: a device and a dtype. Out: rates against which a model's own are read. Knows no model.

Each rate is the best of short bursts, on random numbers (products of zeros draw less power and run faster).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from ivl.model.fused import PackedLinear, can_pack

_SIDE = {"cpu": 1024, "cuda": 8192}
"""Of the square matrices that are multiplied."""
_BYTES = {"cpu": 2**28, "cuda": 2**32}
"""Read or copied at a time: far more than any cache holds. Of a GPU's free memory it is a quarter at most."""


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """Measured rates of one device in one dtype."""

    product_flop_per_s: float
    """Of a large square matrix product in the dtype of the run, by the faster of torch's own and oneDNN's."""
    read_bytes_per_s: float
    copy_bytes_per_s: float
    """Bytes read and bytes written together."""

    @property
    def bytes_per_s(self) -> float:
        """The faster of reading and copying."""
        return max(self.read_bytes_per_s, self.copy_bytes_per_s)


def measure_ceilings(device: str, dtype: torch.dtype, seconds: float = 0.5) -> Ceilings:
    """Each of three rates, measured for about this long. Raises RuntimeError where memory is full."""
    kind = torch.device(device).type
    num_bytes = _BYTES[kind]
    if kind == "cuda":
        num_bytes = min(num_bytes, torch.cuda.mem_get_info(device)[0] // 4)
    ceilings = Ceilings(
        product_flop_per_s=_product_rate(device, dtype, _SIDE[kind], seconds),
        read_bytes_per_s=_read_rate(device, num_bytes, seconds),
        copy_bytes_per_s=_copy_rate(device, num_bytes, seconds),
    )
    if kind == "cuda":
        torch.cuda.empty_cache()  # whoever comes next counts what is free
    return ceilings


def as_dtype(name: str) -> torch.dtype:
    """torch's dtype of this name."""
    dtype = getattr(torch, name)
    assert isinstance(dtype, torch.dtype), f"{name} is no dtype"
    return dtype


def wait_for(device: str) -> None:
    """Return when the device has done all it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _product_rate(device: str, dtype: torch.dtype, side: int, seconds: float) -> float:
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    # A weight lies transposed: some libraries are much faster with it than without.
    rate = max(
        _best_rate(device, partial(torch.mm, left, weight, out=out), 2 * side**3, seconds)
        for weight in (right, right.t())
    )
    if can_pack(left):  # what the vision model uses, and often the faster one
        packed = PackedLinear(square=torch.nn.Linear(side, side)).requires_grad_(False)
        rate = max(rate, _best_rate(device, lambda: packed(left), 2 * side**3, seconds))
    return rate


def _read_rate(device: str, num_bytes: int, seconds: float) -> float:
    numbers = torch.ones(num_bytes // 4, device=device)
    return _best_rate(device, numbers.sum, num_bytes, seconds)


def _copy_rate(device: str, num_bytes: int, seconds: float) -> float:
    source = torch.ones(num_bytes // 4, device=device)
    target = torch.zeros_like(source)
    return _best_rate(device, lambda: target.copy_(source), 2 * num_bytes, seconds)


@torch.inference_mode()
def _best_rate(device: str, work: Callable[[], object], amount: int, seconds: float) -> float:
    """`amount` by the shortest time that `work` took, in bursts of four on a GPU, which must not wait for the host."""
    burst = 4 if torch.device(device).type == "cuda" else 1
    work()
    wait_for(device)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        begun = time.perf_counter()
        for _ in range(burst):
            work()
        wait_for(device)
        best = min(best, (time.perf_counter() - begun) / burst)
    return amount / best
