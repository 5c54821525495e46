"""What this machine is asked, and what follows from its answers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ivl.errors import SettingsError
from ivl.model.internvl import InternVL
from ivl.session import hardware
from ivl.session.hardware import (
    bfloat16_gain,
    choose_device,
    choose_dtype,
    choose_threads,
    cpu_quota,
    has_bfloat16_units,
    num_parameters,
)
from random_model import CONFIG

LARGE_CONFIG = replace(
    CONFIG, text=replace(CONFIG.text, hidden_size=2048, intermediate_size=8192, num_layers=24, vocab_size=92553)
)


class TestDevice:
    def test_auto_and_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert choose_device("auto") == choose_device("cpu") == "cpu"
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        assert choose_device("auto") == choose_device("cuda") == "cuda"
        assert choose_device("cuda:1") == "cuda:1"
        with pytest.raises(SettingsError, match="'cuda:2' does not exist: torch sees cuda:0 to cuda:1"):
            choose_device("cuda:2")

    @pytest.mark.parametrize("device", ["tpu", "", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:1:1"])
    def test_other_names(self, device: str) -> None:
        with pytest.raises(SettingsError, match="allowed: auto, cpu, cuda or cuda:N"):
            choose_device(device)

    def test_a_gpu_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(SettingsError, match="torch sees no GPU"):
            choose_device("cuda:0")


class TestDtype:
    def test_what_is_asked_for_is_taken(self) -> None:
        assert choose_dtype("float16", "cpu", CONFIG) == "float16"

    def test_auto_without_a_trial(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hardware, "has_bfloat16_units", lambda: True)
        monkeypatch.setattr(hardware, "bfloat16_gain", lambda *widths: pytest.fail("measured"))
        assert choose_dtype("auto", "cuda") == choose_dtype("auto", "cuda:1", CONFIG) == "bfloat16"
        assert choose_dtype("auto", "cpu") == choose_dtype("auto", "cpu", CONFIG) == "float32"
        monkeypatch.setattr(hardware, "has_bfloat16_units", lambda: False)
        assert choose_dtype("auto", "cpu", LARGE_CONFIG) == "float32"

    @pytest.mark.parametrize(("gain", "dtype"), [(1.19, "float32"), (1.21, "bfloat16")])
    def test_a_large_model_goes_by_the_trial(self, gain: float, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hardware, "has_bfloat16_units", lambda: True)
        monkeypatch.setattr(hardware, "bfloat16_gain", lambda *widths: gain if widths == (2048, 8192) else 0.0)
        assert choose_dtype("auto", "cpu", LARGE_CONFIG) == dtype

    @pytest.mark.parametrize("tie_embeddings", [True, False])
    def test_parameters_are_counted_nearly(self, tie_embeddings: bool) -> None:
        config = replace(LARGE_CONFIG, text=replace(LARGE_CONFIG.text, tie_embeddings=tie_embeddings))
        with torch.device("meta"):
            exact = sum(parameter.numel() for parameter in InternVL(config).parameters())
        assert abs(num_parameters(config) - exact) < 0.01 * exact

    @pytest.mark.parametrize(("rows_gain", "gain"), [((2.0, 3.0), 2.0), ((3.0, 1.5), 1.5), ((1.1, 9.0), 1.1)])
    def test_the_lesser_gain_counts(
        self, rows_gain: tuple[float, float], gain: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        by_rows = dict(zip((1, 256), rows_gain, strict=True))
        seconds = lambda weight, rows: 6.0 if weight.dtype == torch.float32 else 6.0 / by_rows[rows]  # noqa: E731
        monkeypatch.setattr(hardware, "_product_seconds", seconds)
        assert bfloat16_gain(64, 128) == pytest.approx(gain)

    def test_a_trial_that_takes_too_long_is_no_gain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hardware, "_product_seconds", lambda weight, rows: float(weight.dtype.itemsize))
        assert bfloat16_gain(64, 128) == 2.0
        assert bfloat16_gain(64, 128, budget_s=0.0) == 1.0

    def test_a_real_trial(self) -> None:
        assert bfloat16_gain(64, 128) > 0

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("flags\t\t: fpu avx2\n", False),
            ("model : x\nflags\t: avx512f avx512_bf16\n", True),
            ("flags : amx_bf16", True),
        ],
    )
    def test_flags(self, text: str, expected: bool, tmp_path: Path) -> None:
        (tmp_path / "cpuinfo").write_text(text)
        assert has_bfloat16_units(tmp_path / "cpuinfo") is expected
        assert has_bfloat16_units(tmp_path / "nowhere") is False


def system(root: Path, groups: str, **files: str) -> Path:
    """A root folder with /proc/self/cgroup and files below /sys/fs/cgroup (`__` for a slash)."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("cpu_", "cpu.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


class TestThreads:
    def test_version_2(self, tmp_path: Path) -> None:
        files = {"a__b__cpu_max": "max 100000\n", "a__cpu_max": "250000 100000\n", "cpu_max": "400000 100000\n"}
        assert cpu_quota(system(tmp_path, "0::/a/b\n", **files)) == 2.5

    def test_version_2_in_a_container_that_sees_its_own_group_as_root(self, tmp_path: Path) -> None:
        assert cpu_quota(system(tmp_path, "0::/../../x\n", cpu_max="150000 100000")) == 1.5

    def test_version_1(self, tmp_path: Path) -> None:
        groups = "5:memory:/a\n4:cpu,cpuacct:/a\n"
        files = {"cpu,cpuacct__a__cpu_cfs_quota_us": "50000\n", "cpu,cpuacct__a__cpu_cfs_period_us": "100000\n"}
        assert cpu_quota(system(tmp_path, groups, **files)) == 0.5
        assert choose_threads(tmp_path) == 1

    @pytest.mark.parametrize("text", ["", "max", "max 100000", "-1 100000", "0 0", "x y", "100000 0"])
    def test_no_quota(self, text: str, tmp_path: Path) -> None:
        assert cpu_quota(system(tmp_path, "0::/\n", cpu_max=text)) is None

    def test_no_groups_at_all(self, tmp_path: Path) -> None:
        assert cpu_quota(tmp_path) is None

    @pytest.mark.parametrize(
        ("chosen", "cores", "quota", "threads"),
        [(8, 16, None, 8), (8, 4, None, 4), (8, 16, 2.9, 2), (8, 16, 0.3, 1), (2, 16, 6.0, 2), (8, 3, 6.0, 3)],
    )
    def test_the_least_counts(
        self, chosen: int, cores: int, quota: float | None, threads: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch, "get_num_threads", lambda: chosen)
        monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
        monkeypatch.setattr(hardware, "cpu_quota", lambda root: quota)
        assert choose_threads() == threads
