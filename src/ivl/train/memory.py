"""Whether a run fits into memory, before the first step: an estimate, or an error with advice.

In: a recipe, a model's configuration or the data of a run, a device. Out: a `MemoryEstimate`. Asks the device for what
is free; reads no weights. The arithmetic is `memory_book.py`'s.
"""

import math
from pathlib import Path

import numpy as np
import torch

from ivl.data.planner import Planner
from ivl.data.run_data import RunData
from ivl.errors import TrainingError
from ivl.model.config import InternVLConfig
from ivl.train.config import TrainConfig
from ivl.train.memory_advice import find_advice
from ivl.train.memory_book import FILL, Load, MemoryEstimate, fit
from ivl.train.ranks import Ranks

GB = 1e9
_LOOKED_AT = 300_000
"""Samples of plans that are looked through for the largest micro batch: about a second."""
_CGROUP = Path("/sys/fs/cgroup")


def estimate(
    config: InternVLConfig,
    train: TrainConfig,
    *,
    tokens_per_micro_batch: int,
    tiles_per_micro_batch: int,
    world_size: int = 1,
    bytes_available: int | None = None,
    device: str = "auto",
) -> MemoryEstimate:
    """The memory of a run whose largest micro batch is so large; auto is the device that the recipe says.

    strategy=auto is ddp where that fits, else fsdp2; activation_checkpointing=auto the fewest layers that fit. Where
    nothing fits, `fits` is False. Raises SettingsError where the recipe does not fit the model's shape.
    """
    load = Load(
        num_tokens=tokens_per_micro_batch,
        num_tiles=tiles_per_micro_batch,
        world_size=world_size,
        device=device_kind(device if device != "auto" else train.device),
    )
    return fit(config, train, load, bytes_available)


def plan_memory(config: TrainConfig, ranks: Ranks, data: RunData) -> MemoryEstimate:
    """The estimate of this run, the same on all ranks: its strategy, and the decoder layers to checkpoint.

    Raises TrainingError, with advice and its figures, where the run cannot fit.
    """
    free = torch.tensor([-float(free_bytes(ranks.device) or math.inf)], dtype=torch.float64)
    least = -float(ranks.all_max(free))
    if ranks.device.type == "cpu":  # they share it
        least /= ranks.world_size
    tokens, tiles = largest_micro_batch(data.planner, config, data)
    load = Load(num_tokens=tokens, num_tiles=tiles, world_size=ranks.world_size, device=ranks.device.type)
    return require_fit(data.processor.config, config, load, None if math.isinf(least) else int(least))


def require_fit(config: InternVLConfig, train: TrainConfig, load: Load, available: int | None) -> MemoryEstimate:
    """The estimate of a run that fits. Raises TrainingError for one that does not, with what would."""
    found = fit(config, train, load, available)
    if found.fits or available is None:
        return found
    told = "; ".join(
        f"{each.change} ({each.total / GB:.1f} GB{'' if each.fits else ', still too much'})"
        for each in find_advice(config, train, load, available)
    )
    raise TrainingError(
        f"the run needs about {found.total / GB:.1f} GB but only {FILL:.0%} of the free {available / GB:.1f} GB may be "
        f"filled, with {found.num_checkpointed} of {found.num_layers} layers checkpointed and micro batches of up to "
        f"{load.num_tokens:,} tokens and {load.num_tiles:,} tiles; ways out: {told or 'a smaller model'}"
    )


def largest_micro_batch(planner: Planner, config: TrainConfig, data: RunData) -> tuple[int, int]:
    """Tokens and tiles of the largest micro batch of a run; a bound where the run is too long to look at all of it."""
    tokens, tiles = data.train.num_tokens, data.train.num_tiles
    epochs = math.ceil(config.max_epochs)
    if epochs * len(planner.epoch(0).samples) <= _LOOKED_AT:
        found = [_largest(planner, epoch, tokens, tiles) for epoch in range(epochs)]
        return max(each[0] for each in found), max(each[1] for each in found)
    if config.packing:
        most = config.token_budget
        return most, most // data.processor.config.tokens_per_tile
    return int(tokens.max()) * config.batch_size, int(tiles.max()) * config.batch_size


def free_bytes(device: torch.device) -> int | None:
    """Memory that could be taken now; of a container, what its limit leaves; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    found = [line.split()[1] for line in _read(Path("/proc/meminfo")).splitlines() if line.startswith("MemAvailable:")]
    if not found:
        return None
    free = int(found[0]) * 1024
    limit, used = _read(_CGROUP / "memory.max").strip(), _read(_CGROUP / "memory.current").strip()
    return min(free, max(0, int(limit) - int(used))) if limit.isdigit() and used.isdigit() else free


def device_kind(device: str) -> str:
    """cuda or cpu; auto is what this machine has."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device.partition(":")[0]


def _largest(planner: Planner, epoch: int, tokens: np.ndarray, tiles: np.ndarray) -> tuple[int, int]:
    plan = planner.epoch(epoch)
    sums = []
    for sizes in (tokens, tiles):
        before = np.concatenate(([0], np.cumsum(sizes[plan.samples], dtype=np.int64)))
        sums.append(int((before[plan.starts[1:]] - before[plan.starts[:-1]]).max()))
    return sums[0], sums[1]


def _read(path: Path) -> str:
    """A small file of the system, empty where there is none."""
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
