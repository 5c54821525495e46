"""Nothing outside of a folder is opened, and a new folder appears whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from ivl.errors import CheckpointError
from ivl.model import folder_io
from ivl.model.folder_io import new_folder, open_file, read_json


@pytest.mark.parametrize(
    "name",
    [
        "../secret", "a/../../secret", "/etc/passwd", "..\\secret", "C:secret", "C:\\secret", "a\0b", "",
        ".", "..", ".hidden", "-rf", "a b", "sub/file", "x" * 300, "\u202ex", "file\n",
    ],
)  # fmt: skip
def test_names_that_lead_away_are_refused_unopened(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(CheckpointError, match="is refused: only plain names"):
        open_file(folder, name)


def test_links_are_followed_inside_only(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "real.json").write_text('{"a": 1}')
    (folder / "inside.json").symlink_to("real.json")
    (tmp_path / "secret.json").write_text("{}")
    (folder / "outside.json").symlink_to(tmp_path / "secret.json")
    (folder / "through.json").symlink_to("outside.json")
    (folder / "nowhere.json").symlink_to("gone.json")
    (folder / "loop.json").symlink_to("loop.json")
    (folder / "device.json").symlink_to("/dev/zero")
    assert read_json(folder, "inside.json") == {"a": 1}
    for name in ("outside.json", "through.json", "device.json"):
        with pytest.raises(CheckpointError, match="outside of the folder"):
            open_file(folder, name)
    with pytest.raises(CheckpointError, match="link to a file that is not there"):
        open_file(folder, "nowhere.json")
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_file(folder, "loop.json")


def test_a_hugging_face_cache_is_read(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / ("0" * 40)
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "abc").write_text('{"a": 1}')
    (snapshot / "config.json").symlink_to("../../blobs/abc")
    (tmp_path / "refs").write_text("{}")
    (snapshot / "other.json").symlink_to("../../refs")
    assert read_json(snapshot, "config.json") == {"a": 1}
    with pytest.raises(CheckpointError, match="outside of the folder"):
        read_json(snapshot, "other.json")


def test_a_folder_reached_by_a_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "config.json").write_text("{}")
    (tmp_path / "link").symlink_to("real")
    assert read_json(tmp_path / "link", "config.json") == {}


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe.json", "folder.json"):
        with pytest.raises(CheckpointError, match="not a regular file"):
            open_file(tmp_path, name)


def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_io, "MAX_JSON_BYTES", 10)
    (tmp_path / "big.json").write_text('{"a": "0123456789"}')
    with pytest.raises(CheckpointError, match="has 19 bytes, more than"):
        read_json(tmp_path, "big.json")


class TestNewFolder:
    def test_appears_at_the_end(self, tmp_path: Path) -> None:
        target = tmp_path / "deep" / "model"
        with new_folder(target) as partial:
            (partial / "a").write_text("x")
            assert not target.exists()
            assert partial.parent == target.parent
        assert [path.name for path in target.iterdir()] == ["a"]
        assert [path.name for path in target.parent.iterdir()] == ["model"]

    def test_an_empty_folder_is_filled(self, tmp_path: Path) -> None:
        with new_folder(tmp_path) as partial:
            (partial / "a").write_text("x")
        assert (tmp_path / "a").read_text() == "x"

    @pytest.mark.parametrize("fault", [RuntimeError("a"), KeyboardInterrupt(), SystemExit(1)])
    def test_leaves_nothing_after_a_fault(self, fault: BaseException, tmp_path: Path) -> None:
        def fail() -> None:
            with new_folder(tmp_path / "model") as partial:
                (partial / "a").write_text("x")
                raise fault

        with pytest.raises(type(fault)):
            fail()
        assert list(tmp_path.iterdir()) == []

    def test_a_full_disk(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="no space left"), new_folder(tmp_path / "model"):
            raise OSError(errno.ENOSPC, "No space left on device")
        assert list(tmp_path.iterdir()) == []

    def test_never_overwrites(self, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("x")
        with pytest.raises(CheckpointError, match="is not empty"), new_folder(tmp_path):
            raise AssertionError
        with pytest.raises(CheckpointError, match="is a file"), new_folder(tmp_path / "mine"):
            raise AssertionError
        assert (tmp_path / "mine").read_text() == "x"

    def test_something_that_came_in_meanwhile_stays(self, tmp_path: Path) -> None:
        target = tmp_path / "model"

        def write() -> None:
            with new_folder(target):
                target.mkdir()
                (target / "theirs").write_text("x")

        with pytest.raises(CheckpointError, match="cannot be written"):
            write()
        assert (target / "theirs").read_text() == "x"
        assert [path.name for path in tmp_path.iterdir()] == ["model"]

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with (
            pytest.raises(CheckpointError, match="cannot be written"),
            new_folder(tmp_path / "file" / "model"),
        ):
            raise AssertionError
