"""`ivl data check`: what it prints, writes and returns."""

import json

import pytest
from PIL import Image

from ivl.cli.data_progress import reading_progress


@pytest.fixture
def data(tmp_path):
    """A file of twelve records, the sixth of them bad, and one of validation data that shares a record with it."""
    Image.new("RGB", (100, 100), "red").save(tmp_path / "a.png")
    records = [
        {
            "id": str(number),
            "image": "a.png",
            "conversations": [{"from": "human", "value": f"What {number}?"}, {"from": "gpt", "value": "Red."}],
        }
        for number in range(12)
    ]
    records[5]["image"] = "b.png"
    (tmp_path / "train.jsonl").write_text("\n".join(json.dumps(each) for each in records))
    (tmp_path / "val.jsonl").write_text(json.dumps(records[0]))
    return tmp_path


def test_a_report(ivl_command, data):
    shown = ivl_command("data", "check", data / "train.jsonl", "--val", data / "val.jsonl", "--samples", 1)
    assert shown.code == 1
    assert "train.jsonl: 12 records, 1 of them bad" in shown.out
    assert "missing file (1)\n  train.jsonl:6: picture 'b.png' does not exist" in shown.out
    assert "val.jsonl:1 equals train.jsonl:1" in shown.out
    assert "1 pictures stand in two splits" in shown.out
    assert "What 0?<|im_end|><|im_start|>assistant\n[[Red.<|im_end|>]]" in shown.out
    assert "1 of 13 records cannot be used (7.7%); training leaves them out and says so, unless" in shown.out
    assert "\x1b" not in shown.out


def test_a_recipes_data_are_read_as_training_reads_them(ivl_command, data):
    recipe = data / "recipe.yaml"
    recipe.write_text(f"data_root: {data}\ndata_path: train.jsonl\nval_data_path: val.jsonl\nmax_length: 150\n")
    shown = ivl_command("data", "check", "--recipe", recipe, "--samples", 0)
    assert shown.code == 1
    assert "train.jsonl:6: picture 'b.png' does not exist" in shown.out
    assert "val.jsonl:1 equals train.jsonl:1" in shown.out
    short = ivl_command("data", "check", "--recipe", recipe, "--samples", 0, "--max-length", 20)
    assert "max_length is 20" in short.out


@pytest.mark.parametrize("args", [[], ["a.json", "--recipe", "r.yaml"]], ids=str)
def test_files_or_a_recipe_are_needed(ivl_command, args):
    shown = ivl_command("data", "check", *args)
    assert shown.code == 2
    assert "name data files, or a recipe with --recipe" in shown.err


def test_good_data(ivl_command, data):
    shown = ivl_command("data", "check", data / "val.jsonl", "--samples", 0)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.endswith("ok      all 1 records can be used\n")


def test_json_and_page(ivl_command, data):
    shown = ivl_command("data", "check", data / "train.jsonl", "--json", "--html", data / "check.html")
    report = json.loads(shown.out)
    assert shown.code == 1
    assert (report["num_records"], report["num_bad"], report["rules"]) == (12, 1, {"missing file": 1})
    assert [fault["where"] for fault in report["faults"]] == ["train.jsonl:6"]
    assert report["splits"][0]["num_tiles"]["max"] == 1
    assert len(report["samples"]) == 3
    assert f"written to {data / 'check.html'}" in shown.err
    page = (data / "check.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.count("<section>") == 3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["missing.jsonl"], "does not exist"),
        (["val.jsonl", "--image-folder", "nowhere"], "image_folder"),
        (["val.jsonl", "--max-length", "3"], "max_length=3"),
        (["val.jsonl", "--max-tiles", "999"], "max_dynamic_patch=999"),
        (["val.jsonl", "--html", "no/such/folder.html"], "cannot write the page"),
        (["val.jsonl", "--model", "no-such-model"], "no-such-model"),
    ],
)
def test_mistakes_are_one_line(ivl_command, data, monkeypatch, args, message):
    monkeypatch.chdir(data)
    shown = ivl_command("data", "check", *args, "--workers", 0)
    assert shown.code == 1
    assert message in shown.err
    assert len(shown.err.splitlines()) == 1


def test_no_path_is_a_wrong_command_line(ivl_command):
    assert ivl_command("data", "check").code == 2


def test_progress_where_nobody_watches(capsys, monkeypatch):
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with reading_progress() as tell:
        for done in range(1, 7):
            tell("a", done, 6)
    assert capsys.readouterr().err.splitlines() == ["a: 3 of 6 records read", "a: 6 of 6 records read"]


def test_progress_on_a_terminal(capsys, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with reading_progress() as tell:
        tell("a[red]", 1, 2)
        tell("a[red]", 2, 2)
    assert "records read" not in capsys.readouterr().err
