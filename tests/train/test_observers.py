import errno
import io

import pytest

from ivl.errors import DataError, MissingExtraError, TrainingError
from ivl.train import trackers
from ivl.train.config import TrainConfig
from ivl.train.events import Notice
from ivl.train.json_lines import JsonLines
from ivl.train.metrics import read_metrics
from ivl.train.observers import Guarded, make_observers
from train.made_up_run import run_start, whole_run


def tell(observers, events):
    for event in events:
        for observer in observers:
            observer(event)
    for observer in observers:
        observer.close()


@pytest.fixture(autouse=True)
def no_plot(monkeypatch):
    monkeypatch.setattr("ivl.train.plot.draw_history", lambda history, path: path.write_bytes(b"drawn"))


def test_a_run_leaves_its_files_and_its_lines(tmp_path, capsys):
    tell(make_observers(TrainConfig(), tmp_path / "food", 0, ["food: 6,543 samples"]), whole_run())
    names = {path.name for path in (tmp_path / "food").iterdir()}
    assert names == {"metrics.jsonl", "answers.jsonl", "report.html", "plot.png"}
    page = (tmp_path / "food" / "report.html").read_text("utf-8")
    assert "food: 6,543 samples" in page
    assert "<b>20</b>" in page  # the last step's line was there before the page was made
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines()[-1].startswith("done: 20 steps")


def test_log_steps_and_damaged_lines(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_text('{"kind": "step", "step": 3}\nnonsense\n')
    tell(make_observers(TrainConfig(log_steps=4), tmp_path, 5, []), whole_run(first_step=5))
    steps = [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl") if record["kind"] == "step"]
    assert steps == [3, 8, 10, 12, 15, 16, 20]
    assert "metrics.jsonl: 1 damaged lines were removed" in capsys.readouterr().err


def test_a_full_disk_costs_lines_and_not_the_run(tmp_path, capsys, monkeypatch):
    observers = make_observers(TrainConfig(), tmp_path, 0, [])

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(JsonLines, "append", fail)
    monkeypatch.setattr("ivl.train.report.write_whole", fail)
    tell(observers, whole_run())
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert warnings == [
        "warning: metrics.jsonl is incomplete (No space left on device); the run goes on",
        "warning: report.html is incomplete (No space left on device); the run goes on",
    ]


def test_a_terminal_that_is_gone_costs_nothing(tmp_path, monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("sys.stderr", Gone())
    tell(make_observers(TrainConfig(), tmp_path, 0, []), whole_run())
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 31


def test_a_folder_that_cannot_be_written_is_named_before_the_run(tmp_path):
    (tmp_path / "food").write_text("a file")
    with pytest.raises(TrainingError, match=r"work_dir=.*food cannot be written to"):
        make_observers(TrainConfig(), tmp_path / "food", 0, [])


def test_a_missing_tracker_is_named_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda module: None)
    with pytest.raises(MissingExtraError, match="pip install swanlab"):
        make_observers(TrainConfig(report_to=("swanlab",)), tmp_path, 0, [])


def guarded(error):
    said = []

    class Fails:
        def __call__(self, event):
            raise error

        def close(self):
            raise error

    return Guarded(Fails(), "x", said.append), said


@pytest.mark.parametrize("error", [OSError("disk"), DataError("metrics.jsonl:3 is damaged")])
def test_trouble_outside_is_told_once(error):
    observer, said = guarded(error)
    observer(run_start())
    observer(Notice(text="more"))
    observer.close()
    assert said == [f"warning: x is incomplete ({error}); the run goes on"]


@pytest.mark.parametrize("error", [AssertionError("x"), KeyError("x"), TypeError("x"), KeyboardInterrupt()])
def test_an_error_of_the_program_is_not_hidden(error):
    observer, said = guarded(error)
    with pytest.raises(type(error)):
        observer(run_start())
    with pytest.raises(type(error)):
        observer.close()
    assert said == []
