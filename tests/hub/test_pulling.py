"""What was asked for by name lies in a folder, whole and checked, or an error says what to do."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from hub.hub_server import READ_TOKEN, TOKEN, FakeHub, Fault, sha256
from hub.world import only_hub
from ivl.errors import HubError
from ivl.hub import pull, repository, resolve
from ivl.hub.patience import Telling
from ivl.model.weights import load_model

FOODIEQA = "datasets/lyan62/FoodieQA"
PICTURE = b"\xff\xd8\xff" + b"p" * 50_000


@pytest.fixture
def hub(tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with a model, org/name, and a data set."""
    hub = FakeHub()
    files = {path.name: path.read_bytes() for path in tiny_folder("tiny-llama").iterdir()}
    files |= {"modeling_x.py": b"raise SystemExit", "pytorch_model.bin": b"cos\nsystem", ".env": b"HF_TOKEN=x"}
    hub.add("models/org/name", files)
    data = {"sivqa_tidy.json": b"[]", "images/\u9f99\u4e95 1.jpg": PICTURE, "all.zip": b"PK" * 40_000}
    hub.add(FOODIEQA, data | {"load.py": b"raise SystemExit", "x.pkl": b"cos\nsystem", ".hidden/a.json": b"{}"})
    with only_hub(tmp_path, monkeypatch, hub):
        yield hub


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited for, in no time."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


def refused(*names: Any, **options: Any) -> str:
    with pytest.raises(HubError) as caught:
        pull(*names, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert TOKEN not in message
    return message


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


class TestModels:
    def test_into_the_cache(self, hub: FakeHub) -> None:
        pulled = pull("org/name")
        assert pulled.commit == hub.repos["models/org/name"].at("main")[0]
        assert pulled.folder == resolve("org/name")
        assert pulled.num_files == 5
        assert pulled.num_bytes == sum(path.stat().st_size for path in pulled.folder.iterdir())

    def test_into_a_folder(self, hub: FakeHub, tmp_path: Path) -> None:
        seen: list[tuple[str, int, int]] = []
        told = Telling(progress=lambda *args: seen.append(args))
        pulled = pull("org/name@main", folder=tmp_path / "here" / "model", told=told)
        assert load_model(pulled.folder).config.text.decoder == "llama"
        assert not any(path.is_symlink() for path in pulled.folder.rglob("*"))
        assert names_in(tmp_path / "here") == {f"model/{name}" for name in names_in(pulled.folder)}
        assert "modeling_x.py" not in names_in(pulled.folder)
        assert seen[-1][1] == seen[-1][2] == pulled.num_bytes

    def test_code_comes_on_demand_as_a_file(self, hub: FakeHub, tmp_path: Path) -> None:
        pulled = pull("org/name", folder=tmp_path / "model", with_code=True)
        assert (pulled.folder / "modeling_x.py").read_bytes() == b"raise SystemExit"
        assert "pytorch_model.bin" not in names_in(pulled.folder)
        cached = pull(f"org/name@{pulled.commit}")
        assert "modeling_x.py" not in names_in(cached.folder)
        assert "modeling_x.py" in names_in(pull(f"org/name@{pulled.commit}", with_code=True).folder)

    def test_nothing_is_overwritten(self, hub: FakeHub, tmp_path: Path) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "mine").write_bytes(b"x")
        assert "is not empty and nothing is overwritten" in refused("org/name", folder=tmp_path / "full")
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        assert "is no folder" in refused("org/name", folder=tmp_path / "link")
        (tmp_path / "empty").mkdir()
        assert "config.json" in names_in(pull("org/name", folder=tmp_path / "empty").folder)
        assert "write hf://" in refused(str(tmp_path / "empty"))


