"""What is sent to a hub, and how a file is opened for it: the same for every hub.

In: names, sizes and hashes of files that somebody has looked over. Out: open files whose reading is told. Knows no
network, and not what the files mean.
"""

import hashlib
import io
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ivl.errors import HubError
from ivl.hub.names import MODEL_ID, check_revision
from ivl.hub.repository import PLAIN_NAME

WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
"""Files of which a hub must hold no others than those that are sent: a reader would take them for the model."""
_LOOPBACK = re.compile(r"http://(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?")


@dataclass(frozen=True, kw_only=True)
class FileToSend:
    """A file as it was looked over."""

    name: str
    """In the repository: a plain name, or one in a folder of plain name."""
    path: Path
    size: int
    sha256: str
    git_sha1: str
    """What git calls the content: hubs list small files by it."""

    @property
    def digests(self) -> tuple[str, str]:
        return self.sha256, self.git_sha1


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where files go."""

    hub: str
    """"huggingface" or "modelscope"."""
    repo_id: str
    revision: str | None
    """A branch; None for the repository's own (main, master)."""
    private: bool
    message: str
    """Of the commit."""
    replace: bool = False
    """Remove weight files of the repository that are not among those sent."""

    def __post_init__(self) -> None:
        if not MODEL_ID.fullmatch(self.repo_id):
            raise HubError(
                f"{self.repo_id!r} is no repository's name: OWNER/NAME, of letters, digits, '-', '_' and '.'"
            )
        if self.revision is not None:
            check_revision(self.revision)


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What came of it."""

    url: str
    commit: str | None
    """None where the hub tells none."""
    num_sent: int
    num_kept: int
    """Files that were there already, as they are here."""


def check_endpoint(endpoint: str) -> None:
    """Raises HubError for a mirror to which a token would travel in the open."""
    if not endpoint.startswith("https://") and not _LOOPBACK.fullmatch(endpoint):
        raise HubError(f"{endpoint} is not https: the token would travel in the open; give the mirror's https address")


class TellingReader(io.BufferedReader):
    """A file that tells how far it is read, once `tell_position` is set."""

    tell_position: Callable[[int], None] | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if self.tell_position is not None:
            self.tell_position(self.tell())
        return data


def open_to_send(file: FileToSend) -> TellingReader:
    """The file, open. Raises HubError where it is no longer the one that was looked over."""
    assert all(PLAIN_NAME.fullmatch(part) for part in file.name.split("/")), f"{file.name!r} would be refused by others"
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        opened = TellingReader(io.FileIO(os.open(file.path, flags), closefd=True))
    except OSError as fault:
        raise HubError(f"{file.path} cannot be read any more: {fault.strerror}") from None
    state = os.fstat(opened.fileno())
    if not stat.S_ISREG(state.st_mode) or state.st_size != file.size:
        opened.close()
        raise changed(file)
    return opened


def changed(file: FileToSend) -> HubError:
    """What is said of a file that became another while it was sent."""
    return HubError(f"{file.path} changed while it was sent: push again when nothing writes to its folder")


def look_over(name: str, path: Path, opened: BinaryIO, size: int) -> FileToSend:
    """A file's hashes, of what `opened` reads: `size` bytes from its beginning."""
    content, blob = hashlib.sha256(), hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    num_bytes = 0
    while block := opened.read(2**20):
        content.update(block)
        blob.update(block)
        num_bytes += len(block)
    if num_bytes != size:
        raise HubError(f"{path} changes while it is read: push when nothing writes to its folder")
    return FileToSend(name=name, path=path, size=size, sha256=content.hexdigest(), git_sha1=blob.hexdigest())
