"""A fused model answers as the model it was made of, on the official goldens and on every kind of decoder."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn

from ivl.errors import CheckpointError
from ivl.model import fused
from ivl.model.fused import PackedLinear, apply_fused
from ivl.model.internvl import InternVL
from ivl.model.weights import load_model, save_model
from parity import tiny
from random_model import make_model, prompt_with_tiles, random_ids, random_tiles

needs_packing = pytest.mark.parametrize("packs", [True, False])


@needs_packing
@pytest.mark.parametrize("name", tiny.NAMES)
def test_goldens_hold(
    name: str, packs: bool, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not packs:
        monkeypatch.setattr(fused, "can_pack", lambda: False)
    model = apply_fused(load_model(tiny_folder(name)))
    golden, pixels = tiny.goldens(name, "forward"), tiny.pixels("rand3")
    with torch.inference_mode():
        logits = model(golden["a_input_ids"], pixels).logits
        features = model.encode_tiles(tiny.pixels("rand_84"))
    assert (logits - golden["a_logits"]).abs().max() < 1e-4
    assert (features - tiny.goldens(name, "vision")["extract_feature_84"]).abs().max() < 1e-4
    case = tiny.golden_json(name, "generate")["gen_2img"]
    tiles = torch.cat([tiny.pixels(key) for key in case["images"]])
    assert model.generate_greedy(torch.tensor(case["input_ids"]), tiles, 24) == case["generated_ids"]


@pytest.mark.parametrize(
    "text",
    [
        {},
        {"qkv_bias": True},
        {"qk_norm": True},  # Qwen3
        {"qkv_bias": True, "o_bias": True, "tie_embeddings": True},
        {"num_kv_heads": 6},
        {"num_kv_heads": 1, "qk_norm": True},
    ],
)
def test_every_decoder(text: dict[str, object]) -> None:
    model, ids, tiles = make_model(**text), prompt_with_tiles(2), random_tiles(2)
    changed = apply_fused(deepcopy(model))
    with torch.inference_mode():
        assert torch.allclose(changed(ids, tiles).logits, model(ids, tiles).logits, rtol=0, atol=1e-12)
    assert changed.generate_greedy(ids, tiles, 12) == model.generate_greedy(ids, tiles, 12)


def test_packed_sequences() -> None:
    model, ids = make_model(), random_ids(11)
    changed = apply_fused(deepcopy(model))
    offsets = torch.tensor([0, 3, 4, 11])
    with torch.inference_mode():
        got, wanted = (m(ids, cu_seqlens=offsets).logits for m in (changed, model))
    assert torch.allclose(got, wanted, rtol=0, atol=1e-12)


def test_it_holds_fewer_modules_and_no_other_numbers() -> None:
    model = make_model()
    before = sum(parameter.numel() for parameter in model.parameters())
    layer = apply_fused(model).language_model.layers[0]
    assert [name for name, child in layer.named_modules() if isinstance(child, nn.Linear)] == [
        "attention.o_proj",
        "mlp.down_proj",
    ]
    assert sum(parameter.numel() for parameter in model.parameters()) == before


def test_wide_weights_are_stored_by_columns() -> None:
    layer = apply_fused(make_model()).language_model.layers[0]
    assert layer.mlp.weight.shape == (2 * 64, 48)
    assert layer.mlp.weight.stride() == (1, 2 * 64)
    assert layer.attention.weight.shape == ((6 + 2 + 2) * 8, 48)
    assert layer.attention.weight.stride() == (1, (6 + 2 + 2) * 8)


def test_float32_on_a_cpu_is_packed() -> None:
    model = apply_fused(make_model().float())
    assert count(model, PackedLinear) == 1 + 6 * 2 + 2  # patches, layers, connector
    assert [name for name, child in model.vision_model.named_modules() if isinstance(child, nn.Linear)] == []


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_are_not_packed(dtype: torch.dtype) -> None:
    assert count(apply_fused(make_model().to(dtype)), PackedLinear) == 0


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_a_packed_linear(bias: bool, rows: int) -> None:
    torch.manual_seed(0)
    source = nn.Linear(24, 10, bias=bias)
    packed, x = PackedLinear(source, rows=8), torch.randn(24, 2, rows).permute(1, 2, 0)
    with torch.inference_mode():
        assert torch.allclose(packed(x), source(x), rtol=0, atol=1e-5)


def test_fusing_again_changes_nothing() -> None:
    model = apply_fused(make_model().float())
    modules = list(model.modules())
    assert apply_fused(model) is model
    assert list(model.modules()) == modules


def test_a_fused_model_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        save_model(apply_fused(make_model()), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def count(model: InternVL, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in model.modules())
