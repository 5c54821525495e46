"""Runs that are killed at any moment, saving included, end as if nothing had happened."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tiny_run
from ivl.train.rank_main import config_to_json
from ivl.train.run_folder import list_checkpoints

from .conftest import Parts

TESTS = Path(__file__).parents[1]


def killed(parts: Parts, root: Path, kills: int, seed: int, steps: int) -> list[dict[str, object]]:
    """What each kill met; checks that the run ended as the one beside it that was left in peace."""
    changes = {"lora_dropout": 0.1, "batch_size": 2, "max_steps": steps, "max_epochs": 50, "save_steps": 1}
    config = tiny_run.recipe(parts.model, parts.data, root / "run", max_dynamic_patch=1, **changes)
    (root / "recipe.json").write_text(json.dumps(config_to_json(config)))
    done = subprocess.run(
        [sys.executable, str(TESTS / "train/kill_runs.py"), str(root / "recipe.json"), str(kills), str(seed)],
        env={**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(root / "cache")},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    whole, *met, last = map(json.loads, done.stdout.splitlines())
    assert whole["code"] == 0, done.stderr[-2000:]
    assert last["code"] == 0, done.stderr[-2000:]
    assert len(met) == kills
    for each in met:
        assert each["code"] == -9, each
        assert each["warnings"] == [], "whatever has a checkpoint's name is whole"
        assert (each["whole"] or 0) == each["after"] >= each["before"], each
    assert_same_end(root / "run", root / "run-whole")
    return met


def assert_same_end(resumed: Path, whole: Path) -> None:
    for name in (f"checkpoint-{list_checkpoints(whole)[0][0]}", "adapter"):
        for file in sorted((whole / name).glob("*.safetensors")):
            wanted, got = load_file(file), load_file(resumed / name / file.name)
            assert wanted.keys() == got.keys()
            assert all(torch.equal(tensor, got[key]) for key, tensor in wanted.items()), f"{name}/{file.name}"
    assert tiny_run.result(resumed).steps == tiny_run.result(whole).steps
    assert [path.name for path in resumed.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_the_one_that_was_not(parts: Parts, tmp_path: Path) -> None:
    met = killed(parts, tmp_path, kills=2, seed=3, steps=4)
    assert met[-1]["kind"] == "result"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills(parts: Parts, tmp_path: Path) -> None:
    met = killed(parts, tmp_path, kills=20, seed=20, steps=60)
    in_a_save = [each for each in met if any("checkpoint" in name for name in each["hidden"])]
    assert len(in_a_save) >= 3, "kills met saves"
    assert len({each["after"] for each in met}) >= 6, "kills met many steps"
