"""An optimizer's state as named tensors, and back, to the bit.

In: an optimizer (torch's AdamW, Muon and others, bitsandbytes' in 8 bits) and the names of its parameters. Out: one
flat table: `exp_avg/connector.fc1.weight` -> tensor. Learning rates and the like are not in it: they follow from the
recipe. Knows no files.

Numbers that are no tensors are stored as tensors with their kind in the name: `step:int/...`. A state that is spread
over ranks (DTensor) is gathered whole, so that another number of ranks can go on with it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from ivl.errors import CheckpointError

# Of bitsandbytes' 8-bit optimizers: one scale a block of numbers, tables of 256 levels.
_TABLES = ("absmax", "qmap", "unorm", "gnorm")
_LARGEST_TABLE = 1024
_NUMBERS = {"bool": torch.bool, "int": torch.int64, "float": torch.float64}
_OTHER = "the checkpoint was written by another recipe or model"


def optimizer_tensors(optimizer: Optimizer, names: Mapping[Parameter, str], *, keep: bool = True) -> dict[str, Tensor]:
    """The state of every parameter that has one, as `<what>/<parameter's name>`.

    Tensors are the optimizer's own memory where they are not gathered: store them before the next step. With ranks that
    share the state every rank has to call this; those with `keep` false get an empty table.
    """
    tensors: dict[str, Tensor] = {}
    for parameter in _parameters(optimizer):
        for key, value in optimizer.state.get(parameter, {}).items():
            assert "/" not in key, f"a state called {key!r} cannot be stored"
            name = f"{key}{_kind(value)}/{names[parameter]}"
            tensor = _whole(value)
            if keep:
                tensors[name] = tensor
    return tensors


def load_optimizer_tensors(optimizer: Optimizer, tensors: Mapping[str, Tensor], names: Mapping[Parameter, str]) -> None:
    """Give the optimizer back the state that `optimizer_tensors` took; parameters without any begin anew.

    Raises CheckpointError, before anything is changed, for a name or shape that does not fit.
    """
    by_name = {names[parameter]: parameter for parameter in _parameters(optimizer)}
    groups = {parameter: group for group in optimizer.param_groups for parameter in group["params"]}
    states: dict[Parameter, dict[str, Any]] = {parameter: {} for parameter in groups}
    for name, tensor in tensors.items():
        key, _, of = name.partition("/")
        key, _, kind = key.partition(":")
        if of not in by_name:
            raise CheckpointError(f"optimizer state {name!r:.160} is of a parameter that does not train: {_OTHER}")
        parameter = by_name[of]
        _check_shape(name, key, kind, tensor, parameter)
        states[parameter][key] = _value(tensor, kind) if kind else _placed(tensor, key, parameter, groups[parameter])
    for parameter, state in states.items():
        if state:
            optimizer.state[parameter] = state
        else:
            optimizer.state.pop(parameter, None)


def _parameters(optimizer: Optimizer) -> Iterator[Parameter]:
    for group in optimizer.param_groups:
        yield from group["params"]


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return ""
    kind = "none" if value is None else type(value).__name__
    assert kind in ("none", *_NUMBERS), f"a state of {kind} cannot be stored"
    return f":{kind}"


def _whole(value: Any) -> Tensor:
    """A state as one plain tensor."""
    if isinstance(value, DTensor):
        return value.full_tensor().cpu()
    if isinstance(value, Tensor):
        assert type(value) in (Tensor, Parameter), f"a state of {type(value).__name__} cannot be stored"
        return value.detach()
    if value is None:
        return torch.empty(0, dtype=torch.uint8)
    return torch.tensor(value, dtype=_NUMBERS[type(value).__name__])


def _value(tensor: Tensor, kind: str) -> Any:
    return None if kind == "none" else tensor.item()


def _check_shape(name: str, key: str, kind: str, tensor: Tensor, parameter: Parameter) -> None:
    """A state is as its parameter is, or one number, or a small table of an 8-bit optimizer."""
    size = tensor.numel()
    if kind or key == "step":
        fits = size == (kind != "none") and kind in ("", *_NUMBERS, "none")
    elif key.startswith(_TABLES):
        fits = tensor.dim() == 1 and size <= max(parameter.numel(), _LARGEST_TABLE)
    else:
        fits = tensor.shape == parameter.shape
    if not fits:
        raise CheckpointError(
            f"optimizer state {name!r:.160} has the shape {list(tensor.shape)}, which does not go with the parameter's "
            f"{list(parameter.shape)}: {_OTHER}"
        )


def _placed(tensor: Tensor, key: str, parameter: Parameter, group: Mapping[str, Any]) -> Tensor:
    """A copy where the optimizer expects it: `step` stays on the CPU unless the update runs as one kernel."""
    if key == "step" and not group.get("fused") and not group.get("capturable"):
        return tensor.to("cpu", copy=True)
    if isinstance(parameter, DTensor) and tensor.shape == parameter.shape:
        whole = tensor.to(parameter.device)
        return distribute_tensor(whole, parameter.device_mesh, parameter.placements)
    return tensor.to(parameter.device, copy=True)
