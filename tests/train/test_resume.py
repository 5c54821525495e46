"""A run that was stopped goes on as if it had never been: the same weights, optimizer and figures, to the bit."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny_run
from ivl.data.settings import DataSource
from ivl.errors import TrainingError
from ivl.train.config import TrainConfig
from ivl.train.events import Event, StepEnd
from ivl.train.trainer import Trainer
from tiny_run import Result, train

from .conftest import Parts

Recipe = Callable[..., TrainConfig]


class _Signaller:
    """An observer that has the run told to stop after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, event: Event) -> None:
        if isinstance(event, StepEnd) and event.step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)

    def close(self) -> None:
        pass


@contextmanager
def stopping_after(step: int) -> Iterator[None]:
    """Runs within get a SIGTERM when they tell of `step`: they do one more step, save and stop."""
    from ivl.train import run as module

    make = module.make_observers
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "make_observers", lambda *given: [*make(*given), _Signaller(step)])
        yield


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@contextmanager
def dying_at(step: int) -> Iterator[None]:
    """Runs within break off when they begin `step`."""
    do = Trainer._step

    def watched(self: Trainer, number: int, *rest: object) -> object:
        if number == step:
            raise Killed
        return do(self, number, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_step", watched)
        yield


def assert_identical(one: Result, other: Result) -> None:
    assert one.files.keys() == other.files.keys()
    for file, tensors in one.files.items():
        assert tensors.keys() == other.files[file].keys()
        for name, tensor in tensors.items():
            assert torch.equal(tensor, other.files[file][name]), f"{file}: {name}"
    assert one.steps == other.steps


def as_resumed(config: TrainConfig) -> TrainConfig:
    return replace(config, resume=True)


def everything(parts: Parts) -> dict[str, object]:
    """A recipe in which all that could differ after a resume is on."""
    return {
        "lora_dropout": 0.3,
        "packing": True,
        "pack_length": 600,
        "accumulative_counts": 2,
        "replay_path": (DataSource(path=str(parts.other)),),
        "replay_ratio": 0.5,
        "val_data_path": (DataSource(path=str(parts.other)),),
        "eval_samples": 1,
        "eval_steps": 3,
        "max_steps": 6,
        "max_epochs": 3,
        "save_steps": 2,
    }


@pytest.fixture(scope="module")
def whole(calm: pytest.MonkeyPatch, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """6 steps without a stop, with everything on."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return train(tiny_run.recipe(parts.model, parts.data, folder, **everything(parts)))


def test_a_signal_saves_and_resume_goes_on_to_the_bit(whole: Result, recipe: Recipe, parts: Parts) -> None:
    config = recipe(**everything(parts))
    with stopping_after(2):
        stopped = train(config)
    assert stopped.code == 143
    assert stopped.records[-1]["kind"] == "run_end"
    assert stopped.records[-1]["step"] == 3
    assert not stopped.records[-1]["finished"]
    assert (stopped.folder / "checkpoint-3").is_dir()
    assert not stopped.output.exists()
    left = train(as_resumed(config))
    assert left.code == 0
    assert_identical(left, whole)
    assert [each["step"] for each in left.records if each["kind"] == "run_start"] == [0, 3]
    assert not left.notices


def test_a_broken_run_goes_on_from_its_newest_checkpoint(whole: Result, recipe: Recipe, parts: Parts) -> None:
    config = recipe(**everything(parts))
    with dying_at(4), pytest.raises(Killed):
        train(config)
    assert [each["step"] for each in tiny_run.result(Path(config.work_dir)).steps][-1] == 3
    with dying_at(6), pytest.raises(Killed):
        train(as_resumed(config))
    assert_identical(train(as_resumed(config)), whole)


def test_loader_processes_change_nothing(whole: Result, recipe: Recipe, parts: Parts) -> None:
    config = recipe(**everything(parts))
    with dying_at(3), pytest.raises(Killed):
        train(config)
    assert_identical(train(replace(config, resume=True, dataloader_num_workers=2)), whole)


@pytest.mark.parametrize(
    "changes",
    [
        {"use_dora": True, "connector": "full", "vision_model": "full"},
        {"language_model": "full", "optim_type": "Muon"},
    ],
    ids=["dora and others beside", "muon"],
)
def test_every_kind_of_weight_comes_back_to_the_bit(changes: dict[str, object], recipe: Recipe) -> None:
    common = {"max_steps": 2, "batch_size": 3, "group_by_length": False, **changes}
    whole = train(recipe("whole", **common))
    config = recipe("resumed", save_steps=1, **common)
    with dying_at(2), pytest.raises(Killed):
        train(config)
    assert_identical(train(as_resumed(config)), whole)


def test_samples_left_out_before_the_stop_stay_counted(recipe: Recipe, tmp_path: Path) -> None:
    data = tiny_run.write_data(tmp_path / "own", 12)
    for number in (0, 1, 2, 4):
        tiny_run.cut_picture(data, number)
    common = {"data_path": (DataSource(path=str(data)),), "save_steps": 1}
    whole = train(recipe("whole", **common))
    config = recipe("resumed", **common)
    with dying_at(3), pytest.raises(Killed):
        train(config)
    assert_identical(train(as_resumed(config)), whole)
    assert whole.steps[-1]["num_dropped"] == 4


# What may change between a stop and a resume, and what may not.


@pytest.fixture(scope="module")
def halfway(calm: pytest.MonkeyPatch, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A run that broke at step 3 of 6, with a checkpoint of step 2; to be copied."""
    config = tiny_run.recipe(parts.model, parts.data, tmp_path_factory.mktemp("halfway") / "run", save_steps=2)
    with dying_at(3), pytest.raises(Killed):
        train(config)
    return config


@pytest.fixture
def resumed(halfway: TrainConfig, tmp_path: Path) -> Callable[..., TrainConfig]:
    """The halfway run in a folder of its own, about to be resumed with changes."""
    folder = tmp_path / "copy"
    shutil.copytree(halfway.work_dir, folder)
    return lambda **changes: replace(halfway, work_dir=str(folder), resume=True, **changes)


def refusal(config: TrainConfig) -> str:
    """What a run is refused with; its folder stays as it was."""
    folder = Path(config.work_dir)
    before = (folder / "metrics.jsonl").read_bytes()
    with pytest.raises(TrainingError) as caught:
        train(config)
    assert "\n" not in str(caught.value)
    assert (folder / "metrics.jsonl").read_bytes() == before
    assert (folder / "checkpoint-2/state.json").is_file()
    return str(caught.value)


@pytest.mark.parametrize("changes", [{"batch_size": 8}, {"packing": True}, {"seed": 1}, {"accumulative_counts": 2}])
def test_other_batches_are_refused(changes: dict[str, object], resumed: Callable[..., TrainConfig]) -> None:
    line = refusal(resumed(**changes))
    assert "checkpoint-2" in line
    assert "load_from" in line


def test_other_data_is_refused(resumed: Callable[..., TrainConfig], parts: Parts, tmp_path: Path) -> None:
    assert "saw other data" in refusal(resumed(data_path=(DataSource(path=str(parts.other)),)))
    records = json.loads(parts.data.read_text("utf-8"))
    records[5]["conversations"][1]["value"] += " and more"
    shutil.copytree(parts.data.parent, tmp_path / "changed")
    changed = tmp_path / "changed/data.json"
    changed.write_text(json.dumps(records), "utf-8")
    assert "saw other data" in refusal(resumed(data_path=(DataSource(path=str(changed)),)))


def test_other_answers_of_the_same_length_are_refused(
    resumed: Callable[..., TrainConfig], parts: Parts, tmp_path: Path
) -> None:
    shutil.copytree(parts.data.parent, tmp_path / "changed")
    changed = tmp_path / "changed/data.json"
    changed.write_text(parts.data.read_text("utf-8").replace('"no"', '"on"'), "utf-8")
    assert "saw other data" in refusal(resumed(data_path=(DataSource(path=str(changed)),)))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"r": 8}, "the shape"),
        ({"language_model": "full"}, "which this recipe"),
        ({"connector": "full"}, "connector"),
        ({"target_modules": ("q_proj",)}, "does not train"),
    ],
)
def test_another_kind_of_training_is_refused(
    changes: dict[str, object], named: str, resumed: Callable[..., TrainConfig]
) -> None:
    assert named in refusal(resumed(**changes))


