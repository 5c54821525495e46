"""From a recipe to a model that is ready to train: loaded, adapted, checkpointed, wrapped for its ranks.

Knows no data beyond how large a micro batch gets, and no files but the model's.
"""

import hashlib
from pathlib import Path

import torch
from torch import nn

from ivl.data.run_data import RunData
from ivl.data.seen_tiles import TileStore
from ivl.model.config_io import load_config
from ivl.model.internvl import InternVL
from ivl.model.weights import load_model
from ivl.train.config import TrainConfig
from ivl.train.forward import PackedForward, apply_checkpointing
from ivl.train.memory import plan_memory
from ivl.train.memory_book import dtype_name
from ivl.train.optim import ParamGroup, make_optimizer
from ivl.train.ranks import Ranks
from ivl.train.strategies import Strategy, check_strategy, is_sharded, make_strategy
from ivl.train.trainable import PARTS, apply_trainable, find_trainable, part_name


def build_strategy(config: TrainConfig, ranks: Ranks, data: RunData) -> Strategy:
    """The model of the recipe, ready to train. Raises TrainingError, before it is loaded, where it cannot fit."""
    dtype: torch.dtype = getattr(torch, dtype_name(config, ranks.device.type))
    estimate = plan_memory(config, ranks, data)
    strategy = estimate.strategy  # what auto has become
    check_strategy(config, strategy)
    # Where ranks share the weights, one GPU need not have room for all of them: they are dealt out from the CPU.
    model = load_trainable(config, torch.device("cpu") if is_sharded(strategy) else ranks.device, dtype)
    apply_checkpointing(model, estimate.num_checkpointed)
    if config.compile:
        for layer in model.language_model.layers:
            layer.compile()
    forward = PackedForward(model, dtype, always_sees=ranks.world_size > 1, store=_tile_store(config, model, dtype))
    rates = {"vision_model": config.vision_lr, "connector": config.connector_lr, "language_model": None}

    def optimizer(parameters: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
        groups = [
            ParamGroup(
                name=part,
                parameters=[(name, each) for name, each in parameters.items() if part_name(name) == part],
                lr=rates[part] or config.lr,
            )
            for part in PARTS
        ]
        return make_optimizer(groups, config)

    return make_strategy(strategy, forward, optimizer, ranks)


def _tile_store(config: TrainConfig, model: InternVL, dtype: torch.dtype) -> TileStore | None:
    """Where the output of this very vision model is kept, by the digest of its weights; None: the recipe wants none."""
    if config.vision_cache is None:
        return None
    shape = model.config
    digest = hashlib.sha256(f"{dtype} {shape.select_layer} {shape.shuffle_factor} {shape.ps_version}".encode())
    for parameter in model.vision_model.parameters():
        digest.update(parameter.detach().to("cpu", torch.float32).numpy().tobytes())
    width = shape.vision.hidden_size * shape.shuffle_factor**2
    folder = Path(config.vision_cache) / digest.hexdigest()[:32]
    return TileStore(folder=folder, shape=(shape.connector_rows, width), dtype=dtype)


def load_trainable(config: TrainConfig, device: torch.device, dtype: torch.dtype) -> InternVL:
    """The model with its adapters, everything else frozen or in float32."""
    found = find_trainable(load_config(config.path), config)
    is_nf4 = config.quantization == "nf4"
    model = load_model(config.path, torch.device("cpu") if is_nf4 else device, dtype, in_float32=found.full_modules)
    if is_nf4:
        from ivl.train.quantize import apply_nf4

        apply_nf4(model, device, dtype)  # before the rest: the device never holds a layer whole
        model.to(device)
    apply_trainable(model, config, config.seed)
    if config.load_from is not None:
        from ivl.train.output import load_weights

        load_weights(model, config, Path(config.load_from))
    return model
