"""`ivl eval`: what it prints, writes and returns, also when it is stopped, gone on with, or given nonsense."""

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

import ivl.evals.runner
import ivl.evals.subjects
from evals.made_results import made_up
from foodieqa_folder import entry, write_foodieqa
from ivl.cli.eval import METRICS, SETTINGS
from ivl.cli.eval import eval as evaluation
from ivl.cli.eval_progress import answering_progress
from ivl.cli.eval_telling import default_out
from ivl.evals.item import Metric
from ivl.evals.runner import Progress
from ivl.evals.settings import EvalSettings
from ivl.zoo import sample_pictures

ROWS = [
    ["index", "image_path", "question", "A", "B", "answer"],
    ["1", "a.png", "What is this?", "hot dog", "pizza", "A"],
    ["2", "a.png", "Which food is it?", "rice", "hot dog", "B"],
    ["3", "gone.png", "What is this?", "rice", "hot dog", "B"],
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, with a set of three questions, one of which has no picture."""
    (tmp_path / "a.png").write_bytes(sample_pictures()[0].read_bytes())
    (tmp_path / "mine.tsv").write_text("".join("\t".join(row) + "\n" for row in ROWS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_model(monkeypatch):
    """Nothing is asked: a run gives made-up results at once."""
    monkeypatch.setattr(ivl.evals.runner, "evaluate", lambda *_: made_up(4))


def test_a_run_and_the_same_again(ivl_command, place):
    shown = ivl_command("eval", "mine.tsv", "--device", "cpu")
    assert shown.code == 0, shown.err
    assert shown.out.splitlines()[0].split() == ["set", "metric", "n", "zoo"]
    assert "mine  right letters  2  " in shown.out
    assert "mine.tsv:4" in shown.err
    assert "mine: 1 record left out; the report names them" in shown.err
    out = place / "runs/eval-mine"
    assert f"report: {out.relative_to(place) / 'report.html'}" in shown.err
    assert {each.name for each in out.iterdir()} >= {"predictions", "report.html", "report.md", "results.json"}
    first = json.loads((out / "results.json").read_text("utf-8"))
    again = ivl_command("eval", "mine.tsv", "--device", "cpu", "--json")
    assert "zoo, mine: 2 of 2 answers are there from an earlier run" in again.err
    assert json.loads(again.out)["sets"][0]["results"][0]["score"] == first["sets"][0]["results"][0]["score"]


def test_dry_run(ivl_command, place, monkeypatch):
    monkeypatch.setattr(ivl.evals.subjects, "make_subjects", None)
    shown = ivl_command("eval", "mine.tsv", "--dry-run", "-m", "no/such-model", "--limit", 1)
    assert (shown.code, shown.err) == (0, "")
    for words in (
        "mine: 1 item, right letters",
        "mine.tsv:4",
        "What is this?",
        "B. pizza",
        "asked of no/such-model: 1",
    ):
        assert words in shown.out, words
    assert not (place / "runs").exists()


def test_dry_run_of_foodieqa_as_json(ivl_command, tmp_path):
    folder = write_foodieqa(tmp_path / "FoodieQA", [entry(number) for number in range(6)])
    shown = ivl_command("eval", "foodieqa", folder, "--language", "zh", "--dry-run", "--json")
    (data,) = json.loads(shown.out)["sets"]
    assert (data["num_items"], data["num_prompts"], data["num_questions"]) == (6, 4, 24)
    assert data["licence"]
    assert "我选择（" in data["prompts"][3]


def test_licence_and_table(ivl_command, tmp_path, no_model):
    folder = write_foodieqa(tmp_path / "FoodieQA", [entry(0)])
    shown = ivl_command("eval", "foodieqa", folder, "--out", tmp_path / "out")
    assert shown.code == 0
    assert "evaluation" in shown.err
    assert "against nano, in points" in shown.out
    assert (tmp_path / "out/report.html").exists()


def test_ctrl_c_says_how_to_go_on(ivl_command, place, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ivl.evals.runner, "evaluate", stopped)
    shown = ivl_command("eval", "mine.tsv", "--out", "here")
    assert shown.code == 130
    assert "the answers so far are kept in here; the same command goes on with the rest" in shown.err
    assert not (place / "here/report.html").exists()


@pytest.mark.parametrize(
    ("args", "code", "named"),
    [
        ([], 2, "SET"),
        (["fodo"], 1, "did you mean 'food'?"),
        (["food:stiles"], 1, "allowed are food:styles, food:dishes"),
        (["foodieqa"], 1, "foodieqa FOLDER"),
        (["foodieqa", "nowhere"], 1, "nowhere"),
        (["gone.tsv"], 1, "gone.tsv"),
        (["a.png"], 1, "a.png"),
        (["mine.tsv", "--metric", "bleu"], 2, "bleu"),
        (["mine.tsv", "--task", "sivqq"], 1, "sivqa"),
        (["mine.tsv", "--language", "fr"], 2, "fr"),
        (["mine.tsv", "--limit", "0"], 2, "--limit"),
        (["mine.tsv", "--dtype", "float8"], 1, "float8"),
        (["mine.tsv", "--max-tiles", "9999"], 1, "max_tiles=9999"),
        (["mine.tsv", "-m", "no-such-model"], 1, "no-such-model"),
        (["mine.tsv", "--adapter", "food=nowhere"], 1, "nowhere"),
        (["mine.tsv", "-m", "zoo", "-m", "zoo"], 1, "two subjects are named 'zoo'"),
    ],
    ids=str,
)
def test_mistakes_are_one_line(ivl_command, place, args, code, named):
    shown = ivl_command("eval", *args)
    assert (shown.code, shown.out) == (code, "")
    line = shown.err.splitlines()[-1]
    assert line.startswith("error: ")
    assert named in line
    assert not (place / "runs").exists()


def test_options_are_those_of_the_evaluation():
    assert get_args(Metric) == METRICS
    assert {field.name for field in fields(EvalSettings)} == set(SETTINGS)


def test_commands_on_the_page_are_well_formed():
    page = Path(__file__).parents[2] / "docs/evaluation.md"
    lines = re.findall(r"^ivl eval (.*)$", page.read_text("utf-8"), re.MULTILINE)
    assert len(lines) >= 4
    for line in lines:
        evaluation.make_context("eval", shlex.split(line, comments=True))


def test_help_teaches(ivl_command):
    shown = ivl_command("eval", "--help")
    for words in (
        "ivl eval foodieqa path/to/FoodieQA",
        "easy-vqa",
        "--adapter NAME=FOLDER",
        "food:dishes",
        "index, image_path",
    ):
        assert words in shown.out, words


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        (["food"], "runs/eval-food"),
        (["food:styles", "general"], "runs/eval-food-styles-general"),
        (["foodieqa", "/data/Foodie QA/"], "runs/eval-foodieqa-Foodie-QA"),
        (["../a/mine.tsv", "easy-vqa"], "runs/eval-mine-easy-vqa"),
        ([".."], "runs/eval-sets"),
    ],
)
def test_default_out(words, folder):
    assert default_out(words).as_posix() == folder


def asking(done, total=4, *, reused=0, failed=0, stage="asking", notice=""):
    return Progress(
        stage=stage, subject="nano[red]", set_name="food", done=done, total=total, num_failed=failed, all_done=done,
        all_total=2 * total, all_reused=reused, notice=notice,
    )  # fmt: skip


def test_progress_where_nobody_watches(capsys, monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with answering_progress() as tell:
        tell(asking(1, reused=1))
        tell(asking(1, reused=1, stage="opening"))
        tell(asking(0, stage="notice", notice="a\x1b[31m line"))
        for done in (2, 3, 4):
            tell(asking(done, reused=1, failed=1))
    assert capsys.readouterr().err.splitlines() == [
        "nano[red], food: 1 of 4 answers are there from an earlier run",
        "nano[red]: loading ...",
        "a[31m line",
        "nano[red], food: 3 of 4 answers (3 of 8 of the run, 0.125 a second, 0:40 left), 1 could not be answered",
        "nano[red], food: 4 of 4 answers (4 of 8 of the run, 0.125 a second, 0:32 left), 1 could not be answered",
    ]


def test_progress_on_a_terminal(capsys, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with answering_progress() as tell:
        tell(asking(0, stage="opening"))
        for done in range(5):
            tell(asking(done))
        tell(asking(0, stage="notice", notice="its answers are [new]"))
    shown = capsys.readouterr().err
    assert "nano[red] · food: 4 answers" in shown
    assert "its answers are [new]" in shown
    assert "from an earlier run" not in shown
