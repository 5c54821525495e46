"""Ways to cut a picture, and what each takes: tokens, time to the first token, questions a second.

In: a model's folder, pictures. Out: plain values. Times are medians between synchronisations, after a warm-up.
"""

import gc
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from gpu_contestants import Ivl, around
from PIL import Image

from ivl.explain.speed import Prompt
from ivl.model.config import InternVLConfig
from ivl.session import pipeline
from ivl.types import EngineConfig, GenerationConfig

SESSION_LEN = 16_384
TEXT_TOKENS, WARM = 50, 3
_QUESTION = "How many things are there in the picture?"


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """One way to cut a picture."""

    name: str
    max_tiles: int
    thumbnail: bool = True


CUTTINGS = (
    Cutting(name="1 tile", max_tiles=1),
    Cutting(name="6 tiles", max_tiles=6),
    Cutting(name="6 tiles, no thumbnail", max_tiles=6, thumbnail=False),
    Cutting(name="12 tiles", max_tiles=12),
    Cutting(name="12 tiles, no thumbnail", max_tiles=12, thumbnail=False),
)


def without_thumbnail(model: Path, folder: Path) -> Path:
    """A folder of the same weights whose config says that no thumbnail is added."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in model.iterdir():
        target = folder / path.name
        if path.is_file() and not target.exists() and path.name != "config.json":
            shutil.copyfile(path, target)
    config = json.loads((model / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"use_thumbnail": False}, indent=2), "utf-8")
    return folder


def measure_cutting(cutting: Cutting, model: Path, pictures: Sequence[Image.Image], batch: int) -> dict[str, Any]:
    """One question at a time until its first token, and all pictures at once with short answers."""
    config = EngineConfig(
        session_len=SESSION_LEN, max_batch_size=batch, enable_prefix_caching=False, vision_cache_bytes=0
    )
    first, short = GenerationConfig(max_new_tokens=1, do_sample=False), GenerationConfig(max_new_tokens=8)
    prompts: list[Any] = [(_QUESTION, picture) for picture in pictures]
    with pipeline(model, None, config, max_tiles=cutting.max_tiles) as pipe:
        for prompt in prompts[:WARM]:
            pipe(prompt, gen_config=first)
        times, tokens = [], []
        for prompt in prompts:
            began = time.perf_counter()
            response = pipe(prompt, gen_config=first)
            times.append(time.perf_counter() - began)
            tokens.append(response.input_token_len)
        pipe(prompts, gen_config=short)
        began = time.perf_counter()
        pipe(prompts, gen_config=short)
        seconds = time.perf_counter() - began
    return {
        "setting": cutting.name,
        "prompt_tokens": statistics.median(tokens),
        "first_token_s": statistics.median(times),
        "first_token_least_s": min(times),
        "questions_per_s": len(prompts) / seconds,
        "pictures": len(prompts),
    }


def measure_shuffle(config: InternVLConfig, factor: int, tiles: int, device: str, repeats: int) -> dict[str, Any]:
    """Prefill of random weights of this shape, `factor` x `factor` patches a token. Tiles of noise are on the host."""
    shape = replace(config, downsample_ratio=1 / factor)
    dtype = torch.bfloat16 if device != "cpu" else torch.float32
    engine = Ivl(shape, device, dtype, SESSION_LEN, 1)
    times, generator = [], torch.Generator().manual_seed(0)
    for number in range(WARM + repeats):
        prompt = _noise(shape, tiles, number, generator)
        _wait(device)
        began = time.perf_counter()
        engine.answer(prompt, 1)
        _wait(device)
        times.append(time.perf_counter() - began)
    del engine
    gc.collect()
    return {
        "tiles": tiles,
        "tokens_per_tile": shape.tokens_per_tile,
        "prompt_tokens": tiles * shape.tokens_per_tile + TEXT_TOKENS,
        "prefill_s": statistics.median(times[WARM:]),
        "cache_bytes": (tiles * shape.tokens_per_tile + TEXT_TOKENS) * _bytes_a_token(shape, dtype.itemsize),
        "shape": f"{shape.vision.num_layers} + {shape.text.num_layers} layers",
    }


def _noise(config: InternVLConfig, tiles: int, number: int, generator: torch.Generator) -> Prompt:
    pixels = torch.randn((tiles, 3, config.image_size, config.image_size), generator=generator)
    assert config.image_token_id is not None, "the config names its image token"
    texts = torch.randint(0, min(config.image_token_id, config.text.vocab_size), (TEXT_TOKENS,), generator=generator)
    digests = tuple(b"noise %d %d" % (number, tile) for tile in range(tiles))
    return replace(around(config, pixels, texts), tile_digests=digests)


def _bytes_a_token(config: InternVLConfig, itemsize: int) -> int:
    text = config.text
    return 2 * text.num_layers * text.num_kv_heads * text.head_dim * itemsize


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
