"""The table of names says what the layouts hold, and loses nothing in either direction."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from ivl.model.config import InternVLConfig, RopeConfig
from ivl.model.internvl import InternVL
from ivl.model.names import (
    LAYOUTS,
    Layout,
    head_name,
    is_computed,
    modern_name,
    parameter_shapes,
    part_of,
    stored_tensors,
)
from parity import tiny
from random_model import CONFIG


def variants() -> list[InternVLConfig]:
    """One configuration for every branch of the table."""
    large = replace(CONFIG.vision, norm_type="rms_norm", qk_norm=True, qkv_bias=False)
    texts = (
        {"decoder": "internlm2"},
        {"decoder": "internlm2", "qkv_bias": True, "o_bias": True},
        {"decoder": "qwen2", "qkv_bias": True, "tie_embeddings": True},
        {"decoder": "qwen3", "qk_norm": True, "head_dim": 16},
        {"decoder": "llama", "num_kv_heads": 6},
        {"decoder": "phi3", "rope": RopeConfig()},
    )
    configs = [replace(CONFIG, text=replace(CONFIG.text, **text)) for text in texts]
    return [*configs, replace(CONFIG, vision=large)]


@pytest.mark.parametrize("config", variants())
def test_parameters_are_those_of_the_modules(config: InternVLConfig) -> None:
    with torch.device("meta"):
        modules = {name: tuple(value.shape) for name, value in InternVL(config).named_parameters()}
    assert parameter_shapes(config) == modules


@pytest.mark.parametrize("name", tiny.NAMES)
def test_official_names_and_shapes_are_those_of_the_official_checkpoints(name: str) -> None:
    from ivl.model.config_io import load_config

    stored = stored_tensors(load_config(tiny.MODELS / name), "official")
    official = tiny.golden_json(name, "info")["state_dict"]
    assert {key: list(tensor.shape) for key, tensor in stored.items()} == official


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("config", variants())
def test_every_row_of_every_parameter_is_stored_exactly_once(config: InternVLConfig, layout: Layout) -> None:
    counts: Counter[tuple[str, int]] = Counter()
    for tensor in stored_tensors(config, layout).values():
        num_values = 0
        for rows in tensor.rows:
            counts.update((rows.name, row) for row in range(rows.start, rows.stop))
            shape = parameter_shapes(config)[rows.name]
            num_values += (rows.stop - rows.start) * torch.Size(shape[1:]).numel()
        assert num_values == torch.Size(tensor.shape).numel(), tensor.name
    wanted = {(name, row) for name, shape in parameter_shapes(config).items() for row in range(shape[0])}
    assert counts.keys() == wanted
    assert set(counts.values()) == {1}


def test_wqkv_is_interleaved_by_key_value_head() -> None:
    config = replace(CONFIG, text=replace(CONFIG.text, decoder="internlm2"))  # 6 heads, 2 key-value heads of 8
    rows = stored_tensors(config, "official")["language_model.model.layers.1.attention.wqkv.weight"].rows
    short = [(part.name.split(".")[-2], part.start, part.stop) for part in rows]
    assert short == [
        ("q_proj", 0, 24), ("k_proj", 0, 8), ("v_proj", 0, 8),
        ("q_proj", 24, 48), ("k_proj", 8, 16), ("v_proj", 8, 16),
    ]  # fmt: skip


def test_old_spellings_of_transformers_are_understood() -> None:
    new = {
        "language_model.model.norm.weight": "model.language_model.norm.weight",
        "language_model.lm_head.weight": "lm_head.weight",
        "vision_tower.embeddings.cls_token": "model.vision_tower.embeddings.cls_token",
        "multi_modal_projector.linear_1.bias": "model.multi_modal_projector.linear_1.bias",
        "model.language_model.norm.weight": "model.language_model.norm.weight",
    }
    assert {old: modern_name(old, "transformers") for old in new} == new
    assert all(modern_name(old, "official") == old for old in new)


def test_head_and_parts() -> None:
    internlm2 = replace(CONFIG.text, decoder="internlm2")
    assert head_name(internlm2, "official") == "language_model.output.weight"
    assert head_name(CONFIG.text, "official") == "language_model.lm_head.weight"
    assert head_name(internlm2, "transformers") == "lm_head.weight"
    parts = {part_of(name) for name in parameter_shapes(CONFIG)}
    assert parts == {"vision_model", "connector", "language_model"}
    assert is_computed("language_model.model.layers.0.self_attn.rotary_emb.inv_freq")
    assert not is_computed("language_model.model.norm.weight")
