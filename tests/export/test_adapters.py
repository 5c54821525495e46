"""An adapter gives the same logits in ivl and in transformers with PEFT, whichever of the two it comes from."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoModelForImageTextToText

from ivl.errors import AdapterError, CheckpointError, SettingsError
from ivl.export.adapters import export_adapter, import_adapter
from ivl.model.adapter_io import Adapter, LowRank, read_adapter
from ivl.model.adapter_layout import ADAPTER_LAYOUTS, adapter_names
from ivl.model.adapter_merge import changed_weight, gain_of, merge
from ivl.model.config import RopeConfig
from ivl.model.internvl import InternVL
from ivl.model.weights import save_model
from random_adapter import make_adapter, tensors_of, write_adapter
from random_model import make_model, prompt_with_tiles, random_tiles

ROPE = RopeConfig(theta=1e4)
FAMILIES: dict[str, dict[str, Any]] = {
    "internlm2": {"decoder": "internlm2"},
    "qwen2": {"decoder": "qwen2", "qkv_bias": True},
    "qwen3": {"decoder": "qwen3", "qk_norm": True, "head_dim": 16},
    "llama": {"decoder": "llama"},
    "phi3": {"decoder": "phi3", "num_kv_heads": 6},
}
CASES: list[Any] = [
    pytest.param("qwen2", {"use_rslora": True}, id="qwen2-rslora"),
    pytest.param("phi3", {"use_dora": True}, id="phi3-dora"),
    *(pytest.param(family, {}, id=family, marks=pytest.mark.slow) for family in FAMILIES),
]
"""Each makes a model of transformers; the quick ones are the one with fused maps and one without."""
TOLERANCE = 1e-5
"""In float32, of logits of some tenths to a few ones."""


def model_of(family: str) -> InternVL:
    return make_model(rope=ROPE, **FAMILIES[family]).float()


def in_transformers(ours: InternVL, folder: Path) -> torch.nn.Module:
    save_model(ours, folder, layout="transformers")
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def logits_of(model: torch.nn.Module) -> Tensor:
    input_ids, tiles = prompt_with_tiles(2)[None], random_tiles(2).float()
    with torch.inference_mode():
        logits: Tensor = model(input_ids=input_ids, pixel_values=tiles).logits
    return logits


def our_folder(folder: Path, adapter: Adapter, **settings: Any) -> Path:
    """`adapter` in float32, as ivl would have trained it: LoRA small, as it comes out of a training."""
    tensors = {name: tensor.float() * (0.3 if ".lora_B" in name else 1) for name, tensor in tensors_of(adapter).items()}
    modules = sorted({name.rpartition(".")[0] for name in adapter.replaced}) or None
    return write_adapter(folder, tensors, **{"modules_to_save": modules, **settings})


def merged(ours: InternVL, folder: Path) -> InternVL:
    merge(ours, read_adapter(folder, ours))
    return ours


@pytest.mark.parametrize(("family", "settings"), CASES)
def test_our_adapter_in_peft(family: str, settings: dict[str, Any], tmp_path: Path) -> None:
    ours = model_of(family)
    replaced = ("connector.fc1", "language_model.norm")
    adapter = make_adapter(config=ours.config, dora="use_dora" in settings, replaced=replaced)
    folder = our_folder(tmp_path / "ours", adapter, **settings)
    export_adapter(folder, ours.config, tmp_path / "peft")
    theirs = in_transformers(ours, tmp_path / "base")
    before = logits_of(theirs)
    theirs = PeftModel.from_pretrained(theirs, str(tmp_path / "peft")).eval()
    after = logits_of(merged(ours, folder))
    assert (after - before).abs().max() > 0.1, "the adapter changes too little to test anything"
    torch.testing.assert_close(logits_of(theirs), after, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("family", "settings"), CASES)
def test_adapter_of_peft_in_ivl(family: str, settings: dict[str, Any], tmp_path: Path) -> None:
    ours = model_of(family)
    theirs = in_transformers(ours, tmp_path / "base")
    text = ["qkv_proj", "gate_up_proj"] if family == "phi3" else ["q_proj", "v_proj", "gate_proj"]
    wanted = [*text, "o_proj", "projection_layer", "fc1", "linear_1", "projection"]
    lora = LoraConfig(
        r=4, lora_alpha=12, target_modules=wanted, rank_pattern={"layers.1.self_attn.o_proj": 2}, **settings,
        alpha_pattern={"fc1": 5}, modules_to_save=["linear_2", "lm_head"], init_lora_weights=True,
    )  # fmt: skip
    trained = get_peft_model(theirs, lora).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, parameter in sorted((name, p) for name, p in trained.named_parameters() if p.requires_grad):
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    trained.save_pretrained(tmp_path / "peft")
    before = logits_of(ours)
    after = logits_of(merged(ours, tmp_path / "peft"))
    assert (after - before).abs().max() > 0.1
    torch.testing.assert_close(after, logits_of(trained), atol=TOLERANCE, rtol=0)
    import_adapter(tmp_path / "peft", ours.config, tmp_path / "imported")
    assert_same(read_adapter(tmp_path / "imported", ours), read_adapter(tmp_path / "peft", ours))


def assert_same(got: Adapter, wanted: Adapter) -> None:
    assert got.weights.keys() == wanted.weights.keys()
    assert got.replaced.keys() == wanted.replaced.keys()
    for name, tensor in wanted.replaced.items():
        assert torch.equal(got.replaced[name], tensor), name
    for path, weight in wanted.weights.items():
        other = got.weights[path]
        assert torch.equal(other.a, weight.a), path
        assert torch.equal(other.b, weight.b), path
        assert other.scale == pytest.approx(weight.scale, rel=1e-14)
        assert (other.magnitude is None) == (weight.magnitude is None)
        assert weight.magnitude is None or torch.equal(other.magnitude, weight.magnitude)


@pytest.mark.parametrize("layout", ADAPTER_LAYOUTS)
@pytest.mark.parametrize("family", ["internlm2", "phi3", "qwen2"])
@pytest.mark.parametrize("dora", [False, True])
def test_every_layout_changes_the_stored_weights_alike(family: str, dora: bool, layout: Any, tmp_path: Path) -> None:
    """Base + adapter, tensor by tensor as the layout stores it, is our merged model."""
    ours = make_model(rope=ROPE, **FAMILIES[family])
    adapter = make_adapter(config=ours.config, dora=dora)
    folder = write_adapter(tmp_path / "ours", tensors_of(adapter), use_dora=dora)
    names = adapter_names(ours.config, layout)
    base = {path: stored_weight(ours, path, names) for path in names.linears}
    export_adapter(folder, ours.config, tmp_path / "out", layout)
    again = read_adapter(tmp_path / "out", ours)
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text("utf-8"))["peft_type"] == "LORA"
    merge(ours, read_adapter(folder, ours))
    joined = export_parts(tmp_path / "out", names)
    for path, weight in joined.items():
        changed = changed_weight(base[path], weight)
        if dora:
            changed = changed * gain_of(base[path], weight, "test")[:, None]
        torch.testing.assert_close(changed, stored_weight(ours, path, names), atol=1e-12, rtol=0)
    assert again.weights.keys() == adapter.weights.keys(), "read again, it speaks of the same modules"


def stored_weight(model: InternVL, path: str, names: Any) -> Tensor:
    parameters = dict(model.named_parameters())
    return torch.cat([parameters[r.name].detach()[r.start : r.stop] for r in names.linears[path].rows]).clone()


def export_parts(folder: Path, names: Any) -> dict[str, LowRank]:
    """The tensors as they lie in the file, by the library's own reader."""
    from safetensors.torch import load_file

    table = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    stored = load_file(folder / "adapter_model.safetensors")
    found = {}
    for path in names.linears:
        name = f"base_model.model.{path}"
        a = stored.get(f"{name}.lora_A.weight")
        if a is not None:
            rank, alpha = len(a), table["alpha_pattern"].get(path, table["lora_alpha"])
            assert rank == table["rank_pattern"].get(path, table["r"])
            magnitude = stored.get(f"{name}.lora_magnitude_vector")
            found[path] = LowRank(
                a=a.flatten(1), b=stored[f"{name}.lora_B.weight"].flatten(1), scale=alpha / rank,
                magnitude=None if magnitude is None else magnitude.flatten(),
            )  # fmt: skip
    return found


