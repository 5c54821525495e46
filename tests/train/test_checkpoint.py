"""A checkpoint is whole or not there: kills, full disks, damage and strangers' files change nothing about that."""

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ivl.errors import CheckpointError, TrainingError
from ivl.model.adapter_io import read_adapter
from ivl.model.adapter_write import LoraSettings, TrainedAdapter, write_adapter
from ivl.model.folder_io import new_folder
from ivl.train import checkpoint as checkpoint_module
from ivl.train.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint
from random_adapter import make_adapter
from random_model import CONFIG

FILES = {"trained.safetensors", "optimizer.safetensors", "state.json"}


def trained(step: int) -> dict[str, Tensor]:
    return {"connector.fc1.weight": torch.full((4, 6), step / 3), "connector.fc1.bias": torch.arange(4.0).bfloat16()}


def optimizer(step: int) -> dict[str, Tensor]:
    return {
        "exp_avg/connector.fc1.weight": torch.randn(4, 6, generator=torch.Generator().manual_seed(step)),
        "state1/connector.fc1.weight": torch.arange(24, dtype=torch.uint8).view(4, 6),
        "step/connector.fc1.weight": torch.tensor(float(step)),
        "step:int/connector.fc1.bias": torch.tensor(step),
        "flag:bool/connector.fc1.bias": torch.tensor(True),
        "none:none/connector.fc1.bias": torch.empty(0, dtype=torch.uint8),
    }


def save(folder: Path, step: int, **more: object) -> Path:
    state = {"epoch": 1.5, "rng": [step, 2], "lr": 0.1 + 0.2, "note": "吃", "best": None}
    return save_checkpoint(folder, step, trained=trained(step), optimizer=optimizer(step), state=state, **more)


