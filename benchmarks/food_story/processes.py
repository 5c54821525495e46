"""Commands and functions side by side on one machine.

In: commands. Out: seconds of each. A command that fails stops the script with the end of what it said.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

PYTHON = sys.executable
_SHOWN = 3000
"""Characters of a failed command's output."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command, and where its output goes."""

    name: str
    words: Sequence[str]
    log: Path


def run_all(commands: Sequence[Command], at_once: int) -> dict[str, float]:
    """Run them in order, so many at once; seconds by name. Raises RuntimeError, after ending the others, if one fails.

    Each process computes on one thread: those that need more start processes of their own.
    """
    waiting, running, seconds = list(commands), dict[subprocess.Popen[bytes], tuple[Command, float]](), {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                command = waiting.pop(0)
                running[_start(command)] = (command, time.monotonic())
            time.sleep(0.1)
            for process in [each for each in running if each.poll() is not None]:
                command, began = running.pop(process)
                seconds[command.name] = round(time.monotonic() - began, 1)
                print(f"  {command.name}: {seconds[command.name]} s", flush=True)
                if process.returncode:
                    said = command.log.read_text("utf-8", "replace")[-_SHOWN:]
                    raise RuntimeError(f"{command.name} ended with {process.returncode}:\n{said}")
    finally:
        for process in running:
            process.terminate()
    return seconds


def run_one(name: str, words: Sequence[str], log: Path) -> float:
    """One command alone."""
    return run_all([Command(name=name, words=words, log=log)], 1)[name]


def environment() -> Mapping[str, str]:
    """That of a process among many: one thread, and the package and tools found as they are found here."""
    places = [place for place in (os.environ.get("PYTHONPATH"), str(Path.cwd()), str(Path.cwd() / "src")) if place]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(places)}


def num_cores() -> int:
    return len(os.sched_getaffinity(0))


def device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _start(command: Command) -> subprocess.Popen[bytes]:
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("wb") as log:
        return subprocess.Popen(command.words, stdout=log, stderr=subprocess.STDOUT, env=environment())
