"""Weights between folders and models, streamed.

In: a folder -> a model; a model -> a folder, in either layout. Every number goes straight from the file into
the parameter it belongs to and back, through at most 4 MiB of scratch memory, so that loading and saving need
the memory of the model and hardly more. Which rows go where stands in `names.py`; that a file is what it
claims is checked in `checkpoint.py` before anything is allocated. A new folder appears whole or not at all
(`folder_io.new_folder`).
"""

import json
import math
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ivl.errors import CheckpointError, SettingsError, nearest
from ivl.model.checkpoint import Checkpoint, open_checkpoint
from ivl.model.config_export import to_official, to_transformers
from ivl.model.config_io import INDEX_FILE, WEIGHT_FILE
from ivl.model.folder_io import new_folder, open_file, refuse_occupied
from ivl.model.internvl import InternVL
from ivl.model.names import LAYOUTS, Layout, StoredTensor, parameter_shapes, stored_tensors
from ivl.model.safetensors_io import FLOATS, Source, can_store, read_into, write_file

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


def load_model(
    folder: str | os.PathLike[str],
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    in_float32: Collection[str] = (),
) -> InternVL:
    """The model in `folder`, in eval mode, its parameters of `dtype` on `device`.

    in_float32: names of modules ("connector", "vision_model.layers.23") whose parameters are float32 whatever `dtype`
    says, read from the file at that precision: what is to be trained.
    Raises ConfigError or CheckpointError when the folder is not a whole, sane model; SettingsError for a
    device or dtype that cannot be had.
    """
    target_dtype, target_device = checked_dtype(dtype), _device(device)
    checkpoint = open_checkpoint(folder)
    model = _build(checkpoint, target_device, target_dtype)
    for name in in_float32:
        model.get_submodule(name).to(torch.float32)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    assert parameters.keys() == parameter_shapes(checkpoint.config).keys(), "a parameter would stay unread"
    for file, tensors in groupby(checkpoint.tensors, key=lambda item: item[0]):
        with open_file(checkpoint.folder, file) as opened:
            for _, tensor, entry in tensors:
                offset = entry.offset
                for piece in _pieces(tensor, parameters):
                    read_into(opened, offset, entry.dtype, piece, str(checkpoint.folder / file))
                    offset += piece.numel() * FLOATS[entry.dtype].itemsize
    return model.eval()


def save_model(
    model: InternVL,
    folder: str | os.PathLike[str],
    layout: Layout = "official",
    max_shard_bytes: int = 5 * 10**9,
) -> None:
    """Write config.json and the weights, in their own dtype, as a new folder in `layout`.

    One file, or several of at most `max_shard_bytes` (a larger tensor gets its own) with an index. Tokenizer
    and other files are the caller's. Raises CheckpointError when `folder` is not new or empty, on a full
    disk, or for a model with other parameters than its configuration says (unmerged adapters); ConfigError
    for a configuration that the layout cannot express.
    """
    if layout not in LAYOUTS:
        raise SettingsError(f"layout={layout!r} is not allowed: {nearest(str(layout), LAYOUTS)}")
    if not isinstance(max_shard_bytes, int) or max_shard_bytes < 1:
        raise SettingsError(f"max_shard_bytes={max_shard_bytes!r} is not allowed: a whole number of at least 1")
    target = Path(folder).expanduser()
    refuse_occupied(target)
    parameters = _storable_parameters(model)
    dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in parameters.values()}
    write_config = to_official if layout == "official" else to_transformers
    config = write_config(model.config, dtypes.pop() if len(dtypes) == 1 else None)
    shards = shard_files(_sources(stored_tensors(model.config, layout).values(), parameters), max_shard_bytes)
    check_room(target, sum(source.num_bytes for shard in shards.values() for source in shard))
    with new_folder(target) as partial:
        write_shards(partial, shards)
        # Last: without it the folder is no model.
        write_json(partial / "config.json", config)


def shard_files(sources: Iterable[Source], max_shard_bytes: int) -> dict[str, list[Source]]:
    """Tensors to be written, in their own order, by the file each goes into: of at most `max_shard_bytes`, or one
    larger tensor alone."""
    shards: list[list[Source]] = [[]]
    size = 0
    for source in sources:
        if shards[-1] and size + source.num_bytes > max_shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(source)
        size += source.num_bytes
    if len(shards) == 1:
        return {WEIGHT_FILE: shards[0]}
    return {f"model-{n:05}-of-{len(shards):05}.safetensors": shard for n, shard in enumerate(shards, start=1)}


