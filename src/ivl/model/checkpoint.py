"""What weights a model folder holds, found out without reading them.

In: a folder. Out: `Checkpoint`, where each tensor lies; and `CheckpointReport`, for people: parts, sizes,
problems. Only configuration, index and safetensors headers are read. Pickled weights (.bin, .pt, ...) can run
code when they are opened, so they are never opened: where there is nothing else, the error names the way out.
"""

import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivl.errors import CheckpointError, IvlError
from ivl.model.config import InternVLConfig
from ivl.model.config_io import INDEX_FILE, WEIGHT_FILE, load_config_and_layout
from ivl.model.folder_io import check_folder, locate, open_file, read_json
from ivl.model.names import Layout, StoredTensor, is_computed, modern_name, part_of, stored_tensors
from ivl.model.safetensors_io import FLOATS, Entry, read_header

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_VOCABULARY_SIDES = ("embed_tokens.weight", "tok_embeddings.weight", "lm_head.weight", "output.weight")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model folder whose every tensor has been found, with the right shape and a type that can be read."""

    folder: Path
    config: InternVLConfig
    layout: Layout
    tensors: tuple[tuple[str, StoredTensor, Entry], ...]
    """(file, tensor, where it lies), in the order of files and data."""


@dataclass(frozen=True, kw_only=True)
class PartSize:
    """The weights of one part: vision_model, connector or language_model."""

    name: str
    num_parameters: int
    num_bytes: int
    dtypes: tuple[str, ...]
    """As stored: "BF16", "F32", ..."""


@dataclass(frozen=True, kw_only=True)
class CheckpointReport:
    """A folder's state, for `ivl doctor` and `ivl info`."""

    folder: Path
    layout: Layout | None
    config: InternVLConfig | None
    files: tuple[tuple[str, int], ...]
    """Weight files that were found, with their sizes in bytes."""
    parts: tuple[PartSize, ...]
    problems: tuple[str, ...]
    """One line each; empty when the folder can be loaded."""

    @property
    def num_parameters(self) -> int:
        return sum(part.num_parameters for part in self.parts)


def open_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint:
    """Check a folder from its configuration and headers. Raises ConfigError or CheckpointError, one line."""
    root = check_folder(folder)
    config, layout = load_config_and_layout(root)
    found = find_tensors(root, layout)
    wanted = stored_tensors(config, layout)
    problems = list(differences(root, wanted, found, config))
    if problems:
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise CheckpointError(problems[0] + more)
    tensors = [(file, wanted[name], entry) for name, (file, entry) in found.items() if name in wanted]
    tensors.sort(key=lambda item: (item[0], item[2].offset))
    return Checkpoint(folder=root, config=config, layout=layout, tensors=tuple(tensors))


def describe_checkpoint(folder: str | os.PathLike[str]) -> CheckpointReport:
    """The state of a model folder. Raises nothing of ours: what is wrong stands in `problems`."""
    problems: list[str] = []
    config: InternVLConfig | None = None
    layout: Layout | None = None
    found: dict[str, tuple[str, Entry]] = {}
    try:
        root = check_folder(folder)
        config, layout = load_config_and_layout(root)
        found = find_tensors(root, layout)
        problems += differences(root, stored_tensors(config, layout), found, config)
    except IvlError as fault:
        problems.append(str(fault))
    root = Path(folder).expanduser()
    return CheckpointReport(
        folder=root,
        layout=layout,
        config=config,
        files=tuple(_sizes(root, sorted({file for file, _ in found.values()}))),
        parts=_parts(config, layout, found) if config and layout else (),
        problems=tuple(problems),
    )


def find_tensors(folder: Path, layout: Layout) -> dict[str, tuple[str, Entry]]:
    """Every stored tensor by its modern name: (file, entry). Raises CheckpointError."""
    files, index = _weight_files(folder)
    found: dict[str, tuple[str, Entry]] = {}
    for file in files:
        with open_file(folder, file) as opened:
            header = read_header(opened, str(folder / file))
        for name, entry in header.items():
            modern = modern_name(name, layout)
            if modern in found:
                raise CheckpointError(f"{folder}: tensor {name!r} stands in {found[modern][0]} and again in {file}")
            if index is not None and index.get(name) != file:
                raise CheckpointError(f"{folder / file} holds tensor {name!r}, of which {INDEX_FILE} says otherwise")
            found[modern] = (file, entry)
    for name, file in (index or {}).items():
        if modern_name(name, layout) not in found:
            raise CheckpointError(f"{folder / INDEX_FILE} puts tensor {name!r} into {file}, but it is not there")
    return found


