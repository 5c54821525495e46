"""A run's folder: which checkpoints it holds, whose it is, and what a killed run left lying there.

In: a folder. Out: its checkpoints by step; a lock; a tidy folder. Knows nothing of what is inside a checkpoint.

A checkpoint appears under its name by a rename, and goes by one, so that at every moment a name means a whole folder.
On the way it is called `.checkpoint-64.partial-1a2b3c4d` (being written), `.replaced-` (making room for another of the
same step) or `.trash-` (being removed).
"""

import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ivl.errors import TrainingError

LOCK_FILE = "run.lock"
_NAME = re.compile(r"checkpoint-(0|[1-9][0-9]{0,17})")
# `new_folder`, when it writes into one that is itself unfinished, puts its own beside it.
_LEFTOVER = re.compile(
    r"\.{1,2}(checkpoint-[0-9]{1,18}|adapter|model)\.(partial|replaced|trash)-[0-9a-f]{8}(\.partial-[0-9a-f]{8})?"
)


def checkpoint_name(step: int) -> str:
    """What the checkpoint after `step` steps is called."""
    return f"checkpoint-{step}"


def step_of(path: Path) -> int | None:
    """The step in a checkpoint's name; None for other names."""
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else None


def list_checkpoints(run_folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of all that is called like a checkpoint, newest first; nothing is opened."""
    if not run_folder.is_dir():
        return []
    found = [(step_of(path), path) for path in run_folder.iterdir()]
    return sorted(((step, path) for step, path in found if step is not None), reverse=True)


def hidden_name(path: Path, kind: str) -> Path:
    """A free name beside `path` for the time that it is being written or removed."""
    return path.with_name(f".{path.name}.{kind}-{secrets.token_hex(4)}")


def remove(path: Path) -> None:
    """Take a checkpoint away: its name goes at once, its files after. Raises OSError where the name cannot go."""
    trash = hidden_name(path, "trash")
    path.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def remove_leftovers(run_folder: Path) -> None:
    """Remove what killed runs left half done; bring back what one was about to replace. Only for the folder's owner."""
    if not run_folder.is_dir():
        return
    for path in list(run_folder.iterdir()):
        found = _LEFTOVER.fullmatch(path.name)
        if found is None:
            continue
        target = run_folder / found[1]
        if found[2] == "replaced" and not os.path.lexists(target):
            path.rename(target)
        elif path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def lock_run(run_folder: Path) -> Iterator[None]:
    """Hold a run's folder, made where there is none, for this process alone; leftovers of killed runs go.

    The lock ends with the process, however it ends; worker processes that outlive it hold nothing. Raises TrainingError
    where another process holds the folder, or it cannot be written.
    """
    handle = _open_lock(run_folder)
    try:
        _take(handle, run_folder)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        remove_leftovers(run_folder)
        yield
    finally:
        os.close(handle)


def _open_lock(run_folder: Path) -> int:
    path = run_folder / LOCK_FILE
    try:
        run_folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(path, flags, 0o644)
    except OSError as fault:
        raise TrainingError(f"{path} cannot be written: {fault.strerror}: choose another work_dir") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise TrainingError(f"{path} is not a regular file: remove it or choose another work_dir")
    return handle


def _take(handle: int, run_folder: Path) -> None:
    # Not flock: that one is inherited, so that data workers that outlive a killed run would keep its folder locked.
    import fcntl

    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        owner = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
        by = f" (process {owner})" if owner.isdigit() else ""
        raise TrainingError(
            f"{run_folder} is in use by another run{by}: wait for it to end, or choose another work_dir"
        ) from None
    except OSError as fault:
        raise TrainingError(
            f"{run_folder} cannot be locked: {fault.strerror}: choose a work_dir on a local disk"
        ) from None
