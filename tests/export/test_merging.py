"""What is merged answers as base and adapter do side by side: every family, both layouts, ours and transformers'."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText

from export.export_families import KIND_OF, prompt, set_fields, write_base, write_kind
from ivl.export import Exported, export, merge
from ivl.export.stream import ModelWeights
from ivl.model.adapter_io import read_adapter
from ivl.model.adapter_merge import merge as merge_in_memory
from ivl.model.checkpoint import open_checkpoint
from ivl.model.config_io import load_config, load_config_and_layout
from ivl.model.lora import AdapterSet
from ivl.model.names import Rows
from ivl.model.weights import load_model

TOLERANCE = 1e-5
THEIRS = 3e-5
"""transformers norms in float32 whatever it is given."""


def beside(base: Path, adapter: Path) -> torch.Tensor:
    """Logits in float64 of base and adapter, as they are served side by side; merged where that cannot be."""
    model = load_model(base, dtype="float64")
    ids, tiles = prompt(base)
    found = read_adapter(adapter, model)
    with torch.inference_mode():
        if found.must_merge:
            merge_in_memory(model, found)
            return model(ids, tiles).logits
        loaded = AdapterSet(model)
        loaded.load("x", found)
        loaded.route([("x", len(tiles))])
        features = model.encode_tiles(tiles)
        loaded.route([("x", ids.shape[1])])
        embeds = model.embed(ids[0], features)
        from ivl.model.attention import PackedAttention

        offsets = [0, ids.shape[1]]
        return model.language_model.logits(model.hidden_states(embeds, offsets, PackedAttention(offsets)))[None]


def answers(folder: Path, base: Path) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = load_model(folder, dtype="float64")(*prompt(base)).logits
    return logits


def answers_of_transformers(folder: Path, base: Path) -> torch.Tensor:
    model, info = AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager", output_loading_info=True
    )
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    ids, tiles = prompt(base)
    with torch.inference_mode():
        logits: torch.Tensor = model.eval()(input_ids=ids, pixel_values=tiles).logits
    return logits


@pytest.mark.parametrize("name", KIND_OF)
def test_merged_equals_base_and_adapter(name: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    base = write_base(name, tmp_path / "base", tiny_folder)
    adapter = write_kind(KIND_OF[name], base, tmp_path / "adapter")
    done = merge(base, adapter, tmp_path / "merged")
    wanted = beside(base, adapter)
    assert (wanted - answers(base, base)).abs().max() > 0.1, "the adapter changes nothing, so nothing is tested"
    torch.testing.assert_close(answers(tmp_path / "merged", base), wanted, atol=TOLERANCE, rtol=0)
    assert load_config_and_layout(tmp_path / "merged") == load_config_and_layout(base)
    assert done.difference is not None
    assert done.difference <= TOLERANCE

    done = export(adapter, tmp_path / "hf", layout="transformers", base=base, verify=name == "tiny-phi3")
    assert done.layout == "transformers"
    torch.testing.assert_close(answers(tmp_path / "hf", base), wanted, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(answers_of_transformers(tmp_path / "hf", base), wanted, atol=THEIRS, rtol=0)
    assert (done.difference or 0) <= TOLERANCE

    export(tmp_path / "hf", tmp_path / "back", layout="official", verify=False)
    assert load_config(tmp_path / "back") == load_config(base)
    for (key, one), (_, other) in zip(*(parameters(tmp_path / each) for each in ("merged", "back")), strict=True):
        assert torch.equal(one, other), f"{key} did not come back"


def parameters(folder: Path) -> list[tuple[str, torch.Tensor]]:
    return list(load_model(folder, dtype="float64").named_parameters())


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("lora", torch.bfloat16), ("dora", torch.bfloat16), ("rslora", torch.float16), ("replaced", torch.float16)],
)
def test_numbers_are_rounded_once(
    kind: str, dtype: torch.dtype, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Base in bfloat16, added up in float32, stored as asked: exactly torch's rounding of the float32 sum."""
    base = write_base("tiny-internlm2", tmp_path / "base", tiny_folder, torch.bfloat16, max_shard_bytes=200_000)
    adapter = write_kind(kind, base, tmp_path / "adapter")
    done = merge(base, adapter, tmp_path / "merged", dtype=None if dtype == torch.bfloat16 else "float16")
    wanted = load_model(base, dtype="float32")
    merge_in_memory(wanted, read_adapter(adapter, wanted))
    got = load_model(tmp_path / "merged", dtype=dtype)
    differing = 0
    for (name, one), (_, other) in zip(wanted.named_parameters(), got.named_parameters(), strict=True):
        # Sums of products in parts may differ in float32's last place, and so, rarely, in a rounding.
        differing += int((one.to(dtype) != other).sum())
        torch.testing.assert_close(one.to(dtype), other, msg=name)
    assert differing < 20
    assert done.comparison is not None
    assert done.comparison.tolerance > TOLERANCE
    stated = (tmp_path / "merged" / "config.json").read_text("utf-8")
    assert stated.count(f'"torch_dtype": "{str(dtype).removeprefix("torch.")}"') == 3


