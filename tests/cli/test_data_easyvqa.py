"""`ivl data easy-vqa`."""

import json

import PIL.Image
import pytest


@pytest.fixture
def package(tmp_path):
    for split in ("train", "test"):
        folder = tmp_path / "easy_vqa" / "data" / split
        (folder / "images").mkdir(parents=True)
        PIL.Image.new("RGB", (64, 64)).save(folder / "images" / "0.png")
        (folder / "questions.json").write_text(json.dumps([["what color is the shape?", "red", 0]] * 2))
    return tmp_path / "easy_vqa"


def test_it_writes_a_split_and_says_what_comes_next(ivl_command, package, tmp_path):
    shown = ivl_command("data", "easy-vqa", "--out", tmp_path / "out", "--source", package)
    assert shown.code == 0
    path = tmp_path / "out" / "easy_vqa_train.jsonl"
    assert shown.out.splitlines() == [f"train  2 records  {path}", f"next: ivl data check {path}"]
    assert "MIT" in shown.err
    assert len(path.read_text().splitlines()) == 2
    assert (tmp_path / "out" / "images" / "train" / "0.png").is_file()


def test_it_replaces_nothing_without_force(ivl_command, package, tmp_path):
    command = ("data", "easy-vqa", "-o", tmp_path / "out", "--source", package, "--split", "test")
    assert ivl_command(*command).code == 0
    again = ivl_command(*command)
    assert again.code == 1
    assert "is there already" in again.err
    assert ivl_command(*command, "--force").code == 0


def test_a_folder_without_its_files_is_a_line(ivl_command, tmp_path):
    shown = ivl_command("data", "easy-vqa", "-o", tmp_path / "out", "--source", tmp_path)
    assert shown.code == 1
    assert "has no test/questions.json" in shown.err
    assert len(shown.err.splitlines()) == 1
