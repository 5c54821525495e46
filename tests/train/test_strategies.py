"""Ranks that share weights do what one rank does, to the checkpoint; what cannot go together is said."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import tiny_run
from ivl.data.settings import DataSource
from ivl.errors import SettingsError
from ivl.train.config import TrainConfig
from ivl.train.launch import launch
from ivl.train.rank_main import config_to_json
from ivl.train.strategies import check_strategy
from tiny_run import Result, train

from .conftest import Parts

Recipe = Callable[..., TrainConfig]
# Each as (strategy, what its runs train); DeepSpeed is no part of any extra.
SHARED = {
    "fsdp2": ("fsdp2", {"connector": "full", "vision_model": "lora"}),
    "fsdp2-bfloat16": ("fsdp2", {"connector": "full", "dtype": "bfloat16", "eval_samples": 0}),
    **({name: (name, {"connector": "full"}) for name in ("zero2", "zero3")} if find_spec("deepspeed") else {}),
}


def validated(parts: Parts, **changes: object) -> dict[str, object]:
    """Two steps; validation, with an answer, at the beginning and the end."""
    source = (DataSource(path=str(parts.other)),)
    return {"max_steps": 2, "save_steps": 1, "val_data_path": source, "eval_steps": 2, "eval_samples": 1, **changes}


def copy_of(config: TrainConfig, name: str) -> TrainConfig:
    """A recipe that goes on from the first checkpoint of another's run, in a folder of its own."""
    folder = Path(config.work_dir)
    target = folder.with_name(name)
    shutil.copytree(folder, target)
    shutil.rmtree(target / "checkpoint-2")
    (target / "metrics.jsonl").unlink()
    return replace(config, work_dir=str(target), resume=True, eval_samples=0)


def launch_all(root: Path, recipes: list[TrainConfig]) -> None:
    """Runs on two ranks; raises what goes wrong."""
    (root / "recipes.json").write_text(json.dumps([config_to_json(each) for each in recipes]))
    assert launch(replace(recipes[0], work_dir=str(root)), 2, module="train.many_runs") == 0
    errors = {str(path): path.read_text() for path in root.glob("*/*.error")}
    assert not errors


@pytest.fixture(scope="module")
def recipes(calm: pytest.MonkeyPatch, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainConfig]:
    """Of every strategy, for two ranks."""
    root = tmp_path_factory.mktemp("shared")
    calm.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    common = validated(parts, batch_size=2, timeout=60)
    return {
        name: tiny_run.recipe(parts.model, parts.data, root / name, strategy=strategy, **(common | more))
        for name, (strategy, more) in SHARED.items()
    }


@pytest.fixture(scope="module")
def runs(recipes: dict[str, TrainConfig]) -> dict[str, Result]:
    """Of these recipes."""
    return launched(recipes)


@pytest.fixture(scope="module")
def resumed(recipes: dict[str, TrainConfig], runs: dict[str, Result]) -> dict[str, Result]:
    """The same runs, gone on with from their middle."""
    return launched({name: copy_of(recipe, f"{name}-again") for name, recipe in recipes.items()})


def launched(recipes: dict[str, TrainConfig]) -> dict[str, Result]:
    """What runs on two ranks have left."""
    folders = {name: Path(recipe.work_dir) for name, recipe in recipes.items()}
    launch_all(next(iter(folders.values())).parent, list(recipes.values()))
    return {name: tiny_run.result(folder) for name, folder in folders.items()}


def assert_close(one: Result, other: Result) -> None:
    """Equal but for the order of additions."""
    for table, others in ((one.trained, other.trained), (one.optimizer, other.optimizer)):
        assert table.keys() == others.keys()
        assert table, "something is saved"
        for name, tensor in table.items():
            if not name.endswith("k_proj.bias"):  # its gradient is rounding alone
                apart = (tensor.double() - others[name].double()).norm()
                assert float(apart) <= 1e-3 * float(others[name].double().norm()) + 1e-7, name


@pytest.mark.slow  # test_trainer has FSDP2 on two ranks beside one too
@pytest.mark.parametrize("name", list(SHARED))
def test_two_ranks_equal_one(name: str, runs: dict[str, Result], recipe: Recipe, parts: Parts) -> None:
    more = SHARED[name][1]
    rounding = 2e-2 if "dtype" in more else 1e-5
    two, one = runs[name], train(recipe(**(validated(parts, batch_size=4) | more)))
    assert two.losses == pytest.approx(one.losses, rel=rounding)
    assert two.validations == pytest.approx(one.validations, rel=rounding)
    norms = [[each["grad_norm"] for each in result.steps if "lr" in each] for result in (two, one)]
    assert norms[0] == pytest.approx(norms[1], rel=rounding)
    if "dtype" not in more:
        assert_close(two, one)


@pytest.mark.slow  # its ranks take ten seconds to begin; test_resume has the same on one
@pytest.mark.parametrize("name", list(SHARED))
def test_a_saved_run_goes_on(name: str, runs: dict[str, Result], resumed: dict[str, Result]) -> None:
    whole, again = runs[name], resumed[name]
    assert [each["step"] for each in again.steps if "lr" in each] == [2]
    assert again.losses == pytest.approx(whole.losses[1:], rel=1e-6)
    for name, tensor in again.trained.items():
        torch.testing.assert_close(tensor, whole.trained[name], rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_one_rank_goes_on_with_what_two_have_saved(runs: dict[str, Result], parts: Parts) -> None:
    folder = runs["fsdp2"].folder
    config = tiny_run.recipe(
        parts.model, parts.data, folder, **validated(parts, batch_size=4), **SHARED["fsdp2"][1], strategy="ddp"
    )
    again = train(copy_of(config, "fsdp2-alone"))
    assert_close(again, runs["fsdp2"])


@pytest.mark.parametrize(
    ("strategy", "changes", "message"),
    [
        ("fsdp2", {"quantization": "nf4"}, "quantization=nf4 does not work with strategy=fsdp2"),
        ("zero3", {"quantization": "nf4"}, "quantization=nf4 does not work with strategy=zero3"),
        ("zero2", {"optim_type": "Muon"}, "optim_type=Muon does not work with strategy=zero2"),
    ],
)
def test_what_does_not_go_together_is_said(strategy: str, changes: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        check_strategy(TrainConfig(**changes), strategy)
    assert "strategy=ddp" in str(caught.value)
    check_strategy(TrainConfig(**changes), "ddp")
    check_strategy(TrainConfig(**changes), "none")


def nf4_run_descends(recipe: Recipe, parts: Parts) -> None:
    """The adapter of a 4-bit base makes the base itself better too."""
    changes = {"max_epochs": 3, "lr": 3e-3, "val_data_path": (DataSource(path=str(parts.data)),), "eval_samples": 1}
    small = train(recipe("small", quantization="nf4", **changes))
    assert small.losses[-1] < small.losses[0] - 2
    assert small.validations[-1] < small.validations[0] - 2
    only = {**changes, "max_epochs": 1, "max_steps": 1, "lr": 1e-12, "load_from": str(small.output)}
    on_base = train(recipe("base", **only))
    assert on_base.validations[0] < small.validations[0] - 2


if find_spec("bitsandbytes"):  # of ivl[qlora]
    test_nf4_run_descends = nf4_run_descends
