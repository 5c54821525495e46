"""Names as torch gives them find their own row."""

import pytest
import torch

from ivl.train.peaks import peak_flops


@pytest.mark.parametrize(
    ("name", "dtype", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989.4),
        ("NVIDIA H100 80GB HBM3", "float32", 66.9),
        ("NVIDIA H100 PCIe", "bfloat16", 756),
        ("NVIDIA H100 NVL", "bfloat16", 835.5),
        ("NVIDIA H200", "bfloat16", 989.4),
        ("NVIDIA H20", "bfloat16", 148),
        ("NVIDIA GH200 480GB", "bfloat16", 989.4),
        ("NVIDIA A100-SXM4-80GB", "bfloat16", 312),
        ("NVIDIA A10", "bfloat16", 125),
        ("NVIDIA A40", "bfloat16", 149.7),
        ("NVIDIA L4", "bfloat16", 121),
        ("NVIDIA L40", "bfloat16", 181),
        ("NVIDIA L40S", "bfloat16", 362),
        ("NVIDIA RTX A6000", "bfloat16", 154.8),
        ("NVIDIA GeForce RTX 3090", "bfloat16", 71.2),
    ],
)
def test_known_devices(name, dtype, tflops):
    assert peak_flops(name, dtype) == pytest.approx(tflops * 1e12)
    assert peak_flops(name, getattr(torch, dtype)) == peak_flops(name, dtype)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("cpu", "float32"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "bfloat16"),
        ("NVIDIA A10G", "bfloat16"),
        ("Tesla V100-SXM2-16GB", "bfloat16"),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "bfloat16"),
        ("NVIDIA H100 80GB HBM3", "float16"),
    ],
)
def test_unknown_is_none(name, dtype):
    assert peak_flops(name, dtype) is None
