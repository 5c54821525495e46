"""Where and how to run on this machine: device, dtype, threads.

In: what a person asked for ("auto" or a name) and the model's shapes. Out: names and numbers for `load_model` and
`torch.set_num_threads`; sets nothing itself. Knows no weights, and of the engine only how it counts free memory.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from ivl.engine.memory import available_memory as available_memory
from ivl.errors import SettingsError
from ivl.model.config import InternVLConfig
from ivl.model.names import parameter_shapes

# Parameters from which "auto" may leave float32 on a CPU: 2 GB of float32 weights. Every token of an answer reads the
# weights once, so below this it takes a fraction of a second anyway, and a small model keeps giving exactly the
# answers of the official float32 run, which bfloat16 (8 bits of precision) would change here and there.
LARGE = 500_000_000
# bfloat16 must be this much faster, for a single row (decoding) and for a tile's 256 rows (a prompt) alike.
WORTH_IT = 1.2


def choose_device(device: str) -> str:
    """The device to run on; raises SettingsError where it does not exist."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = device.partition(":")
    if kind not in {"cpu", "cuda"} or (":" in device and not (kind == "cuda" and index.isdecimal())):
        raise SettingsError(f"device={device!r} is not allowed: auto, cpu, cuda or cuda:N")
    if kind == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device={device!r} was asked for, but torch sees no GPU here: use device='cpu'")
    if index and int(index) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise SettingsError(f"device={device!r} does not exist: torch sees cuda:0 to cuda:{last}, so name one of them")
    return device


def choose_dtype(dtype: str, device: str, config: InternVLConfig | None = None) -> str:
    """The dtype of the weights, as its name.

    "auto" is bfloat16 on a GPU. On a CPU it is float32, unless the model is large (`LARGE`), the processor has bfloat16
    units (AVX512_BF16 or AMX), and a trial of about 0.2 s at the model's own widths finds them `WORTH_IT` times as
    fast: without such units bfloat16 products are far slower than float32. Without a config there is no trial.
    """
    if dtype != "auto":
        return dtype
    if device != "cpu":
        return "bfloat16"
    if config is None or num_parameters(config) < LARGE or not has_bfloat16_units():
        return "float32"
    gain = bfloat16_gain(config.text.hidden_size, config.text.intermediate_size)
    return "bfloat16" if gain >= WORTH_IT else "float32"


def choose_threads(root: Path = Path("/")) -> int:
    """Threads for torch's products: what torch chose, but no more than this process may really use.

    torch counts the machine's cores (or takes OMP_NUM_THREADS). In a container with a CPU quota, or bound to some
    cores, that is too many: threads then wait in turn for one another at the end of every product, many times slower.
    The bound is the quota of the process's control group or of any above it, in whole cores, versions 1 and 2, and
    the cores of its affinity mask. At least 1. `root` is where /proc and /sys are looked for.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(root)
    return max(1, min(torch.get_num_threads(), cores, cores if quota is None else int(quota)))


def num_parameters(config: InternVLConfig) -> int:
    """The model's parameters."""
    return sum(math.prod(shape) for shape in parameter_shapes(config).values())


def has_bfloat16_units(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16 by itself; False where the system does not say."""
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags.split())


def bfloat16_gain(width: int, inner_width: int, budget_s: float = 0.2) -> float:
    """How many times as fast bfloat16 is as float32, at a weight (inner_width, width): the lesser gain
    of 1 and of 256 rows.

    The weight is cut to 2**23 numbers, which keeps a product with 256 rows within milliseconds. A trial that does not
    fit into `budget_s` counts as no gain.
    """
    start = time.perf_counter()
    weight = torch.full((max(1, min(inner_width, 2**23 // width)), width), 0.5)
    gains = []
    with torch.inference_mode():
        for rows in (1, 256):
            seconds = [_product_seconds(weight.to(dtype), rows) for dtype in (torch.float32, torch.bfloat16)]
            gains.append(seconds[0] / seconds[1])
            if time.perf_counter() - start > budget_s:
                return min(*gains, 1.0)
            if gains[-1] < WORTH_IT:
                break
    return min(gains)


def _product_seconds(weight: torch.Tensor, rows: int) -> float:
    """The better of two runs after a first one that warms up."""
    x = torch.full((rows, weight.shape[1]), 0.5, dtype=weight.dtype)
    stamps = []
    for _ in range(3):
        start = time.perf_counter()
        F.linear(x, weight)
        stamps.append(time.perf_counter() - start)
    return min(stamps[1:])


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores that the control groups of this process allow it, the least of them; None: no quota, or none readable."""
    quotas = []
    for folder, files in _group_folders(root):
        try:
            numbers = " ".join((folder / name).read_text("ascii") for name in files).split()
            # "max" of version 2 is no number, -1 of version 1 is none.
            quota, period = float(numbers[0]), float(numbers[1])
        except (OSError, ValueError, IndexError):
            continue
        if quota > 0 and period > 0:
            quotas.append(quota / period)
    return min(quotas, default=None)


def _group_folders(root: Path) -> list[tuple[Path, tuple[str, ...]]]:
    """The folders of the process's CPU group and all above it, with the names of their files of quota and period."""
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found: list[tuple[Path, tuple[str, ...]]] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        group = Path(*(name for name in path.split("/") if name not in {"", ".."}))
        if not controllers:  # version 2: one tree for all
            found += [(mount / folder, ("cpu.max",)) for folder in (group, *group.parents)]
        elif "cpu" in controllers.split(","):
            files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            found += [
                (mount / tree / folder, files) for tree in ("cpu", controllers) for folder in (group, *group.parents)
            ]
    return found