class TestResuming:
    def test_a_download_that_is_cut_goes_on(self, hub: FakeHub, tmp_path: Path, waits: list[float]) -> None:
        hub.faults = [Fault("GET /blob/", cut_after=2**18, times=2)]
        pulled = pull("org/name", folder=tmp_path / "model")
        data = hub.files("models/org/name")["model.safetensors"]
        assert (pulled.folder / "model.safetensors").read_bytes() == data
        assert [each[4] for each in hub.asked("GET /blob/")] == [None, f"bytes={2**18}-", f"bytes={2**19}-"]

    def test_the_next_pull_goes_on(self, hub: FakeHub, tmp_path: Path, waits: list[float]) -> None:
        hub.faults = [Fault("GET /blob/", cut_after=300_000), Fault("GET /blob/", status=503, times=99)]
        assert "is out of reach" in refused("org/name", folder=tmp_path / "model")
        assert not (tmp_path / "model").exists()
        hub.faults, _ = [], hub.requests.clear()
        assert pull("org/name", folder=tmp_path / "model").num_files == 5
        assert hub.asked("GET /blob/")[0][4] == f"bytes={2**18}-"
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".model")]

    def test_a_store_that_ignores_ranges(self, hub: FakeHub, tmp_path: Path, waits: list[float]) -> None:
        hub.faults, hub.ignores_ranges = [Fault("GET /blob/", cut_after=100_000)], True
        pulled = pull("org/name", folder=tmp_path / "model")
        assert sha256((pulled.folder / "model.safetensors").read_bytes()) in hub.blobs

    def test_damaged_content_does_not_stay(self, hub: FakeHub, tmp_path: Path) -> None:
        name = next(iter(hub.blobs))
        good, hub.blobs[name] = hub.blobs[name], b"x" * len(hub.blobs[name])
        for kind in ("model", "dataset"):
            what = "org/name" if kind == "model" else "lyan62/FoodieQA"
            if name == sha256(hub.repos["models/org/name"].at("main")[1]["model.safetensors"]) and kind == "model":
                assert "arrived damaged and was removed" in refused(what, kind=kind, folder=tmp_path / kind)
                assert not (tmp_path / kind).exists()
        hub.blobs[name] = good
        assert pull("org/name", folder=tmp_path / "model").num_files == 5

    def test_main_moves_meanwhile(self, hub: FakeHub, tmp_path: Path) -> None:
        before = hub.repos["models/org/name"].at("main")[0]
        moved = []

        def move(name: str, done: int, total: int) -> None:
            moved.append(moved or hub.repos["models/org/name"].commit("main", {"config.json": b"{}"}))

        pulled = pull("org/name", folder=tmp_path / "model", told=Telling(progress=move))
        assert pulled.commit == before
        assert load_model(pulled.folder) is not None

    def test_what_was_gathered_of_another_commit_goes(self, hub: FakeHub, tmp_path: Path) -> None:
        old = tmp_path / f".model.{'c' * 12}.part"
        old.mkdir()
        pull("org/name", folder=tmp_path / "model")
        assert not old.exists()


