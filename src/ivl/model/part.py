"""One part of a model in a folder: an InternViT or a language model on its own, or that part of a whole InternVL.

In: a folder. Out: `Part`, its configuration and where its numbers lie, checked from configuration and headers; and the
numbers, row by row. A part on its own has the tensor names of the official layout without the part's own prefix, which
are also those that transformers writes. Knows no tokenizer and writes nothing.
"""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ivl.errors import CheckpointError, ConfigError
from ivl.model.checkpoint import differences, find_tensors, open_checkpoint
from ivl.model.config import InternVLConfig
from ivl.model.config_parse import parse_config
from ivl.model.folder_io import check_folder, open_file, read_json
from ivl.model.names import Rows, StoredTensor, head_name, parameter_shapes, part_of, stored_tensors
from ivl.model.safetensors_io import FLOATS, Entry, read_into

PartName = Literal["vision_model", "language_model"]
_VIT_CLASS = "InternVisionModel"


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where some rows of a parameter lie."""

    rows: Rows
    file: str
    dtype: str
    offset: int
    """Of the first row, in bytes from the beginning of the file."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a model, all of its numbers found."""

    name: PartName
    folder: Path
    config: InternVLConfig
    """Of the whole model; where the folder holds only this part, nothing else in it means anything."""
    is_whole: bool
    """Whether the folder holds a whole InternVL."""
    places: Mapping[str, tuple[_Place, ...]]
    """By the parameter's name."""
    shapes: Mapping[str, tuple[int, ...]]
    """Of the whole model's parameters."""

    @property
    def dtype(self) -> torch.dtype:
        """The type that most of its numbers are stored in."""
        sizes: Counter[str] = Counter()
        for name, places in self.places.items():
            sizes[places[0].dtype] += math.prod(self.shapes[name])
        return FLOATS[sizes.most_common(1)[0][0]]

    def read(self, rows: Rows, target: Tensor) -> None:
        """Fill `target`, flat and contiguous, with these rows of a parameter, converted to its type."""
        width = math.prod(self.shapes[rows.name][1:])
        assert target.numel() == (rows.stop - rows.start) * width, f"{rows} do not fill {tuple(target.shape)}"
        for place in self.places[rows.name]:
            start, stop = max(rows.start, place.rows.start), min(rows.stop, place.rows.stop)
            if start < stop:
                piece = target[(start - rows.start) * width : (stop - rows.start) * width]
                offset = place.offset + (start - place.rows.start) * width * FLOATS[place.dtype].itemsize
                with open_file(self.folder, place.file) as file:
                    read_into(file, offset, place.dtype, piece, str(self.folder / place.file))


def open_part(folder: str | os.PathLike[str], name: PartName) -> Part:
    """The vision model or the language model in `folder`. Raises ConfigError or CheckpointError."""
    root = check_folder(folder, ConfigError)
    raw = read_json(root, "config.json", ConfigError)
    if "llm_config" in raw or raw.get("model_type") == "internvl":
        whole = open_checkpoint(root)
        tensors = [each for each in whole.tensors if part_of(each[1].rows[0].name) == name]
        return _part(name, root, whole.config, tensors, is_whole=True)
    config = _config_alone(raw, name, str(root / "config.json"))
    found = find_tensors(root, "official")
    if name == "vision_model":
        _check_positions(root, config, found)
    elif config.text.tie_embeddings and head_name(config.text, "official").partition(".")[2] in found:
        config = replace(config, text=replace(config.text, tie_embeddings=False))  # as `load_config` does
    wanted = _wanted_alone(config, name)
    problems = list(differences(root, wanted, found, config))
    if problems:
        raise CheckpointError(problems[0])
    tensors = [(file, wanted[key], entry) for key, (file, entry) in found.items() if key in wanted]
    return _part(name, root, config, tensors, is_whole=False)


def _config_alone(raw: dict[str, Any], name: PartName, where: str) -> InternVLConfig:
    """The configuration of a model of which only this part is given."""
    llm: dict[str, Any] = {"architectures": ["Qwen2ForCausalLM"]}
    vision: dict[str, Any] = {}
    if name == "vision_model":
        classes = raw.get("architectures")
        if classes != [_VIT_CLASS] and raw.get("model_type") != "intern_vit_6b":
            raise ConfigError(
                f"{where}: architectures={classes!r:.80} is no vision model that can be joined: InternViT "
                f"({_VIT_CLASS}) or a whole InternVL is needed"
            )
        vision = raw
    else:
        llm = raw
    official = {"llm_config": llm, "vision_config": vision, "template": "Hermes-2"}
    try:
        return parse_config(official, where)
    except ConfigError as fault:
        raise ConfigError(str(fault).replace("llm_config.", "").replace("vision_config.", "")) from None


def _wanted_alone(config: InternVLConfig, name: PartName) -> dict[str, StoredTensor]:
    """The tensors of a folder that holds this part only, by name."""
    tensors = stored_tensors(config, "official").values()
    mine = [tensor for tensor in tensors if part_of(tensor.rows[0].name) == name]
    short = [replace(tensor, name=tensor.name.removeprefix(f"{name}.")) for tensor in mine]
    return {tensor.name: tensor for tensor in short}


def _check_positions(folder: Path, config: InternVLConfig, found: Mapping[str, tuple[str, Entry]]) -> None:
    """Raise ConfigError where the position embedding is for tiles of another size than config.json says."""
    file, entry = found.get("embeddings.position_embedding", ("", None))
    vision = config.vision
    wanted = 1 + vision.patches_per_side**2
    if entry is not None and len(entry.shape) == 3 and entry.shape[1] != wanted:
        size = math.isqrt(max(entry.shape[1] - 1, 0)) * vision.patch_size
        raise ConfigError(
            f"{folder / 'config.json'}: image_size={vision.image_size} makes {wanted} positions of {vision.patch_size} "
            f"pixels, but the position embedding in {file} has {entry.shape[1]}: it is for image_size={size}"
        )


def _part(
    name: PartName,
    folder: Path,
    config: InternVLConfig,
    tensors: list[tuple[str, StoredTensor, Entry]],
    *,
    is_whole: bool,
) -> Part:
    """The part whose tensors these are: (file, tensor, where it lies)."""
    shapes = parameter_shapes(config)
    places: dict[str, tuple[_Place, ...]] = {}
    for file, tensor, entry in tensors:
        for rows, offset in _offsets(tensor, entry, shapes):
            place = _Place(rows=rows, file=file, dtype=entry.dtype, offset=offset)
            places[rows.name] = (*places.get(rows.name, ()), place)
    return Part(name=name, folder=folder, config=config, is_whole=is_whole, places=places, shapes=shapes)


def _offsets(tensor: StoredTensor, entry: Entry, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[Rows, int]]:
    offset = entry.offset
    for rows in tensor.rows:
        yield rows, offset
        offset += (rows.stop - rows.start) * math.prod(shapes[rows.name][1:]) * FLOATS[entry.dtype].itemsize
