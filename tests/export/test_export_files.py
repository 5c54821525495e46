"""What stands beside the weights: whole, as bytes, never run; and everything that a stranger's folder may try."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ivl.model.weights
from export.export_families import set_fields, write_base, write_kind
from ivl.errors import AdapterError, CheckpointError, ConfigError, IvlError, SettingsError
from ivl.export import Options, export, find_source, merge, plan
from ivl.model.weights import load_model

CANARY = "import pathlib\npathlib.Path('{}').write_text('ran')\n"


@pytest.fixture
def base(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    return write_base("tiny-qwen2", tmp_path / "base", tiny_folder)


def as_published(base: Path, canary: Path) -> Path:
    """With code, auto_map and licence; the code would write `canary`."""
    code = CANARY.format(canary)
    for name in ("modeling_x.py", "configuration_x.py", "tokenization_x.py", "modeling_y.py"):
        (base / name).write_text(code)
    raw = json.loads((base / "config.json").read_text())
    raw["auto_map"] = {"AutoConfig": "configuration_x.X", "AutoModel": "modeling_x.X"}
    raw["llm_config"]["auto_map"] = {"AutoModel": "modeling_y.Y"}
    raw["llm_config"]["_attn_implementation_internal"] = "someone/kernels"
    (base / "config.json").write_text(json.dumps(raw))
    set_fields(base / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_x.X", None]})
    (base / "preprocessor_config.json").write_text('{"crop_size": 448}')
    (base / "LICENSE").write_text("MIT")
    (base / "README.md").write_text("# A model\n")
    (base / "generation_config.json").write_text('{"eos_token_id": [2, 298], "top_k": 7}')
    (base / "weights.bin").write_text("a pickle")
    (base / "examples").mkdir()
    return base


def with_canaries(base: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A base and an adapter that name code of theirs."""
    as_published(base, tmp_path / "ran")
    adapter = write_kind("lora", base, tmp_path / "adapter")
    set_fields(adapter / "adapter_config.json", auto_mapping={"parent_library": "modeling_x", "base_model_class": "X"})
    (adapter / "modeling_x.py").write_text(CANARY.format(tmp_path / "ran"))
    return base, adapter


