"""What a recipe would do, without its weights: what trains, steps, work, memory, time and files.

In: a recipe whose `path` is a model folder; of it only config.json and the tokenizer's files are read. Out: a `Plan`,
as lines or as data. The training data are measured if they are there; else one step is planned with assumed samples,
and the plan says so. Writes nothing.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from ivl.data.run_data import RunData, load_run_data
from ivl.errors import ConfigError, InputError, TokenizerError
from ivl.model.config import InternVLConfig
from ivl.model.config_io import load_config
from ivl.model.names import parameter_shapes, part_of
from ivl.train.config import TrainConfig
from ivl.train.costs import Flops, StepCosts, step_costs
from ivl.train.memory import device_kind, free_bytes, largest_micro_batch
from ivl.train.memory_book import STATE_BYTES, Load, MemoryEstimate, dtype_name, fit, trained_numbers
from ivl.train.plan_text import plan_lines
from ivl.train.rate import Rate, find_rate
from ivl.train.trainable import PARTS, find_trainable

ASSUMED_TEXT, ASSUMED_LABELLED = 128, 32
"""Tokens of text, and trained ones among them, of an assumed sample; it has one picture of as many tiles as it may."""


@dataclass(frozen=True, kw_only=True)
class PartPlan:
    """What trains of one part of the model."""

    name: str
    mode: str
    num_parameters: int
    """Its own, adapters not counted."""
    num_adapters: int
    """Numbers in adapters."""
    num_adapted: int
    """Linear maps that have one."""
    num_full: int
    """Numbers of its own that train."""
    lr: float


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """What the steps hold."""

    notes: tuple[str, ...]
    """What is in the data, or why it is not known."""
    is_assumed: bool
    num_samples: int
    """Of an epoch; of a step where the data are assumed."""
    num_tokens: int
    num_tiles: int
    num_labelled: int
    sum_squares: int
    largest_tokens: int
    """Of a micro batch."""
    largest_tiles: int
    steps_per_epoch: int | None
    """None: not known."""
    total_steps: int | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a recipe would do."""

    config: TrainConfig
    model: InternVLConfig
    world_size: int
    device: str
    """Its kind: cuda or cpu."""
    dtype: str
    parts: tuple[PartPlan, ...]
    data_plan: DataPlan
    step: Flops
    """Of a mean step, over all ranks."""
    memory: MemoryEstimate
    """As it would run."""
    unchecked: MemoryEstimate
    """With no layer checkpointed."""
    rate: Rate | None
    checkpoint_bytes: int
    seconds_per_step: float | None

    @property
    def num_trained(self) -> int:
        return sum(part.num_adapters + part.num_full for part in self.parts)

    @property
    def seconds(self) -> float | None:
        """Of the whole run, its validations and checkpoints aside; None where steps or speed are not known."""
        total = self.data_plan.total_steps
        return None if total is None or self.seconds_per_step is None else total * self.seconds_per_step

    def lines(self) -> list[str]:
        """For people."""
        return plan_lines(self)

    def data(self) -> dict[str, Any]:
        """For programs: only what JSON holds."""
        data = self.data_plan
        return {
            "path": self.config.path,
            "device": self.device,
            "dtype": self.dtype,
            "world_size": self.world_size,
            "num_parameters": sum(part.num_parameters for part in self.parts),
            "num_trained": self.num_trained,
            "parts": [asdict(part) for part in self.parts],
            "data": asdict(data) | {"notes": list(data.notes)},
            "step_flops": {"model": self.step.model, "recomputed": self.step.recomputed},
            "memory": asdict(self.memory) | {"fits": self.memory.fits},
            "memory_without_checkpointing": asdict(self.unchecked) | {"fits": self.unchecked.fits},
            "speed": None if self.rate is None else asdict(self.rate),
            "seconds_per_step": self.seconds_per_step,
            "seconds": self.seconds,
            "checkpoint_bytes": self.checkpoint_bytes,
            "work_dir": self.config.work_dir,
        }


