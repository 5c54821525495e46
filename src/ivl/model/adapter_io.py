"""Reading LoRA and DoRA adapters that PEFT or `ivl` saved (Hu et al. 2021, arXiv 2106.09685).

In: a folder with `adapter_config.json` and `adapter_model.safetensors`, and the model it is for. Out: an
`Adapter` whose every tensor is known to fit, by our names; the files may also have transformers' or the official ones
(`adapter_layout.py`). Knows no engine, and no module of the model: shapes come from the
configuration alone, so the model may be fused. An adapter may also hold parameters of its own for whole modules, such
as a connector that was trained fully (PEFT's `modules_to_save`).

Both files come from a stranger. Nothing they name is imported or run, pickles are never opened, shapes are checked
before numbers are read, and a setting that would change the answer in a way not built here is refused, not skipped.

Shapes: r rank of one module's adapter, `in` and `out` the widths of its linear map.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ivl.errors import AdapterError, CheckpointError, nearest
from ivl.model.adapter_config import CONFIG_FILE, AdapterSettings, read_settings
from ivl.model.adapter_layout import AdapterNames, adapter_names, find_names, split_replaced, split_weights
from ivl.model.config import InternVLConfig
from ivl.model.folder_io import locate, open_file
from ivl.model.internvl import InternVL
from ivl.model.names import part_of
from ivl.model.safetensors_io import FLOATS, Entry, read_header, read_into

TENSOR_FILE = "adapter_model.safetensors"
_PICKLE_FILE = "adapter_model.bin"

_VOCABULARY = ("lm_head", "embed_tokens")
_NO_VOCABULARY = "adapters of the vocabulary (lm_head, embed_tokens) are not supported; train without them"
STORED_PREFIX = "base_model.model."
"""What PEFT puts before the names of the model's modules."""
LORA_NAME = re.compile(
    r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?:(?P<half>[AB])(?:\.default)?\.weight"
    r"|(?P<magnitude>magnitude_vector)(?:\.default)?(?:\.weight)?)"
)
"""A tensor of an adapter, as stored or as PEFT's own modules call it."""
_Found = tuple[str, Entry]
"""The name a tensor is stored under, and where."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LowRank:
    """What an adapter adds to one linear map: y += scale * (x @ a.T) @ b.T."""

    a: Tensor
    """(r, in)."""
    b: Tensor
    """(out, r)."""
    scale: float
    magnitude: Tensor | None = None
    """(out,): DoRA's length of each row of the changed weight; None for plain LoRA."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Adapter:
    """An adapter, as stored: any type, on the CPU."""

    source: str
    """Where it came from, for messages."""
    weights: Mapping[str, LowRank]
    """By module path of an unfused model: `language_model.layers.0.attention.q_proj`."""

    replaced: Mapping[str, Tensor] = field(default_factory=dict)
    """By parameter name: what stands in the place of the base's own."""

    @property
    def touches_vision(self) -> bool:
        """Whether the features of a picture differ from the base's (vision model or connector)."""
        return any(part_of(path) != "language_model" for path in (*self.weights, *self.replaced))

    @property
    def uses_dora(self) -> bool:
        """Whether any part scales the rows of the base's weights."""
        return any(weight.magnitude is not None for weight in self.weights.values())

    @property
    def must_merge(self) -> str | None:
        """A parameter that cannot differ from row to row of a batch, so that the adapter has to be merged; or None."""
        return next((name for name in self.replaced if not acts_by_row(name)), None)


def read_adapter(folder: str | os.PathLike[str], model: InternVL | InternVLConfig) -> Adapter:
    """The adapter in `folder`, checked against `model`, which may be fused, or its configuration.

    Raises AdapterError when the folder is no whole LoRA adapter of this model or asks for what is not supported.
    """
    config = model.config if isinstance(model, InternVL) else model
    root = Path(folder).expanduser()
    _check_files(root, f"{folder}")
    where = str(root / TENSOR_FILE)
    with open_file(root, TENSOR_FILE, AdapterError) as file:
        try:
            header = read_header(file, where)
            names = _names_of(header, config)
            settings = read_settings(root, len(names.linears))
            wanted = _replaced_names(settings, names.parameter_shapes, str(root / CONFIG_FILE))
            groups, replaced = _sort_out(header, wanted, where)
            shapes = names.linear_shapes
            for path, group in groups.items():
                check_module(path, shapes, where)
                _check_stored(path, group, names.linears[path].shapes(settings.rank_of(path)), settings.use_dora, where)
            _check_targets(settings, groups, shapes, where)
            _check_replaced(replaced, wanted, groups, where)
            weights = {path: _read_group(file, group, settings.scale_of(path), where) for path, group in groups.items()}
            own = {name: _read_tensor(file, *found, where) for name, found in replaced.items()}
        except CheckpointError as fault:
            raise AdapterError(str(fault)) from None
    weights, own = split_weights(weights, names), split_replaced(own, names, config)
    return Adapter(source=str(root), weights=weights, replaced=own)


