"""Folders that hold one part of a model: an InternViT, or a language model with a tokenizer that knows no pictures."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from parity import tiny
from parity.tiny import MODELS

TOKENIZERS = MODELS.parent / "tokenizers"
PICTURE_TOKENS = ("<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>")
SHAPE: dict[str, Any] = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def write_vit(folder: Path, name: str = "tiny-qwen2", **changes: Any) -> Path:
    """The vision part of a tiny official checkpoint, as InternViT's own folders are."""
    folder.mkdir(parents=True)
    config = json.loads((MODELS / name / "config.json").read_text())["vision_config"] | changes
    (folder / "config.json").write_text(json.dumps(config))
    write_weights(folder, name, "vision_model.")
    return folder


def write_internlm2(folder: Path, name: str = "tiny-internlm2") -> Path:
    """The language part of a tiny official checkpoint, as InternLM2's own folders are."""
    folder.mkdir(parents=True)
    config = json.loads((MODELS / name / "config.json").read_text())["llm_config"]
    (folder / "config.json").write_text(json.dumps(config))
    write_weights(folder, name, "language_model.")
    return folder


def write_weights(folder: Path, name: str, prefix: str) -> None:
    weights = {key: value for key, value in tiny.weights(name).items() if key.startswith(prefix)}
    short = {key.removeprefix(prefix): value for key, value in weights.items()}
    tiny.write_safetensors(folder / "model.safetensors", short)


def write_llm(folder: Path, kind: str = "Qwen2", dtype: torch.dtype = torch.float32, **changes: Any) -> torch.nn.Module:
    """A tiny language model of transformers with random weights, written by transformers itself; gives the model."""
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(3)
    config = getattr(transformers, f"{kind}Config")(**({"vocab_size": 320} | SHAPE | changes))
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.to(dtype).save_pretrained(folder)
    return model


def write_tokenizer(folder: Path, name: str = "qwen2") -> Path:
    """A golden tokenizer without the tokens that InternVL adds to it."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (TOKENIZERS / name).iterdir():
        if path.name.startswith("golden") or path.suffix == ".py":
            continue
        if path.suffix == ".json" and path.name != "vocab.json":
            (folder / path.name).write_text(json.dumps(_without_pictures(json.loads(path.read_text()))))
        else:
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


def _without_pictures(value: Any) -> Any:
    """The JSON value without any entry that is, or is about, one of these tokens."""
    if isinstance(value, list):
        return [_without_pictures(each) for each in value if not _is_picture(each)]
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if not _is_picture(key) and not _is_picture(each)}
        return {key: _without_pictures(each) for key, each in kept.items()}
    return value


def _is_picture(value: Any) -> bool:
    text = value.get("content") if isinstance(value, dict) else value
    return isinstance(text, str) and text in PICTURE_TOKENS
