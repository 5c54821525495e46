"""Merging is what PEFT's own merging is, in float64, for LoRA, DoRA, stabilised ranks and modules trained fully."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from ivl.errors import AdapterError
from ivl.model.adapter_io import read_adapter
from ivl.model.adapter_merge import merge
from ivl.model.fused import apply_fused
from ivl.model.internvl import InternVL
from ivl.model.lora import AdapterSet
from random_adapter import make_adapter
from random_model import make_model, prompt_with_tiles, random_tiles

TARGETS = ["q_proj", "down_proj", "fc1", "patch_embedding", "language_model.layers.1.attention.v_proj"]
KINDS = {
    "lora": {"target_modules": TARGETS},
    "dora": {"target_modules": TARGETS, "use_dora": True},
    "rslora": {"target_modules": TARGETS, "use_rslora": True},
    "connector": {"target_modules": ["q_proj", "v_proj"], "modules_to_save": ["connector"]},
    "all": {
        "target_modules": ["language_model.layers.0.attention.q_proj", "gate_proj"],
        "use_dora": True,
        "use_rslora": True,
        "modules_to_save": ["connector", "vision_model", "embed_tokens", "language_model.norm", "lm_head"],
        "rank_pattern": {"gate_proj": 5},
        "alpha_pattern": {"gate_proj": 3},
    },
}


def train_with_peft(kind: str, folder: Path) -> PeftModel:
    """A model whose every trained number is another than at first; saved as PEFT saves."""
    settings = {"r": 3, "lora_alpha": 5, "lora_dropout": 0.1} | KINDS[kind]
    model = get_peft_model(make_model(qkv_bias=True), LoraConfig(**settings)).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter += 0.3 * noise / max(parameter.shape[-1] ** 0.5, 1)
    model.save_pretrained(folder)
    return model


def largest_difference(one: InternVL, other: InternVL) -> float:
    pairs = zip(one.named_parameters(), other.named_parameters(), strict=True)
    assert [name for name, _ in one.named_parameters()] == [name for name, _ in other.named_parameters()]
    return max(float((a - b).detach().abs().max()) for (_, a), (_, b) in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_merging_equals_pefts(kind: str, tmp_path: Path) -> None:
    trained = train_with_peft(kind, tmp_path)
    ids, tiles = prompt_with_tiles(1), random_tiles(1)
    answer = trained(ids, tiles).logits
    model = make_model(qkv_bias=True)
    adapter = read_adapter(tmp_path, model)
    merge(model, adapter)
    assert largest_difference(model, trained.merge_and_unload()) < 1e-9
    torch.testing.assert_close(model(ids, tiles).logits, answer, rtol=0, atol=1e-9)
    assert largest_difference(model, make_model(qkv_bias=True)) > 0.1, "nothing was changed, so nothing was tested"


@pytest.mark.parametrize("kind", ["lora", "dora", "rslora", "connector"])
@pytest.mark.parametrize("prepare", [lambda model: model, apply_fused], ids=["unfused", "fused"])
def test_beside_the_base_equals_pefts_own_forward(kind: str, prepare, tmp_path: Path) -> None:
    trained = train_with_peft(kind, tmp_path)
    ids, tiles = prompt_with_tiles(2), random_tiles(2)
    model = prepare(make_model(qkv_bias=True))
    adapter_set = AdapterSet(model)
    adapter_set.load("x", read_adapter(tmp_path, model))
    with torch.inference_mode():
        adapter_set.route([("x", 2)])
        features = model.encode_tiles(tiles)
        adapter_set.route([("x", len(ids))])
        torch.testing.assert_close(features, trained.base_model.model.encode_tiles(tiles), rtol=0, atol=1e-9)
        torch.testing.assert_close(model(ids).logits, trained(ids).logits, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "change",
    [apply_fused, lambda model: AdapterSet(model).load("a", make_adapter(replaced=("connector.",)))],
    ids=["fused", "adapted"],
)
@pytest.mark.parametrize("own", [("connector.",), ("language_model.layers.0.attention.q_proj",)])
def test_only_a_plain_model_is_merged(change, own: tuple[str, ...]) -> None:
    model = make_model()
    change(model)
    before = deepcopy(model.state_dict())
    with pytest.raises(AdapterError, match=r"cannot be merged: .* is fused, quantised or adapted already"):
        merge(model, make_adapter(ends=("q_proj",), replaced=own))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_row_without_length_changes_nothing() -> None:
    """Found before the first weight is changed, though it is in the last one."""
    model = make_model()
    adapter = make_adapter(dora=True, ends=("down_proj",))
    weight = adapter.weights["language_model.layers.1.mlp.down_proj"]
    with torch.no_grad():
        weight.b[3] = 0
        model.language_model.layers[1].mlp.down_proj.weight[3] = 0
    before = deepcopy(model.state_dict())
    with pytest.raises(AdapterError, match="gives a magnitude to a row of zeros"):
        merge(model, adapter)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_dora_rounds_once() -> None:
    adapter = make_adapter(4, dora=True, replaced=("connector.",))
    model, exact = make_model().bfloat16(), make_model().bfloat16().float()
    merge(model, adapter)
    merge(exact, adapter)
    for got, wanted in zip(model.parameters(), exact.parameters(), strict=True):
        assert torch.equal(got, wanted.bfloat16())
