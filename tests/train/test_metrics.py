import json
from dataclasses import fields

import pytest

from ivl.train.events import Notice, Saved, StepEnd
from ivl.train.metrics import MetricsLog, Recorder, read_history, read_metrics
from train.made_up_run import answer, run_end, run_start, step_end, validation, whole_run


def log(path, events, first_step=0, **options):
    metrics = MetricsLog(path, first_step, clock=lambda: 1234.5678, **options)
    for event in events:
        metrics(event)
    metrics.close()


def test_every_event_is_a_line_with_all_its_numbers(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log(path, whole_run())
    records = read_metrics(path)
    assert [record["kind"] for record in records[:3]] == ["run_start", "validation", "step"]
    assert records[-1]["kind"] == "run_end"
    assert len(records) == 1 + 20 + 5 + 4 + 1
    assert all(record["time"] == 1234.568 for record in records)
    step = next(record for record in records if record["kind"] == "step")
    assert {field.name for field in fields(StepEnd)} <= set(step)
    assert (step["step"], step["loss"], step["tokens_per_second"], step["samples_per_second"]) == (1, 1.95, 2000, 8)
    assert step["mfu"] == 5e5 / 0.5 / (2 * 1e6)


def test_the_line_is_on_the_disk_before_the_next_event(tmp_path):
    metrics = MetricsLog(tmp_path / "metrics.jsonl", 0)
    metrics(step_end(1))
    assert json.loads((tmp_path / "metrics.jsonl").read_text("utf-8"))["step"] == 1
    metrics.close()


def test_validation_counts_right_answers_and_their_length(tmp_path):
    records = Recorder().add(validation(5, answer("a", " tofu\n"), answer("b", "soup!!")))
    assert records == [
        {"kind": "validation", "step": 5, "loss": 1.0, "exact_match": 0.5, "num_answers": 2, "mean_characters": 6.0}
    ]
    assert Recorder().add(validation(5))[0]["mean_characters"] is None


def test_without_a_known_peak_there_is_no_mfu():
    recorder = Recorder()
    recorder.add(run_start(flops_per_second=None))
    assert "mfu" not in recorder.add(step_end(1))[0]


def test_steps_are_gathered_and_nothing_is_lost():
    recorder = Recorder(log_steps=4)
    assert [recorder.add(step_end(step, loss=step, memory_bytes=step)) for step in (1, 2, 3)] == [[], [], []]
    (record,) = recorder.add(step_end(4, loss=10.0, memory_bytes=1, lr=5e-5))
    assert (record["step"], record["num_steps"], record["loss"], record["memory_bytes"]) == (4, 4, 4.0, 3)
    assert (record["num_tokens"], record["seconds"], record["lr"]) == (4000, 2.0, 5e-5)
    recorder.add(step_end(5))
    before, saved = recorder.add(Saved(step=5, path="x", seconds=1))
    assert (before["step"], before["num_steps"], saved["kind"]) == (5, 1, "saved")
    recorder.add(step_end(6))
    assert [record["step"] for record in recorder.flush()] == [6]
    assert recorder.flush() == []


def test_steps_that_wait_are_written_when_a_run_breaks(tmp_path):
    log(tmp_path / "metrics.jsonl", [run_start(), step_end(1), step_end(2)], log_steps=10)
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == [0, 2]


def test_a_notice_has_the_step_it_came_after(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log(path, [Notice(text="before"), run_start(7), step_end(8), Notice(text="later")], first_step=7)
    history = read_history(path)
    assert [(record["step"], record["text"]) for record in history.notices] == [(7, "before"), (8, "later")]


@pytest.mark.parametrize("died_at", [10, 12, 14])
def test_a_resumed_run_has_one_true_history(tmp_path, died_at):
    path = tmp_path / "metrics.jsonl"
    log(path, whole_run(last_step=died_at))
    log(path, whole_run(first_step=10), first_step=10)
    whole = tmp_path / "whole.jsonl"
    log(whole, whole_run())
    resumed, uninterrupted = read_history(path), read_history(whole)
    assert resumed.steps == uninterrupted.steps
    assert resumed.validations == uninterrupted.validations
    assert resumed.saved == uninterrupted.saved
    assert resumed.end == uninterrupted.end
    assert [record["step"] for record in resumed.starts] == [0, 10]


def test_a_history_counts_what_was_done_last(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log(path, [run_start(), validation(5, loss=3.0), run_end(5, finished=False)])
    assert read_history(path).end is not None
    log(path, [run_start(5), validation(5, loss=2.0)], first_step=5)
    history = read_history(path)
    assert history.curve("loss", of_validation=True) == [(5, 2.0)]
    assert history.end is None
    assert history.last_step == 5


def test_values_that_were_no_numbers_are_gaps(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log(path, [step_end(1, grad_norm=float("inf")), step_end(2)])
    assert read_history(path).curve("grad_norm") == [(2, 1.0)]
