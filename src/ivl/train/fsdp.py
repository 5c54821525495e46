"""FSDP2: every rank holds a share of weights, gradients and optimizer states, and layers are put together in turn.

In: the forward module, whose weights may lie on the CPU; how to make its optimizer. Out: a `Strategy`.

One group a layer, and one for all else (embeddings, norms, connector, head), which is whole for as long as the forward
and the backward last. Layers are cut again after their forward; torch fetches the next one while one computes. No
mixed-precision policy: frozen weights are in the arithmetic's type already, what trains is float32, and autocast makes
the copies.
"""

import contextlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from ivl.errors import SettingsError
from ivl.train.forward import PackedForward
from ivl.train.ranks import Ranks
from ivl.train.strategies import MakeOptimizer, Strategy
from ivl.train.trainable import trained_parameters


class FsdpStrategy(Strategy):
    """torch's `fully_shard`."""

    def __init__(self, forward: PackedForward, make_optimizer: MakeOptimizer, ranks: Ranks) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        self.forward = forward
        self.ranks = ranks
        self.scale = float(ranks.world_size)  # its reduction is a mean too
        mesh = init_device_mesh(ranks.device.type, (ranks.world_size,))
        model = forward.model
        if getattr(model, "is_loaded_in_4bit", False):
            raise SettingsError("quantization=nf4 does not work with strategy=fsdp2: use strategy=ddp")
        # Layers are put together for each call, by all ranks: a rank with more tiles must not call them more often.
        forward.tiles_at_once = sys.maxsize
        for layer in (*model.language_model.layers, *model.vision_model.layers):
            fully_shard(layer, mesh=mesh)  # moves it to the mesh's device, cuts it, lets go of the whole
        fully_shard(forward, mesh=mesh)
        self.module = forward
        self.optimizer = make_optimizer(trained_parameters(model))

    def micro_batch(self, last: bool) -> AbstractContextManager[Any]:
        """Each one's gradients are exchanged: to add them up first, every rank would have to hold them whole."""
        return contextlib.nullcontext()

    def backward(self, loss: Tensor) -> None:
        (loss * self.scale).backward()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def gather(self, parameter: Tensor) -> Tensor:
        if not isinstance(parameter, DTensor):
            return super().gather(parameter)
        whole: Tensor = parameter.full_tensor()
        return whole.cpu() if self.ranks.is_main else torch.empty(0)

    def scatter(self, whole: Tensor, like: Tensor) -> Tensor:
        if not isinstance(like, DTensor):
            return super().scatter(whole, like)
        return distribute_tensor(whole.to(like.device, like.dtype), like.device_mesh, like.placements)

    @contextlib.contextmanager
    def whole_model(self) -> Iterator[None]:
        """Embeddings, norm and head are put together for as long; layers are when they are called."""
        self._root.unshard()
        try:
            yield
        finally:
            self._root.reshard()

    @property
    def _root(self) -> Any:
        return self.module
