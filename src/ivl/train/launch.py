"""Start a run: in this process, or as several ranks of this machine, watched until the last one has left.

In: a recipe and a number of ranks. Out: the run's exit code, or an error that names the rank that spoiled it. Knows no
model and no data. What ranks need travels in a private folder (recipe, meeting point, signs of life), never through a
shell. A rank fails by ending or by falling silent; then the others end too: with SIGTERM, and 15 seconds later SIGKILL.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ivl.errors import SettingsError, TrainingError, shown
from ivl.train.config import TrainConfig
from ivl.train.rank_main import CONFIG_FILE, FOLDER_VARIABLE, LIFELINE_VARIABLE, config_to_json
from ivl.train.ranks import num_gpus
from ivl.train.watch import Rank, Watch, kept_files

RANK_MODULE = "ivl.train.rank_main"


def launch(config: TrainConfig, nproc: int, *, module: str = RANK_MODULE) -> int:
    """Run a recipe on `nproc` ranks; gives the exit code: 0, or 143 and 130 when told to stop and all was saved.

    module: what each rank runs, as `python -m module`; it calls `rank_main.main`. Raises SettingsError for a number of
    ranks that this machine cannot have, TrainingError when a rank fails or hangs, and in a single process whatever the
    run raises.
    """
    if not isinstance(nproc, int) or isinstance(nproc, bool) or not 1 <= nproc <= 1024:
        raise SettingsError(f"nproc={shown(nproc)} is not allowed: a whole number of at least 1")
    if nproc == 1:
        from ivl.train.run import run

        return run(config)
    if "RANK" in os.environ:
        raise SettingsError(f"nproc={nproc} is given, but torchrun or a cluster has started this rank: leave nproc out")
    gpus = num_gpus(config.device)
    if gpus and nproc > gpus:
        raise SettingsError(f"nproc={nproc} is not allowed: this machine has {gpus} GPU{'s' * (gpus > 1)}, one a rank")
    folder = Path(tempfile.mkdtemp(prefix="ivl-ranks-"))  # 0700: only this user's processes meet there
    keep = False
    try:
        (folder / CONFIG_FILE).write_text(json.dumps(config_to_json(config)), "utf-8")
        with _started(folder, nproc, module, on_gpu=gpus > 0) as ranks:
            return Watch(ranks, folder, config.timeout).wait()
    except TrainingError as error:
        keep = str(folder) in str(error)  # where it tells of more
        raise
    finally:
        _clean(folder, keep)


@contextlib.contextmanager
def _started(folder: Path, nproc: int, module: str, *, on_gpu: bool) -> Iterator[list[Rank]]:
    """The ranks' processes; none of them is left when the block ends."""
    lifeline, held = os.pipe()  # `held` closes with this process, however it ends, and the ranks see it
    ranks: list[Rank] = []
    try:
        for rank in range(nproc):
            environment = {**os.environ, **_environment(folder, nproc, rank, lifeline, on_gpu)}
            with _output(folder, rank) as output:
                process = subprocess.Popen(  # noqa: S603 (our own interpreter and module, no shell)
                    [sys.executable, "-m", module],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(lifeline,),
                    start_new_session=True,  # Ctrl-C reaches the launcher alone, which passes it on once
                )
            ranks.append(Rank(number=rank, process=process, started=time.monotonic()))
        yield ranks
    finally:
        for each in ranks:
            if each.process.poll() is None:
                each.process.kill()
            each.process.wait()
        os.close(lifeline)
        os.close(held)


def _environment(folder: Path, nproc: int, rank: int, lifeline: int, on_gpu: bool) -> dict[str, str]:
    """What a rank is told; the names that torchrun uses, so that other libraries understand."""
    told = {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(nproc),
        "LOCAL_WORLD_SIZE": str(nproc),
        FOLDER_VARIABLE: str(folder),
        LIFELINE_VARIABLE: str(lifeline),
        # All ranks are here: nothing listens on any other interface.
        "GLOO_SOCKET_IFNAME": loopback(),
        "NCCL_SOCKET_IFNAME": loopback(),
    }
    if not on_gpu and "OMP_NUM_THREADS" not in os.environ:
        told["OMP_NUM_THREADS"] = str(max(1, num_cores() // nproc))
    return told


def loopback() -> str:
    """The name of the loopback interface."""
    return "lo0" if sys.platform == "darwin" else "lo"


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _output(folder: Path, rank: int) -> Iterator[IO[bytes] | None]:
    """Where a rank's output goes: rank 0's to the terminal, the others' to files."""
    if rank == 0:
        yield None
        return
    with (folder / f"rank-{rank}.log").open("wb") as file:
        yield file


def _clean(folder: Path, keep: bool) -> None:
    """Remove the folder, or all in it but what the ranks wrote before they ended."""
    if not keep:
        shutil.rmtree(folder)
        return
    for path in set(folder.iterdir()) - set(kept_files(folder)):
        path.unlink()