def write_shards(folder: Path, shards: Mapping[str, Sequence[Source]]) -> None:
    """Write the files of `shard_files`, tensor by tensor, and an index where they are several."""
    for name, shard in shards.items():
        write_file(folder / name, shard)
    if len(shards) > 1:
        size = sum(source.num_bytes for shard in shards.values() for source in shard)
        index = {source.name: name for name, shard in shards.items() for source in shard}
        write_json(folder / INDEX_FILE, {"metadata": {"total_size": size}, "weight_map": index})


def _build(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> InternVL:
    """A model whose parameters hold nothing yet. Raises CheckpointError when there is no room for it."""
    try:
        with device, Uninitialised(dtype):
            return InternVL(checkpoint.config)
    except (RuntimeError, MemoryError) as fault:
        num_values = sum(math.prod(shape) for shape in parameter_shapes(checkpoint.config).values())
        size = num_values * dtype.itemsize / 2**30
        raise CheckpointError(
            f"{checkpoint.folder}: there is no room for {size:.1f} GiB of {dtype} "
            f"weights on {device}: use a smaller dtype or another device"
        ) from fault


class Uninitialised(TorchFunctionMode):
    """Modules made under this have parameters of `dtype` whose memory nobody has touched yet.

    Random numbers that are overwritten at once would cost time; the usual detour over the meta device imports
    torch's compiler and sympy, which takes longer than reading a small model.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if func is torch.empty and kwargs.get("dtype") is None:
            kwargs["dtype"] = self.dtype
        return func(*args, **kwargs)


def _pieces(tensor: StoredTensor, parameters: dict[str, Tensor]) -> Iterator[Tensor]:
    """The rows of ours that make up a stored tensor, in the order of its data."""
    for rows in tensor.rows:
        yield parameters[rows.name][rows.start : rows.stop]


def _storable_parameters(model: InternVL) -> dict[str, Tensor]:
    """The model's parameters; raises CheckpointError if they are not those of its configuration, or cannot be
    stored."""
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    wanted = parameter_shapes(model.config)
    other = sorted(parameters.keys() ^ wanted.keys())
    if other:
        raise CheckpointError(
            f"the model's parameters are not those of its configuration ({other[0]}): merge adapters first, "
            "and save before apply_fused"
        )
    for name, tensor in parameters.items():
        if tuple(tensor.shape) != wanted[name]:
            raise CheckpointError(
                f"{name} has the shape {list(tensor.shape)}, its configuration says {list(wanted[name])}"
            )
        if not can_store(tensor.dtype) or tensor.device.type == "meta":
            raise CheckpointError(f"{name} is {tensor.dtype} on {tensor.device}: it cannot be written")
    return parameters


def _sources(stored: Iterable[StoredTensor], parameters: dict[str, Tensor]) -> Iterator[Source]:
    """The tensors to be written, made of parameters in memory."""
    for tensor in stored:
        source = Source(name=tensor.name, shape=tensor.shape, pieces=tuple(_pieces(tensor, parameters)))
        if len({piece.dtype for piece in source.pieces}) > 1:
            raise CheckpointError(f"{tensor.name} would be made of parameters of different types: convert them first")
        yield source


def check_room(target: Path, needed: int) -> None:
    """Raise CheckpointError when the disk is visibly too small for `needed` bytes, before anything is written."""
    free = free_bytes(target)
    if free < needed:
        raise CheckpointError(f"{target} needs {needed} bytes, but its disk has only {free} left")


def free_bytes(target: Path) -> int:
    """What is left on the disk of `target`, which need not exist yet."""
    place = target.absolute().parent
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def write_json(path: Path, value: object) -> None:
    """A JSON file as the folders here have them."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


def checked_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """A type of weights by its name. Raises SettingsError for one that models do not have."""
    if isinstance(dtype, torch.dtype):
        dtype = str(dtype).removeprefix("torch.")
    if dtype not in _DTYPES:
        raise SettingsError(f"dtype={dtype!r} is not allowed: {nearest(str(dtype), _DTYPES)}")
    return _DTYPES[dtype]


def _device(device: str | torch.device) -> torch.device:
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise SettingsError(f"device={device!r} is not allowed: cpu, cuda, cuda:0, ...") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device={device!r} cannot be used: torch finds no GPU; use cpu")
    return found
