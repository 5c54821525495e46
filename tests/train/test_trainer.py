"""The loop over whole runs: what must not change a result does not, and what goes wrong is told in time."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny_run
from ivl.data.settings import DataSource
from ivl.errors import TrainingError
from ivl.model.config_io import load_config
from ivl.train.config import TrainConfig
from ivl.train.evaluation import run_forward
from ivl.train.launch import launch
from ivl.train.rank_main import config_to_json
from tiny_run import Result, train

from .conftest import Parts

Recipe = Callable[..., TrainConfig]


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Equal but for the order of additions. AdamW makes a whole step, here 1e-3, of a number whose gradient is nothing
    but rounding: so nine numbers of ten must agree to their last digits, and none may be far from a step apart."""
    assert one.keys() == other.keys()
    assert one, "something trained"
    for name, tensor in one.items():
        # A key's bias shifts all scores of a query alike: its gradient is rounding alone. The official layout joins it.
        if name.endswith(("k_proj.bias", "qkv.bias")):
            continue
        apart = (tensor - other[name]).abs().flatten()
        assert float(apart.max()) < 2e-4, name
        assert float(apart.kthvalue(max(1, len(apart) * 9 // 10)).values) < 1e-6, name


def assert_same_run(one: Result, other: Result, steps: int = 3) -> None:
    assert one.losses == pytest.approx(other.losses, rel=1e-5)
    assert len(one.losses) == steps
    assert_close(one.trained, other.trained)


@pytest.fixture(scope="module")
def eight(calm: pytest.MonkeyPatch, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """3 steps of 8 samples in one micro batch."""
    return train(tiny_run.recipe(parts.model, parts.data, tmp_path_factory.mktemp("eight") / "run", batch_size=8))


# What must not change a result.


def test_accumulated_micro_batches_equal_one_batch(eight: Result, recipe: Recipe) -> None:
    assert_same_run(train(recipe(batch_size=2, accumulative_counts=4)), eight)


@pytest.mark.parametrize("changes", [{"connector": "full"}, {"vision_model": "lora"}], ids=["connector", "vision"])
def test_micro_batches_without_a_picture_add_nothing_where_only_the_vision_side_trains(
    changes: dict[str, object], recipe: Recipe
) -> None:
    common = {"language_model": "frozen", "max_steps": 1, "group_by_length": False, **changes}
    parted = train(recipe("parted", batch_size=1, accumulative_counts=8, **common))
    assert_same_run(parted, train(recipe("whole", batch_size=8, **common)), steps=1)


@pytest.mark.parametrize("loss_weighting", ["sample", "square"])
def test_accumulation_is_exact_for_every_weighting(loss_weighting: str, eight: Result, recipe: Recipe) -> None:
    common = {"loss_weighting": loss_weighting, "max_steps": 1}
    whole = train(recipe("whole", batch_size=8, **common))
    parted = train(recipe("parted", batch_size=1, accumulative_counts=8, **common))
    assert whole.losses == pytest.approx(parted.losses, rel=1e-5)
    assert abs(whole.losses[0] - eight.losses[0]) > 1e-3 * eight.losses[0], "samples of unlike length weigh unlike"


def test_what_runs_twice_does_the_same_to_the_bit(eight: Result, recipe: Recipe) -> None:
    again = train(recipe(batch_size=8))
    assert again.steps == eight.steps
    assert all(torch.equal(tensor, eight.trained[name]) for name, tensor in again.trained.items())


def test_packs_see_what_batches_see(recipe: Recipe, parts: Parts) -> None:
    """All samples in one step, so that both take the same ones."""
    common = with_data(parts.other, max_epochs=2, max_length=480)
    packed = train(recipe("packed", packing=True, accumulative_counts=8, **common))
    batched = train(recipe("batched", batch_size=2, accumulative_counts=4, **common))
    for key in ("num_samples", "num_tokens", "num_tiles"):
        assert [each[key] for each in packed.steps] == [each[key] for each in batched.steps]
    assert_same_run(packed, batched, steps=2)


# Ranks.

RANKED = {
    "ddp": {},
    "fsdp2-full": {"strategy": "fsdp2", "language_model": "full", "connector": "full", "vision_model": "full"},
    "ddp-connector": {"language_model": "frozen", "connector": "full"},
    "fsdp2-mixed": {"strategy": "fsdp2", "connector": "full", "vision_model": "full", "vision_layers": 1},
}


@pytest.fixture(scope="module")
def on_two_ranks(calm: pytest.MonkeyPatch, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs on two ranks: micro batches of 2, two of them a step on each."""
    root = tmp_path_factory.mktemp("ranks")
    common = {"batch_size": 2, "accumulative_counts": 2, "timeout": 30}
    recipes = [tiny_run.recipe(parts.model, parts.data, root / name, **common, **more) for name, more in RANKED.items()]
    bad = tiny_run.recipe(parts.model, parts.data, root / "poisoned", **common)
    (root / "recipes.json").write_text(json.dumps([config_to_json(each) for each in (*recipes, bad)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        assert launch(replace(recipes[0], work_dir=str(root)), 2, module="train.many_runs") == 0
    errors = {path.name: path.read_text() for path in root.glob("*/*.error") if path.parent.name != "poisoned"}
    assert not errors
    return root


@pytest.mark.parametrize("name", list(RANKED))
def test_two_ranks_equal_one(name: str, on_two_ranks: Path, recipe: Recipe) -> None:
    two = tiny_run.result(on_two_ranks / name)
    one = train(recipe(batch_size=8, **RANKED[name]))
    assert two.records[0]["world_size"] == 2
    assert two.steps[0]["num_samples"] == one.steps[0]["num_samples"] == 8
    assert_same_run(two, one)
    assert_same_output(two, one)


def assert_same_output(one: Result, other: Result) -> None:
    """Every tensor of what they leave: of a model also those that did not train."""
    from safetensors.torch import load_file

    tensors = [load_file(next(each.output.glob("*model.safetensors"))) for each in (one, other)]
    assert_close(*tensors)


# What goes wrong.


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """From the third step on the loss of sample s5 is NaN; gives the trained weights as each step found them."""
    found: list[dict[str, Tensor]] = []

    def spoiled(strategy, batch, device, scale=1.0):
        found.append({name: each.detach().clone() for name, each in strategy.parameters.items()})
        total, losses = run_forward(strategy, batch, device, scale)
        if len(found) > 2 and "s5" in batch.sample_ids:
            place = batch.sample_ids.index("s5")
            losses[batch.offsets[place] : batch.offsets[place + 1]] = float("nan")
            total = total * float("nan")
        return total, losses

    monkeypatch.setattr("ivl.train.trainer.run_forward", spoiled)
    return found


def test_a_loss_that_is_no_number_stops_before_the_weights_change(
    poisoned: list[dict[str, Tensor]], recipe: Recipe, tmp_path: Path
) -> None:
    with tiny_run.parameters_seen() as seen, pytest.raises(TrainingError) as caught:
        train(recipe(save_steps=1, max_epochs=2))
    step, left = len(poisoned), tiny_run.result(tmp_path / "run")
    assert step > 2
    assert str(caught.value).startswith(f"step {step}: the loss of sample s5 is not a number")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(seen[0][1][name], tensor) for name, tensor in poisoned[-1].items())
    assert len(left.losses) == step - 1
    assert all(bool(tensor.isfinite().all()) for tensor in left.trained.values())


def test_a_gradient_that_is_no_number_stops_too(
    monkeypatch: pytest.MonkeyPatch, recipe: Recipe, tmp_path: Path
) -> None:
    def spoiled(strategy, batch, device, scale=1.0):
        total, losses = run_forward(strategy, batch, device, scale)
        total.register_hook(lambda slope: slope * float("inf"))
        return total, losses

    monkeypatch.setattr("ivl.train.trainer.run_forward", spoiled)
    with tiny_run.parameters_seen() as seen, pytest.raises(TrainingError, match=r"step 1: .*norm (nan|inf).*: s\d+, s"):
        train(recipe())
    before, after = seen[0]
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not (tmp_path / "run/adapter").exists()


def test_on_two_ranks_the_bad_sample_is_named_whoever_speaks_first(on_two_ranks: Path) -> None:
    told = {path.name: path.read_text() for path in (on_two_ranks / "poisoned").glob("*.error")}
    assert len(told) == 2
    assert all("the loss of sample s5 is not a number" in each for each in told.values()), told


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    return tiny_run.write_data(tmp_path / "own", 8)


def with_data(data: Path, **more: object) -> dict[str, object]:
    return {"data_path": (DataSource(path=str(data)),), **more}


def test_a_truncated_picture_is_left_out_counted_and_named(own_data: Path, recipe: Recipe) -> None:
    tiny_run.cut_picture(own_data, 2)
    left = train(recipe(**with_data(own_data, max_epochs=2)))
    assert sum(each["num_samples"] for each in left.steps) == 14
    assert left.steps[-1]["num_dropped"] == 2
    assert len(left.losses) == 4
    named = [text for text in left.notices if "002.png" in text or "data.json" in text]
    assert named, "the picture is named"
    assert all("\n" not in text for text in named)


def test_a_step_without_any_sample_is_passed_over_and_told(own_data: Path, recipe: Recipe) -> None:
    tiny_run.cut_picture(own_data, 2)
    left = train(recipe(**with_data(own_data, batch_size=1)))
    assert left.code == 0
    assert len(left.losses) == 7
    passed = next(text for text in left.notices if "changes nothing" in text)
    missing = {*range(1, 9)} - {each["step"] for each in left.steps}
    assert passed == f"step {missing.pop()} changes nothing: all of its samples are left out"


def test_steps_without_samples_in_a_row_stop_with_the_reason(
    own_data: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the disk is gone rather than a picture bad."""
    monkeypatch.setattr("ivl.train.trainer._PASSED_OVER", 1)
    for number in (0, 1, 2, 4, 5, 6):
        tiny_run.cut_picture(own_data, number)
    with pytest.raises(TrainingError, match=r"^step \d has nothing to train: .*data\.json.*00\d\.png") as caught:
        train(recipe(**with_data(own_data, batch_size=1)))
    assert "\n" not in str(caught.value)


# What learns, and what does not.

FULL, LORA, FROZEN = "full", "lora", "frozen"
MODES: dict[str, tuple[dict[str, object], str]] = {
    "lora": ({}, r"language_model.*lora_"),
    "rslora": ({"use_rslora": True}, r"language_model.*lora_"),
    "dora": ({"use_dora": True}, r"language_model.*lora_"),
    "full": ({"language_model": FULL}, r"language_model\."),
    "stage 1": ({"language_model": FROZEN, "connector": FULL}, r"connector\."),
    "stage 2": ({"language_model": FULL, "connector": FULL, "vision_model": FULL}, r""),
    "vision lora": ({"language_model": FROZEN, "vision_model": LORA}, r"vision_model.*lora_"),
    "last vision layer": (
        {"language_model": FROZEN, "vision_model": FULL, "vision_layers": 1},
        r"vision_model\.layers\.{last}\.",
    ),
    "lora and connector": ({"connector": FULL}, r"language_model.*lora_|connector\."),
    "muon": ({"optim_type": "Muon", "language_model": FULL}, r"language_model\."),
}


@pytest.mark.parametrize("mode", list(MODES))
def test_it_learns_and_only_what_should_changes(mode: str, recipe: Recipe, parts: Parts) -> None:
    changes, pattern = MODES[mode]
    layers = load_config(parts.model).vision.num_layers
    common = {
        "lr": 5e-3,
        "weight_decay": 0.0,
        "max_steps": 3,
        "max_epochs": 2,
        "val_data_path": (DataSource(path=str(parts.other)),),
    }
    with tiny_run.parameters_seen() as seen:
        left = train(recipe(**with_data(parts.other, eval_samples=0, **common, **changes)))
    before, after = seen[0]
    should = re.compile(pattern.replace("{last}", str(layers - 1)))
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype == torch.float32, name
        assert torch.equal(tensor, after[name]) != bool(should.match(name)), name
    assert left.validations[-1] < left.validations[0] - 0.02, left.validations
    assert left.code == 0
