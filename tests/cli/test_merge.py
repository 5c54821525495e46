"""`ivl merge`: what is typed and what is told; what it makes is tested in tests/export."""

import json
from pathlib import Path

import pytest
import torch

import ivl
from ivl.model.config_io import load_config
from ivl.zoo import nano_folder
from random_adapter import make_adapter, tensors_of, write_adapter


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    """A LoRA of a few maps of the model in the package."""
    made = make_adapter(0, load_config(nano_folder()), parts=("language_model.layers.0",), ends=("q_proj", "up_proj"))
    tensors = {name: 0.2 * tensor.float() for name, tensor in tensors_of(made).items()}
    return write_adapter(tmp_path_factory.mktemp("run") / "adapter", tensors, base_model_name_or_path="other/model")


def test_merging_tells_what_it_did(adapter, tmp_path, ivl_command):
    out = tmp_path / "merged"
    done = ivl_command("merge", "zoo", adapter, "-o", out)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith(f"{out} (official layout, 1 file of weights, ")
    assert lines[1].split() == ["model", str(nano_folder())]
    assert lines[2].split() == ["adapter", str(adapter)]
    assert "compared    all " in lines[3]
    assert "at most between two logits (allowed: " in lines[4]
    assert "says that it was trained from 'other/model'" in done.err
    assert "only ivl reads this official layout" in done.err
    before, after = (ivl.load_model(folder) for folder in (nano_folder(), out))
    changed = [name for name, each in before.named_parameters() if not torch.equal(each, after.get_parameter(name))]
    assert sorted(changed) == [f"language_model.layers.0.{name}.weight" for name in ("attention.q_proj", "mlp.up_proj")]
    again = ivl_command("merge", "zoo", adapter, "-o", out)
    assert (again.code, again.out) == (1, "")
    assert again.err == f"error: {out} is not empty: nothing is overwritten; give a new folder or remove it first\n"


def test_a_dry_run_writes_nothing(adapter, tmp_path, ivl_command):
    done = ivl_command("merge", "zoo", adapter, "-o", tmp_path / "out", "--dtype", "float32", "--dry-run")
    assert done.code == 0, done.err
    assert " free)" in done.out.splitlines()[0]
    assert "would be written, official layout" in done.out
    named = {line.split()[0] for line in done.out.splitlines()[3:]}
    assert {"model.safetensors", "config.json", "tokenizer.json", "generation_config.json"} <= named
    assert list(tmp_path.iterdir()) == []


def test_types_and_tiles(adapter, tmp_path, ivl_command):
    options = ("--dtype", "float16", "--max-tiles", "2", "--no-verify")
    done = ivl_command("merge", "zoo", adapter, "-o", tmp_path / "out", *options)
    assert "not compared with its source (--no-verify)" in done.out
    raw = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (raw["torch_dtype"], raw["max_dynamic_patch"]) == ("float16", 2)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("merge",), "Missing argument 'BASE'"),
        (("merge", "zoo", "x"), "Missing option '-o'"),
        (("merge", "zoo", "nowhere", "-o", "out"), "nowhere is no folder: an adapter is a folder with"),
        (("merge", "./nowhere", "ADAPTER", "-o", "out"), "./nowhere: no such folder"),
        (("merge", "zoo", "ADAPTER", "-o", "out", "--dtype", "int8"), "'int8' is not one of"),
        (("merge", "zoo", "ADAPTER", "-o", "out", "--max-tiles", "0"), "0 is not in the range"),
    ],
)
def test_mistakes_are_one_line(words, problem, adapter, tmp_path, monkeypatch, ivl_command):
    monkeypatch.chdir(tmp_path)
    done = ivl_command(*(adapter if word == "ADAPTER" else word for word in words))
    assert done.code in (1, 2)
    assert problem in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
