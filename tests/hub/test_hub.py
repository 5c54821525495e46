"""A name becomes a folder: a local one as it is, a hub's pinned, checked, and no more than is needed."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants, file_download

from hub.stand_in import COMMIT, OTHER_COMMIT, Hub, serve
from ivl.errors import HubError, MissingExtraError
from ivl.hub import repository, resolve
from ivl.model.weights import load_model

FETCHED = {
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
}


@pytest.fixture
def hub(tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with tiny-llama as org/name, and an empty cache."""
    files = {path.name: path.read_bytes() for path in tiny_folder("tiny-llama").iterdir()}
    files |= {
        "modeling_internvl_chat.py": b"raise SystemExit",
        "pytorch_model.bin": b"cos\nsystem",
        "runs/x": b"x",
    }
    files |= {
        ".gitattributes": b"x",
        "examples/image.jpg": b"x",
        "model.gguf": b"x",
        "README.md": b"# A model",
    }
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    monkeypatch.chdir(tmp_path)
    with serve(Hub(files)) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def refused(model: str | os.PathLike[str], **options: Any) -> str:
    with pytest.raises(HubError) as caught:
        resolve(model, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert "0x" not in message
    return message


class TestLocal:
    def test_folders_are_taken_as_they_are(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "org" / "name").mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert resolve(tmp_path) == tmp_path
        assert resolve("org/name") == Path("org/name")
        assert resolve("org") == Path("org")
        assert resolve("~/org") == tmp_path / "org"

    @pytest.mark.parametrize(
        "name",
        [
            "./name",
            "../name",
            "~/name",
            "/name",
            "/org/name",
            "a/b/c",
            "org\\name",
            "name/",
            "here/name",
            ".",
        ],
    )
    def test_a_mistyped_path_never_reaches_the_hub(self, name: str, hub: Hub, tmp_path: Path) -> None:
        (tmp_path / "here").mkdir()
        if name == ".":
            assert resolve(name) == Path()
        else:
            assert refused(name) == f"{name}: no such folder"
        assert hub.requests == []

    def test_a_path_object_is_never_an_id(self, hub: Hub) -> None:
        assert refused(Path("org/name")) == "org/name: no such folder"
        assert hub.requests == []

    @pytest.mark.parametrize(
        "name", ["", "name", "InternVL2-2B", "org/na me", "org/..", "-org/name", "org--x/name", "org/na..me"]
    )
    def test_neither_folder_nor_id(self, name: str, hub: Hub) -> None:
        assert "no such folder" in refused(name)
        assert hub.requests == []

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "model.safetensors").write_bytes(b"")
        assert "is a file, but a model is a folder" in refused(str(tmp_path / "model.safetensors"))

    def test_options_that_make_no_sense(self, tmp_path: Path, hub: Hub) -> None:
        assert "goes with a model of a hub" in refused(tmp_path, revision="main")
        assert "did you mean 'modelscope'" in refused("org/name", hub="modelscop")
        assert "give an id" in refused("https://huggingface.co/org/name")
        for revision in ("../../x", "a//b", "/etc", "a b", "-x", "a\\b"):
            assert "revision=" in refused("org/name", revision=revision)
        assert "revision=" in refused("org/name@../../x")
        assert hub.requests == []