def linear_shapes(config: InternVLConfig) -> dict[str, tuple[int, int]]:
    """Every linear map an adapter may change: module path -> (out, in)."""
    return adapter_names(config, "ivl").linear_shapes


def acts_by_row(name: str) -> bool:
    """Whether a parameter is that of a linear map or norm, which sees each row alone; not of the vocabulary, whose rows
    are others."""
    path, _, kind = name.rpartition(".")
    return kind in ("weight", "bias") and not path.endswith(_VOCABULARY)


def check_module(path: str, shapes: Mapping[str, tuple[int, int]], where: str) -> tuple[int, int]:
    """(out, in) of the module that an adapter changes. Raises AdapterError where there is none."""
    if path in shapes:
        return shapes[path]
    path = path[-120:]  # a stranger's name may have millions of letters
    last = path.rpartition(".")[2]
    if last in _VOCABULARY:
        raise AdapterError(f"{where} changes {path!r}: {_NO_VOCABULARY}")
    ends = {name.rpartition(".")[2] for name in shapes}
    hint = nearest(path, shapes) if last in ends else nearest(last, ends)
    raise AdapterError(f"{where} changes {path!r}, a module that the model does not have: {hint}")


def check_shape(tensor: str, got: tuple[int, ...], needed: tuple[int, ...], where: str) -> None:
    """Raise AdapterError unless `got` is `needed`; either may be any shape."""
    if got != needed:
        raise AdapterError(
            f"{where}: tensor {tensor!r} has the shape {list(got)}, but the model needs {list(needed)}: "
            "the adapter was made for another model or another rank"
        )


def _check_files(root: Path, given: str) -> None:
    """Raise AdapterError unless the folder has both files. Opens nothing."""
    if not root.is_dir():
        raise AdapterError(f"{given} is no folder: an adapter is a folder with {CONFIG_FILE} and {TENSOR_FILE}")
    for name in (CONFIG_FILE, TENSOR_FILE):
        if locate(root, name, AdapterError) is not None:
            continue
        if name == TENSOR_FILE and os.path.lexists(root / _PICKLE_FILE):
            raise AdapterError(
                f"{root} holds its weights only as a pickle ({_PICKLE_FILE}), which can run code and is never opened: "
                f"save the adapter again with PEFT's save_pretrained(..., safe_serialization=True)"
            )
        raise AdapterError(f"{root} has no {name}: an adapter is a folder with {CONFIG_FILE} and {TENSOR_FILE}")


def _names_of(header: Mapping[str, Entry], config: InternVLConfig) -> AdapterNames:
    """Which layout's names the tensors have."""
    found = {name: LORA_NAME.fullmatch(name) for name in header}
    modules = [match["module"] for match in found.values() if match is not None]
    return find_names(modules, [name.removeprefix(STORED_PREFIX) for name, match in found.items() if not match], config)


def _replaced_names(
    settings: AdapterSettings, parameters: Mapping[str, tuple[int, ...]], where: str
) -> dict[str, tuple[int, ...]]:
    """The parameters of the modules that `modules_to_save` names, by ends of their paths as PEFT does, and shapes."""
    paths = {module for name in parameters for module in modules_above(name)}
    for target in settings.replaced:
        if not any(path.endswith(target) for path in paths):
            hint = nearest(target, {path.rpartition(".")[2] for path in paths if not path[-1].isdigit()})
            raise AdapterError(f"{where}: modules_to_save names {target!r:.80}, which the model does not have: {hint}")
    return {
        name: shape
        for name, shape in parameters.items()
        if any(m.endswith(settings.replaced) for m in modules_above(name))
    }


def modules_above(name: str) -> list[str]:
    """The modules that a parameter lies in, outermost first."""
    words = name.split(".")
    return [".".join(words[:stop]) for stop in range(1, len(words))]


