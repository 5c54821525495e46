"""ZeRO-2 and ZeRO-3: DeepSpeed through accelerate (Rajbhandari et al. 2020, arXiv 1910.02054).

In: the forward module and how to make its optimizer, which must be AdamW. Out: a `Strategy`. Stage 2 cuts gradients and
optimizer states, stage 3 the weights too. What `fsdp2` shards natively is cut here by another library: for recipes that
come with it.

The loop's own ways hold: DeepSpeed is told to scale and to clip nothing but what the loop says, its learning rates are
set before each step, and states go through our checkpoints, whole. It refuses a model of more than one type: stage 2
does not get to see what is frozen; stage 3, which has to cut it, holds it in float32. `fsdp2` needs half of that.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from ivl.errors import CheckpointError, MissingExtraError, SettingsError
from ivl.train.forward import PackedForward
from ivl.train.ranks import Ranks
from ivl.train.strategies import MakeOptimizer, Strategy
from ivl.train.trainable import trained_parameters

_STATES = ("exp_avg", "exp_avg_sq")
_KEPT_WHOLE = 8192
"""Stage 3 cuts no parameter of so few numbers: biases and norms."""


class ZeroStrategy(Strategy):
    """A DeepSpeed engine."""

    def __init__(self, forward: PackedForward, make_optimizer: MakeOptimizer, ranks: Ranks, stage: int) -> None:
        self.forward, self.ranks, self.stage = forward, ranks, stage
        self.scale = float(ranks.world_size)  # its reduction is a mean
        optimizer = make_optimizer(trained_parameters(forward.model))
        if not isinstance(optimizer, torch.optim.AdamW):
            raise SettingsError(f"strategy=zero{stage} steps pieces of parameters: it needs optim_type=AdamW")
        if stage == 3:
            # Layers are put together for each call, by all ranks: a rank with more tiles must not call them more often.
            forward.tiles_at_once = sys.maxsize
        self._engine = _make_engine(forward, optimizer, ranks, stage)
        self.module = self._engine
        self.optimizer = self._engine.optimizer

    def micro_batch(self, last: bool) -> AbstractContextManager[Any]:
        self._engine.set_gradient_accumulation_boundary(last)
        return contextlib.nullcontext()

    def backward(self, loss: Tensor) -> None:
        self._engine.backward(loss * self.scale, scale_wrt_gas=False)

    def clip(self, max_norm: float) -> float:
        """Gives the norm; DeepSpeed clips in its step, by the same rule."""
        from deepspeed.utils import safe_get_full_grad

        self.optimizer.clip_grad = max_norm
        norms = [torch.linalg.vector_norm(safe_get_full_grad(each)) for each in self.parameters.values()]
        return float(torch.linalg.vector_norm(torch.stack(norms)))

    def step(self, lr_factor: float) -> float:
        groups = self.optimizer.param_groups
        for group in groups:
            group["lr"] = group["initial_lr"] * lr_factor
        self._engine.step()
        return float(groups[0]["lr"])

    def outline(self, parameter: Tensor) -> Tensor:
        return torch.empty(getattr(parameter, "ds_shape", parameter.shape), dtype=parameter.dtype, device="meta")

    def gather(self, parameter: Tensor) -> Tensor:
        with _whole([parameter]):
            return parameter.detach().clone().cpu() if self.ranks.is_main else torch.empty(0)

    def load_parameters(self, tensors: Mapping[str, Tensor]) -> None:
        from deepspeed.utils import safe_set_full_fp32_param

        for name, parameter in self.parameters.items():
            with _whole([parameter], modifier_rank=0), torch.no_grad():
                value = tensors[name].to(parameter.device, parameter.dtype)
                parameter.copy_(value)
            safe_set_full_fp32_param(parameter, value)  # the optimizer steps a copy

    def optimizer_tensors(self, *, keep: bool) -> dict[str, Tensor]:
        from deepspeed.utils import safe_get_full_optimizer_state

        self._link_states()
        tensors: dict[str, Tensor] = {}
        step = next(state["step"] for state in self._states().values())
        for name, parameter in self.parameters.items():
            whole = {key: safe_get_full_optimizer_state(parameter, key) for key in _STATES}
            if keep:
                tensors |= {f"{key}/{name}": value.cpu() for key, value in whole.items()}
                tensors[f"step/{name}"] = step.detach().cpu().clone()
        return tensors

    def load_optimizer_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        from deepspeed.utils import safe_set_full_optimizer_state

        self._check(tensors)
        step = tensors[f"step/{next(iter(self.parameters))}"]
        for piece in self._pieces():
            self._states()[piece] = {"step": step.to(piece.device, torch.float32, copy=True)} | {
                key: torch.zeros_like(piece) for key in _STATES
            }
        self._link_states()
        for name, parameter in self.parameters.items():
            for key in _STATES:
                value = tensors[f"{key}/{name}"].to(self.ranks.device, torch.float32)
                safe_set_full_optimizer_state(parameter, value, key)

    def _link_states(self) -> None:
        """Tell stage 2's parameters where their states are: by itself it does so when only its first group has any."""
        if self.stage == 2:
            self.optimizer._hp_optimizer_states_linked = False
            self.optimizer._lazy_init_hp_params_optimizer_state()

    def _check(self, tensors: Mapping[str, Tensor]) -> None:
        """Raise CheckpointError unless these are AdamW's states of what trains."""
        for name, parameter in self.parameters.items():
            for key in ("step", *_STATES):
                found = tensors.get(f"{key}/{name}")
                if found is None or (key != "step" and found.shape != self.outline(parameter).shape):
                    raise CheckpointError(
                        f"the checkpoint's optimizer state has no fitting {key}/{name}: it was written by another "
                        "recipe or model"
                    )

    def _states(self) -> dict[Tensor, dict[str, Tensor]]:
        states: dict[Tensor, dict[str, Tensor]] = self.optimizer.optimizer.state
        return states

    def _pieces(self) -> list[Tensor]:
        """This rank's float32 pieces of all that trains, end to end, as the optimizer sees them."""
        name = "single_partition_of_fp32_groups" if self.stage == 2 else "fp32_partitioned_groups_flat"
        return list(getattr(self.optimizer, name))


