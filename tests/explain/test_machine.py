"""What a machine can do, on machines of all kinds."""

import pytest
import torch

from ivl.engine import memory
from ivl.explain import machine
from ivl.explain.machine import (
    GIB,
    check_devices,
    check_dtypes,
    check_memory,
    check_processor,
    check_threads,
    machine_checks,
    measure_dtypes,
)


def test_more_threads_than_cores():
    check = check_threads(64, 2)
    assert check.level == "warning"
    assert "OMP_NUM_THREADS=2" in check.advice
    assert check_threads(2, 2).level == "ok"
    assert check_threads(1, 2).level == "ok"
    assert check_threads(1, 16).level == "warning"


@pytest.mark.parametrize(
    ("quota", "affinity", "cores"),
    [("200000 100000", 8, 2), ("max 100000", 8, 8), ("50000 100000", 8, 1), ("", 3, 3)],
)
def test_a_containers_quota_counts(monkeypatch, tmp_path, quota, affinity, cores):
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    assert machine.usable_cores() == cores


def test_a_containers_memory_counts(monkeypatch, tmp_path):
    free = machine.available_memory()
    (tmp_path / "memory.max").write_text(str(3 * GIB))
    (tmp_path / "memory.current").write_text(str(2 * GIB))
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    limited = machine.available_memory()
    assert free is None or limited == min(limited, GIB)


def test_memory():
    assert check_memory(16 * GIB).found == "16.0 GiB free"
    assert check_memory(GIB).level == "warning"
    assert check_memory(None).level == "ok"


def test_a_gpu_that_torch_cannot_use():
    check = check_devices(["cpu"], has_nvidia_driver=True)
    assert check.level == "warning"
    assert "CUDA" in check.advice
    assert check_devices(["cpu"], has_nvidia_driver=False).level == "ok"


def test_the_dtype_that_is_chosen_is_judged_by_speed():
    check = check_dtypes("cpu", {"float32": 40.0, "bfloat16": 3.0, "float16": 2.0})
    assert (check.level, check.found) == (
        "ok",
        "float32 40, bfloat16 3.0, float16 2.0 GFLOP/s; dtype=auto is float32",
    )
    assert check.figures["bfloat16_gflops"] == 3.0
    check = check_dtypes("cpu", {"float32": 100.0, "bfloat16": 900.0, "float16": 0.0})
    assert (check.level, check.advice) == ("warning", "--dtype bfloat16 would be faster here")
    check = check_dtypes("cuda:0", {"float32": 100.0, "bfloat16": 0.0, "float16": 900.0})
    assert (check.level, check.advice) == ("problem", "bfloat16 does not work on cuda:0: use --dtype float16")


def test_speed_is_measured():
    speeds = measure_dtypes("cpu", seconds=0.01)
    assert set(speeds) == {"float32", "bfloat16", "float16"}
    assert speeds["float32"] > 0


def test_a_dtype_that_fails_has_no_speed(monkeypatch):
    def fail(matrix):
        raise RuntimeError("not implemented for 'Half'")

    monkeypatch.setattr(machine, "_product", fail)
    assert measure_dtypes("cpu", seconds=0.01) == {"float32": 0.0, "bfloat16": 0.0, "float16": 0.0}


def test_processor_is_named():
    assert torch.backends.cpu.get_cpu_capability() in check_processor().found


def test_everything_is_looked_at(monkeypatch):
    monkeypatch.setattr(machine, "measure_dtypes", lambda device: dict.fromkeys(machine.DTYPES, 1.0))
    names = [check.name for check in machine_checks()]
    assert {"python", "packages", "processor", "threads", "memory", "devices", "speed cpu"} <= set(names)
    assert all(check.advice for check in machine_checks() if check.level != "ok")
