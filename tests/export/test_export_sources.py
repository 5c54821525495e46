"""SOURCE is a run, a checkpoint, an adapter or a model; its base is found where the run says so, or named."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from export.export_families import set_fields, write_base, write_kind
from ivl.errors import AdapterError, CheckpointError, ConfigError, HubError
from ivl.export import export, find_source
from ivl.export.source import adapter_source
from ivl.export.writing import merge_source
from ivl.model.adapter_io import read_adapter
from ivl.model.adapter_merge import merge as merge_in_memory
from ivl.model.config_io import load_config
from ivl.model.weights import load_model, save_model
from ivl.train.checkpoint import save_checkpoint
from ivl.train.output import write_run_adapter, write_run_model
from ivl.zoo import nano_folder
from random_adapter import make_adapter
from tiny_run import recipe


@pytest.fixture
def base(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    return write_base("tiny-llama", tmp_path / "InternVL2-tiny", tiny_folder)


def trained_adapter(base: Path, seed: int) -> dict[str, torch.Tensor]:
    """What a run with adapters trains, by the names that it has them under."""
    adapter = make_adapter(seed, load_config(base), ends=("q_proj", "up_proj"), rank=4)
    named = {}
    for path, weight in adapter.weights.items():
        named[f"{path}.lora_A.default.weight"], named[f"{path}.lora_B.default.weight"] = (
            weight.a.float(),
            weight.b.float(),
        )
    return named


def write_adapter_run(base: Path, run: Path) -> Path:
    """checkpoint-2, checkpoint-4 and adapter/, as `ivl train` leaves them."""
    config = recipe(base, base, run)
    for step in (2, 4):
        trained = trained_adapter(base, step)

        def write(folder: Path, trained: dict[str, torch.Tensor] = trained) -> None:
            write_run_adapter(folder, config, load_config(base), trained)

        state = {"recipe": {"path": str(base)}}
        save_checkpoint(run, step, trained={}, optimizer={}, state=state, write_output=write)  # type: ignore[arg-type]
    write_run_adapter(run / "adapter", config, load_config(base), trained_adapter(base, 6))
    return run


def merged(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    model = load_model(base)
    merge_in_memory(model, read_adapter(adapter, model))
    return dict(model.named_parameters())


def assert_holds(folder: Path, wanted: dict[str, torch.Tensor]) -> None:
    for name, parameter in load_model(folder).named_parameters():
        torch.testing.assert_close(parameter, wanted[name], atol=1e-6, rtol=1e-6, msg=name)


def test_a_run_with_adapters(base: Path, tmp_path: Path) -> None:
    run = write_adapter_run(base, tmp_path / "run")
    found = find_source(run)
    assert (found.model, found.adapter) == (base, run / "adapter")
    assert "taking the run's result, adapter" in found.notes[0]
    export(run, tmp_path / "out")
    assert_holds(tmp_path / "out", merged(base, run / "adapter"))
    assert find_source(run / "checkpoint-2").adapter == run / "checkpoint-2"
    assert find_source(run / "adapter").model == base, "the run beside it says what its base is"
    assert merge_source(base, run).adapter == run / "adapter"


def test_a_newer_checkpoint_is_told(base: Path, tmp_path: Path) -> None:
    run = write_adapter_run(base, tmp_path / "run")
    os.utime(run / "adapter" / "adapter_config.json", (1, 1))
    assert "checkpoint-4 is newer" in find_source(run).notes[0]


def test_a_run_that_has_not_ended(base: Path, tmp_path: Path) -> None:
    run = write_adapter_run(base, tmp_path / "run")
    (run / "adapter").rename(tmp_path / "gone")
    (run / "checkpoint-99").symlink_to(tmp_path / "gone")
    found = find_source(run)
    assert found.adapter == run / "checkpoint-4"
    assert found.notes[0] == "the run has not ended: taking its newest checkpoint, checkpoint-4"


def test_a_run_that_trained_the_model_itself(base: Path, tmp_path: Path) -> None:
    """checkpoint-3 holds what trained, in float32; model/ is a whole folder without the base's code."""
    config, run = load_config(base), tmp_path / "run"
    (base / "modeling_x.py").write_text("raise SystemExit('never run')\n")
    set_fields(base / "config.json", auto_map={"AutoModel": "modeling_x.X"})
    model = load_model(base)
    trained = {name: each.detach() + 0.1 for name, each in model.named_parameters() if name.startswith("connector")}
    state = {"recipe": {"path": str(base)}}
    save_checkpoint(run, 3, trained=trained, optimizer={}, state=state)  # type: ignore[arg-type]
    wanted = {name: trained.get(name, each.detach()) for name, each in model.named_parameters()}
    assert find_source(run).trained == run / "checkpoint-3"
    done = export(run, tmp_path / "from-checkpoint")
    assert done.difference == 0
    assert_holds(tmp_path / "from-checkpoint", wanted)

    write_run_model(run / "model", config, wanted, base)
    done = export(run, tmp_path / "from-model")
    assert (done.source.model, done.source.base) == (run / "model", base)
    assert_holds(tmp_path / "from-model", wanted)
    assert (tmp_path / "from-model" / "modeling_x.py").read_bytes() == (base / "modeling_x.py").read_bytes()
    assert json.loads((tmp_path / "from-model" / "config.json").read_text())["auto_map"]