def _sort_out(
    header: dict[str, Entry], wanted: Mapping[str, object], where: str
) -> tuple[dict[str, dict[str, _Found]], dict[str, _Found]]:
    """Module path -> "A", "B" and "magnitude" of its adapter; parameter name -> what replaces it."""
    groups: dict[str, dict[str, _Found]] = {}
    replaced: dict[str, _Found] = {}
    for name, entry in header.items():
        found = LORA_NAME.fullmatch(name)
        if found is not None:
            group, key = groups.setdefault(found["module"], {}), found["half"] or "magnitude"
        elif name.removeprefix(STORED_PREFIX) in wanted:
            group, key = replaced, name.removeprefix(STORED_PREFIX)
        else:
            only = "only <module>.lora_A.weight and .lora_B.weight are read, and what modules_to_save names"
            hint = _NO_VOCABULARY if any(part in name for part in _VOCABULARY) else only
            raise AdapterError(f"{where}: tensor {name!r:.160} is not understood: {hint}")
        if key in group:
            raise AdapterError(f"{where}: tensor {name!r:.160} is there twice, with and without `default`")
        group[key] = (name, entry)
    if not groups and not replaced:
        raise AdapterError(f"{where} holds no tensors: the adapter is empty")
    return groups, replaced


def _check_targets(
    settings: AdapterSettings, pairs: Mapping[str, object], shapes: Mapping[str, object], where: str
) -> None:
    """Refuse tensors that PEFT would leave out by its settings, and targets of which nothing is stored."""
    if settings.targets is None:
        return
    for path in pairs:
        if settings.targets.isdisjoint(_ends(path)):
            raise AdapterError(f"{where} changes {path!r}, which target_modules in {CONFIG_FILE} does not name")
    if settings.leaves_out:
        return
    stored, known = ({end for path in paths for end in _ends(path)} for paths in (pairs, shapes))
    for target in sorted(settings.targets):
        if target.rpartition(".")[2] in _VOCABULARY:
            check_module(target, {}, f"{where} by its target_modules")
        if target in known and target not in stored:
            raise AdapterError(f"{where} has no tensor of {target!r}, which target_modules names: fetch it again")


def _ends(path: str) -> list[str]:
    """What PEFT matches a target with: the path and every end of it that follows a dot."""
    words = path.split(".")
    return [".".join(words[start:]) for start in range(len(words))]


def _check_stored(
    path: str, group: dict[str, _Found], shapes: dict[str, tuple[int, ...]], use_dora: bool, where: str
) -> None:
    """Check a module's tensors by their headers."""
    for half in "AB":
        if half not in group:
            raise AdapterError(f"{where} has only one half of the pair of {path!r}: lora_{half} is missing")
    if use_dora != ("magnitude" in group):
        what = "is missing" if use_dora else "is not understood"
        said = str(use_dora).lower()
        raise AdapterError(f"{where}: {path}.lora_magnitude_vector {what}: use_dora is {said} in {CONFIG_FILE}")
    for key, found in group.items():
        _check_entry(*found, shapes[key], where)


def _check_replaced(
    replaced: Mapping[str, _Found],
    wanted: Mapping[str, tuple[int, ...]],
    groups: Mapping[str, object],
    where: str,
) -> None:
    """Check that modules which the adapter replaces are all there, and are not adapted as well."""
    for name, shape in wanted.items():
        if name not in replaced:
            raise AdapterError(f"{where} has no tensor of {name!r}, which modules_to_save names: fetch it again")
        _check_entry(*replaced[name], shape, where)
        if name.rpartition(".")[0] in groups:
            raise AdapterError(f"{where} both adapts and replaces {name!r}: take its module out of modules_to_save")


def _check_entry(name: str, entry: Entry, needed: tuple[int, ...], where: str) -> None:
    check_shape(name, entry.shape, needed, where)
    if entry.dtype not in FLOATS:
        raise AdapterError(f"{where}: tensor {name!r} is stored as {entry.dtype}: only {', '.join(FLOATS)} are read")


def _read_group(file: BinaryIO, group: Mapping[str, _Found], scale: float, where: str) -> LowRank:
    magnitude = _read_tensor(file, *group["magnitude"], where) if "magnitude" in group else None
    a, b = (_read_tensor(file, *group[half], where).flatten(1) for half in "AB")
    return LowRank(a=a, b=b, scale=scale, magnitude=None if magnitude is None else magnitude.flatten())


def _read_tensor(file: BinaryIO, name: str, entry: Entry, where: str) -> Tensor:
    tensor = torch.empty(entry.shape, dtype=FLOATS[entry.dtype])
    read_into(file, entry.offset, entry.dtype, tensor, where)
    if not tensor.isfinite().all():
        raise AdapterError(f"{where}: tensor {name!r} holds NaN or infinite numbers: the training failed")
    return tensor
