"""Folders that are whole and folders that are not, part by part."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import ivl
from ivl.explain import checkpoint
from ivl.explain.checkpoint import check_vocabulary, checkpoint_checks

ALL = ["config", "weights", "tokenizer", "tokens", "forward"]


@pytest.fixture
def own(tiny_folder, tmp_path) -> Path:
    """A copy of a model that a test may break."""
    return Path(shutil.copytree(tiny_folder("tiny-qwen2"), tmp_path / "own"))


def look(folder):
    return [(check.name, check.level) for check in checkpoint_checks(folder)]


@pytest.mark.parametrize("name", ["tiny-internlm2", "tiny-qwen2", "tiny-phi3"])
def test_a_whole_folder(tiny_folder, name):
    checks = {check.name: check for check in checkpoint_checks(tiny_folder(name))}
    assert [(name, check.level) for name, check in checks.items()] == [(name, "ok") for name in ALL]
    assert "official layout" in checks["config"].found
    assert "as F32" in checks["weights"].found
    assert "finite logits in float32" in checks["forward"].found
    assert ("<|end|>" if name == "tiny-phi3" else "<|im_end|>") in checks["tokens"].found


def test_no_configuration(own):
    (own / "config.json").unlink()
    (check,) = checkpoint_checks(own)
    assert (check.name, check.level) == ("config", "problem")
    assert "config.json" in check.found


def test_no_weights_still_checks_the_tokenizer(own):
    (own / "model.safetensors").unlink()
    assert look(own) == [("config", "ok"), ("weights", "problem"), ("tokenizer", "ok"), ("tokens", "ok")]


def test_no_tokenizer(own):
    (own / "tokenizer.json").unlink()
    assert look(own) == [("config", "ok"), ("weights", "ok"), ("tokenizer", "problem")]


def test_a_tensor_of_another_shape_is_named(own):
    config = json.loads((own / "config.json").read_text("utf-8"))
    config["llm_config"]["intermediate_size"] += 8
    (own / "config.json").write_text(json.dumps(config), "utf-8")
    problems = [check.found for check in checkpoint_checks(own) if check.level == "problem"]
    assert problems
    assert "mlp" in problems[0]


def test_an_unknown_template(own):
    config = json.loads((own / "config.json").read_text("utf-8"))
    config["template"] = "vicuna"
    (own / "config.json").write_text(json.dumps(config), "utf-8")
    (check,) = [check for check in checkpoint_checks(own) if check.level == "problem"]
    assert "vicuna" in check.found


def test_numbers_that_are_not_finite(tiny_folder, tmp_path):
    whole, broken = tiny_folder("tiny-qwen2"), tmp_path / "broken"
    model = ivl.load_model(whole)
    with torch.no_grad():
        model.language_model.norm.weight[3] = float("nan")
    ivl.save_model(model, broken)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(whole / name, broken / name)
    *before, forward = checkpoint_checks(broken)
    assert all(check.level == "ok" for check in before)
    assert (forward.name, forward.level) == ("forward", "problem")
    assert "not finite" in forward.found


def test_a_model_that_does_not_fit_is_not_loaded(own, monkeypatch):
    monkeypatch.setattr(checkpoint, "available_memory", lambda: 1000)
    monkeypatch.setattr(checkpoint, "choose_device", lambda device: "cpu")
    *_, forward = checkpoint_checks(own)
    assert (forward.name, forward.level) == ("forward", "warning")
    assert "not run" in forward.found


def test_a_smaller_dtype_is_taken_where_only_that_fits(own, monkeypatch):
    size = sum(parameter.numel() for parameter in ivl.load_model(own).parameters())
    monkeypatch.setattr(checkpoint, "available_memory", lambda: 3 * size)
    monkeypatch.setattr(checkpoint, "choose_device", lambda device: "cpu")
    *_, forward = checkpoint_checks(own)
    assert "bfloat16" in forward.found


def test_vocabularies():
    assert check_vocabulary(100, 100).level == "ok"
    assert check_vocabulary(100, 128).level == "ok"
    assert check_vocabulary(129, 128).level == "problem"
