"""Batches from worker processes: order, faults, lost workers."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from data_sets import ListSource, folder_source, make_example
from ivl.data import loader
from ivl.data.collate import collate
from ivl.data.corpus import Corpus, Portion
from ivl.data.loader import batches, default_workers, load_sample
from ivl.data.measure import measure
from ivl.data.planner import Planner
from ivl.data.settings import DataSettings
from ivl.errors import DataError
from ivl.processing import load_processor
from ivl.zoo import nano_folder

SETTINGS = DataSettings(
    batch_size=2, accumulative_counts=2, max_length=2000, max_dynamic_patch=2, loss_weighting="square"
)


@pytest.fixture(scope="module")
def processor():
    return load_processor(nano_folder())


def corpus_of(source, processor, settings=SETTINGS):
    return Corpus([Portion(source=source, measures=measure(source, processor, settings, workers=0))], settings)


def planner_of(corpus, settings=SETTINGS, world_size=1):
    return Planner(corpus.num_tokens, corpus.num_tiles, settings, world_size, members=corpus.members)


@pytest.fixture(scope="module")
def corpus(processor, tmp_path_factory):
    return corpus_of(folder_source(tmp_path_factory.mktemp("colours"), 11, data_augment=True), processor)


def same(one, other):
    fields = ("input_ids", "targets", "weights", "pixel_values")
    equal = all(
        getattr(one, name) is getattr(other, name) is None or torch.equal(getattr(one, name), getattr(other, name))
        for name in fields
    )
    return equal and (one.offsets, one.sample_ids, one.dropped) == (other.offsets, other.sample_ids, other.dropped)


def test_batches_hold_what_the_plan_says(corpus, processor):
    planner = planner_of(corpus, world_size=2)
    for rank in (0, 1):
        found = list(batches(corpus, processor, SETTINGS, planner, rank=rank, num_epochs=2, num_workers=0))
        slots = [(epoch, micro[rank]) for epoch in (0, 1) for step in planner.epoch(epoch) for micro in step]
        assert len(found) == len(slots) == 8
        for batch, (epoch, slot) in zip(found, slots, strict=True):
            samples = [load_sample(corpus, processor, SETTINGS, index, epoch) for index in slot]
            assert same(batch, collate(samples, "square"))
            assert batch.num_tokens == sum(int(corpus.num_tokens[index]) for index in slot)
            assert batch.num_tiles == sum(int(corpus.num_tiles[index]) for index in slot)


def test_workers_change_nothing_and_a_resumed_run_goes_on(corpus, processor):
    planner = planner_of(corpus)
    whole = list(batches(corpus, processor, SETTINGS, planner, num_epochs=2, num_workers=0))
    workers = batches(corpus, processor, SETTINGS, planner, epoch=0, step=1, num_epochs=2, num_workers=2)
    resumed = list(workers)
    assert len(whole) == 2 + len(resumed) == 12
    assert all(same(one, other) for one, other in zip(whole[2:], resumed, strict=True))
    assert not same(whole[0], whole[6])


def test_without_an_end_epochs_follow_one_another(corpus, processor):
    stream = batches(corpus, processor, SETTINGS, planner_of(corpus), num_workers=0)
    found = list(itertools.islice(stream, 20))
    assert sorted(name for batch in found[:6] for name in batch.sample_ids) == sorted(
        name for batch in found[6:12] for name in batch.sample_ids
    )
    stream.close()


def test_the_loader_leaves_random_states_alone(corpus, processor):
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist()
    list(batches(corpus, processor, SETTINGS, planner_of(corpus), num_epochs=1, num_workers=0))
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_a_picture_that_breaks_is_left_out_and_told(processor, tmp_path):
    corpus = corpus_of(folder_source(tmp_path, 4), processor)
    broken = tmp_path / "images" / "002.png"
    broken.write_bytes(broken.read_bytes()[:60])
    (tmp_path / "images" / "003.png").unlink()
    found = list(batches(corpus, processor, SETTINGS, planner_of(corpus), num_epochs=1, num_workers=0))
    assert sorted(name for batch in found for name in batch.sample_ids) == ["colour-1", "colour-2"]
    told = sorted(line for batch in found for line in batch.dropped)
    assert [line.split(": ")[0] for line in told] == ["fake:3", "fake:4"]
    assert "does not exist" in told[1]
    assert all("\n" not in line for line in told)


def test_a_batch_of_which_nothing_is_left_is_empty(processor, tmp_path):
    corpus = corpus_of(folder_source(tmp_path, 1), processor)
    (tmp_path / "images" / "000.png").unlink()
    first, second = batches(corpus, processor, SETTINGS, planner_of(corpus), num_epochs=1, num_workers=0)
    assert (first.num_samples, len(first.dropped), len(second.dropped)) == (0, 1, 0)
    assert first.input_ids.tolist() == second.input_ids.tolist()
    assert processor.image_token_id not in first.input_ids


class Failing(ListSource):
    """A source whose third record ends the reader, in one way or another."""

    def __init__(self, examples, fault):
        super().__init__(examples)
        self.fault = fault
        self.armed = False

    def __getitem__(self, index):
        if self.armed and index == 2:
            self.fault()
        return super().__getitem__(index)


@dataclass
class Raise:
    def __call__(self):
        raise ZeroDivisionError("division\nby zero")


@dataclass
class Kill:
    def __call__(self):
        os.kill(os.getpid(), signal.SIGKILL)


def failing_corpus(processor, fault):
    source = Failing([make_example(f"answer {number}", where=f"fake:{number + 1}") for number in range(4)], fault)
    corpus = corpus_of(source, processor)
    source.armed = True
    return corpus


@pytest.mark.parametrize("num_workers", [0, 1])
def test_any_other_failure_names_the_sample(processor, num_workers):
    corpus = failing_corpus(processor, Raise())
    with pytest.raises(DataError) as caught:
        list(batches(corpus, processor, SETTINGS, planner_of(corpus), num_epochs=1, num_workers=num_workers))
    assert str(caught.value) == "fake:3: preparing the sample failed: ZeroDivisionError: division by zero"


def test_a_killed_worker_ends_the_run_in_seconds_and_by_name(processor):
    corpus = failing_corpus(processor, Kill())
    start = time.monotonic()
    with pytest.raises(
        DataError,
        match=r"a process that prepares samples was lost, .*fake:3.*: worker \(pid \d+\) was killed by signal 9;",
    ):
        list(batches(corpus, processor, SETTINGS, planner_of(corpus), num_epochs=1, num_workers=1))
    assert time.monotonic() - start < 30


def test_one_sigterm_to_the_group_leaves_the_workers_alive(corpus, processor):
    stream = batches(corpus, processor, SETTINGS, planner_of(corpus), num_workers=1)
    next(stream)
    workers = {each.pid for each in multiprocessing.active_children()}
    for worker in workers:
        os.kill(worker, signal.SIGTERM)
        os.kill(worker, signal.SIGINT)
    assert workers
    assert all(batch.num_samples for batch in itertools.islice(stream, 6))
    stream.close()
    assert not workers & {each.pid for each in multiprocessing.active_children()}


_RUN = """
import multiprocessing, time
from pathlib import Path
from data.test_loader import SETTINGS, batches, corpus_of, folder_source, load_processor, planner_of, nano_folder
if __name__ == "__main__":
    processor = load_processor(nano_folder())
    corpus = corpus_of(folder_source(Path("FOLDER"), 4), processor)
    stream = batches(corpus, processor, SETTINGS, planner_of(corpus), num_workers=2)
    next(stream)
    print(*(each.pid for each in multiprocessing.active_children()), flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_workers_end_with_a_killed_run(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(_RUN.replace("FOLDER", str(tmp_path)), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True) as run:
        workers = [int(word) for word in run.stdout.readline().split()]
        assert [is_alive(worker) for worker in workers] == [True, True]
        run.kill()
    end = time.monotonic() + 20
    while any(map(is_alive, workers)) and time.monotonic() < end:
        time.sleep(0.1)
    assert [is_alive(worker) for worker in workers] == [False, False]


@pytest.mark.slow
def test_a_program_that_leaves_its_batches_open_ends(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(_RUN.replace("FOLDER", str(tmp_path)).replace("time.sleep(600)", "pass"), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    run = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    assert not any(is_alive(int(worker)) for worker in run.stdout.split())


def test_closing_ends_the_workers_whoever_holds_torchs_iterator(corpus, processor, monkeypatch):
    held = []
    monkeypatch.setattr(loader, "begin", lambda made: held.append(iter(made)) or held[0])
    stream = batches(corpus, processor, SETTINGS, planner_of(corpus), num_workers=1)
    next(stream)
    workers = {each.pid for each in multiprocessing.active_children()}
    assert workers
    stream.close()
    assert not workers & {each.pid for each in multiprocessing.active_children()}


def is_alive(process):
    state = Path(f"/proc/{process}/stat")
    try:
        return state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_the_number_of_workers_is_the_recipes_or_by_cores(monkeypatch):
    assert default_workers(DataSettings(dataloader_num_workers=0)) == 0
    assert default_workers(DataSettings(dataloader_num_workers=5)) == 5
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(32)), raising=False)
    assert default_workers(DataSettings()) == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert default_workers(DataSettings()) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    assert default_workers(DataSettings()) == 1
