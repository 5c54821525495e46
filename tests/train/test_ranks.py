"""Which rank a process is, and what ranks of torchrun say to each other."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ivl.errors import SettingsError
from ivl.train.config import TrainConfig
from ivl.train.heartbeat import Heartbeat, read_beat
from ivl.train.ranks import find_ranks, join_ranks, num_gpus

CPU = TrainConfig(device="cpu")
TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}


def test_a_single_process_joins_nothing(monkeypatch):
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    with join_ranks(CPU) as ranks:
        assert (ranks.rank, ranks.local_rank, ranks.world_size, ranks.device.type) == (0, 0, 1, "cpu")
        assert ranks.is_main
        assert ranks.all_sum(torch.ones(2)).tolist() == [1, 1]
        assert ranks.all_max(torch.ones(2)).tolist() == [1, 1]
        assert ranks.share({"a": 1}) == {"a": 1}
        ranks.beat(1, "forward")
        ranks.barrier()
        assert not torch.distributed.is_initialized()


def test_one_rank_of_torchrun_joins_nothing(monkeypatch):
    for name, value in (TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}).items():
        monkeypatch.setenv(name, value)
    with join_ranks(CPU) as ranks:
        assert ranks.world_size == 1


def test_ranks_are_read_from_the_environment():
    ranks = find_ranks(CPU, TORCHRUN)
    assert (ranks.rank, ranks.local_rank, ranks.world_size, ranks.is_main) == (5, 1, 8, False)


def test_each_local_rank_has_its_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert find_ranks(TrainConfig(), TORCHRUN).device == torch.device("cuda", 1)
    without = {name: value for name, value in TORCHRUN.items() if name != "LOCAL_RANK"}
    assert find_ranks(TrainConfig(), without).local_rank == 1, "rank 5 of machines with two GPUs"
    with pytest.raises(SettingsError, match="local rank 2 has no GPU: this machine has 2"):
        find_ranks(TrainConfig(), TORCHRUN | {"LOCAL_RANK": "2"})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"RANK": "x"}, "RANK='x'"),
        ({"RANK": "-1"}, "RANK='-1'"),
        ({"RANK": "8"}, "RANK=8 is not allowed with WORLD_SIZE=8"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE=0"),
        ({"LOCAL_RANK": ""}, "LOCAL_RANK=''"),
        ({"MASTER_ADDR": None}, "MASTER_ADDR is not"),
    ],
)
def test_a_bad_environment_is_one_line(change, named):
    environment = {name: value for name, value in (TORCHRUN | change).items() if value is not None}
    with pytest.raises(SettingsError, match=named):
        find_ranks(CPU, environment)


def test_devices(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert num_gpus("auto") == num_gpus("cpu") == 0
    with pytest.raises(SettingsError, match="torch finds no GPU"):
        num_gpus("cuda")
    with pytest.raises(SettingsError, match="device='tpu'"):
        num_gpus("tpu")


SCRIPT = """
import json, sys, torch
from ivl.train.config import TrainConfig
from ivl.train.ranks import join_ranks
with join_ranks(TrainConfig(device="cpu", timeout=30)) as ranks:
    print(json.dumps([ranks.all_sum(torch.tensor(ranks.rank + 1)).item(), ranks.share([ranks.rank, "x" * 70000])[0]]))
"""


def test_ranks_of_torchrun_meet_where_it_says():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    processes = []
    for rank in range(2):
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {**os.environ, **{name: str(value) for name, value in told.items()}}
        command = [sys.executable, "-c", SCRIPT]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE))
    assert [json.loads(process.communicate(timeout=60)[0]) for process in processes] == [[3, 0], [3, 0]]


def test_beats_are_read_whole(tmp_path: Path):
    heartbeat = Heartbeat(tmp_path, 3)
    assert read_beat(tmp_path, 3, started=5.0).phase == "starting"
    assert read_beat(tmp_path, 4, started=5.0).time == 5.0
    heartbeat.beat(1000, "a phase with a very long name " * 10)
    heartbeat.beat(1000, "forward")
    beat = read_beat(tmp_path, 3, started=5.0)
    assert (beat.step, beat.phase, beat.count, beat.waits) == (1000, "forward", 2, False)
    with heartbeat.waiting():
        assert read_beat(tmp_path, 3, started=5.0).waits
    beat = read_beat(tmp_path, 3, started=5.0)
    assert (beat.phase, beat.waits) == ("forward", False)
    heartbeat.beat(1001, "数据")
    assert (read_beat(tmp_path, 3, 0).count, read_beat(tmp_path, 3, 0).phase) == (1, "数据")


def test_a_silent_heartbeat_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Heartbeat().beat(1, "forward")
    assert not list(tmp_path.iterdir())
