"""A model or data set of ModelScope -> its folder in the cache that the `modelscope` package keeps, or a folder given.

In: id and revision. Out: a folder. ModelScope tells no commit for a branch, so the listing is compared before
and after: what changed in between is refused.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ivl.errors import HubError, MissingExtraError
from ivl.hub.faults import explain
from ivl.hub.patience import TRIES, Telling, patiently
from ivl.hub.repository import RemoteFile, Wanted, check_room, digest_of, select_files

_ENDPOINT = "https://modelscope.cn"


def from_modelscope(wanted: Wanted, folder: Path | None = None, told: Telling | None = None) -> Path:
    """The folder of `wanted`: `folder`, or one in the package's cache.

    told: of a person who waits for it; then a busy hub is waited for. Raises HubError; MissingExtraError when the
    package is not installed.
    """
    api, download = _client(wanted)
    files_now = _lister(api, wanted)
    tries = TRIES if told else 1
    told = told or Telling()
    try:
        files = patiently(files_now, told, tries=tries)
        if folder is not None:
            check_room(folder, sum(file.size for file in files), "free some, or choose another place with -o")
        options: dict[str, Any] = {} if folder is None else {"local_dir": str(folder)}
        names = [file.name for file in files]
        path = Path(
            patiently(
                lambda: download(wanted.model_id, revision=wanted.revision, allow_patterns=names, **options),
                told,
                tries=tries,
            )
        )
        if files != files_now():
            raise HubError(f"{wanted.model_id} changed while it was fetched: try again")
    except HubError:
        raise
    except Exception as fault:  # whatever the hub's package raises becomes one line of ours
        endpoint = os.environ.get("MODELSCOPE_ENDPOINT") or _ENDPOINT
        raise explain(fault, wanted, endpoint) from fault
    done, total = 0, sum(file.size for file in files)
    for file in files:
        if not _is_as_listed(path / file.name, file):
            raise HubError(f"{wanted.model_id}: {file.name} arrived damaged: remove {path} and try again")
        done += file.size
        told.progress(file.name, done, total)
    return path


def _client(wanted: Wanted) -> tuple[Any, Callable[..., str]]:
    """The package's client, and its function that fetches."""
    try:
        from modelscope.hub.api import HubApi

        if wanted.kind == "dataset":
            from modelscope.hub.snapshot_download import dataset_snapshot_download as download
        else:
            from modelscope.hub.snapshot_download import snapshot_download as download
    except ImportError:
        raise MissingExtraError(f"{wanted.noun}s of ModelScope need its package: pip install modelscope") from None
    return HubApi(), download


def _lister(api: Any, wanted: Wanted) -> Callable[[], list[RemoteFile]]:
    """What gives the files to fetch, as they are listed now."""

    def files_now() -> list[RemoteFile]:
        if hasattr(api, "list_repo_files"):  # since 1.38; what is older tells hashes in get_model_files
            told = api.list_repo_files(wanted.model_id, wanted.kind, revision=wanted.revision)
            found = [{"Path": file.path, "Size": file.size, "Type": file.type, "Sha256": file.sha256} for file in told]
        elif wanted.kind == "model":
            found = api.get_model_files(wanted.model_id, revision=wanted.revision, recursive=True)
        else:
            raise HubError("data sets of ModelScope need modelscope>=1.38: pip install -U modelscope")
        return select_files(wanted, (_listed(file) for file in found if file.get("Type") != "tree"))

    return files_now


def _listed(file: dict[str, Any]) -> RemoteFile:
    """A file in the hub's listing."""
    size = file.get("Size")
    return RemoteFile(
        name=str(file["Path"]),
        size=size if isinstance(size, int) else 0,
        digest=str(file.get("Sha256") or ""),
    )


def _is_as_listed(path: Path, file: RemoteFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    return not file.digest or digest_of(path, file.digest) == file.digest
