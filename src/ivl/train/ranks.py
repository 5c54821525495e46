"""The ranks of a run: which one this process is, and the few things that ranks say to each other.

In: a recipe, and the environment that `launch.py`, torchrun or a cluster made. Out: `Ranks`, with torch.distributed
joined where there are several. Knows no model, no data and no steps.

Ranks that our launcher started meet in a file of a private folder and talk over the loopback interface: no port is
open to the network (PyTorch's own TCPStore listens on every interface, CVE-2025-47277). Ranks started by torchrun or a
cluster meet where MASTER_ADDR says. Only tensors and JSON travel, so nothing is ever unpickled.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ivl.errors import SettingsError, TrainingError, shown
from ivl.train.config import TrainConfig
from ivl.train.heartbeat import Heartbeat
from ivl.train.rank_main import FOLDER_VARIABLE

_LAUNCHER_SPEAKS_FIRST = 60.0
"""Seconds that ranks wait longer than the launcher, which knows which rank is silent; a rank knows only that one is."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among the run's processes."""

    rank: int = 0
    local_rank: int = 0
    """Among those of this machine."""
    world_size: int = 1
    device: torch.device
    heartbeat: Heartbeat = field(default_factory=Heartbeat, compare=False)

    @property
    def is_main(self) -> bool:
        """Whether this is the one rank that writes and reports."""
        return self.rank == 0

    def beat(self, step: int, phase: str) -> None:
        """Tell the launcher, where there is one, what this rank begins to do."""
        self.heartbeat.beat(step, phase)

    def all_sum(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, in place, of a tensor on the CPU or on this rank's device."""
        if self.world_size > 1:
            with self.heartbeat.waiting():
                dist.all_reduce(tensor, dist.ReduceOp.SUM)
        return tensor

    def all_max(self, tensor: Tensor) -> Tensor:
        """The largest of all ranks, element by element, in place."""
        if self.world_size > 1:
            with self.heartbeat.waiting():
                dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tensor

    def share(self, value: Any) -> Any:
        """Rank 0's `value`, for every rank; anything that JSON holds. What other ranks pass is ignored."""
        if self.world_size == 1:
            return value
        data = bytearray(json.dumps(value).encode()) if self.is_main else bytearray()
        length = torch.tensor([len(data)])
        with self.heartbeat.waiting():
            dist.broadcast(length, src=0)
            buffer = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(int(length), dtype=torch.uint8)
            dist.broadcast(buffer, src=0)
        return json.loads(buffer.numpy().tobytes())

    def gather_lines(self, lines: Sequence[str]) -> list[str]:
        """The lines of all ranks, in the ranks' order; every rank has to call it."""
        if self.world_size == 1:
            return list(lines)
        data = "".join(f"{line}\n" for line in lines).encode()
        sizes = torch.zeros(self.world_size, dtype=torch.int64)
        sizes[self.rank] = len(data)
        self.all_sum(sizes)
        buffer = torch.zeros(int(sizes.sum()), dtype=torch.uint8)
        start = int(sizes[: self.rank].sum())
        if data:
            buffer[start : start + len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        return self.all_sum(buffer).numpy().tobytes().decode().split("\n")[:-1]

    def barrier(self) -> None:
        """Wait until all ranks are here. Over the CPU: work still queued on a GPU is not waited for."""
        self.all_sum(torch.zeros(1))


@contextlib.contextmanager
def join_ranks(config: TrainConfig) -> Iterator[Ranks]:
    """The ranks of this run, joined for as long as the block lasts.

    A single process joins nothing. Raises SettingsError for a device that cannot be had or an environment that is only
    half set, TrainingError when the ranks do not find each other within `config.timeout` seconds.
    """
    ranks = find_ranks(config, os.environ)
    if ranks.world_size == 1:
        yield ranks
        return
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is not None:
        ranks = replace(ranks, heartbeat=Heartbeat(Path(folder), ranks.rank))
    _join(ranks, config.timeout, folder)
    yield ranks
    # Only after a good end: after an error the other ranks are gone or wait elsewhere, and leaving could wait for them.
    dist.destroy_process_group()


def find_ranks(config: TrainConfig, environment: Mapping[str, str]) -> Ranks:
    """Which rank this process is, by its environment. Raises SettingsError."""
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return Ranks(device=_device(config.device, 0))
    rank, world_size = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    if not 0 <= rank < world_size:
        raise SettingsError(f"RANK={rank} is not allowed with WORLD_SIZE={world_size}: ranks count from 0")
    if world_size > 1 and FOLDER_VARIABLE not in environment and "MASTER_ADDR" not in environment:
        raise SettingsError(
            f"RANK={rank} and WORLD_SIZE={world_size} are set but MASTER_ADDR is not: start the ranks with --nproc or "
            "torchrun, or unset the two"
        )
    local_rank = _number(environment, "LOCAL_RANK") if "LOCAL_RANK" in environment else _local_rank(rank)
    return Ranks(rank=rank, local_rank=local_rank, world_size=world_size, device=_device(config.device, local_rank))


def num_gpus(device: str) -> int:
    """GPUs that a run on `device` ("auto", "cpu", "cuda") uses; 0 for the CPU. Raises SettingsError."""
    if device not in ("auto", "cpu", "cuda"):
        raise SettingsError(f"device={shown(device)} is not allowed: auto, cpu, cuda")
    count = 0 if device == "cpu" else torch.cuda.device_count()
    if device == "cuda" and not count:
        raise SettingsError("device='cuda' cannot be used: torch finds no GPU; use cpu")
    return count


def _join(ranks: Ranks, timeout: float, folder: str | None) -> None:
    backend = "cpu:gloo,cuda:nccl" if ranks.device.type == "cuda" else "gloo"
    try:
        if folder is None:
            limit = timedelta(seconds=timeout)
            dist.init_process_group(
                backend, init_method="env://", rank=ranks.rank, world_size=ranks.world_size, timeout=limit
            )
        else:
            limit = timedelta(seconds=timeout + _LAUNCHER_SPEAKS_FIRST)
            store = dist.FileStore(str(Path(folder) / "store"), ranks.world_size)  # type: ignore[attr-defined]
            store.set_timeout(limit)
            dist.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.world_size, timeout=limit)
        ranks.barrier()
    except RuntimeError as fault:
        lines = str(fault).splitlines() or [type(fault).__name__]
        raise TrainingError(
            f"rank {ranks.rank} of {ranks.world_size} did not find the others within {timeout:g} s: {lines[0][:200]}"
        ) from fault


def _device(name: str, local_rank: int) -> torch.device:
    count = num_gpus(name)
    if not count:
        return torch.device("cpu")
    if local_rank >= count:
        raise SettingsError(
            f"local rank {local_rank} has no GPU: this machine has {count}; start at most {count} ranks"
        )
    return torch.device("cuda", local_rank)


def _local_rank(rank: int) -> int:
    """For clusters that say only the rank: machines of as many ranks as this one has GPUs."""
    return rank % max(1, torch.cuda.device_count())


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not text.isascii() or not text.isdecimal() or len(text) > 6:
        raise SettingsError(f"the environment's {name}={shown(text)} is not allowed: a whole number is needed")
    return int(text)
