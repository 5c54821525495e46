"""How ranks share a step: here accelerate's DistributedDataParallel; `fsdp.py` and `zero.py` hold the others.

In: the forward module and how to make its optimizer. Out: a `Strategy` that the loop drives: backward, clip, step; and
that gives weights and optimizer states whole, and takes them back.
Gradients are sums over ranks: the loop divides each loss by the step's whole weight before the backward, so the result
is exact however unevenly samples are dealt out. Knows no data and no files.
"""

import contextlib
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from ivl.errors import MissingExtraError, SettingsError
from ivl.train.config import TrainConfig
from ivl.train.forward import PackedForward
from ivl.train.optimizer_state import load_optimizer_tensors, optimizer_tensors
from ivl.train.ranks import Ranks
from ivl.train.trainable import trained_parameters

MakeOptimizer = Callable[[dict[str, nn.Parameter]], torch.optim.Optimizer]


class Strategy:
    """One rank, or several with a whole copy of the model each (`accelerate`)."""

    def __init__(self, forward: PackedForward, make_optimizer: MakeOptimizer, ranks: Ranks) -> None:
        self.forward = forward
        self.ranks = ranks
        self.scale = float(ranks.world_size)
        """Factor on losses: DistributedDataParallel takes the mean of gradients over ranks, a sum is wanted."""
        self.accelerator = _accelerator(ranks)
        self.module, self.optimizer = self.accelerator.prepare(
            forward, make_optimizer(trained_parameters(forward.model))
        )

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """What trains, by the model's own names."""
        return trained_parameters(self.forward.model)

    def micro_batch(self, last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward of a micro batch; ranks exchange gradients only in the last of a step."""
        context: AbstractContextManager[Any] = (
            contextlib.nullcontext() if last else self.accelerator.no_sync(self.module)
        )
        return context

    def backward(self, loss: Tensor) -> None:
        if loss.requires_grad:  # nothing that trains may have been met: the connector, in a batch without pictures
            self.accelerator.backward(loss * self.scale)

    def clip(self, max_norm: float) -> float:
        """Scale gradients down to `max_norm` (0: leave them) and give the norm they had."""
        norm = torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), max_norm or math.inf)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    def step(self, lr_factor: float) -> float:
        """Change the weights; gives the first group's learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * lr_factor
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def plain_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer itself, without accelerate's wrapper."""
        inner: torch.optim.Optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        return inner

    def outline(self, parameter: Tensor) -> Tensor:
        """A tensor without numbers, of the shape that the parameter has when it is whole."""
        return torch.empty(parameter.shape, dtype=parameter.dtype, device="meta")

    def gather(self, parameter: Tensor) -> Tensor:
        """The whole of a parameter on the first rank, and anything on the others; all ranks call it."""
        return parameter.detach()

    def scatter(self, whole: Tensor, like: Tensor) -> Tensor:
        """This rank's share of a whole tensor, placed as `like`."""
        return whole.to(like.device, like.dtype)

    def load_parameters(self, tensors: Mapping[str, Tensor]) -> None:
        """Put whole tensors, by name, in the place of what trains."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self.scatter(tensors[name], parameter))

    def optimizer_tensors(self, *, keep: bool) -> dict[str, Tensor]:
        """The optimizer's state, whole, as `optimizer_state.py` names it; all ranks call it. keep: False gives none."""
        names = {parameter: name for name, parameter in self.parameters.items()}
        return optimizer_tensors(self.plain_optimizer, names, keep=keep)

    def load_optimizer_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """The state again. Raises CheckpointError for one that does not fit."""
        names = {parameter: name for name, parameter in self.parameters.items()}
        load_optimizer_tensors(self.plain_optimizer, tensors, names)

    def whole_model(self) -> AbstractContextManager[Any]:
        """Around calls of the model's own methods, outside `module`; all ranks enter it."""
        return contextlib.nullcontext()


def is_sharded(name: str) -> bool:
    """Whether ranks share the weights themselves."""
    return name in ("fsdp2", "zero3")


def check_strategy(config: TrainConfig, name: str) -> None:
    """Raise SettingsError where a recipe asks for what this strategy cannot do."""
    if config.quantization is not None and name not in ("none", "ddp"):
        raise SettingsError(
            f"quantization={config.quantization} does not work with strategy={name}, which cuts weights in pieces: "
            "use strategy=ddp"
        )
    if name in ("zero2", "zero3") and config.optim_type != "AdamW":
        raise SettingsError(
            f"optim_type={config.optim_type} does not work with strategy={name}, which steps pieces of parameters: "
            "choose AdamW, or strategy=ddp"
        )


def make_strategy(name: str, forward: PackedForward, make_optimizer: MakeOptimizer, ranks: Ranks) -> Strategy:
    """ddp, fsdp2, zero2 or zero3; one rank needs none, whatever the name. Raises MissingExtraError."""
    if ranks.world_size == 1 or name == "ddp":
        return Strategy(forward, make_optimizer, ranks)
    if name == "fsdp2":
        from ivl.train.fsdp import FsdpStrategy

        return FsdpStrategy(forward, make_optimizer, ranks)
    from ivl.train.zero import ZeroStrategy

    assert name in ("zero2", "zero3"), f"{name!r} is no strategy"
    return ZeroStrategy(forward, make_optimizer, ranks, stage=int(name[-1]))


def _accelerator(ranks: Ranks) -> Any:
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ImportError:
        raise MissingExtraError("training needs accelerate: pip install 'ivl[train]'") from None
    # Its state is shared by everything in the process: a second run may be on another device.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=ranks.device.type == "cpu", mixed_precision="no")
