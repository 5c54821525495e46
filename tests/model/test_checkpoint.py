"""A folder's weights are judged from their headers: every fault is one line, and nothing else is opened."""

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ivl.errors import CheckpointError
from ivl.model.checkpoint import describe_checkpoint, open_checkpoint
from ivl.model.weights import load_model, save_model
from parity import tiny

HEAD = "language_model.output.weight"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of tiny-internlm2 that a test may spoil."""
    return Path(shutil.copytree(tiny_folder("tiny-internlm2"), tmp_path / "model"))


@pytest.fixture
def sharded(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """tiny-internlm2 in several files."""
    save_model(load_model(tiny_folder("tiny-internlm2")), tmp_path / "sharded", max_shard_bytes=400_000)
    return tmp_path / "sharded"


def rewrite(folder: Path, **changes: Any) -> None:
    """Write the weights again with some of them changed, `.` in names written as `__`; None removes."""
    tensors = tiny.weights("tiny-internlm2") | {name.replace("__", "."): value for name, value in changes.items()}
    kept = {name: value for name, value in tensors.items() if value is not None}
    tiny.write_safetensors(folder / "model.safetensors", kept)


def reindex(folder: Path, **changes: Any) -> None:
    raw = json.loads((folder / INDEX).read_text("utf-8"))
    raw["weight_map"] |= {name.replace("__", "."): value for name, value in changes.items()}
    (folder / INDEX).write_text(json.dumps(raw), "utf-8")


def refused(folder: Path) -> str:
    """The one line with which a folder is refused by loading, opening and describing alike."""
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert "0x" not in message
    with pytest.raises(CheckpointError) as again:
        load_model(folder)
    assert str(again.value) == message
    problems = describe_checkpoint(folder).problems
    assert message.startswith(problems[0])
    return message


class TestMissing:
    def test_no_weights(self, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        assert "has no weights" in refused(folder)

    def test_a_shard(self, sharded: Path) -> None:
        (sharded / "model-00002-of-00005.safetensors").unlink()
        assert "1 of 5 weight files are missing (model-00002-of-00005.safetensors)" in refused(sharded)

    def test_the_index(self, sharded: Path) -> None:
        (sharded / INDEX).unlink()
        assert f"neither model.safetensors nor {INDEX}" in refused(sharded)

    def test_half_a_download(self, sharded: Path) -> None:
        shard = sharded / "model-00003-of-00005.safetensors"
        shard.write_bytes(shard.read_bytes()[:-1000])
        assert f"{shard} is cut short" in refused(sharded)
        shard.write_bytes(b"")
        assert f"{shard} has 0 bytes" in refused(sharded)

    def test_a_tensor(self, folder: Path) -> None:
        rewrite(folder, **{HEAD.replace(".", "__"): None})
        assert f"the tensor {HEAD!r}, is missing" in refused(folder)

    def test_a_tensor_of_the_index(self, sharded: Path) -> None:
        reindex(sharded, some__weight="model-00001-of-00005.safetensors")
        assert "puts tensor 'some.weight' into model-00001-of-00005.safetensors" in refused(sharded)


class TestUnexpected:
    def test_a_tensor(self, folder: Path) -> None:
        rewrite(folder, some__weight=np.zeros(3, np.float32))
        assert "the tensor 'some.weight', is not expected by config.json" in refused(folder)

    def test_unmerged_adapters(self, folder: Path) -> None:
        rewrite(folder, language_model__base_model__lora_A__weight=np.zeros(3, np.float32))
        assert "adapters that were not merged" in refused(folder)

    def test_weights_of_another_decoder(self, folder: Path) -> None:
        raw = json.loads((folder / "config.json").read_text("utf-8"))
        raw["llm_config"]["architectures"] = ["LlamaForCausalLM"]
        (folder / "config.json").write_text(json.dumps(raw), "utf-8")
        message = refused(folder)
        assert "tensors, the first of them" in message
        assert "more problems" in message

    def test_a_tensor_that_the_index_gives_to_another_file(self, sharded: Path) -> None:
        reindex(sharded, vision_model__embeddings__class_embedding="model-00005-of-00005.safetensors")
        assert "says otherwise" in refused(sharded)

    def test_a_tensor_twice(self, sharded: Path) -> None:
        index = json.loads((sharded / INDEX).read_text("utf-8"))["weight_map"]
        name = next(name for name, file in index.items() if file.startswith("model-00001"))
        tiny.write_safetensors(sharded / "extra.safetensors", {name: np.zeros(3, np.float32)})
        reindex(sharded, other__weight="extra.safetensors")
        assert f"{name!r}" in refused(sharded)

    def test_frequencies_that_old_software_stored_are_ignored(self, folder: Path) -> None:
        name = "language_model__model__layers__0__attention__rotary_emb__inv_freq"
        rewrite(folder, **{name: np.zeros(8, np.float32)})
        load_model(folder)


class TestShapes:
    def test_a_wrong_shape(self, folder: Path) -> None:
        rewrite(folder, mlp1__1__weight=np.zeros((96, 100), np.float32))
        assert "'mlp1.1.weight' has the shape [96, 100], expected [96, 256] by config.json" in refused(folder)

    def test_another_vocabulary(self, folder: Path) -> None:
        rewrite(folder, **{HEAD.replace(".", "__"): np.zeros((311, 96), np.float32)})
        message = refused(folder)
        assert f"{HEAD!r} has the shape [311, 96], expected [310, 96]" in message
        assert "the weights are for 311 tokens, config.json says vocab_size=310" in message

    def test_quantized_weights(self, folder: Path) -> None:
        path = folder / "model.safetensors"
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = data[8 : 8 + length].replace(b'"dtype":"F32"', b'"dtype":"I32"')
        path.write_bytes(data[:8] + header + data[8 + length :])
        assert "is stored as I32" in refused(folder)


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "../model/config.safetensors", "/etc/passwd.safetensors", "..\\x.safetensors",
            "sub/x.safetensors", "C:x.safetensors", ".x.safetensors", "a\0.safetensors",
        ],
    )  # fmt: skip
    def test_a_name_that_leads_away(self, name: str, sharded: Path) -> None:
        reindex(sharded, some__weight=name)
        assert "only plain names inside the folder are opened" in refused(sharded)

    @pytest.mark.parametrize("name", ["model.bin", "x.py", "", None, 7, ["x"], {}])
    def test_anything_but_safetensors(self, name: Any, sharded: Path) -> None:
        reindex(sharded, some__weight=name)
        assert "only .safetensors files are read" in refused(sharded)

    @pytest.mark.parametrize("table", [None, [], {}, "x"])
    def test_no_table(self, table: Any, sharded: Path) -> None:
        (sharded / INDEX).write_text(json.dumps({"weight_map": table}), "utf-8")
        assert "weight_map=" in refused(sharded)

    def test_a_link_to_elsewhere(self, sharded: Path, tmp_path: Path) -> None:
        shard = sharded / "model-00001-of-00005.safetensors"
        shard.rename(tmp_path / "elsewhere")
        shard.symlink_to(tmp_path / "elsewhere")
        assert "outside of the folder" in refused(sharded)


class TestCode:
    """A checkpoint's code never runs, also where Python drops its asserts."""

    def spoil(self, folder: Path, canary: Path) -> None:
        code = f"open({str(canary)!r}, 'w').close()"
        for name in ("modeling_internvl_chat.py", "configuration_internvl_chat.py", "evil.py", "__init__.py"):
            (folder / name).write_text(code + "\n")
        raw = json.loads((folder / "config.json").read_text("utf-8"))
        raw["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
        raw["llm_config"]["auto_map"] = {"AutoModel": "evil.Model"}
        raw["llm_config"]["_attn_implementation_internal"] = "someone/kernel"
        (folder / "config.json").write_text(json.dumps(raw), "utf-8")
        self.pickle_into(folder, canary)

    def pickle_into(self, folder: Path, canary: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple[Any, ...]:
                return (exec, (f"open({str(canary)!r}, 'w').close()",))

        for name in ("pytorch_model.bin", "training_args.bin", "model.pt", "x.pth"):
            (folder / name).write_bytes(pickle.dumps(Evil()))

    def test_canaries(self, folder: Path, tmp_path: Path) -> None:
        self.spoil(folder, tmp_path / "canary")
        load_model(folder)
        (folder / "model.safetensors").unlink()
        assert "only as pickles (model.pt), which can run code and are never opened" in refused(folder)
        assert not (tmp_path / "canary").exists()

    def test_canaries_without_asserts(self, folder: Path, tmp_path: Path) -> None:
        """Also shows that no pickle and no Python file of the folder is opened at all."""
        self.spoil(folder, tmp_path / "canary")
        script = (
            "import os, sys\n"
            "from ivl.errors import CheckpointError\n"
            "from ivl.model.weights import load_model\n"
            "opened = []\n"
            "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
            "load_model(sys.argv[1])\n"
            "os.unlink(sys.argv[1] + '/model.safetensors')\n"
            "try:\n"
            "    load_model(sys.argv[1])\n"
            "except CheckpointError as fault:\n"
            "    print(fault)\n"
            "print(sorted(os.path.basename(name) for name in set(opened) if name.startswith(sys.argv[1])))\n"
        )
        command = [sys.executable, "-O", "-c", script, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
        assert "only as pickles" in done.stdout
        assert done.stdout.splitlines()[-1] == "['config.json', 'model.safetensors', 'tokenizer_config.json']"
        assert not (tmp_path / "canary").exists()


class TestReport:
    def test_a_whole_folder(self, sharded: Path) -> None:
        report = describe_checkpoint(sharded)
        assert report.problems == ()
        assert report.layout == "official"
        assert report.num_parameters == tiny.golden_json("tiny-internlm2", "info")["n_params"]
        assert [part.name for part in report.parts] == ["vision_model", "connector", "language_model"]
        assert {part.dtypes for part in report.parts} == {("F32",)}
        assert sum(part.num_bytes for part in report.parts) == 4 * report.num_parameters
        assert [name for name, _ in report.files] == [f"model-{i:05}-of-00005.safetensors" for i in range(1, 6)]
        assert sum(size for _, size in report.files) > 4 * report.num_parameters

    def test_what_is_wrong_is_listed(self, folder: Path) -> None:
        rewrite(folder, mlp1__1__weight=None, mlp1__3__bias=np.zeros(7, np.float32), extra=np.zeros(1, np.float32))
        report = describe_checkpoint(folder)
        assert len(report.problems) == 3
        assert report.config is not None

    def test_nothing_there(self, tmp_path: Path) -> None:
        report = describe_checkpoint(tmp_path / "nowhere")
        assert report.config is None
        assert report.parts == ()
        assert "no such folder" in report.problems[0]