def _make_engine(forward: PackedForward, optimizer: torch.optim.Optimizer, ranks: Ranks, stage: int) -> Any:
    if ranks.device.type == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    try:
        import deepspeed
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from accelerate.utils import DeepSpeedPlugin
    except ImportError:
        raise MissingExtraError(
            f"strategy=zero{stage} needs DeepSpeed: pip install 'ivl[zero]', or choose fsdp2, which shards the same"
        ) from None
    settings = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 2,  # "several": the loop says itself which is the last
        "gradient_clipping": 0.0,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 10**9,
        "zero_optimization": {"stage": stage, "stage3_param_persistence_threshold": _KEPT_WHOLE},
    }
    AcceleratorState._reset_state(reset_partial_state=True)
    with _environment("ACCELERATE_USE_DEEPSPEED", "true"), _out_of_sight(forward, stage):
        if stage == 3:
            for parameter in forward.parameters():
                parameter.data = parameter.data.float()
            deepspeed.zero.Init(module=forward, config_dict_or_path=settings, dtype=torch.float32)
        plugin = DeepSpeedPlugin(hf_ds_config=settings)
        accelerator = Accelerator(mixed_precision="no", gradient_accumulation_steps=2, deepspeed_plugin=plugin)
        engine, _ = accelerator.prepare(forward, optimizer)
    return engine


@contextlib.contextmanager
def _out_of_sight(forward: PackedForward, stage: int) -> Iterator[None]:
    """Hide from stage 2 what is frozen: tables of parameters are put back as they were."""
    tables = [module._parameters for module in forward.modules()] if stage == 2 else []
    before = [dict(table) for table in tables]
    for table in tables:
        for name in [name for name, each in table.items() if each is not None and not each.requires_grad]:
            del table[name]
    try:
        yield
    finally:
        for table, kept in zip(tables, before, strict=True):
            table.clear()
            table.update(kept)


def _whole(parameters: list[Tensor], modifier_rank: int | None = None) -> AbstractContextManager[Any]:
    """Around looks at parameters that stage 3 has cut."""
    import deepspeed

    cut = [each for each in parameters if hasattr(each, "ds_id")]
    context: AbstractContextManager[Any] = deepspeed.zero.GatheredParameters(
        cut, modifier_rank=modifier_rank, enabled=bool(cut)
    )
    return context


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
