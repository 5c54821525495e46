"""A model or data set of a hub -> a folder on this disk that a person asked for by name: `ivl pull`.

In: a name as `resolve` takes it, and where to. Out: `Pulled`, what came and where it lies. A folder appears under its
name when all of it is there and checked; until then it is `.NAME.<commit>.part` beside it, and the next pull of the
same commit goes on from there. Knows nothing of what stands in the files.
"""

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ivl.errors import HubError
from ivl.hub.faults import explain, is_disk_full
from ivl.hub.huggingface import Listed, Place, endpoint_now, fetch, from_huggingface, list_files, without_bars
from ivl.hub.modelscope import from_modelscope
from ivl.hub.names import parse
from ivl.hub.patience import Telling, patiently, quietly
from ivl.hub.repository import Kind, Wanted, check_room


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What came."""

    folder: Path
    wanted: Wanted
    commit: str | None
    """The commit that the revision stood for; None at ModelScope, which tells none."""
    num_files: int
    num_bytes: int


def pull(
    name: str,
    *,
    kind: Kind = "model",
    hub: str | None = None,
    revision: str | None = None,
    folder: Path | None = None,
    with_code: bool = False,
    told: Telling | None = None,
) -> Pulled:
    """Fetch a model or data set.

    folder: where its files are to lie, as plain files; without it a model goes to the cache that all commands use and
    a data set to a folder of its own name. with_code: also the model's own *.py, as files that nothing here runs.
    Raises HubError, one line that says what to do; MissingExtraError when the hub's package is not installed.
    """
    wanted, told = parse(name, revision, hub, kind=kind, with_code=with_code), told or Telling()
    if isinstance(wanted, Path):
        raise HubError(f"{name} is a folder of this machine already: write hf://{name} if you mean the hub's")
    if folder is None and kind == "dataset":
        folder = Path(wanted.model_id.partition("/")[2])
    with quietly(told):
        if wanted.hub == "modelscope":
            return _pull_modelscope(wanted, folder, told)
        if folder is None:
            with without_bars():
                place = from_huggingface(wanted, told)
            return _told_of(place, wanted, place.name)
        with without_bars():
            commit = _pull_to(wanted, folder, told)
        return _told_of(folder, wanted, commit)


def _pull_to(wanted: Wanted, folder: Path, told: Telling) -> str:
    """Bring the files of a Hugging Face revision to `folder`; their commit."""
    import huggingface_hub

    _refuse_occupied(folder)
    endpoint = endpoint_now()
    try:
        listed = patiently(lambda: list_files(wanted, endpoint), told)
        partial = _partial(folder, listed.commit)
        check_room(folder, _missing_bytes(listed, partial), "free some, or choose another place with -o")
        _remove_older(folder, partial)
        partial.mkdir(parents=True, exist_ok=True)
        fetch(wanted, listed, endpoint, told, Place(folder=partial))
        _finish(partial, folder)
    except HubError:
        raise
    except Exception as fault:  # whatever the hub's package raises becomes one line of ours
        if is_disk_full(fault):
            raise HubError(
                f"no space left on the disk of {folder}: free some and pull again, it goes on where it was"
            ) from fault
        raise explain(fault, wanted, endpoint, has_token=huggingface_hub.get_token() is not None) from fault
    return listed.commit


def _pull_modelscope(wanted: Wanted, folder: Path | None, told: Telling) -> Pulled:
    if folder is None:
        return _told_of(from_modelscope(wanted, None, told), wanted, None)
    _refuse_occupied(folder)
    partial = _partial(folder, wanted.revision.replace("/", "-"))
    from_modelscope(wanted, partial, told)
    _finish(partial, folder)
    return _told_of(folder, wanted, None)


def _partial(folder: Path, commit: str) -> Path:
    """Where the files of a commit are gathered."""
    folder = folder.expanduser()
    return folder.parent / f".{folder.name}.{commit[:12]}.part"


def _refuse_occupied(folder: Path) -> None:
    place = folder.expanduser()
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise HubError(f"{folder} is no folder: give the name of a new one with -o")
    if place.is_dir() and any(place.iterdir()):
        raise HubError(f"{folder} is not empty and nothing is overwritten: give another with -o, or remove it first")


def _missing_bytes(listed: Listed, partial: Path) -> int:
    """What is to come yet: a file is moved to its name when it is whole."""
    return sum(file.size for file in listed.files if not (partial / file.name).is_file()) - _gathered(partial)


def _gathered(partial: Path) -> int:
    """Bytes of files that were cut off."""
    return sum(path.stat().st_size for path in (partial / ".cache").glob("*.part"))


def _remove_older(folder: Path, keep: Path) -> None:
    """Remove what was gathered of other commits, which nothing will ask for again."""
    for old in keep.parent.glob(f"{_partial(folder, '?' * 12).name}"):
        if old != keep and old.is_dir() and not old.is_symlink():
            shutil.rmtree(old, ignore_errors=True)


def _finish(partial: Path, folder: Path) -> None:
    """Give the gathered files their folder's name, without what the hub's package noted beside them."""
    place = folder.expanduser()
    for notes in (".cache", "._____temp", ".msc", ".mv", ".mdl"):
        path = partial / notes
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        place.rmdir()
    os.replace(partial, place)  # noqa: PTH105 - a folder's name; fails rather than merges


def _told_of(folder: Path, wanted: Wanted, commit: str | None) -> Pulled:
    files = [path for path in folder.expanduser().rglob("*") if path.is_file()]
    return Pulled(
        folder=folder,
        wanted=wanted,
        commit=commit,
        num_files=len(files),
        num_bytes=sum(path.stat().st_size for path in files),
    )