def make_plan(config: TrainConfig, world_size: int = 1, model: InternVLConfig | None = None) -> Plan:
    """The plan of a recipe.

    model: its shape where `path` is no folder; lengths are assumed then. Raises ConfigError where `path` is no model
    folder, SettingsError where the recipe does not fit the model.
    """
    model = model or load_config(config.path)
    device = device_kind(config.device)
    dtype = dtype_name(config, device)
    parts = _parts(config, model)
    data = _data(config, model, world_size)
    available = free_bytes(torch.device(device)) if device == "cpu" or torch.cuda.is_available() else None
    if available is not None and device == "cpu":
        available //= world_size
    load = Load(num_tokens=data.largest_tokens, num_tiles=data.largest_tiles, world_size=world_size, device=device)
    memory = fit(model, config, load, available)
    unchecked = fit(model, replace(config, activation_checkpointing="none"), load, available)
    step = _mean_step(step_costs(model, config, memory.num_checkpointed), data)
    rate = find_rate(device, dtype)
    trained = sum(part.num_adapters + part.num_full for part in parts)
    return Plan(
        config=config,
        model=model,
        world_size=world_size,
        device=device,
        dtype=dtype,
        parts=parts,
        data_plan=data,
        step=step,
        memory=memory,
        unchecked=unchecked,
        rate=rate,
        checkpoint_bytes=round(trained * (4 + STATE_BYTES[config.optim_type])),
        seconds_per_step=None if rate is None else step.total / (rate.flops_per_second * rate.share * world_size),
    )


def _parts(config: TrainConfig, model: InternVLConfig) -> tuple[PartPlan, ...]:
    found, numbers = find_trainable(model, config), trained_numbers(model, config)
    rates = {"vision_model": config.vision_lr, "connector": config.connector_lr}
    return tuple(
        PartPlan(
            name=part,
            mode=getattr(config, part),
            num_parameters=sum(
                math.prod(shape) for name, shape in parameter_shapes(model).items() if part_of(name) == part
            ),
            num_adapters=numbers[part][0],
            num_adapted=sum(part_of(path) == part for path in found.adapted),
            num_full=numbers[part][1],
            lr=rates.get(part) or config.lr,
        )
        for part in reversed(PARTS)
    )


def _data(config: TrainConfig, model: InternVLConfig, world_size: int) -> DataPlan:
    """The data as they are; assumed ones where they or the tokenizer cannot be read."""
    try:
        return _measured(config, load_run_data(config.path, config, world_size=world_size))
    except (InputError, ConfigError, TokenizerError, OSError) as fault:
        return _assumed(config, model, world_size, f"data not measured: {fault}")


def _measured(config: TrainConfig, data: RunData) -> DataPlan:
    corpus, planner = data.train, data.planner
    chosen = corpus.members(0)
    tokens = corpus.num_tokens[chosen].astype(np.int64)
    largest_tokens, largest_tiles = largest_micro_batch(planner, config, data)
    return DataPlan(
        notes=corpus.summary(),
        is_assumed=False,
        num_samples=len(chosen),
        num_tokens=int(tokens.sum()),
        num_tiles=int(corpus.num_tiles[chosen].sum(dtype=np.int64)),
        num_labelled=int(corpus.num_trained[chosen].sum(dtype=np.int64)),
        sum_squares=int((tokens**2).sum()),
        largest_tokens=largest_tokens,
        largest_tiles=largest_tiles,
        steps_per_epoch=planner.num_steps(0),
        total_steps=planner.total_steps(config.max_epochs, config.max_steps),
    )


def _assumed(config: TrainConfig, model: InternVLConfig, world_size: int, why: str) -> DataPlan:
    """One step of samples with one picture each, of as many tiles as it may have and a sample holds."""
    most = config.max_dynamic_patch or model.max_tiles
    tiles = most + (most > 1 and model.use_thumbnail)
    tiles = max(1, min(tiles, (config.max_length - ASSUMED_TEXT) // model.tokens_per_tile))
    length = min(config.max_length, tiles * model.tokens_per_tile + ASSUMED_TEXT)
    per_micro = max(1, config.token_budget // length) if config.packing else config.batch_size
    samples = per_micro * config.accumulative_counts * world_size
    note = (
        f"assumed instead: samples of one picture with {tiles} tiles and {ASSUMED_TEXT} tokens of text, "
        f"{ASSUMED_LABELLED} of them trained; steps unknown"
    )
    return DataPlan(
        notes=(why, note),
        is_assumed=True,
        num_samples=samples,
        num_tokens=samples * length,
        num_tiles=samples * tiles,
        num_labelled=samples * ASSUMED_LABELLED,
        sum_squares=samples * length**2,
        largest_tokens=config.token_budget if config.packing else per_micro * length,
        largest_tiles=per_micro * tiles,
        steps_per_epoch=None,
        total_steps=config.max_steps,
    )


def _mean_step(costs: StepCosts, data: DataPlan) -> Flops:
    epoch = costs.flops(
        num_tokens=data.num_tokens,
        sum_squares=data.sum_squares,
        num_labelled=data.num_labelled,
        num_tiles=data.num_tiles,
    )
    return epoch * (1 / (data.steps_per_epoch or 1))
