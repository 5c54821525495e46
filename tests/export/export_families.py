"""Bases of every decoder family with their tokenizers, and adapters for them, in float32 as training leaves them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ivl.model.config import RopeConfig
from ivl.model.config_io import load_config
from ivl.model.weights import load_model, save_model
from parity import tiny
from random_adapter import make_adapter, tensors_of, write_adapter
from random_model import make_model

_ROPE = RopeConfig(theta=1e6)
_OTHERS: dict[str, dict[str, object]] = {
    "qwen3": {"decoder": "qwen3", "qk_norm": True, "head_dim": 16, "qkv_bias": False, "rope": _ROPE},
    "tied": {"tie_embeddings": True, "rope": _ROPE},
}
_KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {"dora": True},
    "rslora": {},
    "replaced": {"replaced": ("connector", "language_model.embed_tokens", "vision_model.layers.0.norm1")},
}
KIND_OF = {
    "tiny-internlm2": "lora",
    "tiny-qwen2": "dora",
    "tiny-6b-style": "rslora",
    "tiny-llama": "replaced",
    "tiny-phi3": "lora",
    "qwen3": "dora",
    "tied": "lora",
}
"""Every family, and the kind of adapter that is tried with it."""
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def write_base(
    name: str, folder: Path, tiny_folder: Callable[[str], Path], dtype: torch.dtype = torch.float32, **shards: int
) -> Path:
    """A model folder of a family, official layout; `shards`: options of save_model."""
    home = tiny_folder(name if name in tiny.NAMES else "tiny-qwen2")
    model = load_model(home) if name in tiny.NAMES else make_model(load_config(home), **_OTHERS[name])
    save_model(model.to(dtype), folder, **shards)
    for file in _TOKENIZER:
        shutil.copy(home / file, folder)
    return folder


def write_kind(kind: str, base: Path, folder: Path, **settings: object) -> Path:
    """An adapter of `base` of one kind, of about the size that training makes."""
    adapter = make_adapter(1, load_config(base), **_KINDS[kind])
    small = {path: replace(weight, b=0.3 * weight.b) for path, weight in adapter.weights.items()}
    tensors = {name: tensor.float() for name, tensor in tensors_of(replace(adapter, weights=small)).items()}
    settings = {"use_dora": kind == "dora", "use_rslora": kind == "rslora"} | settings
    if kind == "replaced":
        settings["modules_to_save"] = ["connector", "embed_tokens", "vision_model.layers.0.norm1"]
    return write_adapter(folder, tensors, **settings)


def prompt(base: Path) -> tuple[Tensor, Tensor]:
    """Ids (1, T) with two tiles' image tokens, and pixels (2, 3, S, S) float64."""
    config = load_config(base)
    assert config.image_token_id is not None
    generator = torch.Generator().manual_seed(3)
    text = torch.randint(0, 250, (12,), generator=generator)
    places = torch.full((2 * config.tokens_per_tile,), config.image_token_id)
    side = config.image_size
    pixels = torch.randn(2, 3, side, side, generator=generator, dtype=torch.float64)
    return torch.cat((text[:6], places, text[6:]))[None], pixels


def set_fields(path: Path, **fields: object) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | fields), "utf-8")
