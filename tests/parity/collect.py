"""Copies the goldens of the tiny official checkpoints that the tests need, without their weights.

    python tests/parity/collect.py GOLDEN_FOLDER

Weights are left out: `tests/parity/tiny.py` makes them again, bit for bit, from each model's seed.
"""

import shutil
import sys
from pathlib import Path

import numpy as np

FILES = ("config.json", "info.json", "golden_generate.json", "golden_loss.json")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
# Large arrays that show nothing the others do not. The norms of all gradients are compared as well.
DROPPED = {
    "a_llm_hidden_states",
    "a_logits_same_instance_after_long",
    "gen_scores",
    "hidden_states",
    "embeddings",
}


GRADIENT_ROWS = 16
"""Of each gradient, the first ones."""


def keep(model: str, key: str, array: np.ndarray) -> bool:
    """Whether the tests need this array of this model."""
    if key.startswith("grad/"):
        return model == "tiny-internlm2" or ("language_model" in key and "layers.1" in key)
    return key not in DROPPED or (model == "tiny-internlm2" and key in {"hidden_states", "embeddings"})


def shortened(key: str, array: np.ndarray) -> np.ndarray:
    return array[:GRADIENT_ROWS] if key.startswith("grad/") else array


def collect(source: Path, target: Path) -> None:
    for folder in sorted((source / "models").iterdir()):
        if folder.name == "tiny-qwen2-sharded":
            continue
        out = target / folder.name
        out.mkdir(parents=True, exist_ok=True)
        for name in FILES + TOKENIZER_FILES:
            shutil.copyfile(folder / name, out / name)
        for name in ("golden_forward", "golden_vision", "golden_loss", "golden_longrope"):
            if (folder / f"{name}.npz").exists():
                arrays = np.load(folder / f"{name}.npz")
                kept = {key: array for key, array in arrays.items() if keep(folder.name, key, array)}
                np.savez_compressed(out / name, **{key: shortened(key, array) for key, array in kept.items()})
    pixels = np.load(source / "shared" / "pixels.npz")
    np.savez_compressed(target / "pixels", **dict(pixels))


if __name__ == "__main__":
    collect(Path(sys.argv[1]), Path(__file__).parent / "models")