def _weight_files(folder: Path) -> tuple[list[str], dict[str, str] | None]:
    """The files that hold the weights, and the index (tensor -> file) where there is one."""
    if locate(folder, WEIGHT_FILE) is not None:
        return [WEIGHT_FILE], None
    if locate(folder, INDEX_FILE) is None:
        raise CheckpointError(_no_weights(folder))
    index = _read_index(folder)
    files = sorted(set(index.values()))
    missing = [file for file in files if locate(folder, file) is None]
    if missing:
        raise CheckpointError(
            f"{folder}: {len(missing)} of {len(files)} weight files are missing ({', '.join(missing[:3])}): "
            "the download did not finish, fetch the folder again"
        )
    return files, index


def _read_index(folder: Path) -> dict[str, str]:
    """The checked weight_map of the index. Raises CheckpointError for a name that is no plain .safetensors
    file."""
    where = folder / INDEX_FILE
    table: Any = read_json(folder, INDEX_FILE).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise CheckpointError(f"{where}: weight_map={table!r:.60} is not allowed: an object, tensor name -> file name")
    for name, file in table.items():
        if not isinstance(file, str) or not file.endswith(".safetensors"):
            raise CheckpointError(f"{where}: tensor {name!r} lies in {file!r:.80}: only .safetensors files are read")
    return table


def _no_weights(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    pickles = [name for name in names if name.endswith(_PICKLES)]
    shards = [name for name in names if name.endswith(".safetensors")]
    if "adapter_config.json" in names or "adapter_model.safetensors" in names:
        return f"{folder} holds an adapter, not a model: give the model and add the adapter to it"
    if shards:
        return f"{folder} holds {shards[0]} but neither {WEIGHT_FILE} nor {INDEX_FILE}: fetch the missing file"
    if pickles:
        return (
            f"{folder} holds its weights only as pickles ({pickles[0]}), which can run code and are never "
            "opened: fetch a safetensors revision of the model (on Hugging Face often refs/pr/1; the Space "
            "safetensors/convert makes one)"
        )
    return f"{folder} has no weights ({WEIGHT_FILE} or {INDEX_FILE}): the download did not finish"


def differences(
    folder: Path,
    wanted: dict[str, StoredTensor],
    found: dict[str, tuple[str, Entry]],
    config: InternVLConfig,
) -> Iterator[str]:
    """What keeps the tensors found from being those wanted, one line each, the gravest first."""
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted and not is_computed(name)]
    if any("lora_" in name for name in unexpected):
        yield f"{folder} holds adapters that were not merged ({unexpected[0]}): merge them first"
        return
    for kind, names in (("is missing", missing), ("is not expected by config.json", unexpected)):
        if names:
            count = f"{len(names)} tensors, the first of them " if len(names) > 1 else "the tensor "
            yield f"{folder}: {count}{names[0]!r}, {kind}: weights and config.json do not belong together"
    for name, tensor in wanted.items():
        if name not in found:
            continue
        file, entry = found[name]
        if entry.shape != tensor.shape:
            expected = _expected(tensor, entry, config)
            yield f"{folder / file}: tensor {name!r} has the shape {list(entry.shape)}, expected {expected}"
        elif entry.dtype not in FLOATS:
            yield (
                f"{folder / file}: tensor {name!r} is stored as {entry.dtype}, but only {', '.join(FLOATS)} "
                "are read: use an unquantized release"
            )


def _expected(tensor: StoredTensor, entry: Entry, config: InternVLConfig) -> str:
    """The shape that was expected, and where only the vocabulary differs, that."""
    same_width = entry.shape[1:] == tensor.shape[1:]
    if tensor.name.endswith(_VOCABULARY_SIDES) and same_width:
        return (
            f"{list(tensor.shape)}: the weights are for {entry.shape[0]} tokens, config.json says "
            f"vocab_size={config.text.vocab_size}"
        )
    return f"{list(tensor.shape)} by config.json"


def _parts(config: InternVLConfig, layout: Layout, found: dict[str, tuple[str, Entry]]) -> tuple[PartSize, ...]:
    """Sizes by part of the tensors that were found and belong to the model."""
    values: Counter[str] = Counter()
    num_bytes: Counter[str] = Counter()
    dtypes: dict[str, set[str]] = {}
    for name, tensor in stored_tensors(config, layout).items():
        part = part_of(tensor.rows[0].name)
        dtypes.setdefault(part, set())
        if name in found:
            entry = found[name][1]
            values[part] += math.prod(entry.shape)
            num_bytes[part] += entry.num_bytes
            dtypes[part].add(entry.dtype)
    return tuple(
        PartSize(name=part, num_parameters=values[part], num_bytes=num_bytes[part], dtypes=tuple(sorted(kinds)))
        for part, kinds in dtypes.items()
    )


def _sizes(folder: Path, files: list[str]) -> Iterator[tuple[str, int]]:
    for file in files:
        yield file, (folder / file).stat().st_size
