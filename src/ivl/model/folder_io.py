"""Opening files of a model folder that a stranger made, and writing a new folder all or nothing.

In: a folder and plain file names in it. Out: open files, parsed JSON, a finished folder.
Knows no tensors and no configurations. Every refusal happens before the file is opened.

A name is refused unless it is a plain one; a link is followed only inside the folder (or, in a Hugging Face
cache, into the `blobs` beside `snapshots`); pipes, devices and folders are refused; sizes are bounded before
reading.
"""

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ivl.errors import CheckpointError, IvlError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""A disk, a user's share of it or a file may grow no more."""
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,254}")
MAX_JSON_BYTES = 64 * 2**20
"""No JSON file of a model folder is larger; the largest, tokenizer.json, takes up to 20 MB."""


def check_folder(path: str | os.PathLike[str], error: type[IvlError] = CheckpointError) -> Path:
    """The folder at `path`, with `~` expanded. Raises `error` when there is none."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise error(f"{path} is a file, but a model is a folder: give the folder that holds its config.json")
    raise error(f"{path}: no such folder")


def locate(folder: Path, name: str, error: type[IvlError] = CheckpointError) -> Path | None:
    """The real path of the file `name` in `folder`; None when there is none.

    Raises `error` for a name that is no plain file name, a link out of the folder, or anything but a regular
    file.
    """
    if not _PLAIN.fullmatch(name):
        raise error(f"{folder}: file name {name!r} is refused: only plain names inside the folder are opened")
    path = folder / name
    try:
        real = path.resolve(strict=True)
    except FileNotFoundError:
        if path.is_symlink():
            raise error(f"{path} is a link to a file that is not there: fetch the folder again") from None
        return None
    except (OSError, RuntimeError) as fault:
        raise error(f"{path} cannot be read: {_reason(fault)}") from None
    if path.is_symlink() and not any(real.is_relative_to(root) for root in _roots(folder)):
        raise error(f"{path} is refused: it is a link to a place outside of the folder; copy the file into it")
    if not stat.S_ISREG(real.stat().st_mode):
        raise error(f"{path} is refused: it is not a regular file")
    return real


def open_file(folder: Path, name: str, error: type[IvlError] = CheckpointError) -> BinaryIO:
    """Open the file `name` of `folder` for reading, unbuffered. Raises `error` when it is missing or
    refused."""
    real = locate(folder, name, error)
    if real is None:
        raise error(f"{folder} has no {name}")
    # O_NONBLOCK: should the file have become a pipe since it was looked at, opening it does not hang.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        file = os.fdopen(os.open(real, flags), "rb", buffering=0)
    except OSError as fault:
        raise error(f"{folder / name} cannot be read: {_reason(fault)}") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise error(f"{folder / name} is refused: it is not a regular file")
    return file


def read_json(folder: Path, name: str, error: type[IvlError] = CheckpointError) -> dict[str, Any]:
    """The JSON object in the file `name` of `folder`. Raises `error` when it is missing, refused, too large
    or broken."""
    with open_file(folder, name, error) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_JSON_BYTES:
            raise error(f"{folder / name} has {size} bytes, more than the {MAX_JSON_BYTES} that are read")
        data = file.read(MAX_JSON_BYTES)
    try:
        value = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        raise error(f"{folder / name} is not valid JSON ({_reason(fault)}): fetch the file again") from None
    if not isinstance(value, dict):
        raise error(f"{folder / name} holds a JSON {type(value).__name__}, but an object is needed")
    return value


@contextlib.contextmanager
def new_folder(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its name when the block ends well, and is removed
    otherwise.

    Everything written is on disk before the name appears, so that a kill or a power cut leaves either nothing
    under that name or the whole. Raises CheckpointError when `target` exists and is not an empty folder, or
    on a full disk.
    """
    target = Path(target).expanduser()
    refuse_occupied(target)
    target = target.parent.resolve() / target.name
    partial = target.parent / f".{target.name}.partial-{secrets.token_hex(4)}"
    try:
        partial.mkdir(parents=True)
        yield partial
        for path in (*partial.iterdir(), partial):
            sync(path)
        if target.exists():
            target.rmdir()  # empty, as checked; fails rather than deletes if something has come in since
        partial.rename(target)
        sync(target.parent)
    except OSError as fault:
        if fault.errno in FULL:
            raise CheckpointError(f"no space left on the disk of {target}: free some or choose another") from fault
        raise CheckpointError(f"{target} cannot be written: {_reason(fault)}") from fault
    finally:
        if partial.exists():
            shutil.rmtree(partial, ignore_errors=True)


def refuse_occupied(target: Path) -> None:
    """Raises CheckpointError when `target` exists and is not an empty folder."""
    if target.exists() and not target.is_dir():
        raise CheckpointError(f"{target} is a file: give the name of a new folder")
    if target.is_dir() and any(target.iterdir()):
        raise CheckpointError(f"{target} is not empty: nothing is overwritten; give a new folder or remove it first")


def _roots(folder: Path) -> Iterator[Path]:
    """Where links of `folder` may lead."""
    root = folder.resolve()
    yield root
    if root.parent.name == "snapshots":  # models--org--name/snapshots/<commit>/file -> ../../blobs/<hash>
        yield root.parent.parent / "blobs"


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _reason(fault: BaseException) -> str:
    if isinstance(fault, RecursionError):
        return "nested too deeply"
    return fault.strerror or type(fault).__name__ if isinstance(fault, OSError) else str(fault)
