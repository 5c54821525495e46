"""Adapters from one way of naming a model's modules to another, as PEFT stores them.

In: an adapter's folder, in any layout that `ivl` reads, and the configuration of its base. Out: a new folder in PEFT's
form for the same model as `ivl`, transformers or the official code builds it. Knows no weights of the base.

Nothing is approximated. A linear map that the target has fused (`qkv_proj` = [q | k | v]) gets the parts' A one above
the other and their B on a diagonal, so its rank is the sum of theirs; where the parts have one A in common, as those of
an adapter that was trained on the fused map, the rank stays. What would need the base's numbers is refused.

Shapes: r rank, `in` and `out` the widths of a linear map.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ivl.errors import AdapterError, SettingsError, nearest
from ivl.model.adapter_config import CONFIG_FILE
from ivl.model.adapter_io import STORED_PREFIX, TENSOR_FILE, Adapter, LowRank, modules_above, read_adapter
from ivl.model.adapter_layout import ADAPTER_LAYOUTS, AdapterLayout, AdapterNames, StoredLinear, adapter_names
from ivl.model.config import InternVLConfig
from ivl.model.folder_io import new_folder, read_json
from ivl.model.names import Rows
from ivl.model.safetensors_io import write_all

_WAY_OUT = "merge it into the base (`ivl merge`) instead"
_KEPT = ("base_model_name_or_path", "revision", "lora_dropout", "task_type")
"""Fields of adapter_config.json that say nothing about numbers, and stay."""
_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*")


def export_adapter(adapter: Path, base: InternVLConfig, out: Path, layout: AdapterLayout = "transformers") -> None:
    """Write the adapter in the folder `adapter` as a PEFT adapter for `base` in `layout`, a new folder `out`.

    layout: "transformers" (AutoModelForImageTextToText), "official" (the code beside the released weights) or "ivl".
    Raises AdapterError when the adapter is damaged or made for another model, or where the layout would need numbers of
    the base; CheckpointError when `out` is not new or empty; SettingsError for another layout.
    """
    if layout not in ADAPTER_LAYOUTS:
        raise SettingsError(f"layout={layout!r} is not allowed: {nearest(str(layout), ADAPTER_LAYOUTS)}")
    read = read_adapter(adapter, base)
    names = adapter_names(base, layout)
    joined = _joined(read, names)
    if not joined:
        raise AdapterError(f"{read.source} has no LoRA, only whole parameters: {_WAY_OUT}")
    if layout != "ivl" and base.text.tie_embeddings and "language_model.embed_tokens.weight" in read.replaced:
        raise AdapterError(f"{read.source} replaces the embedding table, which is the head as well: {_WAY_OUT}")
    replaced = _joined_parameters(read, names)
    modules = _whole_modules(replaced, names, read.source)
    kept = read_json(Path(read.source), CONFIG_FILE, AdapterError)
    table = {key: kept.get(key) for key in _KEPT} | _table(joined, names, sorted(modules))
    if not _HUB_ID.fullmatch(str(table["base_model_name_or_path"])):
        table["base_model_name_or_path"] = None  # a folder of somebody's machine, in another layout at that
    with new_folder(out) as partial:
        write_all(partial / TENSOR_FILE, _stored(joined, replaced, names))
        # Last: without it the folder is no adapter.
        text = json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False, sort_keys=True)
        (partial / CONFIG_FILE).write_text(text + "\n", "utf-8")


def import_adapter(adapter: Path, base: InternVLConfig, out: Path) -> None:
    """Write the adapter in the folder `adapter`, trained on `base` in any layout, under the names of `ivl`.

    `ivl` reads the other layouts' adapters as they are; this makes one that other tools of ours find in their own
    names. Errors as `export_adapter`.
    """
    export_adapter(adapter, base, out, layout="ivl")


def _joined(adapter: Adapter, names: AdapterNames) -> dict[str, LowRank]:
    """What is added to each linear map of the layout."""
    found = {path: _join(path, linear, adapter) for path, linear in names.linears.items()}
    return {path: weight for path, weight in found.items() if weight is not None}


def _join(path: str, linear: StoredLinear, adapter: Adapter) -> LowRank | None:
    parts = {module: adapter.weights[module] for module in linear.modules if module in adapter.weights}
    if not parts:
        return None
    first = next(iter(parts.values()))
    if first.magnitude is not None and len(parts) < len(linear.modules):
        missing = min(set(linear.modules) - set(parts))
        raise AdapterError(
            f"{adapter.source} has DoRA for {min(parts)} but not for {missing}, which are one in {path}: its magnitude "
            f"would need the base's weights; {_WAY_OUT}"
        )
    is_shared = all(weight.scale == first.scale and torch.equal(weight.a, first.a) for weight in parts.values())
    a, halves = (first.a, {m: w.b for m, w in parts.items()}) if is_shared else _diagonal(parts, first.scale)

    def rows_of(part: Rows) -> Tensor:
        half = halves.get(part.name.removesuffix(".weight"))
        return a.new_zeros(part.stop - part.start, len(a)) if half is None else half[part.start : part.stop]

    b = torch.cat([rows_of(part) for part in linear.rows])
    magnitude = None if first.magnitude is None else _magnitude(parts, linear)
    return LowRank(a=a, b=b, scale=first.scale, magnitude=magnitude)


def _diagonal(parts: Mapping[str, LowRank], scale: float) -> tuple[Tensor, dict[str, Tensor]]:
    """A (sum of r, in) of all parts, and each part's B (out, sum of r), for one scale."""
    a = torch.cat([weight.a for weight in parts.values()])
    halves, done = {}, 0
    for module, weight in parts.items():
        rank = len(weight.a)
        half = weight.b.new_zeros(len(weight.b), len(a))
        # Scales are equal but where adapters have patterns of their own.
        own = weight.b if weight.scale == scale else (weight.b.double() * (weight.scale / scale)).to(weight.b)
        half[:, done : done + rank] = own
        halves[module] = half
        done += rank
    return a, halves


