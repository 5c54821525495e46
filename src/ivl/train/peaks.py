"""What a device can do at most: dense peak rates by the name that torch gives it.

In: a name and a dtype. Out: operations a second, or None where it is not known; every CPU is unknown. Measures nothing.

Peaks are those of matrix products without structured sparsity (data sheets print both, often only the doubled one),
bfloat16 with float32 sums; float32 without TF32, as torch multiplies unless told otherwise.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class _Peak:
    """TFLOP/s of a device."""

    words: tuple[str, ...]
    """All of them stand in the name, in small letters."""
    bfloat16: float
    float32: float


# The first that fits counts, so the special stand before the general. Sources: NVIDIA's data sheets of H100 (SXM, PCIe,
# NVL), H200, GH200, B200, A100, A30, A40, A10, L4, L40 and L40S; its white papers of the GA102, AD102 and GB202 for
# cards of the RTX series (tensor rate with float32 sums); AMD's of MI250X and MI300X.
_PEAKS = (
    _Peak(words=("gh200",), bfloat16=989.4, float32=66.9),
    _Peak(words=("h100", "pcie"), bfloat16=756, float32=51.2),
    _Peak(words=("h100", "nvl"), bfloat16=835.5, float32=60),
    _Peak(words=("h100",), bfloat16=989.4, float32=66.9),
    _Peak(words=("h800", "pcie"), bfloat16=756, float32=51.2),
    _Peak(words=("h800",), bfloat16=989.4, float32=66.9),
    _Peak(words=("h200", "nvl"), bfloat16=835.5, float32=60),
    _Peak(words=("h200",), bfloat16=989.4, float32=66.9),
    _Peak(words=("h20",), bfloat16=148, float32=44),
    _Peak(words=("b200",), bfloat16=2250, float32=75),
    _Peak(words=("a100",), bfloat16=312, float32=19.5),
    _Peak(words=("a800",), bfloat16=312, float32=19.5),
    _Peak(words=("a30",), bfloat16=165, float32=10.3),
    _Peak(words=("rtx a6000",), bfloat16=154.8, float32=38.7),
    _Peak(words=("a40",), bfloat16=149.7, float32=37.4),
    _Peak(words=("nvidia a10",), bfloat16=125, float32=31.2),
    _Peak(words=("l40s",), bfloat16=362, float32=91.6),
    _Peak(words=("l40",), bfloat16=181, float32=90.5),
    _Peak(words=("nvidia l4",), bfloat16=121, float32=30.3),
    _Peak(words=("rtx 5090",), bfloat16=209.5, float32=104.8),
    _Peak(words=("rtx 4090 d",), bfloat16=147.1, float32=73.5),
    _Peak(words=("rtx 4090",), bfloat16=165.2, float32=82.6),
    _Peak(words=("rtx 4080",), bfloat16=97.5, float32=48.7),
    _Peak(words=("rtx 3090 ti",), bfloat16=80, float32=40),
    _Peak(words=("rtx 3090",), bfloat16=71.2, float32=35.6),
    _Peak(words=("mi300x",), bfloat16=1307.4, float32=163.4),
    _Peak(words=("mi250x",), bfloat16=383, float32=47.9),
)
# Names that hold one of the words above and are other things.
_OTHERS = ("a10g", "a10m", "laptop", "mobile", "max-q", "mig")


def peak_flops(device_name: str, dtype: torch.dtype | str) -> float | None:
    """FLOP/s at most of a device, by `torch.cuda.get_device_name()`, in bfloat16 or float32; None: not known."""
    name, dtype = device_name.lower(), str(dtype).removeprefix("torch.")
    if dtype not in ("bfloat16", "float32") or any(word in name for word in _OTHERS):
        return None
    for peak in _PEAKS:
        if all(word in name for word in peak.words):
            return 1e12 * (peak.bfloat16 if dtype == "bfloat16" else peak.float32)
    return None
