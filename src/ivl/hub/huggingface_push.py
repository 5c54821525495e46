"""Files that were looked over -> one commit in a repository of Hugging Face, every hash compared at the end.

In: a `Target` and its files. Out: `Pushed`. `huggingface_hub` does the transfer, over HTTP: large files go up one by
one in the hub's pieces, a piece that is cut off is sent again, and a file whose bytes the hub has already, of an
earlier push that did not end, is not sent again. All becomes visible in one commit, or nothing does. Nothing is noted
on this disk.

The token goes to the endpoint alone: a request to any other address loses it before it leaves.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from ivl.errors import HubError
from ivl.hub.faults import explain_renamed, is_network_fault, status_of
from ivl.hub.huggingface import COMMIT, endpoint_now, listed_file, without_bars
from ivl.hub.patience import Telling, patiently, quietly
from ivl.hub.push_faults import explain_push, no_token
from ivl.hub.repository import RemoteFile, Wanted
from ivl.hub.sending import FileToSend, Pushed, Target, TellingReader, changed, check_endpoint, open_to_send
from ivl.hub.stale import stale_weights

_SMALL = 2**20
"""Bytes up to which a file is not worth requests of its own."""


def push_to_huggingface(target: Target, files: Sequence[FileToSend], told: Telling) -> Pushed:
    """Send the files. Raises HubError, one line that says what to do; then nothing of the repository has changed."""
    import huggingface_hub

    endpoint = endpoint_now()
    check_endpoint(endpoint)
    token = huggingface_hub.get_token()
    if token is None:
        raise no_token(target, endpoint)
    with _over_http(endpoint), quietly(told), without_bars(), contextlib.ExitStack() as opened:
        try:
            push = _Push(huggingface_hub.HfApi(endpoint=endpoint, token=token), target, told)
            return push.send(files, opened)
        except HubError:
            raise
        except Exception as fault:  # whatever the hub's package raises becomes one line of ours
            raise explain_push(fault, target, endpoint) from fault


class _Push:
    """One push, step by step."""

    def __init__(self, api: Any, target: Target, told: Telling) -> None:
        self.api, self.target, self.told = api, target, told
        self.branch = target.revision or "main"

    def send(self, files: Sequence[FileToSend], opened: contextlib.ExitStack) -> Pushed:
        self._make_repository()
        before, there = self._listing(self.branch)
        missing = [file for file in files if there.get(file.name) not in file.digests]
        stale = stale_weights(self.target, files, there)
        commit = before
        if missing or stale:
            commit = self._commit(self._operations(missing, opened), stale, before, files)
            self._compare(commit, files)
        return Pushed(
            url=f"{self.api.endpoint}/{self.target.repo_id}" + (f"/tree/{self.branch}" if self.target.revision else ""),
            commit=commit,
            num_sent=len(missing),
            num_kept=len(files) - len(missing),
        )

    def _make_repository(self) -> None:
        """Make sure of token, repository and branch."""
        target, api = self.target, self.api
        patiently(api.whoami, self.told)
        patiently(lambda: api.create_repo(target.repo_id, private=target.private, exist_ok=True), self.told)
        info = patiently(lambda: api.repo_info(target.repo_id), self.told)
        if info.id != target.repo_id:
            raise explain_renamed(Wanted(hub=target.hub, model_id=target.repo_id, revision=self.branch), str(info.id))
        if target.private and not info.private:
            raise HubError(
                f"{target.repo_id} exists and is public, so --private cannot be kept: make it private in its settings, "
                "choose another name, or push without --private"
            )
        if target.revision:
            patiently(lambda: api.create_branch(target.repo_id, branch=target.revision, exist_ok=True), self.told)

    def _listing(self, revision: str) -> tuple[str, dict[str, str]]:
        """The commit, and the hash of each of its files."""
        info = patiently(
            lambda: self.api.repo_info(self.target.repo_id, revision=revision, files_metadata=True), self.told
        )
        if not COMMIT.fullmatch(str(info.sha)):
            raise HubError(f"{self.api.endpoint} gives {info.sha!r:.60} as a commit, which is none: refused")
        listed: list[RemoteFile] = [listed_file(sibling) for sibling in info.siblings or ()]
        return str(info.sha), {file.name: file.digest for file in listed}

    def _operations(self, files: Sequence[FileToSend], opened: contextlib.ExitStack) -> list[Any]:
        """The files as the client wants them; the bytes of the large ones are with the hub already."""
        from huggingface_hub import CommitOperationAdd

        done, total, operations = 0, sum(file.size for file in files), []
        for group in _groups(files):
            readers = [opened.enter_context(open_to_send(file)) for file in group]
            added = [CommitOperationAdd(file.name, reader) for file, reader in zip(group, readers, strict=True)]
            for file, operation in zip(group, added, strict=True):
                if operation.upload_info.sha256.hex() != file.sha256:
                    raise changed(file)
            self._upload(
                added, readers, f"{group[0].name}{f' and {len(group) - 1} more' if group[1:] else ''}", done, total
            )
            done += sum(file.size for file in group)
            self.told.progress(group[-1].name, done, total)
            operations += added
        return operations

    def _upload(self, added: list[Any], readers: Sequence[TellingReader], name: str, done: int, total: int) -> None:
        """Send the bytes of those files that the hub keeps in its store of large ones."""

        def upload() -> None:
            for reader in readers:
                reader.seek(0)
            self.api.preupload_lfs_files(
                self.target.repo_id, added, revision=self.branch, num_threads=1, free_memory=False
            )

        if len(readers) == 1:
            readers[0].tell_position = lambda position: self.told.progress(name, done + position, total)
        patiently(upload, self.told, tries=3)  # newer clients also send each piece anew themselves
        for reader, operation in zip(readers, added, strict=True):
            reader.tell_position = None
            reader.seek(0)
            if getattr(operation, "_should_ignore", False):
                raise HubError(
                    f"the .gitignore of {self.target.repo_id} keeps {operation.path_in_repo} out: mend it there"
                )

    def _commit(self, additions: list[Any], stale: Sequence[str], parent: str, files: Sequence[FileToSend]) -> str:
        """The commit that holds the files; one that was made although its answer was lost is found."""
        from huggingface_hub import CommitOperationDelete

        operations = [*additions, *(CommitOperationDelete(path_in_repo=name) for name in stale)]

        def commit() -> str:
            try:
                info = self.api.create_commit(
                    self.target.repo_id,
                    operations,
                    commit_message=self.target.message,
                    revision=self.branch,
                    parent_commit=parent,
                )
            except Exception as fault:
                if status_of(fault) is not None and not is_network_fault(fault):
                    raise  # refused; else its answer may be what is lost, or what the client does not understand
                now, there = self._listing(self.branch)
                if now == parent or _differing(files, there):
                    raise
                return now
            return str(info.oid)

        return patiently(commit, self.told)

    def _compare(self, commit: str, files: Sequence[FileToSend]) -> None:
        """Fetch the listing of the new commit and compare every hash."""
        _, there = self._listing(commit)
        wrong = _differing(files, there)
        if wrong:
            raise HubError(
                f"{self.api.endpoint} lists {wrong[0]} of {self.target.repo_id}@{commit[:12]} with another hash than "
                "it has here: push again, and do not use that commit"
            )


def _groups(files: Sequence[FileToSend]) -> list[list[FileToSend]]:
    """Large files one by one, so that each is safe as soon as it is there; all small ones together."""
    large = [file for file in files if file.size > _SMALL or file.name.endswith(".safetensors")]
    small = [file for file in files if file not in large]
    return [*([small] if small else []), *([file] for file in large)]


def _differing(files: Sequence[FileToSend], there: dict[str, str]) -> list[str]:
    return [file.name for file in files if there.get(file.name) not in file.digests]


@contextlib.contextmanager
def _over_http(endpoint: str) -> Iterator[None]:
    """Make the client send by HTTP alone, and its token to `endpoint` alone.

    The client would else send to whatever store the hub names by a library of its own, past every mirror and proxy,
    and it would send the token to whatever address an upload's answer names for its verification.
    """
    import huggingface_hub
    import huggingface_hub.constants

    usual = huggingface_hub.get_session()
    kind, hooks, home = type(usual), list(usual.event_hooks["request"]), _origin(endpoint)

    def keep_token(request: Any) -> None:
        if _origin(str(request.url)) != home:
            request.headers.pop("Authorization", None)
            request.headers.pop("Cookie", None)

    def client(*more: Any) -> Any:
        return kind(event_hooks={"request": [*hooks, *more]}, follow_redirects=True, timeout=None)

    was_disabled = huggingface_hub.constants.HF_HUB_DISABLE_XET
    huggingface_hub.constants.HF_HUB_DISABLE_XET = True
    huggingface_hub.set_client_factory(lambda: client(keep_token))
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_DISABLE_XET = was_disabled
        huggingface_hub.set_client_factory(client)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or {"https": 443, "http": 80}.get(parts.scheme)