def _magnitude(parts: Mapping[str, LowRank], linear: StoredLinear) -> Tensor:
    pieces = []
    for part in linear.rows:
        magnitude = parts[part.name.removesuffix(".weight")].magnitude
        assert magnitude is not None, f"{part.name} has no magnitude, but others have"
        pieces.append(magnitude[part.start : part.stop])
    return torch.cat(pieces)


def _joined_parameters(adapter: Adapter, names: AdapterNames) -> dict[str, Tensor]:
    """Parameters that the adapter holds itself, as the layout stores them."""
    out = {}
    for name, tensor in names.parameters.items():
        given = [rows.name in adapter.replaced for rows in tensor.rows]
        if not any(given):
            continue
        if not all(given):
            ours = sorted({rows.name for rows in tensor.rows} & adapter.replaced.keys())
            raise AdapterError(f"{adapter.source} replaces {ours[0]}, only a part of {name}: {_WAY_OUT}")
        pieces = [adapter.replaced[rows.name][rows.start : rows.stop] for rows in tensor.rows]
        out[name] = torch.cat(pieces).reshape(tensor.shape)
    return out


def _whole_modules(given: Mapping[str, Tensor], names: AdapterNames, source: str) -> set[str]:
    """`modules_to_save`: the highest modules whose parameters are all given."""
    parted = {module for name in names.parameters if name not in given for module in modules_above(name)}
    modules = set()
    for name in given:
        whole = next((module for module in modules_above(name) if module not in parted), None)
        if whole is None:
            raise AdapterError(f"{source} replaces {name}, but not the whole of its module: {_WAY_OUT}")
        modules.add(whole)
    return modules


def _stored(joined: Mapping[str, LowRank], replaced: Mapping[str, Tensor], names: AdapterNames) -> dict[str, Tensor]:
    """The tensors by the names and in the shapes that PEFT stores."""
    tensors = {f"{STORED_PREFIX}{name}": tensor for name, tensor in replaced.items()}
    for path, weight in joined.items():
        shapes = names.linears[path].shapes(len(weight.a))
        tensors[f"{STORED_PREFIX}{path}.lora_A.weight"] = weight.a.reshape(shapes["A"])
        tensors[f"{STORED_PREFIX}{path}.lora_B.weight"] = weight.b.reshape(shapes["B"])
        if weight.magnitude is not None:
            vector = weight.magnitude.reshape(shapes["magnitude"])
            tensors[f"{STORED_PREFIX}{path}.lora_magnitude_vector"] = vector
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _table(joined: Mapping[str, LowRank], names: AdapterNames, modules: list[str]) -> dict[str, Any]:
    """adapter_config.json: what it says about numbers."""
    rank, ranks = _usual(joined, lambda weight: len(weight.a))
    # alpha / r is the scale, whatever rule the adapter was trained with.
    alpha, alphas = _usual(joined, lambda weight: weight.scale * len(weight.a))
    return {
        "alpha_pattern": {path: _plain(value) for path, value in alphas.items()},
        "auto_mapping": None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": _plain(alpha),
        "modules_to_save": modules or None,
        "peft_type": "LORA",
        "r": int(rank),
        "rank_pattern": {path: int(value) for path, value in ranks.items()},
        "target_modules": _targets(joined, names),
        "use_dora": any(weight.magnitude is not None for weight in joined.values()),
        "use_rslora": False,
    }


def _usual(joined: Mapping[str, LowRank], value_of: Callable[[LowRank], float]) -> tuple[float, dict[str, float]]:
    """The value that most modules have, and those of the others."""
    values = {path: value_of(weight) for path, weight in joined.items()}
    ((usual, _),) = Counter(values.values()).most_common(1)
    return usual, {path: value for path, value in values.items() if value != usual}


def _plain(value: float) -> float:
    """16 for 16.0, and for what rounding made of it."""
    return round(value) if abs(value - round(value)) < 1e-12 * abs(value) else value


def _targets(paths: Iterable[str], names: AdapterNames) -> list[str]:
    """`target_modules`: the last word of a path where all that end so are meant, else the path."""
    given = set(paths)
    missed = {path.rpartition(".")[2] for path in names.linears if path not in given}
    return sorted({path if (end := path.rpartition(".")[2]) in missed else end for path in given})
