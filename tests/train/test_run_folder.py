"""One process a run folder; what killed runs left lying there goes, what they were replacing comes back."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ivl.errors import TrainingError
from ivl.train.run_folder import list_checkpoints, lock_run, remove_leftovers

HOLDER = """
import sys, time
from pathlib import Path
from ivl.train.run_folder import lock_run
with lock_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder."""
    command = [sys.executable, "-c", HOLDER, folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            yield other
        finally:
            other.kill()


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with held(folder) as other:
        with pytest.raises(TrainingError) as caught, lock_run(folder):
            raise AssertionError("the lock was given twice")
        assert str(caught.value) == (
            f"{folder} is in use by another run (process {other.pid}): wait for it to end, or choose another work_dir"
        )
        other.kill()
        other.wait()
        with lock_run(folder):
            assert (folder / "run.lock").read_text() == f"{os.getpid()}\n"


def test_workers_that_outlive_a_killed_run_hold_nothing(tmp_path: Path) -> None:
    with lock_run(tmp_path):
        worker = os.fork()
        if worker == 0:
            time.sleep(30)
            os._exit(0)
    try:
        command = [sys.executable, "-c", HOLDER.replace("60", "0"), tmp_path]
        assert subprocess.run(command, capture_output=True, text=True, timeout=60).stdout == "held\n"
    finally:
        os.kill(worker, 9)
        os.waitpid(worker, 0)


def test_a_folder_can_be_locked_again_and_again(tmp_path: Path) -> None:
    for _ in range(3):
        with lock_run(tmp_path / "new" / "run"):
            pass


def test_a_lock_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.lock")
    with pytest.raises(TrainingError, match="is not a regular file"), lock_run(tmp_path):
        pass
    (tmp_path / "run.lock").unlink()
    (tmp_path / "run.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(TrainingError, match="cannot be written"), lock_run(tmp_path):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be written"), lock_run(tmp_path / "file"):
        pass


def test_leftovers_go_and_what_was_being_replaced_comes_back(tmp_path: Path) -> None:
    for name in (
        ".checkpoint-3.partial-0a1b2c3d",
        "..checkpoint-3.partial-0a1b2c3d.partial-00000000",
        ".checkpoint-4.trash-0a1b2c3d",
        ".checkpoint-5.replaced-0a1b2c3d",  # its successor never came
        ".checkpoint-6.replaced-0a1b2c3d",
        "checkpoint-6",
        ".checkpoint-best.partial-0a1b2c3d",
        ".checkpoint-7.partial-of-mine",
        "metrics",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / ".checkpoint-8.partial-0a1b2c3d").symlink_to(tmp_path / "metrics")
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "checkpoint-5",
        "checkpoint-6",
        ".checkpoint-best.partial-0a1b2c3d",
        ".checkpoint-7.partial-of-mine",
        "metrics",
    }
    assert (tmp_path / "checkpoint-6" / "file").read_text() == "checkpoint-6"
    assert (tmp_path / "metrics" / "file").exists()
    assert [step for step, _ in list_checkpoints(tmp_path)] == [6, 5]


def test_a_lock_tidies_up(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint-3.partial-0a1b2c3d").mkdir()
    with lock_run(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]
