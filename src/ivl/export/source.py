"""What SOURCE means: a model, an adapter, a checkpoint or the folder of a run -> the folders that it is made of.

In: a path or a hub id, and a base if the person names one. Out: `ModelSource`. Reads what `ivl train` leaves on disk:

    RUN/adapter/          the result of a run with adapters        (adapter_config.json)
    RUN/model/            the result of a run without              (config.json)
    RUN/checkpoint-64/    either kind, on the way                  (state.json, and adapter_config.json or not)

What a run says about its base (`path` of its recipe, in state.json) is used where such a folder is there. Of what an
adapter says, which may come from anybody, only names of hubs and published models are taken, never a path.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivl.errors import AdapterError, CheckpointError
from ivl.hub import resolve
from ivl.model.adapter_config import CONFIG_FILE as ADAPTER_CONFIG
from ivl.model.adapter_io import TENSOR_FILE as ADAPTER_TENSORS
from ivl.model.family import FAMILY
from ivl.model.folder_io import open_file, read_json
from ivl.zoo import nano_folder

STATE_FILE, TRAINED_FILE = "state.json", "trained.safetensors"
RESULTS = ("adapter", "model")
_CHECKPOINT = re.compile(r"checkpoint-(0|[1-9][0-9]{0,17})")
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """The folders that a model is made of."""

    model: Path
    """Holds config.json and weights: the model itself, or the base of what follows."""
    adapter: Path | None = None
    trained: Path | None = None
    """A checkpoint of a run without adapters, whose tensors stand in the place of the model's own."""
    base: Path | None = None
    """Of a model that was trained whole: where files are taken from that its own folder lacks."""
    notes: tuple[str, ...] = ()
    """One line each: what was chosen, and what a person may want to look at."""


def find_source(source: str | os.PathLike[str], base: str | os.PathLike[str] | None = None) -> ModelSource:
    """The folders behind a model, adapter, checkpoint or run (`source`), or behind a hub id.

    base: the model that an adapter or a run was trained from, if it is not to be looked up. Raises AdapterError,
    CheckpointError, HubError.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return ModelSource(model=resolve(source), base=None if base is None else resolve(base))
    chosen, notes = _chosen(folder)
    if _has(chosen, ADAPTER_CONFIG):
        return adapter_source(chosen, base, notes)
    if not _has(chosen, STATE_FILE) or _has(chosen, "config.json"):
        found = resolve(base) if base is not None else _base_of_run(chosen)
        return ModelSource(model=chosen, base=found, notes=notes)
    _check_sealed(chosen, TRAINED_FILE)
    found = resolve(base) if base is not None else _base_of_run(chosen)
    if found is None:
        raise CheckpointError(f"{chosen}: the model it was trained from is not here ({_told(chosen)}): name it as base")
    return ModelSource(model=found, trained=chosen, notes=(*notes, f"trained from {found}"))


def adapter_source(
    folder: Path, base: str | os.PathLike[str] | None = None, notes: tuple[str, ...] = ()
) -> ModelSource:
    """An adapter and its base, by name or as the adapter or its run say. Raises AdapterError, HubError."""
    if not folder.is_dir():
        raise AdapterError(f"{folder} is no folder: an adapter is a folder with {ADAPTER_CONFIG} and {ADAPTER_TENSORS}")
    if _has(folder, STATE_FILE):
        _check_sealed(folder, ADAPTER_TENSORS)
    stated = _stated_base(folder)
    if base is None:
        model = _base_of_run(folder) or _named_base(folder, stated)
        return ModelSource(model=model, adapter=folder, notes=(*notes, f"the adapter's base: {model}"))
    model = resolve(base)
    if stated and not {_last(stated), stated.replace("/", "--")} & _names_of(model, base):
        notes = (*notes, f"the adapter says that it was trained from {stated!r:.120}; it goes into {base} all the same")
    return ModelSource(model=model, adapter=folder, notes=notes)


def _chosen(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder itself, or what it holds as a run: its result, or else its newest checkpoint."""
    if any(_has(folder, name) for name in (ADAPTER_CONFIG, "config.json", STATE_FILE)):
        return folder, ()
    results = [folder / name for name in RESULTS if (folder / name).is_dir()]
    steps = list(_checkpoints(folder))
    if not results and not steps:
        # What is missing in a folder that was meant to be a model or an adapter, these say best.
        if any(path.suffix == ".safetensors" or path.name.endswith(".bin") for path in folder.iterdir()):
            return folder, ()
        raise CheckpointError(
            f"{folder} is no model, adapter or run: it holds none of config.json, {ADAPTER_CONFIG}, "
            "adapter/, model/ or checkpoint-N"
        )
    if not results:
        return steps[0], (f"the run has not ended: taking its newest checkpoint, {steps[0].name}",)
    newest = max(results, key=_age)
    later = [step for step in steps if _age(step) > _age(newest)]
    more = f"; {later[0].name} is newer: give that one if you mean it" if later else ""
    return newest, (f"taking the run's result, {newest.name}{more}",)


