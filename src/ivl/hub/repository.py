"""What is fetched of a repository, and how it is checked: the same for every hub.

In: a listing as the server gives it. Out: the files to fetch. Knows no network.
"""

import errno
import hashlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ivl.errors import HubError

ALLOWED_FILES = (
    "*.safetensors", "model.safetensors.index.json",
    "config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "chat_template*.jinja", "chat_template*.json",
    "README.md", "LICENSE*", "NOTICE*",
)  # fmt: skip
"""What is fetched, from the top of a repository only."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,254}")
"""Names that may become a path on this disk."""
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A model on a hub."""

    hub: str
    model_id: str
    revision: str


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file by its listing."""

    name: str
    size: int
    digest: str
    """sha256 of the content, the sha1 by which git names it, or empty where the hub tells none."""


def select_files(wanted: Wanted, listing: Iterable[RemoteFile]) -> list[RemoteFile]:
    """The files to fetch, config.json last, so that a folder that has it is whole.

    Raises HubError when a name leads out of the folder, or when there are no safetensors weights.
    """
    listing = list(listing)
    for file in listing:
        parts = file.name.split("/")
        if {"", ".", ".."} & set(parts) or any(character in file.name for character in "\\:\0"):
            raise HubError(f"{wanted.model_id} lists the file {file.name!r}, which leads out of it: refused")
    chosen = [file for file in listing if PLAIN_NAME.fullmatch(file.name) and _is_allowed(file.name)]
    names = {file.name for file in chosen}
    if "config.json" not in names:
        raise HubError(f"{wanted.model_id} has no config.json: it is no model that can be loaded")
    if not any(name.endswith(".safetensors") for name in names):
        pickles = [file.name for file in listing if file.name.endswith((".bin", ".pt", ".pth"))]
        reason = f"only pickles ({pickles[0]}), which can run code and are not fetched" if pickles else "no weights"
        raise HubError(
            f"{wanted.model_id}@{wanted.revision} holds {reason}: try a safetensors revision, often refs/pr/1"
        )
    return sorted(chosen, key=lambda file: file.name == "config.json")


def _is_allowed(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in ALLOWED_FILES)


def digest_of(path: Path, like: str) -> str:
    """The hash of a file's content, of the kind of `like`: sha256, or the sha1 by which git names a blob."""
    if SHA256.fullmatch(like):
        state = hashlib.sha256()
    else:
        state = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            state.update(block)
    return state.hexdigest()


def check_room(folder: Path, num_bytes: int) -> None:
    """Raises HubError when the disk of `folder`, which need not exist yet, has less than `num_bytes` left."""
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if num_bytes > free:
        raise HubError(
            f"no space: {num_bytes / 1e9:.1f} GB are to be fetched, {folder} has {free / 1e9:.1f} GB left: "
            "free some, or set HF_HUB_CACHE"
        )


def is_network_fault(fault: BaseException) -> bool:
    """Whether the hub could not be reached, or could not answer."""
    status = _status(fault)
    if status is not None:
        return status >= 500 or status == 429
    package = type(fault).__module__.split(".")[0]
    known = package.startswith(("httpx", "httpcore", "requests", "urllib3"))
    return known or isinstance(fault, ConnectionError | TimeoutError)


def explain(fault: BaseException, wanted: Wanted, endpoint: str) -> HubError:
    """One line for what went wrong, with what to do about it."""
    name, status, model = type(fault).__name__, _status(fault), wanted.model_id
    tool = "hf auth login" if wanted.hub == "huggingface" else "modelscope login"
    if _is_disk_full(fault):
        return HubError(f"no space left on the disk while {model} was fetched: free some, or set HF_HUB_CACHE")
    if name == "GatedRepoError" or status == 403:
        return HubError(f"{model} is gated: ask for access on {endpoint}/{model}, then log in with `{tool}`")
    if name == "RevisionNotFoundError":
        return HubError(f"{model} has no revision {wanted.revision!r} on {endpoint}: give a branch, tag or commit")
    if name in ("RepositoryNotFoundError", "NotExistError") or status == 404:
        return HubError(f"{endpoint} has no model {model}, or it is private: check the name, or log in with `{tool}`")
    if status == 401:
        return HubError(f"{endpoint} refuses the token: log in again with `{tool}`")
    if is_network_fault(fault) or name == "LocalEntryNotFoundError":
        return HubError(
            f"{model}@{wanted.revision} is not whole in the cache and {endpoint} is out of reach ({name}): "
            "check the network, or give a local folder"
        )
    return HubError(f"{model} could not be fetched from {endpoint} ({name}): try again")


def _status(fault: BaseException) -> int | None:
    status = getattr(getattr(fault, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _is_disk_full(fault: BaseException | None) -> bool:
    while fault is not None:
        if isinstance(fault, OSError) and fault.errno == errno.ENOSPC:
            return True
        fault = fault.__cause__ or fault.__context__
    return False
