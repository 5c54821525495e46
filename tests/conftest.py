"""Fixtures for every test: the tiny official checkpoints, written once a run."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from parity import tiny

settings.register_profile("busy", deadline=None)  # on busy cores a test takes as long as it takes
settings.load_profile("busy")


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    """Two, or one where the tests share the cores among themselves."""
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is measured in tests stays out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of a tiny official checkpoint by its name; tests must not write into it."""
    root = tmp_path_factory.mktemp("tiny")

    def folder(name: str) -> Path:
        return root / name if (root / name).exists() else tiny.write_checkpoint(name, root / name)

    return folder
