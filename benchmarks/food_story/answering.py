"""`ivl eval`'s own evaluation in several processes on one GPU: a small model leaves a GPU waiting for Python.

In: subjects, sets. Out: `EvalResults` as of one run. Each process asks every subject its share of every set's items;
what they were told is laid together in one folder of predictions, where `evaluate` finds all of it asked already.
"""

import multiprocessing
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from food_story.processes import num_cores
from ivl.evals.item import EvalResults, EvalSet, Subject
from ivl.evals.questions import choose_items
from ivl.evals.runner import PREDICTIONS, Progress, evaluate
from ivl.evals.settings import EvalSettings
from ivl.evals.subjects import Answering, batch_size
from ivl.session import pipeline

CACHE_SHARE = 0.5
"""Of free GPU memory that all processes together may take for their caches."""
_EVERY_S = 20.0


def evaluate_side_by_side(
    subjects: Sequence[Subject], sets: Sequence[EvalSet], settings: EvalSettings, out: Path, workers: int
) -> EvalResults:
    """As `evaluate`, with `workers` processes; 1: in this one. What an earlier run left in `out` is used."""
    # The limit first: a share of a share would be other items than the whole run asks.
    sets = [replace(each, items=choose_items(each.items, settings.limit, settings.seed)) for each in sets]
    settings = replace(settings, limit=None)
    if workers > 1:
        shards = [shard(sets, number, workers) for number in range(workers)]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            folders = [out / "shards" / f"{number}-of-{workers}" for number in range(workers)]
            answer = partial(answer_shard, subjects, settings, CACHE_SHARE / workers, num_cores() // workers)
            list(pool.map(answer, shards, folders))
        for subject in subjects:
            for eval_set in sets:
                lay_together(Path(subject.name) / f"{eval_set.name}.jsonl", folders, out)
    return evaluate(subjects, sets, settings, out, _Teller())


def shard(sets: Sequence[EvalSet], number: int, count: int) -> list[EvalSet]:
    """Every `count`th item of each set, from `number` on."""
    parts = [replace(each, items=each.items[number::count], faults=()) for each in sets]
    return [part for part in parts if part.items]


def answer_shard(
    subjects: Sequence[Subject],
    settings: EvalSettings,
    share: float,
    threads: int,
    sets: Sequence[EvalSet],
    out: Path,
) -> None:
    """In a process of its own."""
    torch.set_num_threads(max(1, threads))
    if sets:
        evaluate(subjects, sets, settings, out, _Teller(out.name), opener=partial(open_with_share, share))


def open_with_share(share: float, folder: str, adapter: str | None, settings: EvalSettings) -> Answering:
    """The pipeline that `evaluate` would open, which leaves room on the GPU for others."""
    config = replace(settings.engine_config(batch_size(settings)), cache_max_entry_count=share)
    return pipeline(folder, adapter, config, max_tiles=settings.max_tiles)


def lay_together(name: Path, folders: Sequence[Path], out: Path) -> None:
    """One file of answers of the shards' files, which must be of one making."""
    texts = [(folder / PREDICTIONS / name).read_bytes() for folder in folders if (folder / PREDICTIONS / name).exists()]
    headers = {text.partition(b"\n")[0] for text in texts}
    assert len(headers) == 1, f"{name}: the shards were answered by {len(headers)} different makings"
    target = out / PREDICTIONS / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(headers.pop() + b"\n" + b"".join(text.partition(b"\n")[2] for text in texts))


def forget_shards(out: Path) -> None:
    """Drop the shards' own files, once all is laid together."""
    shutil.rmtree(out / "shards", ignore_errors=True)


class _Teller:
    """A line now and then."""

    def __init__(self, name: str = "") -> None:
        self.name, self._told = name, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if progress.stage == "notice":
            print(progress.notice, flush=True)
        elif time.monotonic() - self._told > _EVERY_S:
            self._told = time.monotonic()
            done = f"{progress.all_done:,} of {progress.all_total:,}"
            print(f"  {self.name} {done} answers, {progress.subject} on {progress.set_name}", flush=True)
