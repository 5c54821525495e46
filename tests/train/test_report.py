import base64
import sys

import pytest

from ivl.train.config import TrainConfig
from ivl.train.events import Notice
from ivl.train.metrics import MetricsLog
from ivl.train.report import LARGEST_PICTURE, ReportWriter, Sample, read_samples, settings_of, versions
from train.made_up_run import answer, run_end, run_start, small_png, step_end, validation, whole_run


def follow(work_dir, events, first_step=0, closes=True, clock=None, **settings):
    """What the report said; the files are in work_dir."""
    said = []
    metrics = MetricsLog(work_dir / "metrics.jsonl", first_step)
    options = {"clock": clock} if clock else {}
    report = ReportWriter(
        TrainConfig(**settings), work_dir, first_step, ["food: 6,543 samples"], said.append, **options
    )
    for event in events:
        metrics(event)
        report(event)
    if closes:
        metrics.close()
        report.close()
    return said


@pytest.fixture(autouse=True)
def no_plot(monkeypatch, request):
    """Drawing takes a second; only the tests of drawing draw."""
    drawn = []
    if "plotted" not in request.fixturenames:
        monkeypatch.setattr("ivl.train.plot.draw_history", lambda history, path: drawn.append(path))
    return drawn


@pytest.fixture
def plotted():
    """Real drawing."""


def page(work_dir):
    return (work_dir / "report.html").read_text("utf-8")


def test_the_page_is_written_at_each_validation_and_at_the_end(tmp_path, no_plot):
    follow(tmp_path, [run_start()], closes=False)
    assert not (tmp_path / "report.html").exists()
    follow(tmp_path, [run_start(), validation(0)], closes=False)
    assert ">running<" in page(tmp_path)
    assert no_plot == []  # nothing to draw before the first step
    follow(tmp_path, whole_run())
    assert ">finished<" in page(tmp_path)
    assert no_plot[-1] == tmp_path / "plot.png"


def test_a_run_that_was_stopped_and_one_that_broke(tmp_path):
    follow(tmp_path, [run_start(), step_end(1), run_end(1, finished=False)])
    assert "stopped; resume goes on" in page(tmp_path)
    follow(tmp_path, [run_start(), step_end(1)])
    assert "ended by an error" in page(tmp_path)


def test_a_run_that_never_began_leaves_the_old_page(tmp_path):
    (tmp_path / "report.html").write_text("old")
    follow(tmp_path, [Notice(text="x")])
    assert page(tmp_path) == "old"


def test_answers_stand_beside_those_of_step_0_changed_ones_first(tmp_path):
    before = [answer("a", "tofu"), answer("b", "fish"), answer("c", "tofu"), answer("d", "rice"), answer("e", "egg")]
    after = [answer("a", "tofu"), answer("b", "fish"), answer("c", "soup"), answer("d", "tofu"), answer("e", "yam")]
    follow(tmp_path, [run_start(), validation(0, *before), validation(5, *before), validation(10, *after)])
    samples, steps = read_samples(tmp_path / "answers.jsonl")
    assert steps == (0, 10)
    assert [(each.sample_id, each.verdict) for each in samples] == [
        ("d", "gained"), ("c", "lost"), ("e", "changed"), ("b", "wrong"), ("a", "right"),
    ]  # fmt: skip
    assert (samples[0].before, samples[0].after) == ("rice", "tofu")


def test_step_0_outlives_a_resume_and_the_steps_done_again_do_not(tmp_path):
    follow(tmp_path, whole_run(last_step=14), closes=False)
    assert read_samples(tmp_path / "answers.jsonl")[1] == (0, 10)
    follow(tmp_path, whole_run(first_step=5, last_step=9), first_step=5)
    samples, steps = read_samples(tmp_path / "answers.jsonl")
    assert steps == (0, 5)
    assert samples[0].before == "a bowl of something red"
    assert samples[0].picture is not None
    follow(tmp_path, whole_run(first_step=5), first_step=5)
    assert [each.after for each in read_samples(tmp_path / "answers.jsonl")[0]] == ["tofu", "soup 20"]
    assert "resumed after step 5" in page(tmp_path)


