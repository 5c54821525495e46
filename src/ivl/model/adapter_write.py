"""Writing adapters in PEFT's own form, so that PEFT, other engines and `adapter_io` read them alike.

In: the numbers of LoRA or DoRA by module path, parameters that were trained fully, and the settings. Out: a folder with
adapter_config.json and adapter_model.safetensors, whole or not at all. Knows no training and no module of PEFT.

PEFT stores what was trained fully by whole modules (`modules_to_save`): the highest modules are named whose parameters
are all there; a bare parameter, such as the class embedding, takes its whole module with it.

Shapes: r rank, `in` and `out` the widths of a linear map.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ivl.errors import AdapterError
from ivl.model.adapter_config import CONFIG_FILE
from ivl.model.adapter_io import (
    LORA_NAME,
    STORED_PREFIX,
    TENSOR_FILE,
    Adapter,
    check_module,
    check_shape,
    linear_shapes,
    modules_above,
)
from ivl.model.config import InternVLConfig
from ivl.model.folder_io import new_folder
from ivl.model.names import parameter_shapes
from ivl.model.safetensors_io import can_store, write_all


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """What adapter_config.json says besides names."""

    r: int
    lora_alpha: float
    lora_dropout: float = 0.0
    use_rslora: bool = False
    base_model: str | None = None
    """The model that it was trained from: a hub id, or None."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedAdapter:
    """The numbers of an adapter; tensors of any float type, on any device."""

    lora: Mapping[str, tuple[Tensor, Tensor]]
    """By module path: A (r, in) and B (out, r)."""
    magnitudes: Mapping[str, Tensor] = field(default_factory=dict)
    """DoRA: (out,) of every module in `lora`; empty: plain LoRA."""
    replaced: Mapping[str, Tensor] = field(default_factory=dict)
    """By parameter name, as trained."""


def write_adapter(
    folder: Path,
    adapter: TrainedAdapter,
    settings: LoraSettings,
    config: InternVLConfig,
    base: Mapping[str, Tensor] | None = None,
) -> None:
    """Write `adapter` of a model of this configuration as a new folder.

    base: the model's parameters, from which modules are completed that did not train as a whole. Raises AdapterError
    for tensors that do not fit the model or each other, CheckpointError when the folder is not new or empty, or on a
    full disk.
    """
    _check(adapter, settings, config)
    modules = whole_modules(adapter.replaced, config)
    replaced = dict(adapter.replaced)
    for name in parameter_shapes(config):
        if name not in replaced and _in(name, modules):
            if base is None or name not in base:
                raise AdapterError(f"{name} is missing: adapters hold whole modules, and {sorted(modules)} need it")
            replaced[name] = base[name]
    tensors = {f"{STORED_PREFIX}{name}": tensor for name, tensor in replaced.items()}
    for path, (a, b) in adapter.lora.items():
        tensors[f"{STORED_PREFIX}{path}.lora_A.weight"], tensors[f"{STORED_PREFIX}{path}.lora_B.weight"] = a, b
    tensors |= {f"{STORED_PREFIX}{path}.lora_magnitude_vector": m for path, m in adapter.magnitudes.items()}
    table = _table(adapter, settings, targets(adapter.lora, config), sorted(modules))
    with new_folder(folder) as partial:
        write_all(partial / TENSOR_FILE, tensors)
        # Last: without it the folder is no adapter.
        text = json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False)
        (partial / CONFIG_FILE).write_text(text + "\n", "utf-8")


def from_parameters(named: Mapping[str, Tensor]) -> TrainedAdapter:
    """What trained in a model that PEFT put adapters into, by its parameters' names, sorted out."""
    halves: dict[str, dict[str, Tensor]] = {}
    replaced: dict[str, Tensor] = {}
    for name, tensor in named.items():
        found = LORA_NAME.fullmatch(name)
        if found is None:
            replaced[name] = tensor
        else:
            halves.setdefault(found["module"], {})[found["half"] or "magnitude"] = tensor
    for path, pair in halves.items():
        assert {"A", "B"} <= pair.keys(), f"{path} has only {sorted(pair)}"
    return TrainedAdapter(
        lora={path: (pair["A"], pair["B"]) for path, pair in halves.items()},
        magnitudes={path: pair["magnitude"] for path, pair in halves.items() if "magnitude" in pair},
        replaced=replaced,
    )


