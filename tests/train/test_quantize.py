"""A 4-bit base answers nearly as before, and trains adapters. bitsandbytes comes with ivl[qlora]."""

import sys
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from ivl.errors import MissingExtraError
from ivl.model.internvl import InternVL
from ivl.train.config import TrainConfig
from ivl.train.forward import PackedForward
from ivl.train.quantize import apply_nf4
from ivl.train.trainable import apply_trainable, trained_parameters
from random_model import CONFIG, make_model, random_ids

DTYPES = [torch.float32, torch.bfloat16] if find_spec("bitsandbytes") else []
TRAIN = TrainConfig(r=4, lora_dropout=0, quantization="nf4")


def quantized(dtype: torch.dtype) -> InternVL:
    model = make_model().to(dtype)
    apply_nf4(model, "cpu", dtype)
    return model


@pytest.mark.parametrize("dtype", DTYPES)
def test_only_the_maps_of_the_decoders_layers(dtype):
    model = quantized(dtype)
    kinds = {name: type(module).__name__ for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert {name for name, kind in kinds.items() if kind == "Linear4bit"} == {
        name for name in kinds if name.startswith("language_model.layers.")
    }
    weight = model.language_model.layers[0].mlp.up_proj.weight
    assert weight.dtype == torch.uint8
    assert weight.numel() == CONFIG.text.hidden_size * CONFIG.text.intermediate_size // 2
    assert not weight.requires_grad


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_are_close(dtype):
    whole, small = make_model().float(), quantized(dtype)
    x = torch.randn(32, CONFIG.text.hidden_size, generator=torch.Generator().manual_seed(0))
    before = whole.language_model.layers[0].mlp.up_proj(x)
    after = small.language_model.layers[0].mlp.up_proj(x)
    assert after.dtype == dtype
    assert (after.float() - before).norm() / before.norm() < 0.12  # NF4 of normal numbers: 9%


@pytest.mark.parametrize("dtype", DTYPES)
def test_adapters_train_through_it(dtype):
    model = quantized(dtype)
    apply_trainable(model, TRAIN, seed=0)
    wrapped = model.language_model.layers[0].mlp.up_proj
    assert "bnb" in type(wrapped).__module__, "PEFT wraps it as a 4-bit map"
    trained = trained_parameters(model)
    assert len(trained) == 2 * 7 * CONFIG.text.num_layers
    for name, parameter in trained.items():
        assert parameter.dtype == torch.float32
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    ids, targets = random_ids(24), random_ids(24, seed=5)
    forward = PackedForward(model, dtype).train()
    total, _ = forward(ids, targets, torch.ones(24), (0, 10, 24))
    total.backward()
    for name, parameter in trained.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_those_of_the_numbers_it_stands_for(dtype):
    """The same as of a plain model whose weights are the 4-bit ones, put into numbers."""
    from bitsandbytes.functional import dequantize_4bit

    small, plain = quantized(dtype), make_model().to(dtype)
    for ours, theirs in zip(small.language_model.layers, plain.language_model.layers, strict=True):
        for part in ("attention", "mlp"):
            for name, linear in getattr(theirs, part).named_children():
                if isinstance(linear, nn.Linear):
                    weight = getattr(getattr(ours, part), name).weight
                    linear.weight.data = dequantize_4bit(weight.data, weight.quant_state).to(dtype)
    gradients = []
    for model in (small, plain):
        apply_trainable(model, TRAIN, seed=0)
        torch.manual_seed(0)
        for parameter in trained_parameters(model).values():
            nn.init.normal_(parameter, std=0.1)
        total, _ = PackedForward(model, dtype).train()(random_ids(24), random_ids(24, seed=5), torch.ones(24), (0, 24))
        total.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in trained_parameters(model).values()]))
    error = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    assert error < (1e-4 if dtype == torch.float32 else 0.05)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtraError, match=r"quantization=nf4 .*pip install 'ivl\[qlora\]'"):
        apply_nf4(make_model(), "cpu", torch.float32)