def test_a_checkpoint_that_is_damaged(base: Path, tmp_path: Path) -> None:
    run = write_adapter_run(base, tmp_path / "run")
    path = run / "checkpoint-4" / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"checkpoint-4/adapter_model.safetensors is damaged: size or SHA-256"):
        export(run / "checkpoint-4", tmp_path / "out")
    assert hashlib.sha256(data).hexdigest() not in (run / "checkpoint-4" / "state.json").read_text()


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        (None, "names no base: name the model that it was trained from as base"),
        ("/data/InternVL2-2B", "says base_model_name_or_path='/data/InternVL2-2B', which is no hub id"),
        ("../../etc", "which is no hub id"),
        ("hf://a/b", "which is no hub id"),
    ],
)
def test_an_adapter_that_names_no_base_to_take(stated: str | None, problem: str, base: Path, tmp_path: Path) -> None:
    adapter = write_kind("lora", base, tmp_path / "adapter", base_model_name_or_path=stated)
    with pytest.raises(AdapterError, match=problem):
        find_source(adapter)
    assert find_source(adapter, base).model == base


def test_an_adapters_base_by_name(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("ivl.export.source.resolve", lambda name: [asked.append(name), base][1])
    for number, stated in enumerate(("InternVL2-2B", "someone/theirs", nano_folder().name)):
        adapter = write_kind("lora", base, tmp_path / f"{number}", base_model_name_or_path=stated)
        found = find_source(adapter)
    assert asked == ["OpenGVLab/InternVL2-2B", "someone/theirs"]
    assert found.model == nano_folder()


def test_another_base_than_the_adapter_names_is_told(base: Path, tmp_path: Path) -> None:
    adapter = write_kind("lora", base, tmp_path / "adapter", base_model_name_or_path="InternVL2-2B")
    assert "says that it was trained from 'InternVL2-2B'" in adapter_source(adapter, base).notes[0]
    set_fields(adapter / "adapter_config.json", base_model_name_or_path=f"org/{base.name}")
    assert adapter_source(adapter, base).notes == ()
    cached = tmp_path / "models--org--it" / "snapshots" / ("0" * 40)
    cached.parent.mkdir(parents=True)
    base.rename(cached)
    set_fields(adapter / "adapter_config.json", base_model_name_or_path="org/it")
    assert adapter_source(adapter, cached).notes == ()


def test_what_is_no_source(base: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty is no model, adapter or run: it holds none of config.json"):
        find_source(tmp_path / "empty")
    with pytest.raises(HubError, match="no such folder"):
        find_source("./nowhere")
    adapter = write_kind("lora", base, tmp_path / "adapter")
    with pytest.raises(AdapterError, match="the adapter was made for another model or another rank"):
        export(adapter, tmp_path / "out", base=nano_folder())
    model = load_model(base)
    model.config = replace(model.config, ps_version="v1")
    save_model(model, tmp_path / "v1")
    with pytest.raises(ConfigError, match="ps_version"):
        export(tmp_path / "v1", tmp_path / "out", layout="transformers")
    assert not (tmp_path / "out").exists()
