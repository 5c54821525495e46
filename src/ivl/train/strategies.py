"""How ranks share the work of a step: accelerate's DistributedDataParallel, or torch's FSDP2.

In: the forward module and how to make its optimizer. Out: a `Strategy` that the loop drives: backward, clip, step.
Gradients are sums over ranks: the loop divides each loss by the step's whole weight before the backward, so the result
is exact however unevenly samples are dealt out. Knows no data and no files.
"""

import contextlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from ivl.errors import MissingExtraError, SettingsError
from ivl.train.forward import PackedForward
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

    def gather(self, tensor: Tensor) -> Tensor:
        """A whole tensor on every rank; all ranks call it."""
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def scatter(self, whole: Tensor, like: Tensor) -> Tensor:
        """This rank's share of a whole tensor, placed as `like`."""
        if isinstance(like, DTensor):
            return distribute_tensor(whole.to(like.device, like.dtype), like.device_mesh, like.placements)
        return whole.to(like.device, like.dtype)

    def whole_model(self) -> AbstractContextManager[Any]:
        """Around calls of the model's own methods, outside `module`; all ranks enter it."""
        return contextlib.nullcontext()


class FsdpStrategy(Strategy):
    """Every rank holds a share of weights, gradients and optimizer states (FSDP2, one group a layer)."""

    def __init__(self, forward: PackedForward, make_optimizer: MakeOptimizer, ranks: Ranks) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        self.forward = forward
        self.ranks = ranks
        self.scale = float(ranks.world_size)  # its reduction is a mean too
        mesh = init_device_mesh(ranks.device.type, (ranks.world_size,))
        model = forward.model
        for layer in (*model.vision_model.layers, *model.language_model.layers):
            fully_shard(layer, mesh=mesh)
        fully_shard(forward, mesh=mesh)
        self.module = forward
        self.optimizer = make_optimizer(trained_parameters(model))

    def micro_batch(self, last: bool) -> AbstractContextManager[Any]:
        self._root.set_requires_gradient_sync(last)
        return contextlib.nullcontext()

    def backward(self, loss: Tensor) -> None:
        (loss * self.scale).backward()  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def whole_model(self) -> Any:
        """Embeddings, norm and head are gathered for as long; layers gather themselves when they are called."""
        self._root.unshard()
        try:
            yield
        finally:
            self._root.reshard()

    @property
    def _root(self) -> Any:
        return self.module


def make_strategy(name: str, forward: PackedForward, make_optimizer: MakeOptimizer, ranks: Ranks) -> Strategy:
    """The strategy of a recipe; one rank needs none, whatever the recipe says."""
    if ranks.world_size == 1 or name in ("auto", "ddp"):
        return Strategy(forward, make_optimizer, ranks)
    if name == "fsdp2":
        return FsdpStrategy(forward, make_optimizer, ranks)
    raise SettingsError(f"strategy={name} is not supported yet: use ddp or fsdp2")


def _accelerator(ranks: Ranks) -> Any:
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ImportError:
        raise MissingExtraError("training needs accelerate: pip install 'ivl[train]'") from None
    # Its state is shared by everything in the process: a second run may be on another device.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=ranks.device.type == "cpu", mixed_precision="no")
