"""Training on a GPU: the packed kernel against the reference, bfloat16 against float32, whole runs and their resume."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ivl.data.settings import DataSource
from ivl.model import load_model
from ivl.model.attention import PackedAttention
from ivl.model.varlen import VarlenAttention, packed_attention
from ivl.train.config import TrainConfig
from ivl.train.launch import launch
from ivl.train.metrics import read_metrics
from ivl.zoo import nano_folder
from signs import write_signs

pytestmark = pytest.mark.gpu

DEVICE = torch.device("cuda")


def relative(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize("kv_heads", [2, 8])
def test_the_packed_kernel_is_the_reference_forward_and_backward(kv_heads: int) -> None:
    offsets = [0, 700, 701, 1024, 2000]
    generator = torch.Generator(DEVICE).manual_seed(0)
    shapes = ((8, 128), (kv_heads, 128), (kv_heads, 128))
    inputs = [torch.randn(offsets[-1], *shape, device=DEVICE, generator=generator) for shape in shapes]
    weight = torch.randn(offsets[-1], 8, 128, device=DEVICE, generator=generator)
    results = []
    for attention, dtype in (
        (PackedAttention(offsets), torch.float32),
        (VarlenAttention(offsets, DEVICE), torch.bfloat16),
    ):
        leaves = [each.clone().to(dtype).requires_grad_() for each in inputs]
        out = attention(0, *leaves)
        (out.float() * weight).sum().backward()
        results.append([out.detach(), *(each.grad for each in leaves)])
    for got, expected in zip(results[1], results[0], strict=True):
        assert relative(got, expected) < 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_plain_loop_runs_in_every_type(dtype: torch.dtype) -> None:
    model = load_model(nano_folder(), DEVICE, dtype)
    assert len(model.generate_greedy(torch.arange(40, device=DEVICE), max_new_tokens=4)) == 4


def test_the_kernel_is_chosen_where_it_fits() -> None:
    assert isinstance(packed_attention([0, 4], DEVICE, torch.bfloat16, 128), VarlenAttention)
    assert isinstance(packed_attention([0, 4], DEVICE, torch.float32, 128), PackedAttention)
    assert isinstance(packed_attention([0, 4], torch.device("cpu"), torch.bfloat16, 128), PackedAttention)


@pytest.fixture
def recipe(tmp_path: Path) -> TrainConfig:
    paths = write_signs(tmp_path / "signs", 120, 12)
    data, val_data = ((DataSource(path=str(path)),) for path in paths)
    return TrainConfig(
        path=str(nano_folder()), data_path=data, val_data_path=val_data, work_dir=str(tmp_path / "run"),
        device="cuda", dataloader_num_workers=2, r=16, lora_alpha=32, lr=2e-3, batch_size=10, max_epochs=2,
        save_steps=12, eval_samples=12, packing=False,
    )  # fmt: skip


def test_a_run_learns_and_its_adapter_is_there(recipe: TrainConfig) -> None:
    assert launch(recipe, 1) == 0
    assert recipe.work_dir is not None
    records = read_metrics(Path(recipe.work_dir) / "metrics.jsonl")
    before, *_, after = [each["exact_match"] for each in records if each["kind"] == "validation"]
    assert before == 0
    assert after >= 0.75
    assert (Path(recipe.work_dir) / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    "changes",
    [{"dtype": "float32"}, {"compile": True}, {"activation_checkpointing": "all"}, {"vision_cache": "seen"}],
    ids=str,
)
def test_neither_bfloat16_nor_what_saves_time_or_memory_changes_the_losses(
    recipe: TrainConfig, tmp_path: Path, changes: dict[str, object]
) -> None:
    if "vision_cache" in changes:
        changes = {"vision_cache": str(tmp_path / "seen")}
    losses = []
    for number, extra in enumerate(({}, changes, changes)):
        config = replace(recipe, work_dir=str(tmp_path / f"run{number}"), max_steps=6, eval_samples=0, **extra)
        assert launch(config, 1) == 0
        records = read_metrics(tmp_path / f"run{number}" / "metrics.jsonl")
        losses.append([each["loss"] for each in records if each["kind"] == "step"])
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=0.03, abs=0.02)
