"""Fixtures of whole runs: a tiny model, data, and a calm process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch

import tiny_run
from ivl.train.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What runs are made of; tests must not write into it."""

    model: Path
    data: Path
    """24 samples: 6 steps of 4."""
    other: Path
    """8 others, for validation and replay."""


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Parts:
    root = tmp_path_factory.mktemp("runs")
    return Parts(
        model=tiny_folder("tiny-internlm2"),
        data=tiny_run.write_data(root / "data"),
        other=tiny_run.write_data(root / "other", 8),
    )


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """One thread, so that runs here and in other processes add in the same order; no plots, which take a second each;
    no cache of the user's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setattr("ivl.train.plot.draw_history", lambda history, path: None)
        patch.setattr("ivl.train.evaluation.ANSWER_TOKENS", 3)
        yield patch
    torch.set_num_threads(threads)


@pytest.fixture
def recipe(calm: pytest.MonkeyPatch, parts: Parts, tmp_path: Path) -> Callable[..., TrainConfig]:
    """recipe(name of its folder, **changes)"""
    return lambda name="run", **changes: partial(tiny_run.recipe, parts.model, parts.data)(tmp_path / name, **changes)
