"""What was written wrongly is found, told and removed; what was not is told too."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import ivl.export.writing as writing
from export.export_families import write_base, write_kind
from ivl.errors import CheckpointError
from ivl.export import export, merge
from ivl.export.stream import ModelWeights
from ivl.export.verify import compare
from ivl.model.adapter_io import read_adapter
from ivl.model.checkpoint import open_checkpoint
from ivl.model.names import Rows
from ivl.model.weights import load_model, save_model


@pytest.fixture
def base(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    return write_base("tiny-internlm2", tmp_path / "base", tiny_folder)


def weights_with(base: Path, folder: Path, changes: dict[str, Callable[[torch.Tensor], Any]]) -> ModelWeights:
    """A folder like `base`, but for some parameters."""
    model = load_model(base)
    with torch.no_grad():
        for name, change in changes.items():
            change(model.get_parameter(name))
    save_model(model, folder)
    return ModelWeights(open_checkpoint(folder))


def test_every_single_number_counts(base: Path, tmp_path: Path) -> None:
    """Also one of a token that the prompt does not have, and of a layer that no answer depends on."""
    source = ModelWeights(open_checkpoint(base))
    names = ("language_model.embed_tokens.weight", "vision_model.layers.2.mlp.fc2.bias", "connector.norm.weight")
    for number, name in enumerate(names):
        changed = weights_with(base, tmp_path / f"{number}", {name: lambda p: p.view(-1)[-1:].mul_(1 + 2e-7)})
        with pytest.raises(CheckpointError, match=rf"not its source: {name} differs in rows"):
            compare(source, changed, lambda done, total: None)


def test_an_adapter_that_did_not_get_in(base: Path, tmp_path: Path) -> None:
    adapter = write_kind("lora", base, tmp_path / "adapter")
    source = ModelWeights(open_checkpoint(base), read_adapter(adapter, load_model(base)))
    with pytest.raises(CheckpointError, match="by more than rounding"):
        compare(source, ModelWeights(open_checkpoint(base)), lambda done, total: None)


def test_logits_count_by_themselves(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the numbers compared in a wrong way, the answers would still differ."""
    monkeypatch.setattr("ivl.export.verify._check", lambda name, source, written: None)
    source = ModelWeights(open_checkpoint(base))
    for change in (lambda p: p.add_(0.01), lambda p: p.fill_(torch.nan)):
        for name in ("vision_model.layers.0.attention.q_proj.weight", "language_model.layers.2.mlp.up_proj.weight"):
            folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
            with pytest.raises(CheckpointError, match=r"logits differ by (nan|[\d.e-]+), allowed are 1e-05"):
                compare(source, weights_with(base, folder, {name: change}), lambda done, total: None)


def test_nothing_is_left_of_what_differs(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = write_kind("lora", base, tmp_path / "adapter")
    made = ModelWeights._made

    def wrong(self: ModelWeights, rows: Rows, dtype: torch.dtype) -> torch.Tensor:
        values = made(self, rows, dtype)
        return values * 1.01 if dtype == torch.float32 else values  # as it is written, not as it is compared

    monkeypatch.setattr(ModelWeights, "_made", wrong)
    with pytest.raises(CheckpointError, match="nothing is kept of it"):
        merge(base, adapter, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "base"]
    assert merge(base, adapter, tmp_path / "out", verify=False).difference is None


def test_a_config_that_says_something_else(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = writing.SideFiles._raw_config
    monkeypatch.setattr(writing.SideFiles, "_raw_config", lambda self: write(self) | {"use_thumbnail": False})
    with pytest.raises(CheckpointError, match=r"config.json does not say what .*base/config.json says"):
        export(base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_layer_is_in_memory_at_a_time(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No call reads more than one parameter, and layers are read one after another."""
    read: list[str] = []
    fill = ModelWeights._fill

    def watched(self: ModelWeights, rows: Rows, target: torch.Tensor) -> None:
        read.append(rows.name)
        fill(self, rows, target)

    monkeypatch.setattr(ModelWeights, "_fill", watched)
    weights = ModelWeights(open_checkpoint(base))
    compare(weights, weights, lambda done, total: None)
    layers = [name.split(".layers.")[1].split(".")[0] for name in read if name.startswith("language_model.layers.")]
    forward = layers[-2 * 3 * 9 :]  # two models of three layers of nine parameters, behind the comparison
    assert forward == [f"{idx}" for _ in range(2) for idx in range(3) for _ in range(9)]
    told: list[tuple[int, int]] = []
    compare(weights, weights, lambda done, total: told.append((done, total)))
    assert told == [(number, len(weights.shapes)) for number in range(1, len(weights.shapes) + 1)]
    assert json.dumps(told)
