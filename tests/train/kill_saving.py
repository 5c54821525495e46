"""Saves checkpoints in a tight loop and is killed, again and again; says what was there after each kill.

Run as a script: `kill_saving.py FOLDER KILLS SEED`. A process of its own, so that it can fork with a single thread.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from ivl.train.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint
from ivl.train.rotation import rotate
from ivl.train.run_folder import lock_run


def save_for_ever(folder: Path, told: int) -> None:
    """Tells each step that is saved; the numbers of a checkpoint all follow from its step."""
    with lock_run(folder):
        newest = newest_checkpoint(folder)
        step = load_checkpoint(newest).step if newest else 0
        while True:
            step += 1
            save_checkpoint(
                folder,
                step,
                trained={"w": torch.full((20_000,), float(step)), "b": torch.full((3,), step)},
                optimizer={"exp_avg/w": torch.full((20_000,), step % 251, dtype=torch.uint8)},
                state={"value": step},
                write_output=lambda partial: [(partial / "note.txt").write_text("x"), None][1],
            )
            os.write(told, f"{step}\n".encode())
            rotate(folder, 2)


def kill_one(folder: Path, saves: int, delay: float) -> dict[str, object]:
    """Kill it `delay` seconds after that many saves; the delay is of the order of one save."""
    reads, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            save_for_ever(folder, told)
        finally:
            os._exit(1)
    os.close(told)
    lines = b""
    while lines.count(b"\n") < saves and (some := os.read(reads, 100)):
        lines += some
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    died_by = -os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    while some := os.read(reads, 100):
        lines += some
    os.close(reads)
    steps = [int(line) for line in lines.split(b"\n")[:-1]]
    return {"died_by": died_by, "told": steps[-1] if steps else 0, "hidden": len(list(folder.glob(".*")))}


def main() -> None:
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    dice = random.Random(seed)
    for _ in range(kills):
        found = kill_one(folder, dice.randint(0, 2), dice.uniform(0, 0.03))
        warnings: list[str] = []
        newest = newest_checkpoint(folder, warnings)
        if newest is not None:
            checkpoint = load_checkpoint(newest)
            found |= {
                "step": checkpoint.step,
                "state": checkpoint.state,
                "numbers": sorted({*checkpoint.trained["w"].tolist(), *checkpoint.trained["b"].tolist()}),
                "bytes": checkpoint.optimizer["exp_avg/w"].unique().tolist(),
            }
        print(json.dumps(found | {"warnings": warnings}))


if __name__ == "__main__":
    main()
