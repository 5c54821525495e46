"""Starting ranks: they meet privately, signals reach them, and the one that spoils the run is named."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import ivl.train.launch as launching
from ivl.data.settings import DataSource
from ivl.errors import SettingsError, TrainingError
from ivl.train.config import TrainConfig
from ivl.train.launch import launch, num_cores
from ivl.train.rank_main import config_from_json, config_to_json

TESTS = Path(__file__).parent.parent
STORIES = "train.rank_stories"
LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe that makes ranks play a story of rank_stories.py."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "said").mkdir()

    def make(story: str, timeout: float = 60, lr: float = 3e-5) -> TrainConfig:
        sources = (DataSource(path="食物.jsonl; rm -rf $HOME", repeat_time=0.1),)
        return TrainConfig(
            path=story, work_dir=str(tmp_path / "said"), data_path=sources, timeout=timeout, lr=lr, device="cpu"
        )

    return make


def said(config: TrainConfig, rank: int) -> dict:
    return json.loads((Path(config.work_dir) / f"{rank}.json").read_text())


def wait_until(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_recipe_survives_the_way_to_a_rank():
    config = TrainConfig(
        data_path=(DataSource(path="a", repeat_time=0.3), DataSource(path="b", max_dynamic_patch=4)),
        target_modules=("q_proj",),
        betas=(0.9, 0.95),
        lr=1e-4 / 3,
        activation_checkpointing=7,
    )
    assert config_from_json(json.loads(json.dumps(config_to_json(config)))) == config


def test_two_ranks_meet_on_the_loopback_only(recipe, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth0")  # of a cluster's shell: this run is on one machine
    config = recipe("tell_all")
    assert launch(config, 2, module=STORIES) == 0
    for rank in range(2):
        told = said(config, rank)
        assert told["total"] == [2.0, 1.0]
        assert told["largest"] == [1, 0]
        assert told["shared"] == {"name": "鱼香肉丝", "rank": 0}
        assert told["listening"], "gloo listens somewhere, or this test sees nothing"
        assert set(told["listening"]) <= LOOPBACK
        assert told["accelerate"] == [rank, 2]
        assert told["threads"] == str(max(1, num_cores() // 2))
        assert told["folder_mode"] == "0o700"
        assert told["recipe"] == [config.lr, list(config.betas), 0.1]
    assert not list(tmp_path.glob("ivl-ranks-*")), "nothing stays behind"


@pytest.fixture
def send_when_ready():
    """Sends this process a signal as soon as both ranks have said something; joined at the test's end."""
    senders = []

    def start(config: TrainConfig, number: int) -> None:
        def send():
            wait_until(lambda: all((Path(config.work_dir) / f"{rank}.json").exists() for rank in range(2)))
            os.kill(os.getpid(), number)

        senders.append(threading.Thread(target=send))
        senders[-1].start()

    yield start
    for sender in senders:
        sender.join()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_reaches_every_rank_once_and_each_saves(recipe, send_when_ready, number, code):
    config, before = recipe("wait_for_signal"), signal.getsignal(number)
    send_when_ready(config, number)
    assert launch(config, 2, module=STORIES) == code
    assert [said(config, rank) for rank in range(2)] == [{"saved": [number]}] * 2
    assert signal.getsignal(number) is before


def test_a_run_that_ends_well_at_a_signal_has_ended_well(recipe, send_when_ready):
    config = recipe("finish_at_a_signal")
    send_when_ready(config, signal.SIGTERM)
    assert launch(config, 2, module=STORIES) == 0


def test_a_rank_that_cannot_save_when_told_to_stop_is_named(recipe, send_when_ready):
    config = recipe("wait_for_signal", lr=1)
    send_when_ready(config, signal.SIGTERM)
    with pytest.raises(TrainingError, match="rank 1 failed: the disk is full"):
        launch(config, 2, module=STORIES)