def test_a_changed_rate_is_told_and_micro_batches_may_be_cut_anew(resumed: Callable[..., TrainConfig]) -> None:
    left = train(resumed(lr=5e-4, batch_size=2, accumulative_counts=2))
    assert left.notices == ["resumed with another lr than before: 0.001 -> 0.0005"]
    assert len(left.losses) == 6
    assert left.code == 0


def test_fewer_steps_than_were_done_end_the_run(resumed: Callable[..., TrainConfig]) -> None:
    left = train(resumed(max_steps=1))
    assert left.code == 0
    assert left.output.is_dir()
    assert any("max_steps" in text for text in left.notices)


def test_a_finished_run_resumed_is_finished_at_once(recipe: Recipe) -> None:
    first = train(recipe(max_steps=1))
    again = train(as_resumed(recipe(max_steps=1)))
    assert again.code == 0
    assert_identical(again, first)


def test_resume_without_a_checkpoint_begins_anew_and_says_so(recipe: Recipe) -> None:
    left = train(as_resumed(recipe(max_steps=1)))
    assert left.code == 0
    assert len(left.losses) == 1
    assert len(left.notices) == 1
    assert "beginning at step 0" in left.notices[0]


def test_a_damaged_checkpoint_is_passed_over_and_told(halfway: TrainConfig, tmp_path: Path) -> None:
    config = replace(halfway, work_dir=str(tmp_path / "copy"), resume=True)
    shutil.copytree(halfway.work_dir, config.work_dir)
    newer = tmp_path / "copy/checkpoint-3"
    shutil.copytree(tmp_path / "copy/checkpoint-2", newer)
    left = train(config)
    assert len(left.notices) == 1
    assert "checkpoint-3" in left.notices[0]
    assert [each["step"] for each in left.records if each["kind"] == "run_start"][-1] == 2


def test_a_folder_that_holds_a_run_is_refused_without_resume(resumed: Callable[..., TrainConfig]) -> None:
    line = refusal(replace(resumed(), resume=False))
    assert "holds a run already" in line
    assert "--resume" in line