def _checkpoints(folder: Path) -> Iterator[Path]:
    """The checkpoints of a run, newest first; no links."""
    found = [(_CHECKPOINT.fullmatch(path.name), path) for path in folder.iterdir()]
    steps = [(int(match[1]), path) for match, path in found if match and path.is_dir() and not path.is_symlink()]
    for _, path in sorted(steps, reverse=True):
        yield path


def _age(folder: Path) -> float:
    """When the file was written that makes a folder whole."""
    names = (STATE_FILE, ADAPTER_CONFIG, "config.json")
    return max(((folder / name).stat().st_mtime for name in names if (folder / name).exists()), default=0.0)


def _has(folder: Path, name: str) -> bool:
    return os.path.lexists(folder / name)


def _recipe_path(folder: Path) -> str | None:
    """`path` of the recipe: of a checkpoint, or of the run that left `folder` as its result."""
    beside = _checkpoints(folder.parent) if folder.name in RESULTS else iter(())
    for place in (folder, *beside):
        if not _has(place, STATE_FILE):
            continue
        state = read_json(place, STATE_FILE).get("state")
        recipe = state.get("recipe") if isinstance(state, dict) else None
        path = recipe.get("path") if isinstance(recipe, dict) else None
        if isinstance(path, str) and path:
            return path
    return None


def _base_of_run(folder: Path) -> Path | None:
    path = _recipe_path(folder)
    return Path(path) if path and Path(path).is_dir() else None


def _told(folder: Path) -> str:
    path = _recipe_path(folder)
    return "its recipe names none" if path is None else f"its recipe says {path!r:.160}"


def _stated_base(folder: Path) -> str | None:
    name = read_json(folder, ADAPTER_CONFIG, AdapterError).get("base_model_name_or_path")
    return name if isinstance(name, str) and name else None


def _named_base(folder: Path, stated: str | None) -> Path:
    """The base that an adapter names: the package's own, a published model, or a hub's."""
    if stated == nano_folder().name:
        return nano_folder()
    if stated in FAMILY:
        return resolve(f"OpenGVLab/{stated}")
    if stated and _HUB_ID.fullmatch(stated):
        return resolve(stated)
    said = "names no base" if stated is None else f"says base_model_name_or_path={stated!r:.120}, which is no hub id"
    raise AdapterError(f"{folder / ADAPTER_CONFIG} {said}: name the model that it was trained from as base")


def _names_of(model: Path, given: str | os.PathLike[str]) -> set[str]:
    """What a base may be called: its folder's name, what was typed, or its id in a Hugging Face cache."""
    typed = os.fspath(given).partition("@")[0]
    real = model.resolve()
    cached = real.parent.parent.name.removeprefix("models--") if real.parent.name == "snapshots" else ""
    return {real.name, _last(typed), cached, cached.rpartition("--")[2]}


def _last(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _check_sealed(folder: Path, name: str) -> None:
    """Raise CheckpointError unless a file of a run's checkpoint is, to the byte, what its state.json lists."""
    table: Any = read_json(folder, STATE_FILE)
    files = table.get("files")
    entry = files.get(name) if isinstance(files, dict) else None
    if not isinstance(entry, dict):
        raise CheckpointError(f"{folder / STATE_FILE} lists no {name}: this is no checkpoint of a run")
    with open_file(folder, name) as file:
        size = os.fstat(file.fileno()).st_size
        same = size == entry.get("size")
        if not same or hashlib.file_digest(file, "sha256").hexdigest() != entry.get("sha256"):  # type: ignore[arg-type]
            raise CheckpointError(f"{folder / name} is damaged: size or SHA-256 are not those in {STATE_FILE}")