def assert_same(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert got.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert got[name].dtype == tensor.dtype, name
        assert torch.equal(got[name], tensor), name


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = save(tmp_path / "run", 64)
    assert path == tmp_path / "run" / "checkpoint-64"
    assert names(path) == FILES
    assert names(tmp_path / "run") == {"checkpoint-64"}
    for verified in (False, True):
        got = load_checkpoint(path, verified=verified)
        assert got.step == 64
        assert got.state == {"epoch": 1.5, "rng": [64, 2], "lr": 0.1 + 0.2, "note": "吃", "best": None}
        assert_same(got.trained, trained(64))
        assert_same(got.optimizer, optimizer(64))


def test_the_caller_adds_files(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        with new_folder(folder) as partial:  # as writers of adapters and models do
            (partial / "adapter_config.json").write_text("{}")

    path = save(tmp_path, 3, write_output=write)
    assert names(path) == FILES | {"adapter_config.json"}
    assert set(json.loads((path / "state.json").read_text())["files"]) == names(path) - {"state.json"}
    (path / "adapter_config.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"adapter_config.json is damaged: its SHA-256"):
        load_checkpoint(path)


def test_a_checkpoint_of_adapters_is_an_adapter_folder(tmp_path: Path) -> None:
    adapter = make_adapter(1, ends=("q_proj",), replaced=("connector.",))
    lora = {path: (weight.a, weight.b) for path, weight in adapter.weights.items()}
    trained_adapter = TrainedAdapter(lora=lora, replaced=adapter.replaced)
    settings = LoraSettings(r=3, lora_alpha=6)
    path = save(tmp_path, 3, write_output=lambda folder: write_adapter(folder, trained_adapter, settings, CONFIG))
    assert names(tmp_path) == {"checkpoint-3"}
    assert load_checkpoint(path).step == 3
    got = read_adapter(path, CONFIG)
    assert got.weights.keys() == lora.keys()
    assert_same(dict(got.replaced), dict(adapter.replaced))


def test_nothing_is_saved_but_what_is_written(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    save(tmp_path, 1)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 2, write_output=fail)
    assert names(tmp_path) == {"checkpoint-1"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_state_that_json_cannot_hold_is_not_saved(value: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_checkpoint(tmp_path, 1, trained={}, optimizer={}, state={"loss": value})
    assert names(tmp_path) == set()


def test_keys_that_json_turns_into_texts(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, trained={}, optimizer={}, state={"at": {10: (1, 2), 9: 1}})  # type: ignore[dict-item]
    assert load_checkpoint(path).state == {"at": {"10": [1, 2], "9": 1}}


def test_a_step_saved_again_is_replaced(tmp_path: Path) -> None:
    save(tmp_path, 5)
    (tmp_path / "checkpoint-5" / "trained.safetensors").write_bytes(b"damaged")
    assert newest_checkpoint(tmp_path) is None
    save(tmp_path, 5)
    assert names(tmp_path) == {"checkpoint-5"}
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-5"


def test_the_newest_is_the_one_of_most_steps(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "nowhere") is None
    for step in (9, 100, 10):
        save(tmp_path, step)
    (tmp_path / "checkpoint-0200").mkdir()
    (tmp_path / "checkpoint-best").mkdir()
    warnings: list[str] = []
    assert newest_checkpoint(tmp_path, warnings) == tmp_path / "checkpoint-100"
    assert warnings == []


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("damage", [_cut, _flip, Path.unlink, lambda path: path.write_bytes(b"")])
def test_damage_is_found_and_passed_over(name: str, damage, tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step)
    for step in (2, 3):
        damage(tmp_path / f"checkpoint-{step}" / name)
    warnings: list[str] = []
    assert newest_checkpoint(tmp_path, warnings) == tmp_path / "checkpoint-1"
    assert len(warnings) == 2
    assert "checkpoint-3" in warnings[0]
    assert name in warnings[0]
    assert warnings[0].endswith("left as it is and not used")
    assert "\n" not in warnings[0]
    assert names(tmp_path) == {"checkpoint-1", "checkpoint-2", "checkpoint-3"}
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "checkpoint-3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "ivl checkpoint 9"}, "format='ivl checkpoint 9' is not read"),
        ({"more": 1}, "is not read"),
        ({"step": 8}, "step=8 is not that of the folder's name"),
        ({"step": True}, "step=True is not that"),
        ({"state": []}, "must be objects"),
        ({"files": {}}, "does not list trained.safetensors"),
        ({"files": {"../escape": {"size": 1, "sha256": "0" * 64}}}, "file name '../escape' is refused"),
        ({"files": {"/etc/passwd": {"size": 1, "sha256": "0" * 64}}}, "file name '/etc/passwd' is refused"),
        ({"files": {"a": {"size": "1", "sha256": "0" * 64}}}, "is not a size and a SHA-256"),
        ({"files": {"a": {"size": 1, "sha256": "x"}}}, "is not a size and a SHA-256"),
        ({"files": {"a": 3}}, "is not a size and a SHA-256"),
    ],
)
def test_a_state_file_of_a_stranger(change: dict[str, object], message: str, tmp_path: Path) -> None:
    """Its own hash is right: who forges the one can forge the other."""
    path = save(tmp_path, 7)
    table = json.loads((path / "state.json").read_text())
    if change.get("files"):
        change = {"files": table["files"] | change["files"]}
    table |= change
    del table["sha256"]
    (path / "state.json").write_text(json.dumps(table | {"sha256": checkpoint_module._own_digest(table)}))
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert message in str(caught.value)
    assert newest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"step": NaN}', "[" * 100_000])
def test_a_state_file_that_is_no_state_file(text: str, tmp_path: Path) -> None:
    path = save(tmp_path, 7)
    (path / "state.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"state\.json"):
        load_checkpoint(path)


@pytest.mark.parametrize("name", sorted(FILES))
def test_links_and_pipes_are_refused_unopened(name: str, tmp_path: Path) -> None:
    """A link is refused even where it leads to the very bytes; a pipe would block whoever opens it."""
    path = save(tmp_path / "run", 7)
    (path / name).rename(tmp_path / name)
    (path / name).symlink_to(tmp_path / name)
    with pytest.raises(CheckpointError, match="it is a link"):
        load_checkpoint(path)
    (path / name).unlink()
    shutil.copy(tmp_path / name, path / "copy")
    (path / name).symlink_to("copy")
    with pytest.raises(CheckpointError, match="it is a link"):
        load_checkpoint(path)
    (path / name).unlink()
    os.mkfifo(path / name)
    with pytest.raises(CheckpointError, match="not a regular file"):
        load_checkpoint(path)
    assert newest_checkpoint(tmp_path / "run") is None


def test_a_checkpoint_that_is_a_link_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere", 9)
    save(tmp_path / "run", 3)
    (tmp_path / "run" / "checkpoint-9").symlink_to(tmp_path / "elsewhere" / "checkpoint-9")
    (tmp_path / "run" / "checkpoint-8").write_text("no folder")
    warnings: list[str] = []
    assert newest_checkpoint(tmp_path / "run", warnings) == tmp_path / "run" / "checkpoint-3"
    assert "it is a link" in warnings[0]
    assert "is no checkpoint" in warnings[1]


class _Canary:
    """Sings when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_pickles_of_other_trainers_are_never_opened(tmp_path: Path) -> None:
    path = save(tmp_path / "run", 7)
    for name in ("optimizer.bin", "rng_state.pth", "scheduler.pt", "random_states_0.pkl", "training_args.bin"):
        (path / name).write_bytes(pickle.dumps(_Canary(tmp_path / "sung")))
    for name in ("optimizer.pt", "scaler.pt", "pytorch_model.bin"):
        os.mkfifo(path / name)  # opening one would block
    assert newest_checkpoint(tmp_path / "run") == path
    assert_same(load_checkpoint(path).trained, trained(7))
    assert not (tmp_path / "sung").exists()
    pickle.loads((path / "optimizer.bin").read_bytes())
    assert (tmp_path / "sung").exists(), "the canary cannot sing, so nothing was tested"


def test_a_state_of_pickled_tensors_is_no_safetensors(tmp_path: Path) -> None:
    path = save(tmp_path / "run", 7)
    (path / "optimizer.safetensors").write_bytes(pickle.dumps(_Canary(tmp_path / "sung")))
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)
    assert not (tmp_path / "sung").exists()


def test_a_disk_that_is_visibly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**6, 10**6, 100))
    with pytest.raises(TrainingError, match=r"checkpoint-2 could not be saved: there is no room on its disk for \d"):
        save(tmp_path, 2)
    assert names(tmp_path) == {"checkpoint-1"}


@pytest.mark.parametrize("at", ["trained.safetensors", "optimizer.safetensors", "state.json"])
def test_a_disk_that_fills_up_while_saving(at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)
    sync = checkpoint_module.sync

    def full(path: Path) -> None:
        if path.name == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(path)

    monkeypatch.setattr(checkpoint_module, "sync", full)
    with pytest.raises(TrainingError, match=r"no room on its disk for \d+\.\d MiB; .* are kept") as caught:
        save(tmp_path, 2)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == {"checkpoint-1"}
    monkeypatch.undo()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-1"


FULL_FILE = """
import resource, sys
from pathlib import Path
import torch
from ivl.errors import TrainingError
from ivl.train.checkpoint import newest_checkpoint, save_checkpoint
from ivl.train.rotation import rotate
folder = Path(sys.argv[1])
def save(step, size):
    save_checkpoint(folder, step, trained={"w": torch.ones(size)}, optimizer={}, state={})
save(1, 100)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))
try:
    save(2, 10**6)
except TrainingError as fault:
    print(fault)
print(sorted(path.name for path in folder.iterdir()), newest_checkpoint(folder).name)
"""


def test_a_write_that_the_system_refuses(tmp_path: Path) -> None:
    """A real one: no file of this process may grow beyond 64 KiB."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_FILE, tmp_path / "run"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told, left = done.stdout.splitlines()
    assert "checkpoint-2 could not be saved: there is no room on its disk for 3.8 MiB" in told
    assert left == "['checkpoint-1'] checkpoint-1"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(TrainingError, match="checkpoint-1 cannot be written: Not a directory"):
        save(tmp_path / "run", 1)


def test_kills_at_random_moments_leave_whole_checkpoints(tmp_path: Path) -> None:
    """Twenty kills; each new run goes on where the last one was."""
    script = Path(__file__).with_name("kill_saving.py")
    command = [sys.executable, script, tmp_path / "run", "20", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(kills) == 20
    before = 0
    for kill in kills:
        assert kill["died_by"] == signal.SIGKILL, "it failed before it was killed"
        assert kill["warnings"] == []
        step = kill.get("step", 0)
        # What was told as saved is there; at most one more had its name already.
        assert max(before, kill["told"]) <= step <= max(before, kill["told"]) + 1
        if step:
            assert (kill["state"], kill["numbers"]) == ({"value": step}, [step])
            assert kill["bytes"] == [step % 251]
        before = step
    assert before > 10, "hardly anything was saved, so nothing was tested"
    assert any(kill["hidden"] for kill in kills), "no kill fell into a save"
    assert len(list((tmp_path / "run").glob("checkpoint-*"))) <= 3