def test_rank_grows_where_parts_are_joined_and_stays_where_they_were_one(tmp_path: Path) -> None:
    ours = model_of("phi3")
    adapter = make_adapter(config=ours.config, parts=("language_model",), ends=("q_proj", "v_proj", "o_proj"))
    export_adapter(our_folder(tmp_path / "a", adapter), ours.config, tmp_path / "b")
    table = json.loads((tmp_path / "b" / "adapter_config.json").read_text("utf-8"))
    fused = [f"model.language_model.layers.{idx}.self_attn.qkv_proj" for idx in range(2)]
    ranks = {path: table["rank_pattern"].get(path, table["r"]) for path in fused}
    assert set(ranks.values()) == {6}
    assert table["target_modules"] == ["o_proj", "qkv_proj"]
    import_adapter(tmp_path / "b", ours.config, tmp_path / "c")
    read = read_adapter(tmp_path / "c", ours)
    assert len(read.weights["language_model.layers.0.attention.k_proj"].a) == 6, "all parts share one A now"
    export_adapter(tmp_path / "c", ours.config, tmp_path / "d")
    first, second = ((tmp_path / x / "adapter_model.safetensors").read_bytes() for x in "bd")
    assert first == second, "there and back again changes nothing more"


def test_scales_that_differ_meet_in_one(tmp_path: Path) -> None:
    ours = make_model(rope=ROPE, **FAMILIES["phi3"])
    adapter = make_adapter(config=ours.config, parts=("language_model",), ends=("q_proj", "k_proj"))
    folder = write_adapter(tmp_path / "a", tensors_of(adapter), alpha_pattern={"k_proj": 1.5})
    export_adapter(folder, ours.config, tmp_path / "b")
    one, other = model_copy(ours), model_copy(ours)
    merge(one, read_adapter(folder, ours))
    merge(other, read_adapter(tmp_path / "b", ours))
    for name, parameter in one.named_parameters():
        torch.testing.assert_close(dict(other.named_parameters())[name], parameter, atol=1e-12, rtol=0)


