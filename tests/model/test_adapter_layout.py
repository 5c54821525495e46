"""The names of each layout cover the same numbers, and an adapter is read under any of them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ivl.model.adapter_io import linear_shapes, read_adapter
from ivl.model.adapter_layout import ADAPTER_LAYOUTS, adapter_names, find_names, split_replaced
from ivl.model.internvl import InternVL
from ivl.model.names import parameter_shapes
from random_adapter import write_adapter
from random_model import make_model

DECODERS = ("internlm2", "qwen2", "llama", "phi3")


def model_of(decoder: str) -> InternVL:
    return make_model(decoder=decoder, num_kv_heads=2)


@pytest.mark.parametrize("layout", ADAPTER_LAYOUTS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_every_linear_map_of_ours_is_in_one_of_the_layout(decoder: str, layout: Any) -> None:
    config = model_of(decoder).config
    names = adapter_names(config, layout)
    assert sorted(module for linear in names.linears.values() for module in linear.modules) == sorted(
        linear_shapes(config)
    )
    for linear in names.linears.values():
        assert sum(rows.stop - rows.start for rows in linear.rows) == linear.shape[0]
    found = find_names(list(names.linears), list(names.parameters), config)
    assert found.layout == layout


@pytest.mark.parametrize("layout", ADAPTER_LAYOUTS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_parameters_of_a_layout_become_ours(decoder: str, layout: Any) -> None:
    config = model_of(decoder).config
    names = adapter_names(config, layout)
    stored = {name: torch.randn(tensor.shape) for name, tensor in names.parameters.items()}
    ours = split_replaced(stored, names, config)
    assert {name: tuple(tensor.shape) for name, tensor in ours.items()} == parameter_shapes(config)
    for name, tensor in names.parameters.items():
        again = torch.cat([ours[rows.name][rows.start : rows.stop] for rows in tensor.rows]).reshape(tensor.shape)
        assert torch.equal(again, stored[name]), name


def test_interleaved_rows_go_to_their_heads(tmp_path: Path) -> None:
    """InternLM2's wqkv: per key-value head its queries, its key, its value."""
    ours = model_of("internlm2")
    text = ours.config.text
    group, head = text.num_heads // text.num_kv_heads, text.head_dim
    rows = (group + 2) * text.num_kv_heads * head
    a, b = torch.randn(3, text.hidden_size), torch.arange(rows).float()[:, None].repeat(1, 3)
    name = "base_model.model.language_model.model.layers.1.attention.wqkv"
    tensors = {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b}
    read = read_adapter(write_adapter(tmp_path, tensors, target_modules=["wqkv"], rank_pattern={"wqkv": 3}), ours)
    heads = b[:, 0].view(text.num_kv_heads, group + 2, head)
    wanted = {"q_proj": heads[:, :-2], "k_proj": heads[:, -2], "v_proj": heads[:, -1]}
    assert len(read.weights) == 3
    for end, values in wanted.items():
        weight = read.weights[f"language_model.layers.1.attention.{end}"]
        assert torch.equal(weight.b[:, 0], values.flatten()), end
        assert torch.equal(weight.a, a), end


def test_a_convolutions_adapter_is_a_linear_maps(tmp_path: Path) -> None:
    ours = model_of("qwen2")
    vision = ours.config.vision
    name = "base_model.model.model.vision_tower.embeddings.patch_embeddings.projection"
    tensors = {
        f"{name}.lora_A.weight": torch.randn(3, 3, vision.patch_size, vision.patch_size),
        f"{name}.lora_B.weight": torch.randn(vision.hidden_size, 3, 1, 1),
        f"{name}.lora_magnitude_vector": torch.rand(1, vision.hidden_size, 1, 1),
    }
    folder = write_adapter(tmp_path, tensors, target_modules=["projection"], use_dora=True)
    (weight,) = read_adapter(folder, ours).weights.values()
    assert torch.equal(weight.a, tensors[f"{name}.lora_A.weight"].flatten(1))
    assert weight.b.shape == (vision.hidden_size, 3)
    assert weight.magnitude is not None
    assert weight.magnitude.shape == (vision.hidden_size,)
