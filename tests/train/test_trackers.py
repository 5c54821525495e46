import sys
from importlib.machinery import ModuleSpec

import pytest
from accelerate.state import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from ivl.errors import MissingExtraError
from ivl.train import trackers
from ivl.train.config import TRACKERS, TrainConfig
from ivl.train.trackers import Trackers, plain_settings, tracker_classes
from train.made_up_run import run_start, step_end, whole_run


class FakeTracker:
    """Remembers what it is told; fails where the test wants it to."""

    fails_at = ""
    error: BaseException = ConnectionError("no\nnetwork")

    def __init__(self, **arguments):
        self.arguments, self.settings, self.told, self.calls = arguments, None, [], []
        type(self).made = self
        self._do("init")

    def start(self):
        self._do("start")

    def store_init_configuration(self, values):
        self.settings = values
        self._do("settings")

    def log(self, values, step=None):
        self.told.append((step, values))
        self._do("log")

    def finish(self):
        self._do("finish")

    def _do(self, name):
        self.calls.append(name)
        if name == self.fails_at:
            raise self.error


def fake(fails_at="", error=None):
    return type("Fake", (FakeTracker,), {"fails_at": fails_at, "error": error or FakeTracker.error})


def follow(tmp_path, classes, events=None, first_step=0, **settings):
    said = []
    config = TrainConfig(report_to=tuple(classes), **settings)
    observer = Trackers(config, tmp_path / "food", first_step, said.append, classes)
    for event in whole_run() if events is None else events:
        observer(event)
    observer.close()
    return said


def test_a_tracker_is_told_the_recipe_every_step_and_every_validation(tmp_path):
    cls = fake()
    assert follow(tmp_path, {"wandb": cls}, lr=2e-4, betas=(0.9, 0.99)) == []
    made = cls.made
    assert made.calls[:3] == ["init", "start", "settings"]
    assert made.calls[-1] == "finish"
    assert made.settings["lr"] == 2e-4
    assert made.settings["betas"] == "(0.9, 0.99)"
    steps = [(step, values) for step, values in made.told if "train/loss" in values]
    assert [step for step, _ in steps] == list(range(1, 21))
    assert steps[0][1]["train/tokens_per_second"] == 2000
    assert "train/step" not in steps[0][1]
    validations = [
        (step, values["validation/exact_match"]) for step, values in made.told if "validation/loss" in values
    ]
    assert validations == [(0, 0.5), (5, 0.5), (10, 0.5), (15, 0.5), (20, 0.5)]


def test_steps_are_gathered_as_in_the_metrics_file(tmp_path):
    cls = fake()
    follow(tmp_path, {"wandb": cls}, [run_start(), *map(step_end, range(1, 8))], log_steps=3)
    assert [step for step, _ in cls.made.told] == [3, 6, 7]


def test_each_library_is_given_the_runs_name_and_folder_in_its_own_words(tmp_path):
    classes = {name: fake() for name in TRACKERS}
    follow(tmp_path, classes, first_step=5)
    folder = str(tmp_path / "food")
    assert {name: cls.made.arguments for name, cls in classes.items()} == {
        "tensorboard": {"run_name": "tensorboard", "logging_dir": folder, "purge_step": 6},
        "wandb": {"run_name": "ivl", "name": "food", "dir": folder, "settings": {"init_timeout": 30}},
        "swanlab": {"run_name": "ivl", "experiment_name": "food", "logdir": folder},
        "trackio": {"run_name": "ivl", "name": "food"},
    }


@pytest.mark.parametrize("error", [None, SystemExit(1), ValueError("x" * 999)])
@pytest.mark.parametrize("fails_at", ["init", "start", "settings", "log", "finish"])
def test_a_tracker_that_fails_is_told_once_and_left_out(tmp_path, fails_at, error):
    broken, sound = fake(fails_at, error), fake()
    said = follow(tmp_path, {"wandb": broken, "tensorboard": sound})
    assert len(said) == 1
    assert said[0].startswith("report_to: wandb is left out from here on (")
    assert "\n" not in said[0]
    assert len(said[0]) < 300
    assert broken.made.calls.count(fails_at) == 1
    assert len(sound.made.told) == 25
    assert sound.made.calls[-1] == "finish"


def test_ctrl_c_while_a_tracker_waits_is_not_swallowed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        follow(tmp_path, {"wandb": fake("start", KeyboardInterrupt())})


def test_our_own_mistakes_are_not_swallowed(tmp_path):
    with pytest.raises(KeyError):
        follow(tmp_path, {"wandb": fake()}, ["no event"])


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_named_with_its_pip_line(name, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda module: None)
    with pytest.raises(MissingExtraError, match=f"pip install {name}$"):
        tracker_classes([name])
    with pytest.raises(MissingExtraError, match=f"pip install {name}$"):
        trackers.check_trackers([name])
    assert tracker_classes([]) == {}


def test_accelerate_missing_or_too_old(monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda module: ModuleSpec(module, None))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "accelerate.tracking", None)
        with pytest.raises(MissingExtraError, match="accelerate"):
            tracker_classes(["wandb"])
    monkeypatch.delitem(LOGGER_TYPE_TO_CLASS, "trackio")
    with pytest.raises(MissingExtraError, match="no trackio"):
        tracker_classes(["trackio"])


def test_accelerates_own_classes_are_found(monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda module: ModuleSpec(module, None))
    assert tracker_classes(TRACKERS) == {name: LOGGER_TYPE_TO_CLASS[name] for name in TRACKERS}
    assert PartialState().is_main_process


def test_settings_are_numbers_and_texts():
    values = plain_settings(TrainConfig(path="model"))
    assert all(isinstance(value, int | float | str) for value in values.values())
    assert "max_steps" not in values
