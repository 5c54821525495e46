"""How quickly this device computes, for an estimate of time: its published peak, or a short measurement.

In: a kind of device and a dtype. Out: a `Rate`, or None. The share of it that training reaches is an assumption, and is
told as one.
"""

import time
from dataclasses import dataclass

import torch

from ivl.train.peaks import peak_flops

ASSUMED_SHARE = {"cuda": 0.35, "cpu": 0.5}
"""Of a GPU's peak, and of a measured product's rate on a CPU."""
_ELSEWHERE = "NVIDIA H100 80GB HBM3"
_SIDE = {"cpu": 768, "cuda": 8192}


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Operations a second of one device."""

    flops_per_second: float
    share: float
    """That training is assumed to reach."""
    source: str
    """Whose rate it is, and how it is known."""


def find_rate(device: str, dtype: str) -> Rate:
    """The rate of this machine's device; of an H100 where a GPU is planned for and none is here."""
    share = ASSUMED_SHARE[device]
    if device == "cuda" and not torch.cuda.is_available():
        peak = peak_flops(_ELSEWHERE, dtype)
        assert peak is not None, f"no peak of {_ELSEWHERE} in {dtype}"
        return Rate(flops_per_second=peak, share=share, source="peak of an H100 (no GPU is here)")
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    peak = peak_flops(name, dtype)
    if peak is not None:
        return Rate(flops_per_second=peak, share=share, source=f"peak of {name}")
    source = f"measured product on {'this CPU' if device == 'cpu' else name}"
    return Rate(flops_per_second=_measured(device, getattr(torch, dtype)), share=share, source=source)


@torch.inference_mode()
def _measured(device: str, dtype: torch.dtype) -> float:
    """The best of three large products after a first one."""
    side = _SIDE[device]
    left = torch.randn(side, side, device=device).to(dtype)
    seconds = []
    for _ in range(4):
        begun = time.perf_counter()
        left @ left.t()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    return 2 * side**3 / min(seconds[1:])