class TestDataSets:
    def test_a_data_set(self, hub: FakeHub, tmp_path: Path) -> None:
        pulled = pull("lyan62/FoodieQA", kind="dataset")
        assert pulled.folder == Path("FoodieQA")
        assert names_in(tmp_path / "FoodieQA") == {"sivqa_tidy.json", "images/\u9f99\u4e95 1.jpg", "all.zip"}
        assert (tmp_path / "FoodieQA" / "images" / "\u9f99\u4e95 1.jpg").read_bytes() == PICTURE

    @pytest.mark.parametrize(
        "name", ["../a.json", "/etc/a.json", "a/../../b.json", "a\\b.json", "C:a.json", "a//b.json"]
    )
    def test_names_that_lead_out(self, name: str, hub: FakeHub, tmp_path: Path) -> None:
        hub.add(FOODIEQA, {"a.json": b"[]", name: b"[]"})
        before = {*tmp_path.iterdir()}
        assert "leads out of it: refused" in refused("lyan62/FoodieQA", kind="dataset")
        assert {*tmp_path.iterdir()} == before

    def test_names_that_are_one_on_other_disks(self, hub: FakeHub) -> None:
        hub.add(FOODIEQA, {"a.json": b"[]", "A.json": b"{}"})
        assert "differ in case only" in refused("lyan62/FoodieQA", kind="dataset")

    def test_nothing_that_is_fetched(self, hub: FakeHub) -> None:
        hub.add(FOODIEQA, {"load.py": b"x", "data.pkl": b"x"})
        assert "only .pkl, .py" in refused("lyan62/FoodieQA", kind="dataset")

    def test_the_tutorials_403(self, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        hub.repos[FOODIEQA].gated = True
        said = refused("lyan62/FoodieQA", kind="dataset")
        for part in ("is gated", f"{hub.url}/datasets/lyan62/FoodieQA", "ask for access", "403 of the tutorial",
                     "CC BY-NC-ND", "hf auth login", "ivl tutorial"):  # fmt: skip
            assert part in said
        assert "the account of this token has no access" in said
        monkeypatch.delenv("HF_TOKEN")
        assert "ask for access on" in refused("lyan62/FoodieQA", kind="dataset")
        assert not (tmp_path / "FoodieQA").exists()


class TestRefused:
    def test_renamed(self, hub: FakeHub) -> None:
        hub.renamed["models/old/name"] = "models/org/name"
        assert "old/name is called 'org/name' now: ask for that name" in refused("old/name")

    def test_wrong_token(self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
        said = refused("org/name")
        assert "refuses the token: log in again" in said
        assert "xxxx" not in said

    def test_a_busy_hub_is_waited_for(self, hub: FakeHub, tmp_path: Path, waits: list[float]) -> None:
        hub.faults = [Fault("GET /api/models", status=429, headers={"Retry-After": "7"}, times=2)]
        notes: list[str] = []
        pull("org/name", folder=tmp_path / "model", told=Telling(note=notes.append))
        assert waits == [8.0, 8.0]
        assert notes == ["the hub asks to wait (429): again in 8 s"] * 2

    def test_a_hub_that_asks_for_too_long(self, hub: FakeHub, waits: list[float]) -> None:
        hub.faults = [Fault("GET /api/models", status=429, headers={"Retry-After": "7200"}, times=9)]
        assert "(429): try again in 7200 seconds, or log in" in refused("org/name")
        assert waits == []

    def test_a_hub_that_fails(self, hub: FakeHub, tmp_path: Path, waits: list[float]) -> None:
        hub.faults = [Fault("GET /api/models", status=503, times=2)]
        assert pull("org/name", folder=tmp_path / "model").num_files == 5
        assert waits == [1.0, 2.0]
        hub.faults = [Fault("", status=503, times=99)]
        assert "is out of reach" in refused("org/name", folder=tmp_path / "other")

    def test_no_room(self, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(repository.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2 * 10**5}))
        said = refused("org/name", folder=tmp_path / "model")
        assert "0.0 GB are to be fetched" in said.replace("0.1", "0.0").replace("0.2", "0.0")
        assert "-o" in said
        assert not hub.asked("GET /blob/")
        assert not [path for path in tmp_path.iterdir() if path.name != "cache"]

    def test_a_disk_that_fills_up(self, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fill(*_: object, **__: object) -> str:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", fill)
        assert "no space left on the disk of" in refused("org/name", folder=tmp_path / "model")

    def test_the_token_goes_to_the_hub_alone(self, hub: FakeHub, tmp_path: Path) -> None:
        pull("org/name", folder=tmp_path / "model")
        assert {each[3] for each in hub.requests if each[0] == "store"} == {None}
        hub.faults = [Fault("GET /api/models", status=307, headers={"Location": f"{hub.stranger_url}/api/x"})]
        refused("org/name", folder=tmp_path / "other")
        asked = [each for each in hub.requests if each[0] == "stranger"]
        assert asked
        assert {each[3] for each in asked} == {None}

    def test_a_private_repository(self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        hub.repos["models/org/name"].private = True
        monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
        assert pull("org/name", folder=tmp_path / "model").num_files == 5
        monkeypatch.delenv("HF_TOKEN")
        assert "or it is private: check the name, or log in" in refused("org/name", folder=tmp_path / "other")


def test_a_process_that_knows_no_mirror(tmp_path: Path) -> None:
    """The client loads its parts on demand only: nothing may rest on somebody else having done so."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    told = subprocess.run(
        [sys.executable, "-c", "import ivl.hub; ivl.hub.pull('org/name')"],
        env=known | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    last = told.stderr.strip().splitlines()[-1]
    assert last.startswith("ivl.errors.HubError: org/name@main is not whole in the cache and https://huggingface.co is")
