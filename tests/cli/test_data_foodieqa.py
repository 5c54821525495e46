"""`ivl data` and `ivl data foodieqa`."""

import json

import pytest

from foodieqa_folder import write_all_tasks, write_foodieqa


@pytest.fixture
def folder(tmp_path):
    return write_foodieqa(tmp_path / "FoodieQA")


def test_it_writes_both_parts_and_says_what_comes_next(ivl_command, folder, tmp_path):
    (folder / "images/000.jpg").unlink()
    shown = ivl_command("data", "foodieqa", folder, "-o", tmp_path / "out", "--style", "full", "--test-share", "0.25")
    assert shown.code == 0
    assert "CC BY-NC-ND 4.0" in shown.err
    assert "evaluation" in shown.err
    assert "entry 0: picture 'images/000.jpg' does not exist" in shown.err
    assert "2 entries have no picture and are left out" in shown.err
    lines = shown.out.splitlines()
    assert lines[0].split()[:5] == ["train", "14", "records", "7", "dishes"]
    assert lines[1].split()[:5] == ["test", "4", "records", "2", "dishes"]
    assert "0 unusable, 2 without their picture" in lines[2]
    assert lines[3] == f"next: ivl data check {tmp_path / 'out' / 'train.json'} --image-folder {folder}"
    answer = json.loads((tmp_path / "out/train.json").read_text())[0]["conversations"][1]["value"]
    assert answer.startswith("图中的菜是")


def test_it_replaces_nothing_without_force(ivl_command, folder, tmp_path):
    command = ("data", "foodieqa", folder, "-o", tmp_path / "out")
    assert ivl_command(*command).code == 0
    again = ivl_command(*command)
    assert again.code == 1
    assert "is there already: give --force" in again.err
    assert ivl_command(*command, "--force", "--test-share", "0").code == 0
    assert not (tmp_path / "out/test.json").exists()


@pytest.mark.parametrize(
    ("args", "code", "named"),
    [
        (["none", "-o", "out"], 1, "has no sivqa_tidy.json: ask for access"),
        (["none", "-o", "out", "--tasks", "sivqa,vqa"], 1, "tasks='vqa' is not allowed: sivqa, mivqa, textqa"),
        (["none"], 2, "Missing option '-o'"),
        (["none", "-o", "out", "--style", "terse"], 2, "'terse' is not one of"),
        (["none", "-o", "out", "--test-share", "2"], 1, "test_share=2.0"),
    ],
)
def test_mistakes_are_one_line(ivl_command, tmp_path, monkeypatch, args, code, named):
    monkeypatch.chdir(tmp_path)
    shown = ivl_command("data", "foodieqa", *args)
    assert shown.code == code
    assert named in shown.err
    assert sum(line.startswith("error: ") for line in shown.err.splitlines()) == 1


def test_all_tasks_in_both_languages(ivl_command, tmp_path):
    folder, out = write_all_tasks(tmp_path / "FoodieQA"), tmp_path / "out"
    (folder / "dataset.json").write_text('{"name": "Our dishes", "licence": "CC0"}', encoding="utf-8")
    options = ("--tasks", "sivqa, mivqa,textqa", "--form", "both", "--naming", "--language", "both", "--style", "full")
    shown = ivl_command("data", "foodieqa", folder, "-o", out, *options, "--test-share", "0.3")
    assert shown.code == 0
    assert "Our dishes is licensed CC0" in shown.err
    assert "CC BY-NC-ND" not in shown.err
    assert "in English no entry of textqa_tidy.json can be used" in shown.err
    assert "questions have pictures of both parts and are left out" in shown.err
    records = json.loads((out / "train.json").read_text(encoding="utf-8"))
    assert shown.out.split()[:3] == ["train", f"{len(records)}", "records"]
    assert {key.rpartition("-")[2] for key in (record["id"] for record in records)} == {"zh", "en", "letters", "name"}


def test_the_group_lists_its_commands(ivl_command):
    shown = ivl_command("data")
    assert shown.code == 0
    assert "foodieqa" in shown.out
    assert "check" in shown.out
    wrong = ivl_command("data", "foodyqa")
    assert (wrong.code, wrong.out) == (2, "")
    assert "did you mean 'foodieqa'?" in wrong.err


def test_help_teaches_by_example(ivl_command):
    shown = ivl_command("data", "foodieqa", "--help")
    assert "  ivl data foodieqa FoodieQA -o food" in shown.out.split("Examples:")[1]
