"""A pipeline on a tiny official checkpoint in float64: whatever runs beside a request, its answer is the same."""

from pathlib import Path
from typing import Any

from PIL import Image

from ivl.engine import EngineCore, EngineWorker
from ivl.model.fused import apply_fused
from ivl.model.weights import load_model
from ivl.processing import load_processor
from ivl.session import Pipeline
from ivl.types import EngineConfig
from random_requests import assert_nothing_held, eventually


def exact_pipeline(folder: Path, blocks: int = 512, **settings: Any) -> Pipeline:
    """Small chunks and batches, so that requests meet, wait and are cut."""
    small = {"session_len": 512, "max_batch_size": 24, "max_prefill_token_num": 128}
    config = EngineConfig(device="cpu", **small | settings)
    core = EngineCore(apply_fused(load_model(folder).double()), config, blocks=blocks)
    return Pipeline(folder, load_processor(folder), EngineWorker(core), config)


def picture(seed: int, size: tuple[int, int] = (56, 56)) -> Image.Image:
    """A picture like no other."""
    gradient = Image.linear_gradient("L").resize(size)
    colour = ((seed * 37) % 255, (seed * 91) % 255, (seed * 53) % 255)
    return Image.blend(gradient.convert("RGB"), Image.new("RGB", size, colour), 0.5)


def assert_baseline(pipe: Pipeline, seconds: float = 5) -> None:
    """Soon nothing runs and every block is free."""
    eventually(lambda: pipe.engine.call(lambda core: not core.has_work), seconds)
    pipe.engine.call(assert_nothing_held)
