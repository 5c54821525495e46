"""The bytes foretold are those that torch keeps."""

from dataclasses import replace

import pytest
import torch

from ivl.model.attention import PackedAttention
from ivl.model.config import InternVLConfig
from ivl.model.internvl import InternVL
from ivl.train import activations
from ivl.train.activations import Activations, Sizes
from ivl.train.config import TrainConfig
from ivl.train.trainable import apply_trainable
from random_model import CONFIG

TEXT = replace(
    CONFIG.text, hidden_size=64, num_heads=8, num_kv_heads=2, head_dim=16, intermediate_size=192, num_layers=1
)
MODEL = replace(CONFIG, text=TEXT, vision=replace(CONFIG.vision, num_layers=1))
TOKENS = 96


def kept_bytes(run, known: set[int]) -> int:
    """Bytes of the memory that autograd keeps of `run`, but for parameters and what is `known`."""
    seen = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            seen[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run()
    assert out.requires_grad
    return sum(size for size, _ in seen.values())


def made(config: InternVLConfig, train: TrainConfig, dtype: torch.dtype) -> InternVL:
    model = InternVL(config).to(dtype)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    apply_trainable(model, train, seed=0)
    return model.train()


def addresses(*tensors: torch.Tensor) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


JOBS = {
    "lora": {},
    "lora without dropout": {"lora_dropout": 0},
    "lora of some": {"target_modules": ("q_proj", "down_proj")},
    "dora": {"use_dora": True},
    "full": {"language_model": "full"},
    "stage 1": {"language_model": "frozen", "connector": "full"},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("job", JOBS)
def test_a_decoder_layer(job, qk_norm, dtype, monkeypatch):
    # On a CPU a dropout keeps its factors in float32 rather than a mask of bytes, and a norm what it normed.
    monkeypatch.setattr(activations, "MASK", 4)
    monkeypatch.setattr(activations, "NORMED", 1)
    train = TrainConfig(r=4, **JOBS[job])
    config = replace(MODEL, text=replace(TEXT, qk_norm=qk_norm))
    model = made(config, train, dtype)
    planned = Activations(config, train, Sizes(typed=dtype.itemsize))
    stream = torch.float32 if planned.residual == 4 else dtype
    x = torch.randn(TOKENS, TEXT.hidden_size, dtype=stream, requires_grad=True)
    text = model.language_model
    cos, sin = (each[:, None].to(stream) for each in text.rope.cos_sin(torch.arange(TOKENS), [TOKENS], [TOKENS]))

    def run() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            return text.layers[0](x, cos, sin, PackedAttention([0, TOKENS]), 0)

    run()  # autocast's copies of weights are counted with the weights
    expected = planned.decoder_layer(0, TOKENS)
    weights = 2 * sum(p.numel() for p in text.layers[0].parameters() if p.requires_grad and p.dim() == 2)
    if dtype == torch.bfloat16:
        expected += weights
    found = kept_bytes(run, addresses(*model.parameters(), cos, sin))
    assert found == pytest.approx(expected, rel=0.06), f"{found / TOKENS:.0f} of {expected / TOKENS:.0f} a token"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mode", ["full", "lora"])
def test_a_vision_layer(mode, dtype, monkeypatch):
    monkeypatch.setattr(activations, "MASK", 4)
    train = TrainConfig(r=4, language_model="frozen", vision_model=mode)
    model = made(MODEL, train, dtype)
    planned = Activations(MODEL, train, Sizes(typed=dtype.itemsize))
    rows = 1 + MODEL.vision.patches_per_side**2
    stream = torch.float32 if mode == "full" else dtype
    x = torch.randn(3, rows, MODEL.vision.hidden_size, dtype=stream, requires_grad=True)
    layer = model.vision_model.layers[0]

    def run() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            return layer(x)

    expected = planned._vision_layer("vision_model.layers.0", rows) * 3
    if dtype == torch.bfloat16:
        expected += 2 * sum(p.numel() for p in layer.parameters() if p.requires_grad and p.dim() == 2)
    assert kept_bytes(run, addresses(*model.parameters())) == pytest.approx(expected, rel=0.1)


def test_what_is_checkpointed_keeps_less():
    planned = Activations(MODEL, TrainConfig(), Sizes(typed=2))
    assert planned.checkpointed_layer(10) == 10 * 2 * TEXT.hidden_size
    assert planned.checkpointed_layer(10) < planned.decoder_layer(0, 10) / 10
    trained = Activations(MODEL, TrainConfig(vision_model="full"), Sizes(typed=2))
    assert trained.vision(2, checkpointed=False) > planned.vision(2, checkpointed=False) == 0
