"""Files for ModelScope go through its client: asked for first, sent once, named in one commit, compared."""

import base64
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ivl.errors import HubError, MissingExtraError
from ivl.hub.modelscope_push import push_to_modelscope
from ivl.hub.patience import Telling
from ivl.hub.sending import FileToSend, Target, look_over

TOKEN = "ms-" + "0" * 36
TARGET = Target(hub="modelscope", repo_id="me/InternVL2-x", revision=None, private=False, message="x")


class AlreadyExistsError(Exception):
    status_code = 400


class Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status} {TOKEN}")
        self.status_code = status


class FakeClient:
    """What `modelscope_hub.HubApi` does as far as it is used: a repository in memory."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.files: dict[str, str] | None = None
        self.private: bool | None = None
        self.calls: list[Any] = []
        self.store = "https://lfs.modelscope.cn/put"
        self.fail: dict[str, Exception] = {}
        self.legacy = self

    def __call__(self, token: str, endpoint: str) -> "FakeClient":
        assert (token, endpoint) == (TOKEN, "https://modelscope.cn")
        return self

    def _step(self, name: str, *what: Any) -> None:
        self.calls.append((name, *what))
        fault = self.fail.pop(name, None)
        if fault is not None:
            raise fault

    def whoami(self) -> None:
        self._step("whoami")

    def create_repo(self, repo_id: str, kind: str, visibility: str) -> None:
        self._step("create", repo_id, kind, visibility)
        if self.files is not None:
            raise AlreadyExistsError
        self.files, self.private = {}, visibility == "private"

    def get_repo(self, repo_id: str, kind: str) -> Any:
        return SimpleNamespace(private=self.private, visibility=None)

    def list_repo_files(self, repo_id: str, kind: str, revision: str) -> list[Any]:
        assert self.files is not None
        return [SimpleNamespace(path=name, type="blob", sha256=sha) for name, sha in self.files.items()]

    def validate_blobs(self, repo_id: str, kind: str, objects: list[dict[str, Any]]) -> dict[str, str | None]:
        self._step("ask", len(objects))
        return {each["oid"]: None if each["oid"] in self.blobs else self.store for each in objects}

    def upload_blob(self, address: str, data: Any, size: int, headers: Any = None) -> None:
        self._step("blob", address, headers)
        content = data.read()
        assert len(content) == size
        self.blobs[hashlib.sha256(content).hexdigest()] = content

    def create_commit(self, repo_id: str, kind: str, actions: list[Any], message: str, revision: str) -> None:
        self._step("commit", len(actions), message, revision)
        assert self.files is not None
        for each in actions:
            if each["action"] == "delete":
                del self.files[each["path"]]
            elif each["type"] == "lfs":
                assert each["sha256"] in self.blobs
                self.files[each["path"]] = each["sha256"]
            else:
                self.files[each["path"]] = hashlib.sha256(base64.b64decode(each["content"])).hexdigest()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeClient]:
    client = FakeClient()
    package, config = ModuleType("modelscope_hub"), ModuleType("modelscope_hub.config")
    vars(package)["HubApi"] = client
    vars(config)["get_default_config"] = lambda: SimpleNamespace(token=TOKEN, endpoint="https://modelscope.cn")
    monkeypatch.setitem(sys.modules, "modelscope_hub", package)
    monkeypatch.setitem(sys.modules, "modelscope_hub.config", config)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return client


@pytest.fixture
def files(tmp_path: Path) -> list[FileToSend]:
    found = []
    for name, data in {"a.safetensors": b"a" * 100, "big.json": b"b" * 70_000, "config.json": b"{}"}.items():
        (tmp_path / name).write_bytes(data)
        with (tmp_path / name).open("rb") as opened:
            found.append(look_over(name, tmp_path / name, opened, len(data)))
    return found


def refused(files: list[FileToSend], target: Target = TARGET) -> str:
    with pytest.raises(HubError) as caught:
        push_to_modelscope(target, files, Telling())
    message = str(caught.value)
    assert "\n" not in message
    assert TOKEN not in message
    return message


def test_not_installed(files: list[FileToSend], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modelscope_hub", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        push_to_modelscope(TARGET, files, Telling())


def test_sent_once_in_one_commit(client: FakeClient, files: list[FileToSend]) -> None:
    seen: list[tuple[str, int, int]] = []
    pushed = push_to_modelscope(TARGET, files, Telling(progress=lambda *each: seen.append(each)))
    assert client.files == {file.name: file.sha256 for file in files}
    assert [call[0] for call in client.calls] == ["whoami", "create", "ask", "blob", "blob", "commit"]
    assert client.calls[-1] == ("commit", 3, "x", "master")
    assert (pushed.url, pushed.num_sent) == ("https://modelscope.cn/models/me/InternVL2-x", 3)
    assert seen[-1][1] == seen[-1][2]
    client.calls.clear()
    assert push_to_modelscope(TARGET, files, Telling()).num_kept == 3
    assert [call[0] for call in client.calls] == ["whoami", "create"]


def test_goes_on_where_it_was(client: FakeClient, files: list[FileToSend]) -> None:
    client.fail = {"commit": Refused(500)}
    push_to_modelscope(TARGET, files, Telling())
    assert [call[0] for call in client.calls].count("commit") == 2
    client.files, client.calls = {}, []
    push_to_modelscope(TARGET, files, Telling())
    assert "blob" not in [call[0] for call in client.calls]


def test_a_foreign_store_gets_no_token(client: FakeClient, files: list[FileToSend]) -> None:
    push_to_modelscope(TARGET, files, Telling())
    assert {call[2] for call in client.calls if call[0] == "blob"} == {None}
    for store in ("https://store.example/put", "https://notmodelscope.cn/put"):
        client.store, client.blobs, client.files, client.calls = store, {}, {}, []
        push_to_modelscope(TARGET, files, Telling())
        sent = [call[2] for call in client.calls if call[0] == "blob"]
        assert sent == [{"Authorization": None, "Cookie": None}] * 2
    client.store, client.blobs, client.files = "http://lfs.modelscope.cn/put", {}, {}
    assert "is not https" in refused(files)


def test_refused(client: FakeClient, files: list[FileToSend], monkeypatch: pytest.MonkeyPatch) -> None:
    client.fail = {"whoami": Refused(401)}
    assert "refuses the token: make one that may write on https://modelscope.cn/my/myaccesstoken" in refused(files)
    client.fail = {"create": Refused(403)}
    assert "does not let this token write" in refused(files)
    client.files, client.private = {"b.safetensors": "0" * 64}, False
    assert "--private cannot be kept" in refused(
        files, Target(hub="modelscope", repo_id="me/InternVL2-x", revision=None, private=True, message="x")
    )
    assert "holds b.safetensors, which this folder does not have" in refused(files)
    config = sys.modules["modelscope_hub.config"]
    monkeypatch.setattr(config, "get_default_config", lambda: SimpleNamespace(token=None, endpoint="https://m.cn"))
    assert "no token for https://m.cn" in refused(files)


def test_arrived_damaged(client: FakeClient, files: list[FileToSend], monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(*_: Any) -> None:
        client.files = {file.name: "0" * 64 for file in files}

    monkeypatch.setattr(client, "create_commit", commit)
    assert "with another hash than it has here" in refused(files)
