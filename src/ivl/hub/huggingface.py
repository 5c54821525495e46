"""A model or data set of Hugging Face -> files on this disk: in the cache that `huggingface_hub` keeps, or in a folder.

In: id and revision. Out: the files of one commit, whole and checked. `huggingface_hub` does the transfer;
what the server says and could become a path (commit, file names, hashes) is checked here before it gets that
far.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivl.errors import HubError
from ivl.hub.faults import explain, explain_renamed, is_network_fault
from ivl.hub.patience import TRIES, Telling, patiently
from ivl.hub.repository import (
    PLAIN_NAME,
    SHA256,
    RemoteFile,
    Wanted,
    check_room,
    digest_of,
    select_files,
)
from ivl.hub.resuming import download, settle

COMMIT = re.compile(r"[0-9a-f]{40}")
_TRUE = {"1", "ON", "YES", "TRUE"}
_WORKERS = 4
"""Files of a data set that travel at once: they are many and small."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What a revision holds, of what is fetched."""

    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def num_bytes(self) -> int:
        return sum(file.size for file in self.files)


def endpoint_now() -> str:
    """The hub's address, or its mirror's."""
    import huggingface_hub.constants

    return (os.environ.get("HF_ENDPOINT") or huggingface_hub.constants.ENDPOINT).rstrip("/")


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Keep the client from drawing bars: what is told of the way is told by who asked for it."""
    import huggingface_hub
    import huggingface_hub.utils

    utils: Any = huggingface_hub.utils
    was_silent = utils.are_progress_bars_disabled()
    utils.disable_progress_bars()
    try:
        yield
    finally:
        if not was_silent:
            utils.enable_progress_bars()


def from_huggingface(wanted: Wanted, told: Telling | None = None) -> Path:
    """The snapshot of `wanted` in the cache, fetched where it lacks it. Raises HubError.

    told: of a person who waits for it; then a busy hub is waited for.
    """
    import huggingface_hub
    import huggingface_hub.constants

    endpoint = endpoint_now()
    cache = Path(os.environ.get("HF_HUB_CACHE") or huggingface_hub.constants.HF_HUB_CACHE).expanduser()
    storage = storage_of(cache, wanted)
    snapshots = storage / "snapshots"
    is_pinned = COMMIT.fullmatch(wanted.revision) and not wanted.with_code
    if is_pinned and _is_whole(snapshots / wanted.revision):
        return snapshots / wanted.revision  # a commit never changes: there is nothing to ask
    try:
        listed = patiently(lambda: list_files(wanted, endpoint), told or Telling(), tries=TRIES if told else 1)
        missing = [file for file in listed.files if not (snapshots / listed.commit / file.name).exists()]
        check_room(cache, sum(file.size for file in missing))
        fetch(wanted, Listed(commit=listed.commit, files=tuple(missing)), endpoint, told, Place(cache=cache))
    except HubError:
        raise
    except Exception as fault:  # whatever the hub's package raises becomes one line of ours
        cached = _cached(storage, wanted.revision) if is_network_fault(fault) else None
        if cached is None:
            raise explain(fault, wanted, endpoint, has_token=huggingface_hub.get_token() is not None) from fault
        return cached
    _write_reference(storage, wanted.revision, listed.commit)
    return snapshots / listed.commit


def list_files(wanted: Wanted, endpoint: str) -> Listed:
    """What is fetched of a revision, and the commit that it stands for now. Raises HubError and the client's faults."""
    import huggingface_hub

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    api = huggingface_hub.HfApi(endpoint=endpoint)
    info: Any = api.repo_info(wanted.model_id, repo_type=wanted.kind, revision=wanted.revision, files_metadata=True)
    commit = str(info.sha)
    if not COMMIT.fullmatch(commit):
        raise HubError(f"{endpoint} gives {commit!r} as the commit of {wanted.model_id}, which is none: refused")
    if info.id != wanted.model_id:
        raise explain_renamed(wanted, str(info.id))
    return Listed(commit=commit, files=tuple(select_files(wanted, map(listed_file, info.siblings or ()))))


def listed_file(sibling: Any) -> RemoteFile:
    """A file in the hub's listing."""
    digest = sibling.lfs.sha256 if sibling.lfs is not None else sibling.blob_id
    return RemoteFile(name=sibling.rfilename, size=int(sibling.size or 0), digest=str(digest or ""))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where files are to lie: in the client's cache, or in a folder."""

    cache: Path | None = None
    folder: Path | None = None

    def part(self, wanted: Wanted, digest: str) -> Path:
        """Where a large file is gathered; the next process looks for it there."""
        return (self.folder / ".cache" if self.folder else self._storage(wanted) / ".parts") / f"{digest}.part"

    def settled(self, wanted: Wanted, name: str, digest: str) -> Path:
        """Where a large file lies then."""
        return self.folder / name if self.folder else self._storage(wanted) / "blobs" / digest

    def _storage(self, wanted: Wanted) -> Path:
        assert self.cache, "a place is a cache or a folder"
        return storage_of(self.cache, wanted)

    @property
    def option(self) -> dict[str, Any]:
        """As the client calls it."""
        return {"local_dir": self.folder} if self.folder else {"cache_dir": self.cache}


