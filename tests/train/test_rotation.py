"""The newest checkpoints and the best one stay; the last whole one always does."""

import shutil
from pathlib import Path

import pytest
import torch

from ivl.train.checkpoint import newest_checkpoint, save_checkpoint
from ivl.train.rotation import rotate


def save(folder: Path, *steps: int) -> None:
    for step in steps:
        save_checkpoint(folder, step, trained={"w": torch.full((5,), step)}, optimizer={}, state={})


def steps(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("checkpoint-")) for path in folder.iterdir())


@pytest.mark.parametrize(
    ("limit", "best", "left"),
    [
        (1, None, [40]),
        (2, None, [9, 40]),
        (2, 3, [3, 9, 40]),
        (2, 9, [9, 40]),
        (1, 40, [40]),
        (2, 999, [9, 40]),
        (9, None, [3, 7, 9, 40]),
    ],
)
def test_what_stays(limit: int, best: int | None, left: list[int], tmp_path: Path) -> None:
    save(tmp_path, 7, 40, 3, 9)
    gone = rotate(tmp_path, limit, best)
    assert steps(tmp_path) == left
    assert {int(path.name.removeprefix("checkpoint-")) for path in gone} == {3, 7, 9, 40} - set(left)


def test_a_damaged_checkpoint_neither_counts_nor_goes(tmp_path: Path) -> None:
    """The newest is damaged without a change of size: still the whole one before it stays."""
    save(tmp_path, 1, 2, 3)
    path = tmp_path / "checkpoint-3" / "trained.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    (tmp_path / "checkpoint-1" / "state.json").unlink()
    assert rotate(tmp_path, 1) == []
    assert steps(tmp_path) == [1, 2, 3]
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-2"


def test_a_link_neither_counts_nor_goes(tmp_path: Path) -> None:
    save(tmp_path / "run", 1)
    save(tmp_path / "other", 2)
    (tmp_path / "run" / "checkpoint-2").symlink_to(tmp_path / "other" / "checkpoint-2")
    assert rotate(tmp_path / "run", 1) == []
    assert steps(tmp_path / "run") == [1, 2]


def test_no_checkpoints(tmp_path: Path) -> None:
    assert rotate(tmp_path, 1) == rotate(tmp_path / "nowhere", 3) == []


def test_one_that_is_half_removed_has_no_name_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill while files go: the name went first."""
    save(tmp_path, 1, 2)
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
    rotate(tmp_path, 1)
    monkeypatch.undo()
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"checkpoint", ".checkpoint"}
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    save(tmp_path, 3)
    assert steps(tmp_path) == [2, 3]
