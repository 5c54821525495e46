"""The three files of a report: what results.json says, that a file is whole or not there, what cannot be written."""

import json
import math
from dataclasses import replace

import pytest

from evals.made_results import choice_item, made_up, make_set, result, said
from ivl.errors import InputError
from ivl.evals.item import EvalResults, Score, Subject
from ivl.evals.report import to_json, write_report
from ivl.evals.report_data import SCHEMA, as_data, chance, make_report
from ivl.evals.report_page import render_page
from ivl.evals.report_text import markdown


def test_three_files(tmp_path):
    page = write_report(made_up(), tmp_path / "deep" / "out")
    assert page == tmp_path / "deep" / "out" / "report.html"
    assert sorted(path.name for path in page.parent.iterdir()) == ["report.html", "report.md", "results.json"]
    data = json.loads((page.parent / "results.json").read_text("utf-8"))
    assert data["schema"] == SCHEMA
    assert data["circumstances"]["command"] == "ivl eval foodieqa FOLDER"


def test_figures():
    results = made_up()
    data = as_data(make_report(results))
    choices, boxes = data["sets"]
    assert (choices["name"], choices["num_items"], choices["num_prompts"]) == ("foodieqa-sivqa-zh", 24, 2)
    assert (choices["chance"], boxes["chance"]) == (0.25, None)
    assert choices["faults"][1] == "sivqa_tidy.json, entry 78: no choices"
    assert [each["subject"] for each in choices["results"]] == ["nano", "nano+food"]
    first = results.result("foodieqa-sivqa-zh", "nano")
    assert choices["results"][0]["score"]["mean"] == first.scores[first.best_prompt].mean
    assert len(choices["results"][0]["prompts"]) == 2
    assert choices["results"][0]["slices"][0] == {
        "tag": "style", "value": "fxemoji", "mean": 0.5, "low": 0, "high": 1, "n": 2
    }  # fmt: skip


def test_every_failure_is_told():
    """Also those of a set with more mistakes than are shown; with two reasons an item is one line."""
    items = tuple(choice_item(number, images=()) for number in range(300))
    eval_set = make_set("s", items)
    failed = {7: "no memory", 251: "the picture is damaged"}
    columns = []
    for name in ("a", "b"):
        answers = [said(item, "Z", 0.0) for item in items]
        for number, reason in failed.items():
            reason = reason if number != 7 or name == "a" else "too long"
            answers[number] = said(items[number], reason, 0.0, parsed=None, finish_reason="")
        columns.append(result(name, eval_set, tuple(answers)))
    results = EvalResults(
        subjects=(Subject(name="a", folder="a"), Subject(name="b", folder="b")),
        sets=(eval_set,),
        results=tuple(columns),
        scoring="generate",
        circumstances={},
    )
    lines = [
        "sivqa_tidy.json, entry 7: no memory (a); too long (b)",
        "sivqa_tidy.json, entry 251: the picture is damaged (a, b)",
    ]
    report = make_report(results)
    assert as_data(report)["sets"][0]["failures"] == lines
    page, text = render_page(report), markdown(report)
    for line in lines:
        assert line in page
        assert line.replace("_", "\\_") in text


def test_differences_are_of_the_same_items():
    results = made_up()
    data = as_data(make_report(results))
    assert [(each["set"], each["subject"], each["baseline"]) for each in data["differences"]] == [
        ("foodieqa-sivqa-zh", "nano+food", "nano"), ("boxes", "nano+food", "nano"), (None, "nano+food", "nano")
    ]  # fmt: skip
    boxes, both = data["differences"][1:]
    means = [results.result("boxes", name).scores[0].mean for name in ("nano", "nano+food")]
    assert boxes["mean"] == pytest.approx(means[1] - means[0])
    assert boxes["low"] < boxes["mean"] < boxes["high"]
    assert boxes["verdict"] == "better"
    assert both["n"] == 47  # one item was answered by neither
    assert boxes["lengths"]["ratio"] == pytest.approx(1, abs=0.1)


def test_no_item_could_be_asked():
    """Then there is a score, of nothing but wrong answers, and no difference."""
    eval_set = make_set("lost", (choice_item(0), choice_item(1)))
    failed = tuple(said(item, "no picture", 0.0, parsed=None, finish_reason="") for item in eval_set.items)
    results = EvalResults(
        subjects=(Subject(name="a", folder="a"), Subject(name="b", folder="b")),
        sets=(eval_set,),
        results=(result("a", eval_set, failed), result("b", eval_set, failed)),
        scoring="generate",
        circumstances={},
    )
    report = make_report(results)
    assert report.differences == ()
    assert as_data(report)["sets"][0]["results"][0]["num_failed"] == 2


def test_captions_are_not_pooled():
    results = made_up()
    captions = replace(results.sets[1], metric="cider")
    report = make_report(replace(results, sets=(results.sets[0], captions)))
    assert [each.set_name for each in report.differences] == ["foodieqa-sivqa-zh", "boxes"]


def test_chance():
    two = choice_item(0, choices=("a", "b"), answers=("A",))
    assert chance(make_set("s", (choice_item(0), two))) == 0.375
    assert chance(make_set("s", (choice_item(0, choices=()),))) is None
    assert chance(make_set("s", ())) is None


def test_json_has_no_nan():
    assert json.loads(to_json({"a": [math.nan, math.inf, 1.5]})) == {"a": [None, None, 1.5]}


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    write_report(made_up(), tmp_path)
    before = (tmp_path / "results.json").read_bytes()

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(InputError, match=r"cannot be written to .*No space left on device; name another folder"):
        write_report(made_up(4), tmp_path)
    assert (tmp_path / "results.json").read_bytes() == before
    assert not list(tmp_path.glob("*.partial")) + list(tmp_path.glob(".*.partial"))


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match=r"cannot be written to .*out"):
        write_report(made_up(4), tmp_path / "out")


def test_half_a_character_is_written(tmp_path):
    results = made_up(4)
    broken = replace(results, circumstances={"command": "ivl eval \ud800"})
    page = write_report(broken, tmp_path)
    json.loads((page.parent / "results.json").read_text("utf-8"))


def test_a_verdict_needs_the_whole_interval():
    results = made_up()
    (each, *_) = make_report(results).differences
    verdicts = [
        replace(each, score=Score(mean=mean, low=low, high=high, n=9)).verdict
        for mean, low, high in ((0.1, 0.01, 0.2), (0.1, 0.0, 0.2), (-0.1, -0.2, -0.01), (-0.1, -0.2, 0.01))
    ]
    assert verdicts == ["better", "same", "worse", "same"]
