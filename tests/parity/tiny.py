"""The tiny official checkpoints: their weights made again from their seeds, and their goldens.

Every parameter has its own stream of numpy's PCG64, seeded with the first 8 bytes of sha256("{seed}/{name}"), scaled
by what the parameter is. The files made here equal, bit for bit, those on which the official code was run.
"""

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

MODELS = Path(__file__).parent / "models"
NAMES = ("tiny-internlm2", "tiny-qwen2", "tiny-6b-style", "tiny-llama", "tiny-phi3")


def goldens(name: str, which: str) -> dict[str, torch.Tensor]:
    """The arrays of golden_<which>.npz as tensors."""
    with np.load(MODELS / name / f"golden_{which}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays}


def golden_json(name: str, which: str) -> dict[str, Any]:
    """golden_<which>.json, or info.json for "info"."""
    stem = which if which == "info" else f"golden_{which}"
    return json.loads((MODELS / name / f"{stem}.json").read_text("utf-8"))


def pixels(key: str) -> torch.Tensor:
    """One array of the shared inputs, (N, 3, S, S) float32."""
    with np.load(MODELS / "pixels.npz") as arrays:
        return torch.from_numpy(arrays[key])


def write_checkpoint(name: str, folder: Path) -> Path:
    """A whole official folder: configuration, tokenizer, model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(MODELS / name / file, folder / file)
    write_safetensors(folder / "model.safetensors", weights(name))
    return folder


def weights(name: str) -> dict[str, np.ndarray]:
    """All parameters by their official names, float32."""
    info = golden_json(name, "info")
    return {key: _parameter(info["seed"], key, tuple(shape)) for key, shape in info["state_dict"].items()}


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """The format by hand, so that the tests do not trust the code they test."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for key in sorted(tensors):
        size = tensors[key].nbytes
        header[key] = {
            "dtype": "F32",
            "shape": list(tensors[key].shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    blocks = b"".join(tensors[key].tobytes() for key in sorted(tensors))
    path.write_bytes(len(text).to_bytes(8, "little") + text + blocks)


def _parameter(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    stream = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")
    mean, deviation = _moments(name, shape)
    noise = np.random.Generator(np.random.PCG64(stream)).standard_normal(shape)
    return (noise * deviation + mean).astype(np.float32)


def _moments(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean and standard deviation of a parameter's numbers."""
    if name.endswith((".ls1", ".ls2")):
        return 0.45, 0.3
    if name.endswith(("class_embedding", "position_embedding")):
        return 0.0, 0.6
    if name.endswith(("tok_embeddings.weight", "embed_tokens.weight")):
        return 0.0, 0.9
    if len(shape) == 1:
        return (0.0 if name.endswith(".bias") else 1.0), 0.25
    gain = 1.3
    if name.endswith(("output.weight", "lm_head.weight")):
        gain = 3.0
    elif any(part in name for part in ("qkv", "q_proj", "k_proj", "v_proj")):
        gain = 1.6
    elif "patch_embedding" in name:
        gain = 1.2
    return 0.0, gain / math.sqrt(math.prod(shape[1:]))