class TestFetch:
    def test_only_what_is_needed_is_fetched(self, hub: Hub, tmp_path: Path) -> None:
        folder = resolve("org/name")
        assert {path.name for path in folder.iterdir()} == FETCHED | {"README.md"}
        assert folder == tmp_path / "cache" / "models--org--name" / "snapshots" / COMMIT
        asked = {path.rpartition("/")[2] for _, path, _ in hub.requests if "/resolve/" in path}
        assert asked == FETCHED | {"README.md"}
        assert load_model(folder).config.text.decoder == "llama"

    def test_a_second_time_asks_for_the_listing_only(self, hub: Hub) -> None:
        folder = resolve("hf://org/name")
        hub.requests.clear()
        assert resolve("org/name@main") == folder
        assert [path for _, path, _ in hub.requests] == ["/api/models/org/name/revision/main"]

    def test_a_whole_cache_needs_no_network(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = resolve("org/name")
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        assert resolve("org/name") == folder
        hub.requests.clear()
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert resolve("org/name") == folder
        assert hub.requests == []

    def test_a_hub_that_fails_is_no_reason_to_fail(self, hub: Hub) -> None:
        folder = resolve("org/name")
        hub.fault = (503, "")
        assert resolve("org/name") == folder

    def test_a_commit_is_never_asked_for_twice(self, hub: Hub) -> None:
        folder = resolve("org/name", revision=COMMIT)
        hub.requests.clear()
        assert resolve(f"org/name@{COMMIT}") == folder
        assert hub.requests == []

    def test_half_a_cache_is_not_taken_for_a_model(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = resolve("org/name")
        (folder / "model.safetensors").unlink()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert "is not whole in the cache" in refused("org/name")
        assert "is not whole in the cache" in refused("org/name", revision=COMMIT)
        monkeypatch.delenv("HF_HUB_OFFLINE")
        assert (resolve("org/name") / "model.safetensors").exists()

    def test_main_moves_during_the_download(self, hub: Hub) -> None:
        hub.moves = True
        folder = resolve("org/name")
        assert folder.name == COMMIT
        assert hub.commit == OTHER_COMMIT
        asked = [path for _, path, _ in hub.requests if "/resolve/" in path]
        assert asked
        assert all(f"/resolve/{COMMIT}/" in path for path in asked)

    def test_a_hub_that_lists_no_hashes(self, hub: Hub) -> None:
        hub.without_hashes = True
        assert {path.name for path in resolve("org/name").iterdir()} >= FETCHED

    def test_the_token_stays_with_the_hub(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        resolve("org/name")
        assert {token for _, _, token in hub.requests} == {"Bearer hf_secret"}
        assert [(name, token) for _, name, token in hub.store_requests] == [("model.safetensors", None)]


class TestRefused:
    @pytest.mark.parametrize(
        "name",
        [
            "../evil.safetensors", "a/../../evil.json", "/etc/passwd", "..\\evil.json", "a\\b.json",
            "C:evil.json", "./config.json", "a//b", "", "x\0.json", "..",
        ],
    )  # fmt: skip
    def test_a_listing_that_leads_out_of_the_folder(self, name: str, hub: Hub, tmp_path: Path) -> None:
        hub.listed = {name: b"x"}
        assert "leads out of it: refused" in refused("org/name")
        assert len(hub.requests) == 1
        assert not (tmp_path / "cache").exists()

    @pytest.mark.parametrize("commit", ["../../../evil", "main", "", "A" * 40])
    def test_a_commit_that_is_none(self, commit: str, hub: Hub, tmp_path: Path) -> None:
        hub.commit = commit
        assert "as the commit" in refused("org/name")
        assert not (tmp_path / "cache").exists()

    @pytest.mark.parametrize("without_hashes", [True, False])
    def test_a_hash_that_is_a_path(self, without_hashes: bool, hub: Hub, tmp_path: Path) -> None:
        hub.etag, hub.without_hashes = "../../../../evil", without_hashes
        assert "with another file than listed" in refused("org/name")
        assert not list(tmp_path.rglob("*evil*"))

    def test_only_pickles(self, hub: Hub) -> None:
        del hub.files["model.safetensors"]
        assert "only pickles (pytorch_model.bin), which can run code" in refused("org/name")

    def test_no_model_at_all(self, hub: Hub) -> None:
        del hub.files["config.json"]
        assert "has no config.json" in refused("org/name")

    @pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
    def test_a_damaged_file_does_not_stay(self, name: str, hub: Hub, tmp_path: Path) -> None:
        hub.served = {name: b"x" * len(hub.files[name])}
        assert f"{name} arrived damaged and was removed" in refused("org/name")
        assert not list(tmp_path.rglob(name))
        hub.served = {}
        assert {path.name for path in resolve("org/name").iterdir()} >= FETCHED

    def test_a_download_that_is_cut(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        hub.cut = True
        assert "out of reach (RemoteProtocolError)" in refused("org/name")
        hub.cut = False
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert "is not whole in the cache" in refused("org/name")
        monkeypatch.delenv("HF_HUB_OFFLINE")
        assert (resolve("org/name") / "model.safetensors").read_bytes() == hub.files["model.safetensors"]

    def test_faults_of_the_hub(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        for fault, said in {
            (403, "GatedRepo"): "is gated: ask for access on",
            (401, "RepoNotFound"): "has no model org/name, or it is private",
            (404, "RepoNotFound"): "has no model org/name, or it is private",
            (404, "RevisionNotFound"): "has no revision 'main'",
            (403, ""): "is gated: ask for access on",
            (500, ""): "is not whole in the cache",
            (400, ""): "could not be fetched",
        }.items():
            hub.fault = fault
            message = refused("org/name")
            assert said in message
            assert hub.url in message
        assert "hf auth login" in message or "try again" in message
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        assert "http://127.0.0.1:9 is out of reach" in refused("org/name")

    def test_no_room_on_the_disk(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = type("Usage", (), {"free": 1000})
        monkeypatch.setattr(repository.shutil, "disk_usage", lambda path: usage)
        assert "no space" in refused("org/name")
        assert not hub.store_requests

    def test_a_disk_that_fills_up(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        def fill(*_: object, **__: object) -> str:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", fill)
        assert "no space left on the disk" in refused("org/name")


class TestModelScope:
    def install(self, monkeypatch: pytest.MonkeyPatch, folder: Path, listings: list[list[dict[str, Any]]]) -> list[Any]:
        """A `modelscope` package that gives these listings in turn; the calls it got."""
        calls: list[Any] = []

        class HubApi:
            def get_model_files(self, model_id: str, revision: str, recursive: bool) -> list[dict[str, Any]]:
                calls.append((model_id, revision))
                return listings.pop(0)

        def snapshot_download(model_id: str, revision: str, allow_patterns: list[str]) -> str:
            calls.append((model_id, revision, sorted(allow_patterns)))
            return str(folder)

        modules = {name: ModuleType(name) for name in ("modelscope", "modelscope.hub")}
        modules["modelscope.hub.api"] = ModuleType("modelscope.hub.api")
        modules["modelscope.hub.snapshot_download"] = ModuleType("modelscope.hub.snapshot_download")
        vars(modules["modelscope.hub.api"])["HubApi"] = HubApi
        vars(modules["modelscope.hub.snapshot_download"])["snapshot_download"] = snapshot_download
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        return calls

    def listing(self, folder: Path) -> list[dict[str, Any]]:
        files = [{"Path": path.name, "Size": path.stat().st_size, "Type": "blob"} for path in folder.iterdir()]
        tree = {"Path": "sub", "Type": "tree"}
        return [*files, tree, {"Path": "modeling.py", "Size": 1}, {"Path": "pytorch_model.bin", "Size": 1}]

    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "modelscope", None)
        with pytest.raises(MissingExtraError, match="pip install modelscope"):
            resolve("modelscope://org/name")

    def test_fetched(self, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tiny_folder("tiny-llama")
        calls = self.install(monkeypatch, folder, [self.listing(folder), self.listing(folder)])
        assert resolve("org/name@v1", hub="modelscope") == folder
        assert calls == [("org/name", "v1"), ("org/name", "v1", sorted(FETCHED)), ("org/name", "v1")]

    def test_changed_meanwhile(self, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tiny_folder("tiny-llama")
        after = [file | {"Size": 1} for file in self.listing(folder)]
        self.install(monkeypatch, folder, [self.listing(folder), after])
        assert "changed while it was fetched" in refused("modelscope://org/name")

    def test_arrived_damaged(self, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tiny_folder("tiny-llama")
        listed = [file | {"Sha256": "0" * 64} for file in self.listing(folder)]
        self.install(monkeypatch, folder, [listed, listed])
        assert "arrived damaged" in refused("modelscope://org/name")

    def test_faults(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.install(monkeypatch, tmp_path, [[{"Path": "../config.json", "Size": 1}]])
        assert "leads out of it" in refused("modelscope://org/name")
        self.install(monkeypatch, tmp_path, [])  # its own code fails
        assert "could not be fetched from https://modelscope.cn (IndexError)" in refused("modelscope://org/name")
