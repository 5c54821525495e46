"""Weights come in and go out bit for bit, in little memory, whole or not at all."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ivl.errors import CheckpointError, ConfigError, SettingsError
from ivl.model import weights
from ivl.model.config_io import load_config
from ivl.model.internvl import InternVL
from ivl.model.names import Layout
from ivl.model.safetensors_io import read_header
from ivl.model.weights import load_model, save_model
from parity import tiny
from random_model import make_model


def contents(folder: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Every stored tensor of a folder: type, shape and bytes."""
    out = {}
    for path in folder.glob("*.safetensors"):
        with path.open("rb", buffering=0) as file:
            for name, entry in read_header(file, str(path)).items():
                file.seek(entry.offset)
                out[name] = (entry.dtype, entry.shape, file.read(entry.num_bytes))
    return out


def assert_equal(one: InternVL, other: InternVL) -> None:
    assert one.config == other.config
    for (name, a), (_, b) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b), name


class TestRoundTrip:
    @pytest.mark.parametrize("name", tiny.NAMES)
    def test_official_and_back_by_way_of_transformers(
        self, name: str, tiny_folder: Callable[[str], Path], tmp_path: Path
    ) -> None:
        official = tiny_folder(name)
        save_model(load_model(official), tmp_path / "hf", layout="transformers")
        save_model(load_model(tmp_path / "hf"), tmp_path / "again", layout="official")
        assert contents(tmp_path / "again") == contents(official)
        assert load_config(tmp_path / "again") == load_config(official)

    def test_shards_and_one_file_hold_the_same(self, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
        model = load_model(tiny_folder("tiny-qwen2"))
        save_model(model, tmp_path / "shards", max_shard_bytes=300_000)
        assert contents(tmp_path / "shards") == contents(tiny_folder("tiny-qwen2"))
        assert_equal(load_model(tmp_path / "shards"), model)
        sizes = [path.stat().st_size for path in (tmp_path / "shards").glob("*.safetensors")]
        assert len(sizes) > 4
        assert max(sizes) < 300_000 + 20_000  # and the header
        index = json.loads((tmp_path / "shards" / "model.safetensors.index.json").read_text("utf-8"))
        assert index["metadata"]["total_size"] == 4 * sum(p.numel() for p in model.parameters())

    @pytest.mark.parametrize("layout", ["official", "transformers"])
    @pytest.mark.parametrize("decoder", ["internlm2", "qwen2", "qwen3", "llama", "phi3"])
    def test_every_decoder_tied_or_not(self, decoder: str, layout: Layout, tmp_path: Path) -> None:
        for tied in (False, True):
            text = {"decoder": decoder, "tie_embeddings": tied, "qkv_bias": decoder == "qwen2"}
            if decoder in ("internlm2", "llama"):
                text |= {"qkv_bias": True, "o_bias": True}
            if decoder == "qwen3":
                text |= {"qk_norm": True, "head_dim": 16}
            if decoder == "phi3":
                text |= {"rope": replace(make_model().config.text.rope, kind="default", factor=1.0)}
            model = make_model(**text)
            save_model(model, tmp_path / f"{tied}", layout=layout)
            assert_equal(load_model(tmp_path / f"{tied}", dtype="float64"), model)

    @pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
    def test_other_types(self, dtype: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
        whole = load_model(tiny_folder("tiny-internlm2"))
        half = load_model(tiny_folder("tiny-internlm2"), dtype=dtype)
        for (name, a), (_, b) in zip(whole.named_parameters(), half.named_parameters(), strict=True):
            assert torch.equal(a.to(getattr(torch, dtype)), b), name
        save_model(half, tmp_path / "half")
        assert json.loads((tmp_path / "half" / "config.json").read_text("utf-8"))["torch_dtype"] == dtype
        assert_equal(load_model(tmp_path / "half", dtype=getattr(torch, dtype)), half)
        assert next(load_model(tmp_path / "half").parameters()).dtype == torch.float32

    def test_model_is_ready_to_run_and_to_train(self, tiny_folder: Callable[[str], Path]) -> None:
        model = load_model(tiny_folder("tiny-llama"))
        assert not model.training
        assert all(parameter.requires_grad and parameter.is_leaf for parameter in model.parameters())
        golden = tiny.goldens("tiny-llama", "forward")
        with torch.inference_mode():
            logits = model(golden["a_input_ids"], tiny.pixels("rand3")).logits
        torch.testing.assert_close(logits, golden["a_logits"], atol=1e-4, rtol=0)


class TestHead:
    """Whether the head is the embedding table: the weights are right where the configuration is not."""

    def says_tied(self, folder: Path, tied: bool) -> None:
        path = folder / "config.json"
        raw = json.loads(path.read_text("utf-8"))
        raw["tie_word_embeddings"] = raw["llm_config"]["tie_word_embeddings"] = tied
        path.write_text(json.dumps(raw), "utf-8")

    @pytest.mark.parametrize("max_shard_bytes", [10**9, 30_000])
    def test_config_says_tied_but_a_head_is_stored(self, max_shard_bytes: int, tmp_path: Path) -> None:
        model = make_model(qkv_bias=True)
        save_model(model, tmp_path / "model", max_shard_bytes=max_shard_bytes)
        self.says_tied(tmp_path / "model", True)
        assert_equal(load_model(tmp_path / "model", dtype="float64"), model)

    def test_config_says_apart_but_no_head_is_stored(self, tmp_path: Path) -> None:
        save_model(make_model(qkv_bias=True, tie_embeddings=True), tmp_path / "model")
        self.says_tied(tmp_path / "model", False)
        with pytest.raises(CheckpointError, match=r"lm_head\.weight', is missing"):
            load_model(tmp_path / "model")

    def test_without_weights_the_config_is_believed(self, tmp_path: Path) -> None:
        save_model(make_model(qkv_bias=True), tmp_path / "model")
        self.says_tied(tmp_path / "model", True)
        (tmp_path / "model" / "model.safetensors").unlink()
        assert load_config(tmp_path / "model").text.tie_embeddings


class TestRefused:
    def test_settings(self, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
        folder = tiny_folder("tiny-llama")
        with pytest.raises(SettingsError, match="dtype='bfloat' is not allowed: did you mean 'bfloat16'"):
            load_model(folder, dtype="bfloat")
        with pytest.raises(SettingsError, match="dtype='int8'"):
            load_model(folder, dtype=torch.int8)
        with pytest.raises(SettingsError, match="device='gpu' is not allowed"):
            load_model(folder, device="gpu")
        model = load_model(folder)
        with pytest.raises(SettingsError, match="did you mean 'official'"):
            save_model(model, tmp_path / "x", layout="oficial")  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="max_shard_bytes=0"):
            save_model(model, tmp_path / "x", max_shard_bytes=0)

    def test_an_occupied_folder(self, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("x")
        with pytest.raises(CheckpointError, match="is not empty"):
            save_model(make_model(qkv_bias=True), tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]

    def test_a_model_with_adapters(self, tmp_path: Path) -> None:
        model = make_model(qkv_bias=True)
        model.language_model.layers[0].attention.q_proj.lora = torch.nn.Linear(2, 2)
        with pytest.raises(CheckpointError, match=r"q_proj\.lora.*merge adapters first"):
            save_model(model, tmp_path / "x")
        assert list(tmp_path.iterdir()) == []

    def test_a_configuration_that_the_layout_cannot_say(self, tmp_path: Path) -> None:
        model = make_model(qkv_bias=True)
        model.config = replace(model.config, ps_version="v1")
        with pytest.raises(ConfigError, match="ps_version"):
            save_model(model, tmp_path / "x", layout="transformers")
        assert list(tmp_path.iterdir()) == []

    def test_a_disk_without_room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = type("Usage", (), {"free": 1000})
        monkeypatch.setattr(weights.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(CheckpointError, match="has only 1000 left"):
            save_model(make_model(qkv_bias=True), tmp_path / "x")

    def test_a_model_of_mixed_types(self, tmp_path: Path) -> None:
        model = make_model(decoder="internlm2").float()
        model.language_model.layers[0].attention.q_proj.bfloat16()
        with pytest.raises(CheckpointError, match="parameters of different types"):
            save_model(model, tmp_path / "x")
        save_model(model, tmp_path / "apart", layout="transformers")  # there q is stored on its own
        assert len({dtype for dtype, _, _ in contents(tmp_path / "apart").values()}) == 2


KILLS = """
import os, shutil, signal, sys
import torch
from random_model import make_model
from ivl.errors import IvlError
from ivl.model.weights import load_model, save_model

torch.set_num_threads(1)
model, root, outcomes = make_model(qkv_bias=True), sys.argv[1], []

def state(folder):
    try:
        found = load_model(folder, dtype="float64")
    except IvlError:
        return "nothing"
    pairs = zip(model.parameters(), found.parameters(), strict=True)
    return "whole" if all(torch.equal(a, b) for a, b in pairs) else "damaged"

for point in range(1, 100):
    target, pid = f"{root}/{point}", os.fork()
    if pid == 0:
        seen = 0
        def hook(event, args):
            global seen
            if event in ("open", "os.mkdir", "os.rename", "os.rmdir", "os.listdir", "os.scandir"):
                seen += 1
                if seen == point:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        save_model(model, target, max_shard_bytes=150_000)
        os._exit(0)
    killed = os.waitpid(pid, 0)[1] == signal.SIGKILL
    outcomes.append(state(target))
    partial = [name for name in os.listdir(root) if ".partial-" in name]
    if partial:
        # What a kill leaves behind under another name is no model, or all of it.
        assert outcomes[-1] == "nothing" and state(f"{root}/{partial[0]}") in ("nothing", "whole")
        shutil.rmtree(f"{root}/{partial[0]}")
    if not killed:
        break
print(*outcomes)
"""
MEMORY = """
import os, shutil, sys
import torch
from dataclasses import replace
from random_model import CONFIG
from ivl.model.internvl import InternVL
from ivl.model.weights import load_model, save_model

torch.set_num_threads(1)
CONFIG = replace(CONFIG, text=replace(CONFIG.text, qkv_bias=True))
text = replace(CONFIG.text, decoder="internlm2", qkv_bias=False, hidden_size=768, num_heads=12)
text = replace(text, num_kv_heads=4, head_dim=64, intermediate_size=3072, vocab_size=20000, num_layers=4)
config, root = replace(CONFIG, text=text), sys.argv[1]

def memory(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) * 1024

def measured(action):
    "Peak growth of a forked process that does `action`, as a multiple of the bytes of weights it returns."
    read, write = os.pipe()
    if os.fork() == 0:
        before = memory("VmRSS")
        num_bytes = action()
        os.write(write, str((memory("VmHWM") - before) / num_bytes).encode())
        os._exit(0)
    os.wait()
    return float(os.read(read, 100))

def size(model):
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())

def make_and_save():
    model = InternVL(config)
    save_model(model, root + "/one")
    save_model(model, root + "/shards", layout="transformers", max_shard_bytes=20_000_000)
    return size(model)

def halve():
    model = load_model(root + "/one", dtype="bfloat16")
    save_model(model, root + "/half")
    return size(model)

# What Python and torch load on first use is not the model's.
save_model(InternVL(CONFIG).bfloat16(), root + "/small", max_shard_bytes=20_000)
load_model(root + "/small")
print(measured(make_and_save))
print(measured(halve))
for name in ("one", "shards", "half"):
    print(measured(lambda: size(load_model(f"{root}/{name}"))))
    shutil.rmtree(f"{root}/{name}")
"""


def run(script: str, folder: Path) -> list[str]:
    """What a fresh process prints."""
    tests = Path(__file__).parent.parent
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tests)!r})\n{script}", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_kill_at_any_point_leaves_nothing_or_the_whole(tmp_path: Path) -> None:
    outcomes = run(KILLS, tmp_path)
    assert set(outcomes) == {"nothing", "whole"}
    assert outcomes.count("nothing") >= 20
    assert outcomes == sorted(outcomes)  # "whole" at the very end only


def test_loading_and_saving_need_hardly_more_memory_than_the_weights(tmp_path: Path) -> None:
    ratios = [float(ratio) for ratio in run(MEMORY, tmp_path)]
    assert len(ratios) == 5
    assert all(0.9 < ratio <= 1.15 for ratio in ratios), ratios
