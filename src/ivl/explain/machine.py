"""What this machine can do: Python, packages, processor, memory, devices, and dtypes by measured speed.

In: nothing but the machine itself. Out: checks, each as it is made. Downloads and changes nothing.
"""

import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ivl.explain.check import Check
from ivl.explain.packages import package_checks
from ivl.session.hardware import available_memory, choose_device, choose_dtype

GIB = 2**30
SMALL_MEMORY = 2 * GIB
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_FLAGS = ("avx512_bf16", "avx512_fp16", "amx_bf16", "sve", "bf16", "i8mm")
_CGROUP = Path("/sys/fs/cgroup")


def machine_checks() -> Iterator[Check]:
    """Look at this machine, part by part."""
    yield from package_checks()
    yield check_processor()
    yield check_threads(torch.get_num_threads(), usable_cores())
    yield check_memory(available_memory())
    devices = ["cpu", *(f"cuda:{idx}" for idx in range(torch.cuda.device_count()))]
    yield check_devices(devices, has_nvidia_driver=Path("/proc/driver/nvidia/version").exists())
    for device in devices:
        yield check_dtypes(device, measure_dtypes(device))


def check_processor() -> Check:
    """Name and vector instructions of the processor."""
    flags: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    name = flags.get("cpu_name") or platform.processor() or platform.machine()
    level = torch.backends.cpu.get_cpu_capability()
    more = "".join(f", {flag.upper()}" for flag in _FLAGS if flags.get(flag))
    return Check(name="processor", level="ok", found=f"{name}; torch computes with {level}{more}")


def usable_cores() -> int:
    """Processor cores that this process may use: its affinity, and its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


def check_threads(threads: int, cores: int) -> Check:
    """More threads than cores make torch many times slower, fewer leave cores idle."""
    found = f"torch uses {threads} for {cores} usable core{'s' * (cores != 1)}"
    if threads > cores:
        return Check(
            name="threads",
            level="warning",
            found=found,
            advice=f"too many are slow: set OMP_NUM_THREADS={cores}",
        )
    if threads < cores // 2:
        return Check(
            name="threads",
            level="warning",
            found=found,
            advice=f"cores idle: set OMP_NUM_THREADS={cores // 2} or more",
        )
    return Check(name="threads", level="ok", found=found)


def check_memory(free: int | None) -> Check:
    """Whether a model fits at all."""
    if free is None:
        return Check(name="memory", level="ok", found=f"free memory is not known on {sys.platform}")
    found, figures = f"{free / GIB:.1f} GiB free", {"free_gib": free / GIB}
    if free < SMALL_MEMORY:
        advice = "models other than the small one in the package will not fit: close programs"
        return Check(name="memory", level="warning", found=found, advice=advice, figures=figures)
    return Check(name="memory", level="ok", found=found, figures=figures)


def check_devices(devices: list[str], *, has_nvidia_driver: bool) -> Check:
    """The devices that torch can compute on, and the one that is chosen unless told otherwise."""
    names = [_device_name(device) for device in devices]
    found = f"{'; '.join(names)}; device=auto is {choose_device('auto')}"
    if has_nvidia_driver and len(devices) == 1:
        advice = "an NVIDIA driver is here but torch sees no GPU: install a torch built for CUDA (pytorch.org)"
        return Check(name="devices", level="warning", found=found, advice=advice)
    return Check(name="devices", level="ok", found=found)


def measure_dtypes(device: str, seconds: float = 0.25) -> dict[str, float]:
    """GFLOP/s of a square matrix product in each dtype, measured for this long; 0 where it fails."""
    return {name: _gflops(device, dtype, seconds) for name, dtype in DTYPES.items()}


def check_dtypes(device: str, gflops: dict[str, float]) -> Check:
    """Whether the dtype that is chosen unless told otherwise is a quick one."""
    chosen = choose_dtype("auto", device)
    fastest = max(gflops, key=lambda name: gflops[name])
    speeds = ", ".join(f"{name} {_digits(speed)}" for name, speed in gflops.items())
    found = f"{speeds} GFLOP/s; dtype=auto is {chosen}"
    figures = {f"{name}_gflops": speed for name, speed in gflops.items()}
    level, advice = "ok", ""
    if gflops[chosen] == 0:
        level, advice = "problem", f"{chosen} does not work on {device}: use --dtype {fastest}"
    elif gflops[fastest] > 1.5 * gflops[chosen]:
        level, advice = "warning", f"--dtype {fastest} would be faster here"
    return Check(name=f"speed {device}", level=level, found=found, advice=advice, figures=figures)  # type: ignore[arg-type]


def _gflops(device: str, dtype: torch.dtype, seconds: float) -> float:
    side = 512 if device == "cpu" else 4096
    try:
        matrix = torch.ones(side, side, dtype=dtype, device=device)
        _product(matrix)  # the first one sets things up
        rounds, begun = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - begun) < seconds or rounds == 0:
            _product(matrix)
            rounds += 1
    except RuntimeError:  # a dtype or a device that does not work, memory that is full
        return 0.0
    return rounds * 2 * side**3 / elapsed / 1e9


def _product(matrix: torch.Tensor) -> None:
    product = matrix @ matrix
    if product.is_cuda:
        torch.cuda.synchronize(product.device)


def _device_name(device: str) -> str:
    if device == "cpu":
        return "cpu"
    properties = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    return f"{device} {properties.name}, {free / GIB:.0f} of {total / GIB:.0f} GiB free"


def _digits(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.1f}"


def _read(path: Path) -> str:
    """A small file of the system, empty where there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(65536)
    except OSError:
        return ""
