"""What is fetched of a repository, and how it is checked: the same for every hub.

In: a listing as the server gives it. Out: the files to fetch. Knows no network.
"""

import hashlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from ivl.errors import HubError

Kind = Literal["model", "dataset"]

ALLOWED_FILES = (
    "*.safetensors", "model.safetensors.index.json",
    "config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "chat_template*.jinja", "chat_template*.json",
    "README.md", "LICENSE*", "NOTICE*",
)  # fmt: skip
"""What is fetched of a model, from the top of its repository only."""
CODE_FILES = ("*.py",)
"""The official layout's own code: fetched on demand only, for an export to carry along; never run."""
DATA_FILES = (
    "*.json", "*.jsonl", "*.parquet", "*.csv", "*.tsv", "*.txt", "*.md",
    "*.jpg", "*.jpeg", "*.png", "*.webp", "*.gif", "*.bmp", "*.mp4", "*.webm", "*.zip",
    "LICENSE*", "NOTICE*",
)  # fmt: skip
"""What is fetched of a data set, from any of its folders, in either case of letters."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,254}")
"""Names that may become a path on this disk."""
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A model or a data set on a hub."""

    hub: str
    model_id: str
    revision: str
    kind: Kind = "model"
    with_code: bool = False
    """Also the model's own *.py files."""

    @property
    def noun(self) -> str:
        return "model" if self.kind == "model" else "data set"

    def page(self, endpoint: str) -> str:
        """The repository's page for people."""
        folder = {"model": "" if self.hub == "huggingface" else "models/", "dataset": "datasets/"}[self.kind]
        return f"{endpoint}/{folder}{self.model_id}"


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file by its listing."""

    name: str
    size: int
    digest: str
    """sha256 of the content, the sha1 by which git names it, or empty where the hub tells none."""


def select_files(wanted: Wanted, listing: Iterable[RemoteFile]) -> list[RemoteFile]:
    """The files to fetch, config.json last, so that a folder that has it is whole.

    Raises HubError when a name leads out of the folder, when a model has no safetensors weights, or when a data
    set has no file that is fetched.
    """
    listing = list(listing)
    for file in listing:
        parts = file.name.split("/")
        if {"", ".", ".."} & set(parts) or any(character in file.name for character in "\\:\0"):
            raise HubError(f"{wanted.model_id} lists the file {file.name!r}, which leads out of it: refused")
    if wanted.kind == "dataset":
        return _data_files(wanted, listing)
    patterns = (*ALLOWED_FILES, *CODE_FILES) if wanted.with_code else ALLOWED_FILES
    chosen = [file for file in listing if PLAIN_NAME.fullmatch(file.name) and _matches(file.name, patterns)]
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


def _data_files(wanted: Wanted, listing: list[RemoteFile]) -> list[RemoteFile]:
    """What is fetched of a data set: nothing hidden, nothing that could be run or unpickled."""
    chosen = [file for file in listing if _is_data(file.name)]
    if not chosen:
        kinds = sorted({Path(file.name).suffix for file in listing} - {""})
        raise HubError(
            f"{wanted.model_id}@{wanted.revision} holds no file that is fetched (json, jsonl, parquet, csv, pictures, "
            f"zip), only {', '.join(kinds) or 'nothing'}"
        )
    if len({file.name.casefold() for file in chosen}) < len(chosen):
        raise HubError(f"{wanted.model_id} lists two files whose names differ in case only: refused")
    return chosen


def _is_data(name: str) -> bool:
    parts = name.split("/")
    plain = all(part.isprintable() and part[0] not in ".~-" and len(part.encode()) < 256 for part in parts)
    return plain and _matches(parts[-1].lower(), [pattern.lower() for pattern in DATA_FILES])


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


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


def check_room(folder: Path, num_bytes: int, advice: str = "free some, or set HF_HUB_CACHE") -> None:
    """Raises HubError when the disk of `folder`, which need not exist yet, has less than `num_bytes` left."""
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if num_bytes > free:
        raise HubError(
            f"no space: {num_bytes / 1e9:.1f} GB are to be fetched, {folder} has {free / 1e9:.1f} GB left: {advice}"
        )
