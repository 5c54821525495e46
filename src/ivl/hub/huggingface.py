"""A model of Hugging Face -> its snapshot in the cache that `huggingface_hub` keeps.

In: id and revision. Out: the folder of one commit, whole and checked. `huggingface_hub` does the transfer;
what the server says and could become a path (commit, file names, hashes) is checked here before it gets that
far.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from ivl.errors import HubError
from ivl.hub.repository import (
    PLAIN_NAME,
    SHA256,
    RemoteFile,
    Wanted,
    check_room,
    digest_of,
    explain,
    is_network_fault,
    select_files,
)

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TRUE = {"1", "ON", "YES", "TRUE"}


def from_huggingface(wanted: Wanted) -> Path:
    """The folder of `wanted`, fetched where the cache lacks it. Raises HubError."""
    import huggingface_hub

    endpoint = (os.environ.get("HF_ENDPOINT") or huggingface_hub.constants.ENDPOINT).rstrip("/")
    cache = Path(os.environ.get("HF_HUB_CACHE") or huggingface_hub.constants.HF_HUB_CACHE).expanduser()
    storage = cache / f"models--{wanted.model_id.replace('/', '--')}"
    if _COMMIT.fullmatch(wanted.revision) and _is_whole(storage / "snapshots" / wanted.revision):
        return storage / "snapshots" / wanted.revision  # a commit never changes: there is nothing to ask
    try:
        commit = _fetch(wanted, endpoint, cache, storage)
    except HubError:
        raise
    except Exception as fault:  # whatever the hub's package raises becomes one line of ours
        cached = _cached(storage, wanted.revision) if is_network_fault(fault) else None
        if cached is None:
            raise explain(fault, wanted, endpoint) from fault
        return cached
    _write_reference(storage, wanted.revision, commit)
    return storage / "snapshots" / commit


def _fetch(wanted: Wanted, endpoint: str, cache: Path, storage: Path) -> str:
    """Bring all files of a revision into the cache; the commit that it stands for."""
    import huggingface_hub

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    api = huggingface_hub.HfApi(endpoint=endpoint)
    info = api.model_info(wanted.model_id, revision=wanted.revision, files_metadata=True)
    commit = str(info.sha)
    if not _COMMIT.fullmatch(commit):
        raise HubError(f"{endpoint} gives {commit!r} as the commit of {wanted.model_id}, which is none: refused")
    files = select_files(wanted, (_listed(sibling) for sibling in info.siblings or ()))
    missing = [file for file in files if not (storage / "snapshots" / commit / file.name).exists()]
    check_room(cache, sum(file.size for file in missing))
    for file in missing:
        _fetch_file(wanted, file, commit, endpoint, cache)
    return commit


def _listed(sibling: Any) -> RemoteFile:
    """A file in the hub's listing."""
    digest = sibling.lfs.sha256 if sibling.lfs is not None else sibling.blob_id
    return RemoteFile(name=sibling.rfilename, size=int(sibling.size or 0), digest=str(digest or ""))


def _fetch_file(wanted: Wanted, file: RemoteFile, commit: str, endpoint: str, cache: Path) -> None:
    """Bring one file into the cache and compare its content with its hash."""
    import huggingface_hub

    url = huggingface_hub.hf_hub_url(wanted.model_id, file.name, revision=commit, endpoint=endpoint)
    told = huggingface_hub.get_hf_file_metadata(url, endpoint=endpoint)
    expected = file.digest or told.etag or ""
    if told.commit_hash != commit or told.etag != expected or not PLAIN_NAME.fullmatch(expected):
        raise HubError(
            f"{wanted.model_id}: {endpoint} answers for {file.name} with another file than listed: try again"
        )
    path = Path(
        huggingface_hub.hf_hub_download(wanted.model_id, file.name, revision=commit, cache_dir=cache, endpoint=endpoint)
    )
    digest = expected if SHA256.fullmatch(expected) else file.digest
    if digest and digest_of(path, digest) != digest:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise HubError(f"{wanted.model_id}: {file.name} arrived damaged and was removed: try again")


def _cached(storage: Path, revision: str) -> Path | None:
    """The snapshot that a revision stood for when it was last fetched, if it is whole."""
    reference = storage / "refs" / revision
    commit = reference.read_text("utf-8").strip() if reference.is_file() else revision
    folder = storage / "snapshots" / commit
    return folder if _COMMIT.fullmatch(commit) and _is_whole(folder) else None


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
