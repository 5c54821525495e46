"""A model folder, made ready to run: processor, weights and engine.

In: a model's name or folder and the engine's settings. Out: a processor and an `EngineCore`. Knows no prompts.
"""

from pathlib import Path

import torch

from ivl.engine import EngineCore
from ivl.errors import SettingsError
from ivl.hub import resolve
from ivl.model.adapter_io import Adapter
from ivl.model.adapter_merge import merge
from ivl.model.config import InternVLConfig
from ivl.model.fused import apply_fused
from ivl.model.internvl import InternVL
from ivl.model.quantized import apply_int8
from ivl.model.weights import load_model
from ivl.processing import Processor, load_processor
from ivl.session.hardware import choose_device, choose_dtype, choose_threads
from ivl.types import EngineConfig
from ivl.zoo import IN_THE_PACKAGE, nano_folder


def find_folder(model: str | Path | None, revision: str | None = None) -> Path:
    """The folder of a model: given, or fetched by its hub id, or that of the model in the package for None or "zoo"."""
    return nano_folder() if model in (None, IN_THE_PACKAGE) else resolve(model, revision=revision)


def load_engine_core(
    folder: Path,
    config: EngineConfig,
    *,
    as_viewed: bool = True,
    max_tiles: int | None = None,
    merged: Adapter | None = None,
) -> tuple[EngineCore, Processor]:
    """An engine with a folder's weights, into which `merged` is merged, and the folder's processor."""
    # The processor first: it is quick, and a broken tokenizer is told before the weights are read.
    processor = load_processor(folder, as_viewed=as_viewed, max_tiles=max_tiles)
    device, dtype = place(config, processor.config)
    model = load_model(folder, device=device, dtype=dtype)
    if merged is not None:
        merge(model, merged)
    return make_engine_core(model, config), processor


def must_merge(adapter: Adapter, config: EngineConfig) -> bool:
    """Whether an adapter changes what cannot differ between the requests of a batch."""
    return adapter.must_merge is not None or (adapter.uses_dora and config.quantization is not None)


def place(config: EngineConfig, model_config: InternVLConfig) -> tuple[str, str]:
    """The device and the dtype that a model runs with here. Raises SettingsError for what does not go together."""
    device = choose_device(config.device)
    if config.quantization is None:
        return device, choose_dtype(config.dtype, device, model_config)
    if device != "cpu":
        raise SettingsError(f"quantization={config.quantization!r} runs on a CPU only: leave it None, or device='cpu'")
    # What is not quantized, the vision model above all, stays exact.
    return device, "float32" if config.dtype == "auto" else config.dtype


def make_engine_core(model: InternVL, config: EngineConfig) -> EngineCore:
    """An engine with these weights, which are fused, and quantised if the settings say so, in place."""
    if model.language_model.embed_tokens.weight.is_cpu:
        torch.set_num_threads(choose_threads())
    if config.quantization == "int8":
        return EngineCore(apply_int8(apply_fused(model, spare_bytes=0)), config)
    return EngineCore(apply_fused(model), config)
