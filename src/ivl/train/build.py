"""From a recipe to a model that is ready to train: loaded, adapted, checkpointed, wrapped for its ranks.

Knows no data beyond how large a micro batch gets, and no files but the model's.
"""

from pathlib import Path

import torch
from torch import nn

from ivl.data.run_data import RunData
from ivl.model.config_io import load_config
from ivl.model.internvl import InternVL
from ivl.model.weights import load_model
from ivl.train.config import TrainConfig
from ivl.train.forward import PackedForward, apply_checkpointing
from ivl.train.memory import plan_memory
from ivl.train.optim import ParamGroup, make_optimizer
from ivl.train.ranks import Ranks
from ivl.train.strategies import Strategy, make_strategy
from ivl.train.trainable import PARTS, apply_trainable, find_trainable, part_name


def run_dtype(config: TrainConfig, device: torch.device) -> torch.dtype:
    """The type of frozen weights and of the arithmetic."""
    if config.dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return torch.bfloat16 if config.dtype == "bfloat16" else torch.float32


def build_strategy(config: TrainConfig, ranks: Ranks, data: RunData) -> Strategy:
    """The model of the recipe, ready to train. Raises TrainingError, before it is loaded, where it cannot fit."""
    dtype = run_dtype(config, ranks.device)
    num_checkpointed = plan_memory(config, ranks, data)
    model = load_trainable(config, ranks.device, dtype)
    apply_checkpointing(model, num_checkpointed)
    if config.compile:
        for layer in model.language_model.layers:
            layer.compile()
    forward = PackedForward(model, dtype, always_sees=ranks.world_size > 1)
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

    return make_strategy(config.strategy, forward, optimizer, ranks)


def load_trainable(config: TrainConfig, device: torch.device, dtype: torch.dtype) -> InternVL:
    """The model with its adapters, everything else frozen or in float32."""
    found = find_trainable(load_config(config.path), config)
    model = load_model(config.path, device, dtype, in_float32=found.full_modules)
    apply_trainable(model, config, config.seed)
    if config.load_from is not None:
        from ivl.train.output import load_weights

        load_weights(model, config, Path(config.load_from))
    return model
