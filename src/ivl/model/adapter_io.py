"""Reading LoRA adapters that PEFT or `ivl` saved (Hu et al. 2021, arXiv 2106.09685).

In: a folder with `adapter_config.json` and `adapter_model.safetensors`, and the model it is for. Out: an
`Adapter` whose every tensor is known to fit. Knows no engine, and no module of the model: shapes come from the
configuration alone, so the model may be fused.

Both files come from a stranger. Nothing they name is imported or run, pickles are never opened, shapes are checked
before numbers are read, and a setting that would change the answer in a way not built here is refused, not skipped.

Shapes: r rank of one module's adapter, `in` and `out` the widths of its linear map.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ivl.errors import AdapterError, CheckpointError, nearest
from ivl.model.adapter_config import CONFIG_FILE, AdapterSettings, read_settings
from ivl.model.config import InternVLConfig
from ivl.model.folder_io import locate, open_file
from ivl.model.internvl import InternVL
from ivl.model.names import parameter_shapes, part_of
from ivl.model.safetensors_io import FLOATS, Entry, read_header, read_into

TENSOR_FILE = "adapter_model.safetensors"
_PICKLE_FILE = "adapter_model.bin"

_VOCABULARY = ("lm_head", "embed_tokens")
_NO_VOCABULARY = "adapters of the vocabulary (lm_head, embed_tokens) are not supported; train without them"
_TENSOR = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<half>[AB])(?:\.default)?\.weight")


@dataclass(frozen=True, kw_only=True, eq=False)
class LowRank:
    """What an adapter adds to one linear map: y += scale * (x @ a.T) @ b.T."""

    a: Tensor
    """(r, in)."""
    b: Tensor
    """(out, r)."""
    scale: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Adapter:
    """A LoRA adapter, as stored: any type, on the CPU."""

    source: str
    """Where it came from, for messages."""
    weights: Mapping[str, LowRank]
    """By module path of an unfused model: `language_model.layers.0.attention.q_proj`."""

    @property
    def touches_vision(self) -> bool:
        """Whether the features of a picture differ from the base's (vision model or connector)."""
        return any(part_of(path) != "language_model" for path in self.weights)


def read_adapter(folder: str | os.PathLike[str], model: InternVL) -> Adapter:
    """The adapter in `folder`, checked against `model`, which may be fused.

    Raises AdapterError when the folder is no whole LoRA adapter of this model or asks for what is not supported.
    """
    root = Path(folder).expanduser()
    _check_files(root, f"{folder}")
    shapes = linear_shapes(model.config)
    settings = read_settings(root, len(shapes))
    where = str(root / TENSOR_FILE)
    with open_file(root, TENSOR_FILE, AdapterError) as file:
        try:
            pairs = _find_pairs(read_header(file, where), where)
            for path, pair in pairs.items():
                _check_stored(path, pair, settings.rank_of(path), shapes, where)
            _check_targets(settings, pairs, shapes, where)
            weights = {
                path: LowRank(
                    a=_read_tensor(file, *pair["A"], where),
                    b=_read_tensor(file, *pair["B"], where),
                    scale=settings.scale_of(path),
                )
                for path, pair in pairs.items()
            }
        except CheckpointError as fault:
            raise AdapterError(str(fault)) from None
    return Adapter(source=str(root), weights=weights)


def linear_shapes(config: InternVLConfig) -> dict[str, tuple[int, int]]:
    """Every linear map an adapter may change: module path -> (out, in)."""
    shapes: dict[str, tuple[int, int]] = {}
    for name, shape in parameter_shapes(config).items():
        path, _, kind = name.rpartition(".")
        if kind == "weight" and len(shape) == 2 and not path.endswith(_VOCABULARY):
            shapes[path] = (shape[0], shape[1])
    return shapes


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


def _find_pairs(header: dict[str, Entry], where: str) -> dict[str, dict[str, tuple[str, Entry]]]:
    """Module path -> "A" and "B" -> (stored name, entry)."""
    pairs: dict[str, dict[str, tuple[str, Entry]]] = {}
    for name, entry in header.items():
        found = _TENSOR.fullmatch(name)
        if found is None:
            only = "only <module>.lora_A.weight and .lora_B.weight are read"
            hint = _NO_VOCABULARY if any(part in name for part in _VOCABULARY) else only
            raise AdapterError(f"{where}: tensor {name!r:.160} is not understood: {hint}")
        halves = pairs.setdefault(found["module"], {})
        if found["half"] in halves:
            raise AdapterError(f"{where}: tensor {name!r:.160} is there twice, with and without `default`")
        halves[found["half"]] = (name, entry)
    if not pairs:
        raise AdapterError(f"{where} holds no tensors: the adapter is empty")
    return pairs


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
    path: str,
    pair: dict[str, tuple[str, Entry]],
    rank: int,
    shapes: Mapping[str, tuple[int, int]],
    where: str,
) -> None:
    """Check a module's two tensors by their headers."""
    width_out, width_in = check_module(path, shapes, where)
    for half, needed in (("A", (rank, width_in)), ("B", (width_out, rank))):
        if half not in pair:
            raise AdapterError(f"{where} has only one half of the pair of {path!r}: lora_{half} is missing")
        name, entry = pair[half]
        check_shape(name, entry.shape, needed, where)
        if entry.dtype not in FLOATS:
            raise AdapterError(
                f"{where}: tensor {name!r} is stored as {entry.dtype}: only {', '.join(FLOATS)} are read"
            )


def _read_tensor(file: BinaryIO, name: str, entry: Entry, where: str) -> Tensor:
    tensor = torch.empty(entry.shape, dtype=FLOATS[entry.dtype])
    read_into(file, entry.offset, entry.dtype, tensor, where)
    if not tensor.isfinite().all():
        raise AdapterError(f"{where}: tensor {name!r} holds NaN or infinite numbers: the training failed")
    return tensor