def test_the_official_folder_is_complete(base: Path, tmp_path: Path) -> None:
    as_published(base, tmp_path / "ran")
    done = export(base, tmp_path / "out")
    names = {name for name, _ in done.files}
    copied = {
        "modeling_x.py", "configuration_x.py", "tokenization_x.py", "modeling_y.py", "preprocessor_config.json",
        "LICENSE", "README.md", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "special_tokens_map.json",
    }  # fmt: skip
    assert names == copied | {"config.json", "model.safetensors"}
    for name in copied:
        assert (tmp_path / "out" / name).read_bytes() == (base / name).read_bytes(), name
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == json.loads((base / "config.json").read_text())
    assert done.notes == ("left where they are: examples, weights.bin",)
    done = export(base, tmp_path / "hf", layout="transformers")
    assert not any(name.endswith((".py", ".bin")) for name, _ in done.files)
    assert (tmp_path / "hf" / "LICENSE").exists()
    assert "auto_map" not in (tmp_path / "hf" / "config.json").read_text()
    assert json.loads((tmp_path / "hf" / "generation_config.json").read_text())["eos_token_id"] == [2, 298]
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow  # python -O compiles all of torch first
def test_code_of_the_folder_never_runs_without_asserts(base: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-O", "-m", "ivl", "merge", *with_canaries(base, tmp_path), "-o", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=base)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "modeling_x.py").exists()
    assert not (tmp_path / "ran").exists()


def test_code_of_the_folder_never_runs(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, adapter = with_canaries(base, tmp_path)
    monkeypatch.chdir(base)
    monkeypatch.syspath_prepend(base)
    merge(model, adapter, tmp_path / "out")
    export(adapter, tmp_path / "hf", layout="transformers", base=model)
    assert (tmp_path / "out" / "modeling_x.py").exists()
    assert not (tmp_path / "ran").exists()


def test_a_base_without_code_is_told(base: Path, tmp_path: Path) -> None:
    told = "only ivl reads this official layout: its base has no .py files (others: --layout transformers)"
    assert told in export(base, tmp_path / "out").notes
    set_fields(base / "config.json", auto_map={"AutoModel": "modeling_x.X", "AutoConfig": "org/other--conf.C"})
    (note,) = (line for line in export(base, tmp_path / "out2").notes if "auto_map" in line)
    assert "names modeling_x.py in its auto_map, and no such file is in" in note


@pytest.mark.parametrize("stated", [None, 2, [2], []])
def test_stop_ids_are_written(stated: object, base: Path, tmp_path: Path) -> None:
    if stated is not None:
        (base / "generation_config.json").write_text(json.dumps({"eos_token_id": stated, "own": 1}))
    done = export(base, tmp_path / "out", verify=False)
    written = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    wanted = {"eos_token_id": [2, 298] if stated in (2, [2]) else [298]}
    assert written == (wanted if stated is None else wanted | {"own": 1})
    assert "generation_config.json did not stop at <|im_end|>: its id 298 was added" in done.notes


def test_without_a_tokenizer_it_is_told(base: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (base / name).unlink()
    set_fields(base / "config.json", image_token_id=300)
    notes = export(base, tmp_path / "out", verify=False).notes
    assert any("name no id for <|im_end|>" in line for line in notes)
    assert any("has no tokenizer" in line for line in notes)


def test_an_occupied_place_and_a_small_disk(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(CheckpointError, match="out is not empty: nothing is overwritten"):
        export(base, tmp_path / "out")
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(ivl.model.weights.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(CheckpointError, match=r"other needs \d{6,} bytes, but its disk has only 1000 left"):
        export(base, tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "out"]


def test_settings(base: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="dtype='bf16' is not allowed"):
        export(base, tmp_path / "out", dtype="bf16")
    with pytest.raises(SettingsError, match="layout='hf' is not allowed"):
        export(base, tmp_path / "out", layout="hf")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="max_shard_bytes=0"):
        export(base, tmp_path / "out", max_shard_bytes=0)
    with pytest.raises(ConfigError, match="max_tiles=0"):
        export(base, tmp_path / "out", max_tiles=0)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


@pytest.mark.parametrize("layout", ["official", "transformers"])
def test_the_plan_is_what_is_written(layout: str, base: Path, tmp_path: Path) -> None:
    as_published(base, tmp_path / "ran")
    options = Options(layout=layout, max_shard_bytes=150_000)  # type: ignore[arg-type]
    planned = plan(find_source(base), tmp_path / "out", options)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
    done = export(base, tmp_path / "out", layout=layout, max_shard_bytes=150_000)  # type: ignore[arg-type]
    written = {name for name, _ in done.files} - {"config.json", "model.safetensors.index.json"}
    assert {name for name, _ in planned.files} == written
    assert 0.9 < planned.num_bytes / done.num_bytes < 1
    assert planned.free_bytes > 0


def test_what_a_killed_run_left_is_named(base: Path, tmp_path: Path) -> None:
    (tmp_path / ".out.partial-0123abcd").mkdir()
    assert any(
        ".out.partial-0123abcd was left by a run that was stopped" in x for x in export(base, tmp_path / "out").notes
    )


def broken(base: Path, how: str, secret: Path) -> None:
    """Make a stranger's folder of it."""
    weights, index = base / "model.safetensors", base / "model.safetensors.index.json"
    if how == "cut":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif how == "pickle":
        weights.rename(base / "pytorch_model.bin")
    elif how == "fifo":
        os.mkfifo(base / "NOTICE")
    elif how == "link":
        (base / "extra.py").symlink_to(secret)
    elif how == "tokenizer link":
        (base / "vocab.json").symlink_to(secret)
    else:
        name = {
            "up": "../secret.safetensors",
            "absolute": str(secret),
            "back": "..\\secret.safetensors",
            "pipe": "pipe.safetensors",
        }[how]
        os.mkfifo(base / "pipe.safetensors")
        weights.rename(base / "other.safetensors")
        index.write_text(json.dumps({"weight_map": {"language_model.model.norm.weight": name}}))


@pytest.mark.parametrize("layout", ["official", "transformers"])
@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("cut", "is cut short"),
        ("pickle", "only as pickles .*never opened"),
        ("up", "only plain names inside the folder are opened"),
        ("absolute", "only plain names inside the folder are opened"),
        ("back", "only plain names inside the folder are opened"),
        ("pipe", "not a regular file"),
        ("fifo", "NOTICE is refused: it is not a regular file"),
        ("link", "extra.py is refused: it is a link to a place outside"),
        ("tokenizer link", "vocab.json is refused: it is a link to a place outside"),
    ],
)
def test_a_strangers_folder(how: str, problem: str, layout: str, base: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.safetensors"
    secret.write_text("secret")
    broken(base, how, secret)
    if layout == "transformers" and how == "link":
        export(base, tmp_path / "out", layout="transformers")  # no .py is looked at
        assert not (tmp_path / "out" / "extra.py").exists()
        return
    with pytest.raises(IvlError, match=problem) as caught:
        export(base, tmp_path / "out", layout=layout)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "secret.safetensors"]


def test_a_strangers_adapter(base: Path, tmp_path: Path) -> None:
    adapter = write_kind("lora", base, tmp_path / "adapter")
    tensors = adapter / "adapter_model.safetensors"
    data = tensors.read_bytes()
    tensors.write_bytes(data[:-50])
    with pytest.raises(AdapterError, match="is cut short"):
        merge(base, adapter, tmp_path / "out")
    tensors.rename(adapter / "adapter_model.bin")
    with pytest.raises(AdapterError, match=r"only as a pickle \(adapter_model.bin\), which can run code"):
        merge(base, adapter, tmp_path / "out")
    (tmp_path / "elsewhere").write_bytes(data)
    tensors.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AdapterError, match="link to a place outside"):
        merge(base, adapter, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(AdapterError, match="is no folder: an adapter is a folder with"):
        merge(base, tmp_path / "nowhere", tmp_path / "out")


def test_what_is_written_can_be_loaded_again(base: Path, tmp_path: Path) -> None:
    export(base, tmp_path / "deep" / "er" / "out", dtype="bfloat16")
    assert load_model(tmp_path / "deep" / "er" / "out").config == load_model(base).config
