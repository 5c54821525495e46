"""What ranks do in the tests of launching: run as `python -m train.rank_stories` in the place of the trainer.

The recipe's `path` names the story, its `work_dir` the folder for what the ranks have to say. Stories that join no
ranks import no torch, which takes seconds.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from ivl.errors import DataError
from ivl.train.config import TrainConfig
from ivl.train.heartbeat import Heartbeat
from ivl.train.rank_main import main

RANK = int(os.environ.get("RANK", 0))


def listening_addresses() -> list[str]:
    """Local addresses, in the kernel's hexadecimal, on which this process waits for TCP connections."""
    links = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.append(fields[1].partition(":")[0])
    return found


def say(config: TrainConfig, **values: object) -> None:
    partial = Path(config.work_dir) / f"{RANK}.partial"
    partial.write_text(json.dumps(values))
    partial.rename(partial.with_suffix(".json"))


def tell_all(config: TrainConfig) -> int:
    import torch
    from accelerate import PartialState

    from ivl.train.ranks import join_ranks

    with join_ranks(config) as ranks:
        state = PartialState(cpu=True)
        total = ranks.all_sum(torch.tensor([1.0, ranks.rank]))
        ranks.barrier()
        say(
            config,
            total=total.tolist(),
            largest=ranks.all_max(torch.tensor([ranks.rank, -ranks.rank])).tolist(),
            shared=ranks.share({"name": "鱼香肉丝", "rank": ranks.rank}),
            listening=listening_addresses(),
            threads=os.environ["OMP_NUM_THREADS"],
            accelerate=[state.process_index, state.num_processes],
            folder_mode=oct(Path(os.environ["IVL_RANKS_FOLDER"]).stat().st_mode & 0o777),
            recipe=[config.lr, config.betas, config.data_path[0].repeat_time],
        )
    return 0


def lose_a_partner(config: TrainConfig) -> int:
    from ivl.train.ranks import join_ranks

    with join_ranks(config) as ranks:
        if RANK == 1:
            print("about to go", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        ranks.barrier()
    return 0


def stop_one(config: TrainConfig) -> int:
    heartbeat = Heartbeat(Path(os.environ["IVL_RANKS_FOLDER"]), RANK)
    heartbeat.beat(9, "backward")
    if RANK == 1:
        heartbeat.beat(9, "optimizer")  # so the other one is behind, and still the one that waits
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(60)
    return 0


def wait_for_signal(config: TrainConfig) -> int:
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, frame: asked.append(got))
    say(config, pid=os.getpid())
    while not asked:
        time.sleep(0.01)
    time.sleep(0.2 * RANK)
    if config.lr == 1 and RANK == 1:
        raise DataError("the disk is full")
    say(config, saved=asked)
    return 128 + asked[0]


def finish_at_a_signal(config: TrainConfig) -> int:
    wait_for_signal(config)
    return 0


def fail(config: TrainConfig) -> int:
    if RANK == 1:
        print("a warning of a library", file=sys.stderr)
        raise DataError("food.jsonl:7: no answer")
    time.sleep(60)
    return 0


def fail_together(config: TrainConfig) -> int:
    time.sleep(0.1 * (2 - RANK))
    raise ConnectionError("the other one is gone") if RANK == 1 else DataError("food.jsonl:7: no answer")


def break_down(config: TrainConfig) -> int:
    if RANK == 1:
        raise ZeroDivisionError("by nought")
    time.sleep(60)
    return 0


def leave_early(config: TrainConfig) -> int:
    if RANK == 1:
        print("enough\n", file=sys.stderr, flush=True)
        os._exit(3)
    time.sleep(60)
    return 0


def ignore_the_end(config: TrainConfig) -> int:
    if RANK == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(config, pid=os.getpid())
        time.sleep(60)
    while not (Path(config.work_dir) / "0.json").exists():
        time.sleep(0.01)
    raise DataError("no")


def hang_alone(config: TrainConfig) -> int:
    """Rank 0 is a step's phase ahead, though it got there earlier than the other one into its own."""
    heartbeat = Heartbeat(Path(os.environ["IVL_RANKS_FOLDER"]), RANK)
    time.sleep(0.3 * RANK)
    heartbeat.beat(4, "reading data")
    if RANK == 0:
        heartbeat.beat(4, "backward")
    time.sleep(60)
    return 0


def hang_while_others_wait(config: TrainConfig) -> int:
    """Rank 0 does more than the other one, which waits for it."""
    heartbeat = Heartbeat(Path(os.environ["IVL_RANKS_FOLDER"]), RANK)
    heartbeat.beat(4, "forward")
    if RANK == 0:
        heartbeat.beat(4, "saving")
        time.sleep(60)
    with heartbeat.waiting():
        time.sleep(60)
    return 0


def work_for_long(config: TrainConfig) -> int:
    """As long as one rank lives, the others may wait for longer than the timeout."""
    tenths = round(14 * config.timeout)
    heartbeat = Heartbeat(Path(os.environ["IVL_RANKS_FOLDER"]), RANK)
    if RANK == 1:
        with heartbeat.waiting():
            time.sleep(tenths / 10)
    for _ in range(tenths * (RANK == 0)):
        heartbeat.beat(3, "answering questions")
        time.sleep(0.1)
    return 0


STORIES = {name: story for name, story in globals().items() if getattr(story, "__module__", "") == __name__}


def tell(config: TrainConfig) -> int:
    return STORIES[config.path](config)


if __name__ == "__main__":
    main(tell)
