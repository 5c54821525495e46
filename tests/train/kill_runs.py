"""A run that is killed again and again, at moments that dice choose, and resumed each time; says what each kill met.

Run as a script: `kill_runs.py RECIPE.json KILLS SEED`. A process of its own, with everything imported and a single
thread, so that each attempt is a fork and begins at once. The last kill comes while the result is written.
"""

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

import ivl.train.plot
from ivl.train.checkpoint import newest_checkpoint
from ivl.train.config import TrainConfig
from ivl.train.rank_main import config_from_json
from ivl.train.run import run
from ivl.train.run_folder import step_of

STEPS = 3
"""An attempt is killed when it has saved so many, wherever it is."""
LIMIT = 60.0
"""Seconds after which an attempt that makes no progress is killed too."""


def begin(config: TrainConfig) -> int:
    """The run in a process of its own; gives its number."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        code = run(config)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def names(folder: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return [path.name for path in folder.iterdir()]
    return []


def newest(folder: Path) -> int:
    return max((step_of(Path(name)) or 0 for name in names(folder)), default=0)


def is_alive(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def wait_until(child: int, condition: Callable[[], bool]) -> None:
    """Look a thousand times a second."""
    begun = time.monotonic()
    while not condition() and is_alive(child) and time.monotonic() - begun < LIMIT:
        time.sleep(0.0005)


def moment(kind: str, folder: Path, dice: random.Random, total: int) -> Callable[[], bool]:
    """Whether the time has come to kill."""
    begun, after = newest(folder), time.monotonic() + dice.uniform(0, 3)
    wished, stale = begun + dice.randint(1, STEPS), set(names(folder))  # what an earlier kill left proves nothing
    if kind == "any":
        return lambda: time.monotonic() > after or newest(folder) >= begun + STEPS
    if kind == "saving":
        return lambda: any(f".checkpoint-{wished}.partial" in name for name in set(names(folder)) - stale)
    if kind == "saved":
        return lambda: newest(folder) >= wished
    return lambda: newest(folder) >= total and any(".adapter.partial" in name for name in names(folder))


def kill_one(config: TrainConfig, kind: str, dice: random.Random, total: int) -> dict[str, object]:
    folder = Path(str(config.work_dir))
    before, is_time = newest(folder), moment(kind, folder, dice, total)
    delay = {"any": 0.0, "result": dice.uniform(0, 0.002)}.get(kind, dice.uniform(0, 0.01))
    child = begin(config)
    wait_until(child, is_time)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    warnings: list[str] = []
    whole = newest_checkpoint(folder, warnings)
    return {
        "kind": kind,
        "code": code,
        "before": before,
        "after": newest(folder),
        "whole": whole and step_of(whole),
        "hidden": sorted(name.rpartition("-")[0] for name in names(folder) if name.startswith(".")),
        "warnings": warnings,
    }


def main() -> None:
    config = replace(config_from_json(json.loads(Path(sys.argv[1]).read_text("utf-8"))), resume=True)
    kills, dice = int(sys.argv[2]), random.Random(int(sys.argv[3]))
    torch.set_num_threads(1)
    import accelerate  # noqa: F401
    import peft  # noqa: F401

    ivl.train.plot.draw_history = lambda history, path: None
    total = config.max_steps
    assert total is not None, "the recipe says how many steps"
    assert total > STEPS * (kills - 1), "the run does not end before its last kill"
    whole = begin(replace(config, work_dir=f"{config.work_dir}-whole", resume=False))
    print(json.dumps({"kind": "whole", "code": os.waitstatus_to_exitcode(os.waitpid(whole, 0)[1])}), flush=True)
    for number in range(kills):
        kind = "result" if number == kills - 1 else dice.choice(["any", "any", "saving", "saving", "saved"])
        print(json.dumps(kill_one(config, kind, dice, total)), flush=True)
    last = begin(config)
    print(json.dumps({"kind": "last", "code": os.waitstatus_to_exitcode(os.waitpid(last, 0)[1])}), flush=True)


if __name__ == "__main__":
    main()
