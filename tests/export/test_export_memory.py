"""What merging takes: the memory of a process that merges a model of InternVL2-2B's shape, and what kills leave."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from export.export_families import write_base, write_kind
from ivl.errors import IvlError
from ivl.model.config import InternVLConfig
from ivl.model.config_export import to_official
from ivl.model.family import FAMILY
from ivl.model.names import stored_tensors
from ivl.model.safetensors_io import Source, write_file
from ivl.model.weights import load_model, write_json
from random_adapter import LANGUAGE, make_adapter, tensors_of, write_adapter

SHARD_BYTES = 15 * 10**8
MEASURED = """
import sys
from ivl.cli.main import run
code = run(sys.argv[1:])
with open("/proc/self/status") as file:
    print(next(line.split()[1] for line in file if line.startswith("VmHWM")), code)
"""


def write_random(config: InternVLConfig, folder: Path) -> int:
    """A folder of random bfloat16 weights in shards, official layout; gives the size of the largest shard."""
    folder.mkdir()
    block = torch.empty(2**22).normal_(0, 0.02, generator=torch.Generator().manual_seed(0)).bfloat16()
    shards: list[list[Source]] = [[]]
    for tensor in stored_tensors(config, "official").values():
        count = torch.Size(tensor.shape).numel()
        pieces = (block,) * (count // len(block)) + (block[: count % len(block)],)
        source = Source(name=tensor.name, shape=tensor.shape, pieces=pieces)
        if sum(each.num_bytes for each in shards[-1]) + source.num_bytes > SHARD_BYTES:
            shards.append([])
        shards[-1].append(source)
    names = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        write_file(folder / name, shard)
    index = {source.name: name for name, shard in zip(names, shards, strict=True) for source in shard}
    write_json(folder / "model.safetensors.index.json", {"weight_map": index})
    write_json(folder / "config.json", to_official(config, "bfloat16"))
    return max((folder / name).stat().st_size for name in names)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_merging_a_2b_takes_a_part_of_its_memory(tmp_path: Path) -> None:
    """A process of its own; checking the result, layer by layer in float64, is part of it."""
    config = FAMILY["InternVL2-2B"]
    largest = write_random(config, tmp_path / "base")
    adapter = make_adapter(0, config, ends=(*LANGUAGE, "fc1", "fc2"), rank=16, scale=0.1)
    halves = {name: tensor.float() for name, tensor in tensors_of(adapter).items()}
    write_adapter(tmp_path / "adapter", halves, r=16, lora_alpha=2)
    del adapter, halves
    begun = time.monotonic()
    command = [sys.executable, "-c", MEASURED, "merge", tmp_path / "base", tmp_path / "adapter", "-o", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    shutil.rmtree(tmp_path / "base")
    assert done.returncode == 0, done.stderr
    peak, code = map(int, done.stdout.split()[-2:])
    print(f"{peak / 2**20:.2f} GiB, shard {largest / 2**30:.2f} GiB, {time.monotonic() - begun:.0f} s\n{done.stdout}")
    assert code == 0, done.stderr
    assert peak * 2**10 < 1.3 * largest + 2**30


def state(folder: Path, wanted: dict[str, torch.Tensor]) -> str:
    try:
        found = load_model(folder)
    except IvlError:
        return "nothing"
    same = all(torch.equal(parameter, wanted[name]) for name, parameter in found.named_parameters())
    return "whole" if same else "damaged"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_leaves_nothing_that_loads(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    base = write_base("tiny-internlm2", tmp_path / "base", tiny_folder, max_shard_bytes=100_000)
    adapter = write_kind("lora", base, tmp_path / "adapter")
    place = tmp_path / "place"
    place.mkdir()

    def command(out: str) -> list[str]:
        words = ["merge", str(base), str(adapter), "-o", str(place / out)]
        return [sys.executable, "-m", "ivl", *words]

    begun = time.monotonic()
    subprocess.run(command("whole"), check=True, capture_output=True)
    usual = time.monotonic() - begun
    wanted = dict(load_model(place / "whole").named_parameters())
    shutil.rmtree(place / "whole")
    outcomes, chance = [], random.Random(0)
    for number in range(12):
        process = subprocess.Popen(command(f"{number}"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if number < 8:  # from the moment on when it begins to write
            while not any(place.iterdir()) and process.poll() is None:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.3 * usual))
        else:
            time.sleep(chance.uniform(0, usual))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        outcomes.append(state(place / f"{number}", wanted))
        for left in list(place.iterdir()):
            if left.name.startswith("."):
                # config.json comes last: in the moment between it and the folder's name, all is there.
                assert state(left, wanted) in ("nothing", "whole")
                assert outcomes[-1] == "nothing"
            shutil.rmtree(left)
    assert set(outcomes) <= {"nothing", "whole"}
    assert outcomes.count("nothing") >= 4, json.dumps(outcomes)