@pytest.mark.parametrize(
    ("story", "message"),
    [
        ("fail", "rank 1 failed: food.jsonl:7: no answer"),
        ("fail_together", "rank 0 failed: food.jsonl:7: no answer"),
        ("break_down", "rank 1 failed: unexpected ZeroDivisionError: by nought (more in "),
        ("lose_a_partner", "rank 1 was ended by SIGKILL, as when memory runs out: about to go (more in "),
        ("leave_early", "rank 1 ended with exit code 3: enough (more in "),
    ],
)
def test_a_failed_rank_is_named_and_ends_the_others(recipe, story, message):
    started = time.monotonic()
    with pytest.raises(TrainingError) as failure:
        launch(recipe(story), 2, module=STORIES)
    assert str(failure.value).startswith(message)
    assert time.monotonic() - started < 20, "nobody waited for a rank that is gone"


def test_a_mistake_with_a_name_leaves_nothing(recipe, tmp_path):
    with pytest.raises(TrainingError, match=r"^rank 1 failed: food\.jsonl:7: no answer$"):
        launch(recipe("fail"), 2, module=STORIES)
    assert not list(tmp_path.glob("ivl-ranks-*"))


def test_what_a_broken_rank_left_is_kept(recipe, tmp_path):
    with pytest.raises(TrainingError):
        launch(recipe("break_down"), 2, module=STORIES)
    (folder,) = tmp_path.glob("ivl-ranks-*")
    assert "in break_down" in (folder / "traceback-1.txt").read_text()
    assert not (folder / "config.json").exists()


def test_a_rank_that_does_not_leave_is_killed_after_the_grace(recipe, monkeypatch):
    monkeypatch.setattr(launching.Watch.__init__, "__defaults__", (0.5,))
    config = recipe("ignore_the_end")
    with pytest.raises(TrainingError, match="rank 1 failed: no"):
        launch(config, 2, module=STORIES)
    assert not is_alive(said(config, 0)["pid"])


@pytest.mark.parametrize(
    ("story", "named"),
    [
        ("hang_alone", r"rank 1 fell silent \d+ s ago while reading data \(step 4\), and the others waited for it"),
        ("hang_while_others_wait", r"rank 0 fell silent \d+ s ago while saving \(step 4\)"),
    ],
)
def test_a_silent_rank_is_named_with_what_it_did(recipe, story, named):
    with pytest.raises(TrainingError, match=named):
        launch(recipe(story, timeout=5), 2, module=STORIES)


def test_a_stopped_rank_is_named(recipe):
    with pytest.raises(TrainingError, match=r"rank 1 fell silent .* optimizer \(step 9\), .*its process is stopped"):
        launch(recipe("stop_one", timeout=5), 2, module=STORIES)


def test_ranks_may_wait_for_one_that_is_alive(recipe):
    assert launch(recipe("work_for_long", timeout=6), 2, module=STORIES) == 0


def test_ranks_die_with_a_killed_launcher(recipe):
    """Or they would write into the run's folder beside the run that resumes it."""
    config = recipe("wait_for_signal")
    code = (
        "import json, sys\nfrom ivl.train.launch import launch\nfrom ivl.train.rank_main import config_from_json\n"
        f"launch(config_from_json(json.loads(sys.argv[1])), 2, module={STORIES!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code, json.dumps(config_to_json(config))])
    wait_until(lambda: all((Path(config.work_dir) / f"{rank}.json").exists() for rank in range(2)))
    time.sleep(0.1)
    pids = [said(config, rank)["pid"] for rank in range(2)]
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(is_alive, pids)), 5)


@pytest.mark.parametrize("nproc", [0, -1, True, 2.0, 10**6])
def test_a_bad_number_of_ranks_is_refused(recipe, nproc):
    with pytest.raises(SettingsError, match="nproc="):
        launch(recipe("tell_all"), nproc, module=STORIES)


def test_ranks_within_a_rank_are_refused(recipe, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(SettingsError, match="torchrun or a cluster has started this rank"):
        launch(recipe("tell_all"), 2, module=STORIES)


@pytest.mark.parametrize(("gpus", "words"), [(1, "has 1 GPU,"), (2, "has 2 GPUs,")])
def test_more_ranks_than_gpus_are_refused(recipe, monkeypatch, gpus, words):
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    config = TrainConfig(path="tell_all", device="auto")
    with pytest.raises(SettingsError, match=words):
        launch(config, 3, module=STORIES)
