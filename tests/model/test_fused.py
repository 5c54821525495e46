"""A fused model answers as the model it was made of, on the official goldens and on every kind of decoder."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn

from ivl.errors import CheckpointError
from ivl.model import fused
from ivl.model.fused import JoinedLinear, PackedLinear, QuickRMSNorm, apply_fused
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
    monkeypatch.setattr(fused, "WORTH_PACKING", 0 if packs else 2**60)
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


def test_it_holds_no_other_numbers() -> None:
    model = make_model()
    before = sum(parameter.numel() for parameter in model.parameters())
    assert sum(parameter.numel() for parameter in apply_fused(model).parameters()) == before


def test_wide_weights_are_stored_by_columns() -> None:
    layer = apply_fused(make_model()).language_model.layers[0]
    assert layer.mlp.gate_up_proj.weight.shape == (2 * 64, 48)
    assert layer.mlp.gate_up_proj.weight.stride() == (1, 2 * 64)
    assert layer.attention.qkv_proj.weight.shape == ((6 + 2 + 2) * 8, 48)
    assert layer.attention.qkv_proj.weight.stride() == (1, (6 + 2 + 2) * 8)


def test_every_large_product_is_a_module_that_can_be_wrapped() -> None:
    model, ids, tiles = make_model(qkv_bias=True).float(), prompt_with_tiles(2), random_tiles(2).float()
    model = apply_fused(model)
    before = model(ids, tiles).logits
    calls: dict[str, int] = {}

    class Counting(nn.Module):
        def __init__(self, name: str, inner: nn.Module) -> None:
            super().__init__()
            self.name, self.inner = name, inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[-1] == self.inner.in_features
            out = self.inner(x)
            assert out.shape == (*x.shape[:-1], self.inner.out_features)
            calls[self.name] = calls.get(self.name, 0) + 1
            return out

    products = [name for name, module in model.named_modules() if hasattr(module, "out_features")]
    for name in products:
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, Counting(name, model.get_submodule(name)))
    assert torch.equal(model(ids, tiles).logits, before)
    assert calls == dict.fromkeys(products, 1)
    decoder = {name.removeprefix("language_model.layers.0.") for name in products if "language_model.layers.0" in name}
    assert decoder == {"attention.qkv_proj", "attention.o_proj", "mlp.gate_up_proj", "mlp.down_proj"}
    assert {"language_model.lm_head", "connector.fc1", "connector.fc2"} < set(products)
    vision = {name.removeprefix("vision_model.layers.0.") for name in products if "vision_model.layers.0" in name}
    assert vision == {"attention.qkv_proj", "attention.o_proj", "mlp.fc1", "mlp.fc2"}


def test_a_joined_product_names_its_parts() -> None:
    layer = apply_fused(make_model()).language_model.layers[0]
    assert layer.attention.qkv_proj.parts == (("q_proj", 6 * 8), ("k_proj", 2 * 8), ("v_proj", 2 * 8))
    assert layer.mlp.gate_up_proj.parts == (("gate_proj", 64), ("up_proj", 64))


def test_large_vision_weights_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "WORTH_PACKING", 0)
    model = apply_fused(make_model().float())
    assert count(model, PackedLinear) == 1 + 4 * 2 + 2  # patches, layers, connector
    assert [name for name, child in model.vision_model.named_modules() if isinstance(child, nn.Linear)] == []


def test_small_weights_are_not_packed() -> None:
    model = apply_fused(make_model().float())
    assert count(model, PackedLinear) == 0
    assert all(module.packed is None for module in model.modules() if isinstance(module, JoinedLinear))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_are_not_packed(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "WORTH_PACKING", 0)
    model = apply_fused(make_model().to(dtype))
    assert count(model, PackedLinear) + count(model, QuickRMSNorm) == 0
    assert all(module.packed is None for module in model.modules() if isinstance(module, JoinedLinear))


def test_the_second_layout_keeps_within_the_spare_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "WORTH_PACKING", 0)
    model = make_model().float()
    bytes_ = 4 * sum(parameter.numel() for parameter in model.language_model.layers.parameters())
    for spare, expected in ((bytes_, 4 * 2 + 1), (bytes_ - 1, 0)):
        changed = apply_fused(deepcopy(model), spare_bytes=spare).language_model
        joined = [module for module in changed.modules() if isinstance(module, JoinedLinear)]
        assert sum(module.packed is not None for module in joined) == expected


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_a_product_in_every_layout(bias: bool, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "WORTH_PACKING", 0)
    torch.manual_seed(0)
    first, second = nn.Linear(24, 10, bias=bias), nn.Linear(24, 30, bias=bias)
    x = torch.randn(24, 2, rows).permute(1, 2, 0)
    with torch.inference_mode():
        wanted = torch.cat((first(x), second(x)), dim=-1)
        for product in (
            PackedLinear(first=first, second=second),
            JoinedLinear(False, first=first, second=second),
            JoinedLinear(True, first=first, second=second),
        ):
            assert torch.allclose(product(x), wanted, rtol=0, atol=1e-5)
            assert torch.allclose(product(x[0, 0]), wanted[0, 0], rtol=0, atol=1e-5)
            assert product.parts == (("first", 10), ("second", 30))
            assert (product.in_features, product.out_features) == (24, 40)


def test_the_quick_norm() -> None:
    torch.manual_seed(0)
    source, x = nn.RMSNorm(24, eps=1e-5), torch.randn(7, 24) * 10 ** torch.linspace(-6, 6, 7)[:, None]
    nn.init.normal_(source.weight)
    with torch.inference_mode():
        got, wanted = QuickRMSNorm(source)(x), source(x)
    assert torch.allclose(got, wanted, rtol=1e-5, atol=1e-9)
    assert QuickRMSNorm(source)(torch.zeros(2, 24)).eq(0).all()


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
