"""A data set of which 5% is broken: training leaves the broken records out by rule, counts them, and says so."""

import re

import pytest

from broken_set import NUM_RECORDS, write_broken, write_pictures
from ivl.errors import DataError
from parity.tiny import write_checkpoint
from tiny_run import recipe, train


@pytest.fixture
def data(tmp_path):
    write_pictures(tmp_path)
    return write_broken(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_checkpoint("tiny-internlm2", tmp_path_factory.mktemp("model") / "model")


def test_broken_records_are_left_out_counted_and_told(data, model, tmp_path, capsys):
    path, expected = data
    done = train(recipe(model, path, tmp_path / "run", batch_size=16, max_length=1000, lr=1e-4))
    assert done.code == 0
    steps = [each for each in done.records if each["kind"] == "step"]
    # Records that a header shows to be broken are left out beforehand; the cut picture only when it is decoded.
    assert sum(each["num_samples"] for each in steps) == NUM_RECORDS - len(expected)
    assert steps[-1]["num_dropped"] == 1
    report = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert f"{NUM_RECORDS - 7} samples from {NUM_RECORDS} records; 7 left out" in report
    for rule in set(expected.values()) - {"image"}:
        assert f"1 {rule}" in report
    assert any("train.jsonl:11" in each and "cut.png" in each for each in done.notices)


def test_more_broken_records_than_allowed_stop_the_run_before_it_begins(data, model, tmp_path):
    with pytest.raises(DataError) as caught:
        train(recipe(model, data[0], tmp_path / "run", max_length=1000, max_bad_share=0.03))
    assert re.search(r"7 of 160 .*max_bad_share.*train\.jsonl:\d+.*ivl data check", str(caught.value))
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "run").glob("checkpoint-*"))