def to_parameters(adapter: Adapter) -> dict[str, Tensor]:
    """The tensors of an adapter that was read, by the names they have in a model that PEFT put adapters into."""
    named = dict(adapter.replaced)
    for path, weight in adapter.weights.items():
        named[f"{path}.lora_A.default.weight"], named[f"{path}.lora_B.default.weight"] = weight.a, weight.b
        if weight.magnitude is not None:
            named[f"{path}.lora_magnitude_vector.default.weight"] = weight.magnitude
    return named


def whole_modules(names: Iterable[str], config: InternVLConfig) -> set[str]:
    """The highest modules whose parameters are all among `names`; for what is left, the modules that hold it."""
    given = set(names)
    parted = {module for name in parameter_shapes(config) if name not in given for module in modules_above(name)}
    modules: set[str] = set()
    for name in given:
        above = modules_above(name)
        modules.add(next((module for module in above if module not in parted), above[-1]))
    return {module for module in modules if not _in(module, modules)}


def targets(paths: Iterable[str], config: InternVLConfig) -> list[str]:
    """`target_modules` for exactly these linear maps: the last word of a path where all that end so are among them."""
    given = set(paths)
    missed = {path.rpartition(".")[2] for path in linear_shapes(config) if path not in given}
    return sorted({path if (end := path.rpartition(".")[2]) in missed else end for path in given})


def _in(name: str, modules: Iterable[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)


def _check(adapter: TrainedAdapter, settings: LoraSettings, config: InternVLConfig) -> None:
    """Raise AdapterError unless all has its place in the model."""
    where = "the adapter to be written"
    if not adapter.lora:
        raise AdapterError(f"{where} has no LoRA: what trains only whole parameters is saved as a model")
    shapes, parameters = linear_shapes(config), parameter_shapes(config)
    for path, (a, b) in adapter.lora.items():
        width_out, width_in = check_module(path, shapes, where)
        check_shape(f"{path}.lora_A", tuple(a.shape), (settings.r, width_in), where)
        check_shape(f"{path}.lora_B", tuple(b.shape), (width_out, settings.r), where)
        if adapter.magnitudes:
            if path not in adapter.magnitudes:
                raise AdapterError(f"{where} has no magnitude for {path}, but for others: DoRA is for all or none")
            check_shape(f"{path}.lora_magnitude_vector", tuple(adapter.magnitudes[path].shape), (width_out,), where)
    for name, tensor in adapter.replaced.items():
        if name not in parameters:
            raise AdapterError(f"{where} replaces {name!r}, which the model does not have")
        check_shape(name, tuple(tensor.shape), parameters[name], where)
        if name.rpartition(".")[0] in adapter.lora:
            raise AdapterError(f"{where} both adapts and replaces {name!r}")
    extra = adapter.magnitudes.keys() - adapter.lora.keys()
    if extra:
        raise AdapterError(f"{where} has a magnitude for {min(extra)}, but no LoRA")
    halves = [half for pair in adapter.lora.values() for half in pair]
    for tensor in (*halves, *adapter.magnitudes.values(), *adapter.replaced.values()):
        if not can_store(tensor.dtype):
            raise AdapterError(f"{where} has numbers of type {tensor.dtype}: convert them to float32")


def _table(
    adapter: TrainedAdapter, settings: LoraSettings, target_modules: list[str], modules: list[str]
) -> dict[str, Any]:
    """adapter_config.json."""
    return {
        "auto_mapping": None,
        "base_model_name_or_path": settings.base_model,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": settings.lora_alpha,
        "lora_dropout": settings.lora_dropout,
        "modules_to_save": modules or None,
        "peft_type": "LORA",
        "r": settings.r,
        "revision": None,
        "target_modules": target_modules,
        "task_type": None,
        "use_dora": bool(adapter.magnitudes),
        "use_rslora": settings.use_rslora,
    }
