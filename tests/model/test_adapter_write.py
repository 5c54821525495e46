"""What is written, PEFT and our own reader read alike: every number, and nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, inject_adapter_in_model
from torch import Tensor

from ivl.errors import AdapterError, CheckpointError
from ivl.model.adapter_io import Adapter, linear_shapes, read_adapter
from ivl.model.adapter_merge import merge
from ivl.model.adapter_write import (
    LoraSettings,
    TrainedAdapter,
    from_parameters,
    targets,
    to_parameters,
    whole_modules,
    write_adapter,
)
from ivl.model.names import parameter_shapes
from random_adapter import LANGUAGE, make_adapter
from random_model import CONFIG, make_model, prompt_with_tiles, random_tiles

SETTINGS = LoraSettings(r=3, lora_alpha=6, lora_dropout=0.05, base_model="OpenGVLab/InternVL2-2B")
FILES = {"adapter_config.json", "adapter_model.safetensors"}
CONNECTOR = [name for name in parameter_shapes(CONFIG) if name.startswith("connector.")]


def trained(adapter: Adapter) -> TrainedAdapter:
    return TrainedAdapter(
        lora={path: (weight.a, weight.b) for path, weight in adapter.weights.items()},
        magnitudes={path: w.magnitude for path, w in adapter.weights.items() if w.magnitude is not None},
        replaced=adapter.replaced,
    )


KINDS = {
    "lora": make_adapter(1),
    "connector": make_adapter(2, parts=("language_model",), ends=LANGUAGE, replaced=("connector.",)),
    "dora": make_adapter(3, ends=("q_proj", "fc1"), dora=True),
    "dora and vision": make_adapter(
        4, parts=("language_model",), dora=True, replaced=("vision_model.", "connector.fc2")
    ),
    "last layer": make_adapter(5, ends=("q_proj", "fc2"), replaced=("vision_model.layers.1.", "language_model.norm.")),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use_rslora", [False, True])
def test_our_reader_and_peft_read_what_is_written(kind: str, use_rslora: bool, tmp_path: Path) -> None:
    wanted = KINDS[kind]
    settings = replace(SETTINGS, use_rslora=use_rslora)
    write_adapter(tmp_path / "a", trained(wanted), settings, CONFIG)
    assert {path.name for path in (tmp_path / "a").iterdir()} == FILES
    got = read_adapter(tmp_path / "a", CONFIG)
    assert got.weights.keys() == wanted.weights.keys()
    for path, weight in got.weights.items():
        assert torch.equal(weight.a, wanted.weights[path].a)
        assert torch.equal(weight.b, wanted.weights[path].b)
        assert weight.scale == (6 / 3**0.5 if use_rslora else 2.0)
        magnitude = wanted.weights[path].magnitude
        assert weight.magnitude is magnitude is None or torch.equal(weight.magnitude, magnitude)
    assert got.replaced.keys() == wanted.replaced.keys()
    assert all(torch.equal(tensor, wanted.replaced[name]) for name, tensor in got.replaced.items())
    assert_peft_agrees(tmp_path / "a", got)


def assert_peft_agrees(folder: Path, adapter: Adapter) -> None:
    ids, tiles, ours = prompt_with_tiles(1), random_tiles(1), make_model()
    merge(ours, adapter)
    theirs = PeftModel.from_pretrained(make_model(), folder)
    torch.testing.assert_close(theirs(ids, tiles).logits, ours(ids, tiles).logits, rtol=0, atol=1e-9)
    adapted = {name.split(".lora_A")[0] for name, _ in theirs.named_parameters() if ".lora_A" in name}
    assert adapted == {f"base_model.model.{path}" for path in adapter.weights}


@pytest.mark.parametrize("use_dora", [False, True])
def test_a_model_that_peft_changed_in_place(use_dora: bool, tmp_path: Path) -> None:
    """The names under which a trainer has its parameters, there and back."""
    model = make_model()
    config = LoraConfig(r=3, lora_alpha=6, target_modules=["q_proj", "fc2"], exclude_modules=["connector.fc2"])
    config.use_dora = use_dora
    inject_adapter_in_model(config, model)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad or name in CONNECTOR}
    with torch.no_grad():
        for parameter in named.values():
            parameter.add_(torch.randn_like(parameter) / 9)
    write_adapter(tmp_path / "a", from_parameters(named), SETTINGS, CONFIG)
    adapter = read_adapter(tmp_path / "a", CONFIG)
    back = to_parameters(adapter)
    assert back.keys() == named.keys()
    assert all(torch.equal(back[name], named[name]) for name in named)
    ours = make_model()
    merge(ours, adapter)
    ids, tiles = prompt_with_tiles(1), random_tiles(1)
    torch.testing.assert_close(model.eval()(ids, tiles).logits, ours(ids, tiles).logits, rtol=0, atol=1e-9)


def test_the_settings_as_peft_writes_them(tmp_path: Path) -> None:
    write_adapter(tmp_path / "a", trained(KINDS["connector"]), SETTINGS, CONFIG)
    table = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert table["modules_to_save"] == ["connector"]
    assert table["base_model_name_or_path"] == "OpenGVLab/InternVL2-2B"
    assert {"gate_proj", "up_proj", "down_proj"} <= set(table["target_modules"])
    assert "q_proj" not in table["target_modules"], "the vision model has modules of that name, too"
    assert (table["r"], table["lora_alpha"], table["lora_dropout"]) == (3, 6, 0.05)
    for path in (tmp_path / "a").iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("given", "modules"),
    [
        ([], set()),
        (CONNECTOR, {"connector"}),
        (CONNECTOR[:1], {"connector.norm"}),
        (CONNECTOR[2:], {"connector.fc1", "connector.fc2"}),
        (["vision_model.class_embedding"], {"vision_model"}),
        (["vision_model.layers.1.scale1", "vision_model.layers.0.mlp.fc1.bias"], {
            "vision_model.layers.1", "vision_model.layers.0.mlp.fc1",
        }),
        (list(parameter_shapes(CONFIG)), {"vision_model", "connector", "language_model"}),
    ],
)  # fmt: skip
def test_whole_modules(given: list[str], modules: set[str]) -> None:
    assert whole_modules(given, CONFIG) == modules


def test_targets_name_exactly_what_is_adapted() -> None:
    language = [path for path in linear_shapes(CONFIG) if path.startswith("language_model.")]
    assert targets(linear_shapes(CONFIG), CONFIG) == sorted({path.rpartition(".")[2] for path in linear_shapes(CONFIG)})
    got = targets([path for path in language if path.endswith(("q_proj", "up_proj"))], CONFIG)
    assert got == [f"language_model.layers.{layer}.attention.q_proj" for layer in range(2)] + ["up_proj"]


def test_modules_that_did_not_train_whole_are_completed(tmp_path: Path) -> None:
    own = {"vision_model.class_embedding": torch.ones(32).double(), "connector.fc1.bias": torch.zeros(48).double()}
    adapter = replace(trained(make_adapter(parts=("language_model",))), replaced=own)
    with pytest.raises(AdapterError, match=r"is missing: adapters hold whole modules, and \['connector.fc1'"):
        write_adapter(tmp_path / "a", adapter, SETTINGS, CONFIG)
    base = dict(make_model().named_parameters())
    write_adapter(tmp_path / "a", adapter, SETTINGS, CONFIG, base)
    got = read_adapter(tmp_path / "a", CONFIG).replaced
    assert torch.equal(got["connector.fc1.bias"], torch.zeros(48).double())
    assert torch.equal(got["connector.fc1.weight"], base["connector.fc1.weight"])
    assert {name.split(".")[0] for name in got} == {"vision_model", "connector"}


Q = "language_model.layers.0.attention.q_proj"


def pair(rank: int = 3, dtype: torch.dtype = torch.float32) -> dict[str, tuple[Tensor, Tensor]]:
    return {Q: (torch.ones(rank, 48, dtype=dtype), torch.ones(48, rank, dtype=dtype))}


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (TrainedAdapter(lora={}, replaced={"connector.fc1.bias": torch.ones(48)}), "has no LoRA"),
        (TrainedAdapter(lora=pair(4)), r"has the shape \[4, 48\], but the model needs \[3, 48\]"),
        (TrainedAdapter(lora={"connector.fc9": pair()[Q]}), "a module that the model does not have"),
        (TrainedAdapter(lora=pair() | {"connector.fc1": (torch.ones(3, 128), torch.ones(48, 3))},
                        magnitudes={Q: torch.ones(48)}), "no magnitude for connector.fc1"),
        (TrainedAdapter(lora=pair(), magnitudes={Q: torch.ones(47)}), r"has the shape \[47\]"),
        (TrainedAdapter(lora=pair(), magnitudes={Q: torch.ones(48), "x": torch.ones(1)}), "for x, but no LoRA"),
        (TrainedAdapter(lora=pair(), replaced={"connector.fc9": torch.ones(1)}), "replaces 'connector.fc9', which"),
        (TrainedAdapter(lora=pair(), replaced={"connector.fc1.bias": torch.ones(1)}), r"has the shape \[1\]"),
        (TrainedAdapter(lora=pair(), replaced={f"{Q}.weight": torch.ones(48, 48)}), "both adapts and replaces"),
        (TrainedAdapter(lora=pair(dtype=torch.int8)), "numbers of type torch.int8: convert them to float32"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_not_written(adapter: TrainedAdapter, message: str, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=message):
        write_adapter(tmp_path / "a", adapter, SETTINGS, CONFIG)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(CheckpointError, match="is not empty"):
        write_adapter(tmp_path, TrainedAdapter(lora=pair()), SETTINGS, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