def model_copy(model: InternVL) -> InternVL:
    copy = InternVL(model.config).double()
    copy.load_state_dict(model.state_dict())
    return copy


def test_what_would_need_the_base_is_refused(tmp_path: Path) -> None:
    ours = model_of("phi3")
    some = make_adapter(config=ours.config, parts=("language_model",), ends=("q_proj",), dora=True)
    with pytest.raises(AdapterError, match=r"DoRA for .*q_proj but not for .*k_proj.*merge it"):
        export_adapter(our_folder(tmp_path / "a", some, use_dora=True), ours.config, tmp_path / "out")
    one = "language_model.layers.0.attention.q_proj"
    part = make_adapter(config=ours.config, ends=("o_proj",), replaced=(one,))
    with pytest.raises(AdapterError, match=r"q_proj\.weight, only a part of .*qkv_proj.*merge it"):
        export_adapter(our_folder(tmp_path / "b", part), ours.config, tmp_path / "out")
    tied = make_model(tie_embeddings=True).float()
    table = make_adapter(config=tied.config, replaced=("language_model.embed_tokens",))
    with pytest.raises(AdapterError, match="which is the head as well"):
        export_adapter(our_folder(tmp_path / "c", table), tied.config, tmp_path / "out")
    whole = make_adapter(config=ours.config, ends=(), replaced=("connector.fc1",))
    with pytest.raises(AdapterError, match="no LoRA"):
        export_adapter(our_folder(tmp_path / "d", whole), ours.config, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "nothing is left behind"


def test_bad_arguments(tmp_path: Path) -> None:
    ours = model_of("qwen2")
    folder = our_folder(tmp_path / "a", make_adapter(config=ours.config))
    with pytest.raises(SettingsError, match="layout='peft' is not allowed"):
        export_adapter(folder, ours.config, tmp_path / "out", "peft")  # type: ignore[arg-type]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").write_text("mine")
    with pytest.raises(CheckpointError, match="not empty"):
        export_adapter(folder, ours.config, tmp_path / "out")
    other = replace(ours.config, text=replace(ours.config.text, intermediate_size=128))
    with pytest.raises(AdapterError, match="made for another model"):
        export_adapter(folder, other, tmp_path / "other")


@pytest.mark.parametrize(("base", "kept"), [("OpenGVLab/InternVL2-2B", True), ("/home/me/models/x", False)])
def test_a_base_on_a_hub_is_still_named(base: str, kept: bool, tmp_path: Path) -> None:
    ours = model_of("qwen2")
    folder = our_folder(tmp_path / "a", make_adapter(config=ours.config), base_model_name_or_path=base)
    export_adapter(folder, ours.config, tmp_path / "b")
    table = json.loads((tmp_path / "b" / "adapter_config.json").read_text("utf-8"))
    assert table["base_model_name_or_path"] == (base if kept else None)


def test_names_of_nobody_are_named(tmp_path: Path) -> None:
    ours = model_of("qwen2")
    tensors = {
        "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight": torch.zeros(3, 48),
        "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_B.weight": torch.zeros(48, 3),
        "base_model.model.model.language_model.layers.7.self_attn.q_proj.lora_A.weight": torch.zeros(3, 48),
    }
    with pytest.raises(AdapterError, match=r"layers\.7\.self_attn\.q_proj', a module that the model does not have"):
        read_adapter(write_adapter(tmp_path / "a", tensors, target_modules=["q_proj"]), ours)