def storage_of(cache: Path, wanted: Wanted) -> Path:
    """The cache's folder for a repository."""
    return cache / f"{wanted.kind}s--{wanted.model_id.replace('/', '--')}"


def fetch(wanted: Wanted, listed: Listed, endpoint: str, told: Telling | None, place: Place) -> None:
    """Bring the files of a commit to their place, and check each."""
    told, tries, done = told or Telling(), TRIES if told else 1, 0
    workers = _WORKERS if wanted.kind == "dataset" else 1

    def one(file: RemoteFile) -> RemoteFile:
        def tell(num_bytes: int) -> None:
            if workers == 1:
                told.progress(file.name, done + num_bytes, listed.num_bytes)

        patiently(lambda: _fetch_file(wanted, file, listed.commit, endpoint, place, tell), told, tries=tries)
        return file

    for file in _in_turn(one, listed.files, workers):
        done += file.size
        told.progress(file.name, done, listed.num_bytes)


def _in_turn(one: Callable[[RemoteFile], RemoteFile], files: Sequence[RemoteFile], workers: int) -> Any:
    """The files in their order, each as soon as it is there; after a fault no other is begun."""
    if workers == 1:
        yield from map(one, files)
        return
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from pool.map(one, files)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _fetch_file(
    wanted: Wanted, file: RemoteFile, commit: str, endpoint: str, place: Place, tell: Callable[[int], None]
) -> None:
    """Bring one file to its place and compare its content with its hash."""
    import huggingface_hub
    import huggingface_hub.utils

    utils: Any = huggingface_hub.utils
    kind: dict[str, Any] = {"repo_type": wanted.kind, "revision": commit, "endpoint": endpoint}
    url = huggingface_hub.hf_hub_url(wanted.model_id, file.name, **kind)
    told = huggingface_hub.get_hf_file_metadata(url, endpoint=endpoint)
    expected = file.digest or told.etag or ""
    if told.commit_hash != commit or told.etag != expected or not PLAIN_NAME.fullmatch(expected):
        raise HubError(
            f"{wanted.model_id}: {endpoint} answers for {file.name} with another file than listed: try again"
        )
    what = f"{wanted.model_id}: {file.name}"
    if SHA256.fullmatch(expected) and (told.size or file.size) > 0:
        settled, part = place.settled(wanted, file.name, expected), place.part(wanted, expected)
        if not settled.is_file():
            part.parent.mkdir(parents=True, exist_ok=True)
            with utils.WeakFileLock(part.with_suffix(".lock")):
                if not settled.is_file():
                    download(told.location, endpoint, part, told.size or file.size, tell)
                    settle(part, settled, expected, what)
        elif place.folder and digest_of(settled, expected) != expected:
            settled.unlink()
            raise HubError(f"{what} arrived damaged and was removed: try again")
        if place.folder:
            return
    path = Path(huggingface_hub.hf_hub_download(wanted.model_id, file.name, **kind, **place.option))
    if file.digest and digest_of(path, file.digest) != file.digest:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise HubError(f"{what} arrived damaged and was removed: try again")


def _cached(storage: Path, revision: str) -> Path | None:
    """The snapshot that a revision stood for when it was last fetched, if it is whole."""
    reference = storage / "refs" / revision
    commit = reference.read_text("utf-8").strip() if reference.is_file() else revision
    folder = storage / "snapshots" / commit
    return folder if COMMIT.fullmatch(commit) and _is_whole(folder) else None


def _is_whole(folder: Path) -> bool:
    """Whether configuration and every weight file are there."""
    if not (folder / "config.json").is_file():
        return False
    if (folder / "model.safetensors").is_file():
        return True
    try:
        table = json.loads((folder / "model.safetensors.index.json").read_bytes())["weight_map"]
        names = set(table.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    plain = all(isinstance(name, str) and PLAIN_NAME.fullmatch(name) for name in names)
    return plain and all((folder / name).is_file() for name in names)


def _write_reference(storage: Path, revision: str, commit: str) -> None:
    """Note which commit a branch was, as the hub's package does, for use without a network."""
    if revision == commit:
        return
    reference = storage / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    partial = reference.with_name(f"{reference.name}.{os.getpid()}.tmp")
    partial.write_text(commit, "utf-8")
    partial.replace(reference)
