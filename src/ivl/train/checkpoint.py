"""Checkpoints of a run: written whole or not at all, and read only when every byte is as it was written.

In: named tensors and plain values. Out: `checkpoint-64/` with

    trained.safetensors     what trains, by our parameter names
    optimizer.safetensors   its state (`optimizer_state.py` names the tensors)
    state.json              step, plain values, and size and SHA-256 of every other file; written last
    ...                     what the caller adds, such as an adapter in PEFT's form

A kill at any moment leaves the old checkpoints and, beside them, a hidden folder that the next run removes. Nothing is
ever unpickled, links are not followed, and files that state.json does not list are never opened. Knows no model and no
training loop.
"""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from torch import Tensor

from ivl.errors import CheckpointError, TrainingError
from ivl.model.folder_io import FULL, MAX_JSON_BYTES, open_file, read_json, sync
from ivl.model.safetensors_io import read_all, write_all
from ivl.train.run_folder import checkpoint_name, hidden_name, list_checkpoints, remove_leftovers, step_of

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

STATE_FILE = "state.json"
TRAINED_FILE, OPTIMIZER_FILE = "trained.safetensors", "optimizer.safetensors"
_FORMAT = "ivl checkpoint 1"
_FIELDS = {"format", "step", "state", "files", "sha256"}
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A checkpoint as read; tensors on the CPU, as stored."""

    step: int
    state: dict[str, Any]
    trained: dict[str, Tensor]
    """Empty where the caller saved none."""
    optimizer: dict[str, Tensor]


def save_checkpoint(
    run_folder: Path,
    step: int,
    *,
    trained: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    state: Mapping[str, JSON],
    write_output: Callable[[Path], None] | None = None,
) -> Path:
    """Write `checkpoint-{step}`, which appears whole; one of the same step is replaced.

    state: plain values without NaN or infinity. write_output: is given the folder, still empty, to add files of its
    own; no folders. Raises TrainingError where there is no room, with what is needed; everything older is kept.
    """
    remove_leftovers(run_folder)
    target = run_folder / checkpoint_name(step)
    partial = hidden_name(target, "partial")
    needed = _bytes_needed(run_folder, trained, optimizer)
    _check_room(target, needed)
    try:
        partial.mkdir(parents=True)
        if write_output is not None:
            write_output(partial)
        write_all(partial / TRAINED_FILE, trained)
        write_all(partial / OPTIMIZER_FILE, optimizer)
        _seal(partial, step, state)
        _put_in_place(partial, target)
    except (OSError, CheckpointError) as fault:
        cause = fault if isinstance(fault, OSError) else fault.__cause__
        if not isinstance(cause, OSError):
            raise
        raise _unsaved(target, needed, cause) from fault
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def newest_checkpoint(run_folder: Path, warnings: list[str] | None = None) -> Path | None:
    """The newest checkpoint that is whole, by sizes and hashes; None where there is none.

    Newer ones that are not are left alone; what is wrong with each is added to `warnings` as a line.
    """
    for _, path in list_checkpoints(run_folder):
        try:
            if path.is_symlink():
                raise CheckpointError(f"{path} is refused: it is a link")
            verify(path)
        except CheckpointError as fault:
            if warnings is not None:
                warnings.append(f"{fault}; this checkpoint is left as it is and not used")
            continue
        return path
    return None


def load_checkpoint(path: Path, *, verified: bool = False) -> Checkpoint:
    """The checkpoint in the folder `path`; `verified` spares the hashes, after `newest_checkpoint` has compared them.

    Raises CheckpointError where it is not whole.
    """
    table = verify(path, hashes=not verified)
    tensors: dict[str, dict[str, Tensor]] = {}
    for name in (TRAINED_FILE, OPTIMIZER_FILE):
        with _open(path, name) as file:
            tensors[name] = read_all(file, str(path / name))
    return Checkpoint(
        step=table["step"], state=table["state"], trained=tensors[TRAINED_FILE], optimizer=tensors[OPTIMIZER_FILE]
    )


def verify(path: Path, *, hashes: bool = True) -> dict[str, Any]:
    """What state.json says, once every file it lists has the size (and hash) that it says.

    Raises CheckpointError, naming the file, where one has not.
    """
    if not path.is_dir():
        raise CheckpointError(f"{path} is no checkpoint: there is no such folder")
    with _open(path, STATE_FILE):  # no link, whatever it points to
        table = read_json(path, STATE_FILE)
    _check_table(table, path)
    for name, entry in table["files"].items():
        with _open(path, name) as file:
            size = os.fstat(file.fileno()).st_size
        if size != entry["size"]:
            raise CheckpointError(f"{path / name} has {size} bytes, but {entry['size']} were written: it is damaged")
    if hashes:
        for name, digest in _digests(path, list(table["files"])).items():
            if digest != table["files"][name]["sha256"]:
                raise CheckpointError(f"{path / name} is damaged: its SHA-256 is not the one that was written")
    return table


def _seal(folder: Path, step: int, state: Mapping[str, JSON]) -> None:
    """Bring all files of `folder` to the disk, and write state.json, which lists them."""
    names = sorted(path.name for path in folder.iterdir())
    assert all((folder / name).is_file() for name in names), f"a checkpoint has no folders inside: {names}"
    assert STATE_FILE not in names, f"{STATE_FILE} is the checkpoint's own"
    for name in names:
        sync(folder / name)
    digests = _digests(folder, names)
    files = {name: {"size": (folder / name).stat().st_size, "sha256": digests[name]} for name in names}
    text = json.dumps({"format": _FORMAT, "step": step, "state": dict(state), "files": files}, allow_nan=False)
    table = json.loads(text)  # as it will be read: keys are texts, tuples are lists
    text = json.dumps(table | {"sha256": _own_digest(table)}, indent=1)
    assert len(text) < MAX_JSON_BYTES, f"a state of {len(text)} bytes could not be read again"
    (folder / STATE_FILE).write_text(text, "utf-8")
    sync(folder / STATE_FILE)
    sync(folder)


def _put_in_place(partial: Path, target: Path) -> None:
    """Give a finished folder its name. What has that name goes only once the new one has it."""
    old = hidden_name(target, "replaced") if os.path.lexists(target) else None
    if old is not None:
        target.rename(old)
    partial.rename(target)
    sync(target.parent)
    if old is not None:
        remove_leftovers(target.parent)


def _bytes_needed(run_folder: Path, *tensors: Mapping[str, Tensor]) -> int:
    """What a checkpoint takes: that of its tensors, or as much as the last one where that is more."""
    known = sum(tensor.numel() * tensor.dtype.itemsize for each in tensors for tensor in each.values())
    before = list_checkpoints(run_folder)[:1]
    sizes = [each.lstat().st_size for _, path in before if path.is_dir() for each in path.iterdir()]
    return max(known, sum(sizes))


def _check_room(target: Path, needed: int) -> None:
    """Raise TrainingError when the disk is visibly too small, before anything is written."""
    place = target.absolute().parent
    while not place.exists():
        place = place.parent
    if shutil.disk_usage(place).free < needed:
        raise _no_room(target, needed)


def _unsaved(target: Path, needed: int, fault: OSError) -> TrainingError:
    if fault.errno in FULL:
        return _no_room(target, needed)
    return TrainingError(f"{target} cannot be written: {fault.strerror or type(fault).__name__}")


def _no_room(target: Path, needed: int) -> TrainingError:
    return TrainingError(
        f"{target} could not be saved: there is no room on its disk for {needed / 2**20:.1f} MiB; checkpoints written "
        "before are kept: free some space and go on with resume"
    )


def _check_table(table: dict[str, Any], path: Path) -> None:
    """Raise CheckpointError unless state.json is one that `_seal` wrote, for this folder."""
    where = path / STATE_FILE
    if table.get("format") != _FORMAT or table.keys() != _FIELDS:
        form = repr(table.get("format"))[:80]
        raise CheckpointError(f"{where}: format={form} is not read: another version of ivl wrote it")
    step, files, named = table["step"], table["files"], step_of(path)
    own = {field: value for field, value in table.items() if field != "sha256"}
    if table["sha256"] != _own_digest(own):
        raise CheckpointError(f"{where} is damaged: its SHA-256 is not the one that was written")
    is_step = isinstance(step, int) and not isinstance(step, bool) and step >= 0
    if not is_step or (named is not None and named != step):
        raise CheckpointError(f"{where}: step={step!r:.80} is not that of the folder's name")
    if not isinstance(table["state"], dict) or not isinstance(files, dict):
        raise CheckpointError(f"{where}: state and files must be objects")
    if not {TRAINED_FILE, OPTIMIZER_FILE} <= files.keys():
        raise CheckpointError(f"{where} does not list {TRAINED_FILE} and {OPTIMIZER_FILE}")
    for name, entry in files.items():
        fits = isinstance(entry, dict) and entry.keys() == {"size", "sha256"} and isinstance(entry["size"], int)
        if not fits or not isinstance(entry["sha256"], str) or not _DIGEST.fullmatch(entry["sha256"]):
            raise CheckpointError(f"{where}: files[{name!r:.80}]={entry!r:.80} is not a size and a SHA-256")


def _open(path: Path, name: str) -> BinaryIO:
    """Open a file of a checkpoint; unlike a model's, it may not be a link, even to inside the folder."""
    try:
        is_link = stat.S_ISLNK((path / name).lstat().st_mode)
    except (OSError, ValueError):
        is_link = False
    if is_link:
        raise CheckpointError(f"{path / name} is refused: it is a link")
    return open_file(path, name)


def _digests(folder: Path, names: list[str]) -> dict[str, str]:
    """SHA-256 of each file; hashing lets other threads run, so large files go side by side."""

    def digest(name: str) -> str:
        with _open(folder, name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto

    with ThreadPoolExecutor(4, thread_name_prefix="ivl-hash") as pool:
        return dict(zip(names, pool.map(digest, names), strict=True))


def _own_digest(table: Mapping[str, Any]) -> str:
    """SHA-256 of state.json's own values, independent of how they are laid out."""
    text = json.dumps(table, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
