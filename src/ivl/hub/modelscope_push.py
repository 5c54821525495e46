"""Files that were looked over -> one commit in a repository of ModelScope, every hash compared at the end.

In: a `Target` and its files. Out: `Pushed`. The `modelscope` package's client does the transfer: it asks which large
files the hub lacks, sends those one by one, and names all files in one commit; so what an earlier push has brought is
not sent again. Nothing is noted on this disk.

The client would send the token to whatever address the hub names for an upload: where that is not the hub's own domain,
it is told not to.
"""

import base64
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ivl.errors import HubError, MissingExtraError
from ivl.hub.faults import name_of
from ivl.hub.patience import Telling, patiently
from ivl.hub.push_faults import explain_push, no_token
from ivl.hub.sending import FileToSend, Pushed, Target, check_endpoint, open_to_send
from ivl.hub.stale import stale_weights

_ALWAYS_SMALL = {"README.md", "config.json", "configuration.json"}
"""Files that the hub itself reads, and which therefore are no pointers."""
_LARGE_ABOVE = 64 * 1024
_NO_TOKEN = {"Authorization": None, "Cookie": None}


def push_to_modelscope(target: Target, files: Sequence[FileToSend], told: Telling) -> Pushed:
    """Send the files. Raises HubError, one line that says what to do; MissingExtraError without the package."""
    try:
        client = import_module("modelscope_hub").HubApi
        config = import_module("modelscope_hub.config").get_default_config()
    except ImportError:
        raise MissingExtraError("pushing to ModelScope needs its package: pip install -U 'modelscope>=1.38'") from None
    endpoint = str(config.endpoint)
    check_endpoint(endpoint)
    if not config.token:
        raise no_token(target, endpoint)
    try:
        return _Push(client(token=config.token, endpoint=endpoint), target, endpoint, told).send(files)
    except HubError:
        raise
    except Exception as fault:  # whatever the hub's package raises becomes one line of ours
        raise explain_push(fault, target, endpoint) from fault


class _Push:
    """One push, step by step."""

    def __init__(self, api: Any, target: Target, endpoint: str, told: Telling) -> None:
        self.api, self.target, self.endpoint, self.told = api, target, endpoint, told
        self.branch = target.revision or "master"

    def send(self, files: Sequence[FileToSend]) -> Pushed:
        self._make_repository()
        there = self._listing()
        missing = [file for file in files if there.get(file.name) != file.sha256]
        stale = stale_weights(self.target, files, there)
        if missing or stale:
            self._upload([file for file in missing if _is_large(file)])
            self._commit(missing, stale)
            self._compare(files)
        return Pushed(
            url=f"{self.endpoint}/models/{self.target.repo_id}",
            commit=None,
            num_sent=len(missing),
            num_kept=len(files) - len(missing),
        )

    def _make_repository(self) -> None:
        target, api = self.target, self.api
        patiently(api.whoami, self.told)
        try:
            api.create_repo(target.repo_id, "model", visibility="private" if target.private else "public")
        except Exception as fault:
            if name_of(fault) != "AlreadyExistsError":
                raise
            info = api.get_repo(target.repo_id, "model")
            if target.private and (info.private is False or str(getattr(info.visibility, "name", "")) == "PUBLIC"):
                raise HubError(
                    f"{target.repo_id} exists and is public, so --private cannot be kept: make it private in its "
                    "settings, choose another name, or push without --private"
                ) from None

    def _listing(self) -> dict[str, str]:
        """The hash of each file of the branch."""
        found = patiently(
            lambda: self.api.list_repo_files(self.target.repo_id, "model", revision=self.branch), self.told
        )
        return {file.path: str(file.sha256 or "") for file in found if file.type != "tree"}

    def _upload(self, files: Sequence[FileToSend]) -> None:
        """Send the content of large files, as far as the hub does not have it."""
        if not files:
            return
        client, done, total = self.api.legacy, 0, sum(file.size for file in files)
        objects = [{"oid": file.sha256, "size": file.size} for file in files]
        places = patiently(lambda: client.validate_blobs(self.target.repo_id, "model", objects), self.told)
        for file in files:
            address = places.get(file.sha256)
            if address is not None:
                patiently(partial(self._send, file, address, done, total), self.told)
            done += file.size
            self.told.progress(file.name, done, total)

    def _send(self, file: FileToSend, address: str, done: int, total: int) -> None:
        check_endpoint("{0.scheme}://{0.netloc}".format(urlsplit(address)))
        headers = None if _is_of_hub(address, self.endpoint) else _NO_TOKEN
        with open_to_send(file) as reader:
            reader.tell_position = lambda position: self.told.progress(file.name, done + position, total)
            self.api.legacy.upload_blob(address, reader, file.size, headers=headers)

    def _commit(self, files: Sequence[FileToSend], stale: Sequence[str]) -> None:
        actions = [_action(file) for file in files]
        actions += [{"action": "delete", "path": name} for name in stale]
        # Made anew if its answer is lost: the same files once more are no change.
        patiently(
            lambda: self.api.legacy.create_commit(
                self.target.repo_id, "model", actions, self.target.message, self.branch
            ),
            self.told,
        )

    def _compare(self, files: Sequence[FileToSend]) -> None:
        there = self._listing()
        for file in files:
            if there.get(file.name) not in (file.sha256, ""):  # empty: the hub tells none for it
                raise HubError(
                    f"{self.endpoint} lists {file.name} of {self.target.repo_id} with another hash than it has here: "
                    "push again, and do not use what is there"
                )


def _action(file: FileToSend) -> dict[str, Any]:
    """A file as a commit names it."""
    action: dict[str, Any] = {"action": "create", "path": file.name, "size": file.size}
    if _is_large(file):
        return action | {"type": "lfs", "sha256": file.sha256, "content": "", "encoding": ""}
    with open_to_send(file) as reader:
        content = base64.b64encode(reader.read()).decode()
    return action | {"type": "normal", "sha256": "", "content": content, "encoding": "base64"}


def _is_large(file: FileToSend) -> bool:
    name = PurePosixPath(file.name)
    if name.name in _ALWAYS_SMALL:
        return False
    return file.size > _LARGE_ABOVE or name.suffix in (".safetensors", ".model")


def _is_of_hub(address: str, endpoint: str) -> bool:
    """Whether an address is of the hub's own domain: the token may go there."""
    host, home = (str(urlsplit(url).hostname or "") for url in (address, endpoint))
    domain = ".".join(home.split(".")[-2:])
    return host == home or (not home.replace(".", "").isdecimal() and host.endswith(f".{domain}"))
