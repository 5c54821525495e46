"""Adapters made part of the weights: what they add, DoRA's scaling, and parameters that they replace.

In: a model as it was loaded, not fused, and an `Adapter`. Out: the same model with other numbers. Knows no files.

Shapes: r rank, `in` and `out` the widths of a linear map.
"""

import torch
from torch import Tensor

from ivl.errors import AdapterError
from ivl.model.adapter_io import Adapter, LowRank, check_module, check_shape, linear_shapes
from ivl.model.internvl import InternVL
from ivl.model.names import parameter_shapes


@torch.no_grad()
def merge(model: InternVL, adapter: Adapter) -> None:
    """Make `adapter` part of the weights of `model`, in place, for good, in float32 or wider.

    LoRA: W + scale * B @ A; DoRA: that, each row scaled to its magnitude; parameters that it replaces: its own. Raises
    AdapterError, before anything is changed, when the adapter does not fit or the model is fused.
    """
    check_fit(model, adapter)
    parameters = dict(model.named_parameters())
    for path in (*(f"{path}.weight" for path in adapter.weights), *adapter.replaced):
        if path not in parameters:
            module = path.rpartition(".")[0]
            raise AdapterError(f"{adapter.source} cannot be merged: {module} is fused, quantised or adapted already")
    for path, weight in adapter.weights.items():
        if weight.magnitude is not None:  # before anything is changed: a row without length has no direction
            gain_of(parameters[f"{path}.weight"], weight, adapter.source)
    for path, weight in adapter.weights.items():
        base = parameters[f"{path}.weight"]
        gain = None if weight.magnitude is None else gain_of(base, weight, adapter.source)
        base.copy_(changed_weight(base, weight) if gain is None else changed_weight(base, weight) * gain[:, None])
    for name, tensor in adapter.replaced.items():
        parameters[name].copy_(tensor)


def changed_weight(base: Tensor, weight: LowRank) -> Tensor:
    """W + scale * B @ A (out, in), in float32 or wider."""
    wide = torch.promote_types(base.dtype, torch.float32)
    a, b = (half.to(base.device, wide) for half in (weight.a, weight.b))
    out: Tensor = torch.addmm(base.to(wide), b, a, alpha=weight.scale)
    return out


def gain_of(base: Tensor, weight: LowRank, source: str) -> Tensor:
    """DoRA's factor (out,) on each row of `changed_weight`: its magnitude over its length."""
    assert weight.magnitude is not None, "LoRA scales nothing"
    length: Tensor = torch.linalg.vector_norm(changed_weight(base, weight), dim=1)
    gain: Tensor = weight.magnitude.to(length) / length
    if not gain.isfinite().all():
        raise AdapterError(f"{source} gives a magnitude to a row of zeros: the adapter was made for another model")
    return gain


def check_fit(model: InternVL, adapter: Adapter) -> None:
    """Raise AdapterError unless every tensor of the adapter has its place in the model."""
    if not adapter.weights and not adapter.replaced:
        raise AdapterError(f"{adapter.source} changes nothing: the adapter is empty")
    shapes, parameters = linear_shapes(model.config), parameter_shapes(model.config)
    for path, weight in adapter.weights.items():
        width_out, width_in = check_module(path, shapes, adapter.source)
        rank = len(weight.a)
        check_shape(f"{path}.lora_A", tuple(weight.a.shape), (rank, width_in), adapter.source)
        check_shape(f"{path}.lora_B", tuple(weight.b.shape), (width_out, rank), adapter.source)
        if weight.magnitude is not None:
            name = f"{path}.lora_magnitude_vector"
            check_shape(name, tuple(weight.magnitude.shape), (width_out,), adapter.source)
    for name, tensor in adapter.replaced.items():
        if name not in parameters:
            raise AdapterError(f"{adapter.source} replaces {name[-120:]!r}, which the model does not have")
        check_shape(name, tuple(tensor.shape), parameters[name], adapter.source)
        if name.rpartition(".")[0] in adapter.weights:
            raise AdapterError(f"{adapter.source} both adapts and replaces {name!r}")