def test_a_model_that_nothing_is_added_to_stays_bit_for_bit(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    base = write_base("tiny-phi3", tmp_path / "base", tiny_folder, torch.bfloat16, max_shard_bytes=100_000)
    for layout in ("transformers", "official"):
        done = export(base, tmp_path / layout, layout=layout)  # type: ignore[arg-type]
        assert done.difference == 0
        for (name, one), (_, other) in zip(parameters(base), parameters(tmp_path / layout), strict=True):
            assert torch.equal(one, other), name


def test_shards(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    base = write_base("tiny-llama", tmp_path / "base", tiny_folder)
    adapter = write_kind("lora", base, tmp_path / "adapter")
    one: Exported = merge(base, adapter, tmp_path / "one")
    many = merge(base, adapter, tmp_path / "many", max_shard_bytes=100_000)
    names = {name for name, _ in many.files}
    assert "model.safetensors.index.json" in names
    assert sum(name.endswith(".safetensors") for name in names) > 3
    assert abs(one.num_bytes - many.num_bytes) < 20_000
    assert many.num_bytes == sum(path.stat().st_size for path in (tmp_path / "many").iterdir())
    for (name, a), (_, b) in zip(parameters(tmp_path / "one"), parameters(tmp_path / "many"), strict=True):
        assert torch.equal(a, b), name


def test_rows_are_those_of_the_whole(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Any rows of a parameter, however it is fused where it is stored, and whatever changes it."""
    base = write_base("tiny-internlm2", tmp_path / "base", tiny_folder)
    model = load_model(base, dtype="float64")
    for kind in ("dora", "replaced"):
        found = read_adapter(write_kind(kind, base, tmp_path / kind), model)
        weights = ModelWeights(open_checkpoint(base), found)
        merged = load_model(base, dtype="float64")
        merge_in_memory(merged, found)
        for name, parameter in merged.named_parameters():
            stop = len(parameter)
            for rows in (Rows(name=name, start=0, stop=stop), Rows(name=name, start=stop // 3, stop=stop // 3 + 1)):
                got = weights.rows(rows, torch.float64)
                torch.testing.assert_close(got, parameter[rows.start : rows.stop].detach(), atol=1e-12, rtol=1e-12)


def test_numbers_that_float16_cannot_hold(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    from ivl.errors import CheckpointError
    from ivl.model.weights import save_model

    model = load_model(tiny_folder("tiny-qwen2"))
    with torch.no_grad():
        model.language_model.layers[1].mlp.up_proj.weight[3, 4] = 1e6
    save_model(model, tmp_path / "base")
    with pytest.raises(CheckpointError, match=r"up_proj.*infinite numbers as float16: choose bfloat16 or float32"):
        export(tmp_path / "base", tmp_path / "out", dtype="float16", verify=False)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_tiles_stay_the_bases_unless_asked(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    base = write_base("tiny-qwen2", tmp_path / "base", tiny_folder)
    set_fields(base / "config.json", max_dynamic_patch=5, own_field={"a": [1]})
    export(base, tmp_path / "same", verify=False)
    assert (tmp_path / "same" / "config.json").read_text().count('"own_field"') == 1
    assert load_config(tmp_path / "same").max_tiles == 5
    export(base, tmp_path / "other", max_tiles=9, verify=False)
    assert load_config(tmp_path / "other").max_tiles == 9
    export(base, tmp_path / "hf", layout="transformers", max_tiles=3, verify=False)
    export(tmp_path / "hf", tmp_path / "hf2", layout="transformers", max_tiles=4, verify=False)
    for folder, tiles in (("hf", 3), ("hf2", 4)):
        assert load_config(tmp_path / folder).max_tiles == tiles
        assert f'"max_patches": {tiles}' in (tmp_path / folder / "processor_config.json").read_text()
