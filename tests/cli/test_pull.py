"""`ivl pull` says what came, of which commit, where it lies and what to do next."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.hub_server import TOKEN, FakeHub
from hub.world import only_hub


@pytest.fixture
def hub(tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    hub = FakeHub()
    hub.add("models/org/name", {path.name: path.read_bytes() for path in tiny_folder("tiny-llama").iterdir()})
    hub.add("datasets/lyan62/FoodieQA", {"sivqa_tidy.json": b"[]", "images/1.jpg": b"\xff\xd8"})
    hub.add("datasets/org/data", {"train.jsonl": b"{}"})
    with only_hub(tmp_path, monkeypatch, hub):
        yield hub


def test_a_model(hub: FakeHub, ivl_command, tmp_path: Path) -> None:
    done = ivl_command("pull", "org/name")
    commit = hub.repos["models/org/name"].at("main")[0]
    assert done.code == 0
    assert done.out.splitlines()[0] == f"org/name  main = {commit}"
    assert done.out.splitlines()[1].startswith("5 files, 1.9 MB, in ")
    assert done.out.splitlines()[2] == "next: ivl chat -m org/name dinner.jpg"
    done = ivl_command("pull", f"org/name@{commit}", "-o", "my model")
    assert done.out.splitlines()[2] == "next: ivl chat -m 'my model' dinner.jpg"
    assert (tmp_path / "my model" / "model.safetensors").is_file()
    assert TOKEN not in done.out + done.err


def test_data_sets(hub: FakeHub, ivl_command) -> None:
    assert "next: ivl data foodieqa FoodieQA -o food" in ivl_command("pull", "--dataset", "lyan62/FoodieQA").out
    done = ivl_command("pull", "--dataset", "org/data", "-o", "d")
    assert "next: ivl data check d/train.jsonl" in done.out


def test_the_tutorials_403(hub: FakeHub, ivl_command) -> None:
    hub.repos["datasets/lyan62/FoodieQA"].gated = True
    done = ivl_command("pull", "--dataset", "lyan62/FoodieQA")
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert "is gated" in done.err
    assert "the 403 of the tutorial" in done.err


def test_mistakes(hub: FakeHub, ivl_command) -> None:
    for args, said in {
        ("nothing",): "no such folder, and no model's id",
        ("org/none",): "has no model org/none, or it is private",
        ("org/name@v9",): "has no revision 'v9'",
        ("org/name", "--hub", "hub"): "'hub' is not one of",
        ("org/data", "--dataset", "--with-code"): "--with-code goes with a model",
    }.items():
        done = ivl_command("pull", *args)
        assert done.code in (1, 2)
        assert done.out == ""
        assert said in done.err
        assert "Traceback" not in done.err
