"""A model of ModelScope -> its folder in the cache that the `modelscope` package keeps.

In: id and revision. Out: a folder. ModelScope tells no commit for a branch, so the listing is compared before
and after: what changed in between is refused.
"""

from pathlib import Path

from ivl.errors import HubError, MissingExtraError
from ivl.hub.repository import RemoteFile, Wanted, digest_of, explain, select_files


def from_modelscope(wanted: Wanted) -> Path:
    """The folder of `wanted`. Raises HubError; MissingExtraError when the package is not installed."""
    try:
        from modelscope.hub.api import HubApi
        from modelscope.hub.snapshot_download import snapshot_download
    except ImportError:
        raise MissingExtraError("models of ModelScope need its package: pip install modelscope") from None

    def files_now() -> list[RemoteFile]:
        found = HubApi().get_model_files(wanted.model_id, revision=wanted.revision, recursive=True)
        return select_files(wanted, (_listed(file) for file in found if file.get("Type") != "tree"))

    try:
        files = files_now()
        names = [file.name for file in files]
        folder = Path(snapshot_download(wanted.model_id, revision=wanted.revision, allow_patterns=names))
        if files != files_now():
            raise HubError(f"{wanted.model_id} changed while it was fetched: try again")
    except HubError:
        raise
    except Exception as fault:  # whatever the hub's package raises becomes one line of ours
        raise explain(fault, wanted, "https://modelscope.cn") from fault
    for file in files:
        if not _is_as_listed(folder / file.name, file):
            raise HubError(f"{wanted.model_id}: {file.name} arrived damaged: remove {folder} and try again")
    return folder


def _listed(file: dict[str, object]) -> RemoteFile:
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