def test_a_validation_that_is_done_again_counts_once(tmp_path):
    follow(tmp_path, [run_start(), validation(0, answer("a", "rice")), validation(5, answer("a", "egg"))])
    follow(tmp_path, [run_start(5), validation(5, answer("a", "tofu"))], first_step=5)
    samples, _ = read_samples(tmp_path / "answers.jsonl")
    assert [(each.before, each.after) for each in samples] == [("rice", "tofu")]


def test_records_with_one_id_and_question_are_told_apart(tmp_path):
    follow(
        tmp_path,
        [
            run_start(),
            validation(0, answer("a", "one"), answer("a", "two")),
            validation(5, answer("a", "1"), answer("a", "2")),
        ],
    )
    samples, _ = read_samples(tmp_path / "answers.jsonl")
    assert [(each.before, each.after) for each in samples] == [("one", "1"), ("two", "2")]


def test_one_validation_alone_has_no_before(tmp_path):
    follow(tmp_path, [run_start(), validation(0, answer("a", "tofu"))])
    (sample,), steps = read_samples(tmp_path / "answers.jsonl")
    assert (sample.before, sample.verdict, steps) == (None, "right", (0, 0))


def test_a_picture_is_kept_once_and_only_if_it_is_a_small_png(tmp_path):
    png = small_png()
    answers = [
        answer("a", "1", image=png),
        answer("b", "2", image=b"<svg onload=alert(1)>"),
        answer("c", "3", image=png + b"\0" * LARGEST_PICTURE),
        answer("d", "4"),
    ]
    follow(tmp_path, [run_start(), validation(0, *answers), validation(5, *answers)])
    kept = base64.b64encode(png).decode()
    assert (tmp_path / "answers.jsonl").read_text("utf-8").count(kept) == 1
    samples, _ = read_samples(tmp_path / "answers.jsonl")
    assert {each.sample_id: each.picture for each in samples} == {"a": kept, "b": None, "c": None, "d": None}


def test_drawing_takes_a_small_share_of_the_time(tmp_path, monkeypatch, no_plot):
    now = [0.0]

    def draw(history, path):
        now[0] += 2.0
        no_plot.append(now[0])

    monkeypatch.setattr("ivl.train.plot.draw_history", draw)
    events = [run_start(), step_end(1), *(validation(step) for step in range(1, 40)), run_end(40)]

    def seconds():
        now[0] += 1.0
        return now[0]

    follow(tmp_path, events, clock=seconds)
    assert 2 <= len(no_plot) <= 4
    assert no_plot[-1] > 40


def test_without_matplotlib_there_is_a_page_and_one_line(tmp_path, plotted, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert follow(tmp_path, whole_run()) == ["plot.png needs matplotlib: pip install 'ivl[plot]'"]
    assert ">finished<" in page(tmp_path)


def test_damaged_answers_are_removed_and_told(tmp_path):
    follow(tmp_path, [run_start(), validation(0, answer("a", "tofu"))])
    with (tmp_path / "answers.jsonl").open("a") as file:
        file.write('nonsense\n{"step": 5, "num_answers": 0}\n')
    assert follow(tmp_path, [run_start(5)], first_step=5) == ["answers.jsonl: 1 damaged lines were removed"]
    assert len(read_samples(tmp_path / "answers.jsonl")[0]) == 0


def test_a_programming_error_is_not_hidden(tmp_path):
    with pytest.raises(AssertionError, match="before RunStart"):
        follow(tmp_path, [step_end(1)])


def test_given_fields_come_first():
    settings = settings_of(TrainConfig(lr=1e-3, r=16))
    assert [each.name for each in settings if each.is_given] == [each.name for each in settings[:2]]
    assert {each.name for each in settings[:2]} == {"lr", "r"}


def test_versions_name_what_is_installed():
    found = versions()
    assert {"ivl", "Python", "torch"} <= set(found)
    assert "deepspeed" not in found or found["deepspeed"]


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ("fish", " tofu ", "gained"),
        ("tofu", "fish", "lost"),
        ("fish", "egg", "changed"),
        ("fish", "fish\n", "wrong"),
        (None, "fish", "wrong"),
        (None, "tofu", "right"),
    ],
)
def test_verdicts(before, after, verdict):
    sample = Sample(sample_id="a", question="?", expected="tofu", before=before, after=after, picture=None)
    assert sample.verdict == verdict
