"""transformers' own InternVL and ours are the same model, read from the same folder, in both directions."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, InternVLForConditionalGeneration

from ivl.model.config import RopeConfig
from ivl.model.internvl import InternVL
from ivl.model.weights import load_model, save_model
from parity import tiny
from random_model import CONFIG, make_model, prompt_with_tiles, random_tiles

TOLERANCE = 1e-4


def read_by_transformers(folder: Path, auto: bool = False) -> torch.nn.Module:
    """transformers' model of `folder`, after seeing that every weight found its place."""
    model_class: Any = AutoModelForImageTextToText if auto else InternVLForConditionalGeneration
    model, info = model_class.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert isinstance(model, InternVLForConditionalGeneration)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[kind], f"{kind}: {info[kind]}"
    return model.eval()


def logits_of(model: torch.nn.Module, input_ids: Tensor, pixel_values: Tensor) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model(input_ids=input_ids, pixel_values=pixel_values).logits
    return logits


def assert_same(ours: InternVL, folder: Path, tolerance: float = TOLERANCE) -> None:
    """A model of random weights gives transformers' logits on a prompt with two tiles."""
    input_ids, tiles = prompt_with_tiles(2)[None], random_tiles(2).float()
    theirs = logits_of(read_by_transformers(folder), input_ids, tiles)
    torch.testing.assert_close(logits_of(ours.float(), input_ids, tiles), theirs, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", tiny.NAMES)
def test_exported_official_checkpoint_gives_the_official_logits(
    name: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    ours = load_model(tiny_folder(name))
    save_model(ours, tmp_path / "hf", layout="transformers")
    theirs = read_by_transformers(tmp_path / "hf")
    golden = tiny.goldens(name, "forward")
    for case in ("a", "c"):
        input_ids, tiles = golden[f"{case}_input_ids"], tiny.pixels("rand3")
        logits = logits_of(theirs, input_ids, tiles)
        torch.testing.assert_close(logits, golden[f"{case}_logits"], atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(logits, logits_of(ours, input_ids, tiles), atol=TOLERANCE, rtol=0)


def test_shards_are_read_by_the_auto_class(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    ours = load_model(tiny_folder("tiny-internlm2"))
    save_model(ours, tmp_path / "hf", layout="transformers", max_shard_bytes=300_000)
    assert (tmp_path / "hf" / "model.safetensors.index.json").exists()
    theirs = read_by_transformers(tmp_path / "hf", auto=True)
    golden = tiny.goldens("tiny-internlm2", "forward")
    logits = logits_of(theirs, golden["a_input_ids"], tiny.pixels("rand3"))
    torch.testing.assert_close(logits, golden["a_logits"], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", tiny.NAMES)
def test_folder_that_transformers_wrote_is_read_bit_for_bit(
    name: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    ours = load_model(tiny_folder(name))
    save_model(ours, tmp_path / "hf", layout="transformers")
    read_by_transformers(tmp_path / "hf").save_pretrained(tmp_path / "theirs")
    again = load_model(tmp_path / "theirs")
    assert again.config == ours.config
    for (name_, before), (_, after) in zip(ours.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(before, after), name_


def test_folder_without_our_keys_is_read_as_internvl3(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """What a stranger's conversion says: no template, no tile limits, rope and type under the old names."""
    ours = load_model(tiny_folder("tiny-qwen2"))
    save_model(ours, tmp_path / "hf", layout="transformers")
    path = tmp_path / "hf" / "config.json"
    raw = json.loads(path.read_text("utf-8"))
    for key in (
        "llm_type",
        "template",
        "max_dynamic_patch",
        "min_dynamic_patch",
        "dynamic_image_size",
        "ps_version",
    ):
        del raw[key]
    for key in ("use_thumbnail", "force_image_size", "tie_word_embeddings"):
        del raw[key]
    del raw["text_config"]["rope_parameters"], raw["text_config"]["tie_word_embeddings"]
    path.write_text(json.dumps(raw), "utf-8")
    read_by_transformers(tmp_path / "hf")
    again = load_model(tmp_path / "hf")
    assert again.config == replace(ours.config, template="internvl2_5")


def test_tied_head(tmp_path: Path) -> None:
    ours = make_model(tie_embeddings=True, qkv_bias=True).float()
    save_model(ours, tmp_path / "hf", layout="transformers")
    assert_same(ours, tmp_path / "hf")
    assert load_model(tmp_path / "hf").config == ours.config


def test_qwen3(tmp_path: Path) -> None:
    rope = RopeConfig(theta=1e6)
    ours = make_model(decoder="qwen3", qk_norm=True, head_dim=16, qkv_bias=False, rope=rope).float()
    save_model(ours, tmp_path / "hf", layout="transformers")
    assert_same(ours, tmp_path / "hf")
    assert load_model(tmp_path / "hf").config == ours.config


def test_llama_with_biases_and_an_earlier_vision_layer(tmp_path: Path) -> None:
    vision = replace(CONFIG.vision, norm_type="rms_norm", qk_norm=True, qkv_bias=False)
    config = replace(CONFIG, select_layer=-2, vision=vision)
    ours = make_model(config, decoder="internlm2", qkv_bias=True, o_bias=True).float()
    save_model(ours, tmp_path / "hf", layout="transformers")
    assert_same(ours, tmp_path / "hf")
    assert load_model(tmp_path / "hf").config == ours.config
