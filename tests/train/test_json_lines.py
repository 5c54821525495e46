import errno

import pytest

from ivl.errors import DataError
from ivl.train.json_lines import LONGEST_LINE, JsonLines, read_lines, write_whole


def fill(path, steps, first_step=0):
    lines = JsonLines(path, first_step)
    lines.append({"step": step, "text": "豆腐"} for step in steps)
    lines.close()
    return lines


def steps_in(path):
    return [record["step"] for record in read_lines(path)]


def test_lines_are_there_as_soon_as_they_are_written(tmp_path):
    lines = JsonLines(tmp_path / "deep" / "a.jsonl", 0)
    lines.append([{"step": 1}])
    assert steps_in(tmp_path / "deep" / "a.jsonl") == [1]
    lines.close()
    lines.close()


def test_later_lines_are_dropped_and_earlier_ones_stay_byte_for_byte(tmp_path):
    path = tmp_path / "a.jsonl"
    fill(path, range(6))
    before = path.read_bytes().splitlines(keepends=True)
    fill(path, [4, 5], first_step=3)
    assert steps_in(path) == [0, 1, 2, 3, 4, 5]
    assert path.read_bytes().splitlines(keepends=True)[:4] == before[:4]
    assert [each.name for each in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_run_that_begins_at_0_has_no_past(tmp_path):
    path = tmp_path / "a.jsonl"
    fill(path, [0, 1])
    assert fill(path, []).num_damaged == 0
    assert steps_in(path) == []


@pytest.mark.parametrize("cut", range(1, 23))
def test_a_torn_last_line_is_passed_over_and_cut_off(tmp_path, cut):
    path = tmp_path / "a.jsonl"
    fill(path, [1, 2])
    path.write_bytes(path.read_bytes()[:-cut])
    assert steps_in(path) == [1]
    assert fill(path, [3], first_step=2).num_damaged == 0
    assert steps_in(path) == [1, 3]


@pytest.mark.parametrize(
    "damage",
    [
        b"{\n",
        b"[1]\n",
        b'{"kind": "step"}\n',
        b'{"step": "1"}\n',
        b"\xff\xfe\n",
        b"[" * 5000 + b"\n",
        b"\0" * 99 + b"\n",
    ],
)
def test_a_damaged_line_is_named_and_removed_by_the_next_run(tmp_path, damage):
    path = tmp_path / "a.jsonl"
    fill(path, [1, 2])
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + damage + second)
    with pytest.raises(DataError, match=r"a\.jsonl:2 "):
        steps_in(path)
    assert fill(path, [], first_step=2).num_damaged == 1
    assert steps_in(path) == [1, 2]


def test_a_line_without_end_is_damaged(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"step": 1, "x": "' + b"x" * LONGEST_LINE + b'"}\n{"step": 2}\n')
    with pytest.raises(DataError, match=":1 "):
        steps_in(path)
    assert fill(path, [], first_step=2).num_damaged == 1
    assert steps_in(path) == [2]


def test_numbers_that_json_does_not_have_and_half_characters(tmp_path):
    lines = JsonLines(tmp_path / "a.jsonl", 0)
    lines.append([{"step": 1, "loss": float("nan"), "norm": float("inf"), "text": "\ud800 豆腐"}])
    lines.close()
    assert list(read_lines(tmp_path / "a.jsonl")) == [{"step": 1, "loss": None, "norm": None, "text": "? 豆腐"}]


class SmallDisk:
    """A file that takes `room` bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self.file.write(data[: self.room])
        self.room -= written
        return written

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_full_disk_leaves_whole_lines_and_later_ones_follow_cleanly(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = JsonLines(path, 0)
    lines.append([{"step": 1}])
    disk = SmallDisk(lines._file, 5)
    lines._file = disk
    for step in (2, 3):
        with pytest.raises(OSError, match="No space"):
            lines.append([{"step": step}])
    assert steps_in(path) == [1]
    disk.room = 1000
    lines.append([{"step": 4}])
    lines.close()
    assert path.read_bytes() == b'{"step": 1}\n{"step": 4}\n'


def test_a_half_line_of_a_full_disk_goes_when_the_run_ends(tmp_path):
    lines = JsonLines(tmp_path / "a.jsonl", 0)
    lines._file = SmallDisk(lines._file, 5)
    with pytest.raises(OSError, match="No space"):
        lines.append([{"step": 2}])
    lines.close()
    assert (tmp_path / "a.jsonl").read_bytes() == b""


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    write_whole(path, b"old")

    def fail(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]
