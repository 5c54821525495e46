"""`ivl push` shows what would go, asks, sends it in one commit, and goes on where it was killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.hub_server import TOKEN, FakeHub, Fault
from hub.world import only_hub, sharded

NAME = "me/InternVL2-2B-food"
PATH = f"models/{NAME}"
SIGNED = "signed-secret"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with only_hub(tmp_path, monkeypatch, FakeHub(chunk_size=100_000)) as hub:
        yield hub


@pytest.fixture
def model(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A finished model of three weight files, with what should stay beside it."""
    folder = sharded(tiny_folder("tiny-llama"), tmp_path / "model")
    (folder / ".env").write_text("HF_TOKEN=hf_x")
    (folder / "optimizer.pt").write_bytes(b"x")
    return folder


def assert_arrived(hub: FakeHub, folder: Path) -> None:
    stays = {".env", "optimizer.pt"}
    assert hub.files(PATH) == {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in stays}


def test_a_dry_run_shows_everything_and_asks_nobody(hub: FakeHub, model: Path, ivl_command) -> None:
    done = ivl_command("push", model, NAME, "--to", "hf", "--dry-run", "--no-card")
    assert done.code == 0
    assert hub.requests == []
    rows = {line.split()[0]: line.split() for line in done.out.splitlines() if " sha256 " in line}
    assert set(rows) == {path.name for path in model.iterdir()} - {".env", "optimizer.pt"}
    assert rows["model-00001-of-00003.safetensors"][3] == "LFS"
    assert rows["config.json"][3] == "git"
    assert len(rows["config.json"][-1]) == 64
    assert "stays: .env" in done.out
    assert "a pickle, which can run code" in done.out
    assert done.out.rstrip().endswith("dry run: nothing was sent")


def test_sent_and_sent_again(hub: FakeHub, model: Path, ivl_command) -> None:
    done = ivl_command("push", model, NAME, "--to", "hf", "--no-card", "--yes", "--private")
    assert done.code == 0, done.err
    assert_arrived(hub, model)
    assert hub.repos[PATH].private
    assert f"{hub.url}/{NAME}  commit {hub.repos[PATH].at('main')[0]}" in done.out
    assert "9 files sent, 0 were there already" in done.out
    again = ivl_command("push", model, NAME, "--to", "hf", "--no-card", "--yes", "--private")
    assert "0 files sent, 9 were there already" in again.out
    for secret in (TOKEN, SIGNED):
        assert secret not in done.out + done.err + again.out + again.err


def test_a_card_is_written_where_nobody_wrote_one(hub: FakeHub, model: Path, ivl_command) -> None:
    mine = (model / "README.md").read_text("utf-8")
    assert "wrote" not in ivl_command("push", model, NAME, "--to", "hf", "--dry-run").err
    assert (model / "README.md").read_text("utf-8") == mine
    (model / "README.md").unlink()
    done = ivl_command("push", model, NAME, "--to", "hf", "--dry-run")
    assert done.code == 0, done.err
    assert "README.md: read it before others do" in done.err
    assert "README.md" in done.out


def test_mistakes(hub: FakeHub, model: Path, ivl_command, monkeypatch: pytest.MonkeyPatch) -> None:
    for args, said in {
        (model, "me/food", "--to", "hf"): "the name must contain 'InternVL'",
        (model, "food", "--to", "hf"): "is no repository's name",
        (model, NAME): "Missing option '--to'",
        (model, NAME, "--to", "hf", "--no-card", "--report", "x"): "--report is for the card",
        (model / "nowhere", NAME, "--to", "hf"): "no such folder",
        (model, NAME, "--to", "hf", "--no-card"): "nobody is at the terminal to ask: --yes sends",
        (model, NAME, "--to", "hf", "--no-card", "--yes", "--revision", "../x"): "revision='../x' is not allowed",
    }.items():
        done = ivl_command("push", *args)
        assert done.code in (1, 2)
        assert said in done.err
        assert done.err.rstrip().count("\n") == 0
    assert hub.repos == {}
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    done = ivl_command("push", model, NAME, "--to", "hf", "--no-card", "--yes")
    assert done.code == 1
    assert "refuses the token" in done.err
    assert "xxx" not in done.err


@pytest.mark.slow
def test_cut_twice_and_killed_it_arrives_bit_for_bit(hub: FakeHub, model: Path, tmp_path: Path) -> None:
    """The real command: two parts are cut by the hub, SIGKILL in the middle of the third file, then once more."""
    weights = sorted(model.glob("*.safetensors"), key=lambda path: path.name)
    command = [sys.executable, "-m", "ivl", "push", str(model), NAME, "--to", "hf", "--no-card", "--yes"]
    before = sorted((path.name, path.stat().st_mtime_ns) for path in model.rglob("*"))

    def start(log: Path) -> subprocess.Popen[Any]:
        return subprocess.Popen(command, stdout=log.open("wb"), stderr=subprocess.STDOUT, env=dict(os.environ))

    hub.faults = [Fault("PUT /part/.*/3", cut_after=50_000), Fault("PUT /part/.*/5", cut_after=50_000)]
    first = start(tmp_path / "first.log")
    deadline = time.monotonic() + 100
    while len(hub.blobs) < 2 or len(hub.parts) == 0:
        assert time.monotonic() < deadline, (tmp_path / "first.log").read_text("utf-8")
        assert first.poll() is None, (tmp_path / "first.log").read_text("utf-8")
        time.sleep(0.001)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert hub.files(PATH) == {}
    assert [fault.times for fault in hub.faults] == [0, 0]
    hub.requests.clear()
    second = start(tmp_path / "second.log")
    assert second.wait(timeout=100) == 0, (tmp_path / "second.log").read_text("utf-8")
    assert_arrived(hub, model)
    assert len({each[2].split("/")[2] for each in hub.asked("^PUT /part")}) == 1  # the one that was cut by the kill
    assert len(weights) == 3
    assert sorted((path.name, path.stat().st_mtime_ns) for path in model.rglob("*")) == before
    for log in tmp_path.glob("*.log"):
        assert TOKEN not in log.read_text("utf-8")
        assert SIGNED not in log.read_text("utf-8")
