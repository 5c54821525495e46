"""Everything from the packs to the model that ships, in one command.

    python -m tools.nano.make                        # one H100; see README.md beside this file
    python -m tools.nano.make --scale 0.01 --steps 20 20 --device cpu

In: out/nano/pack.npz and out/nano/fonts. Out: out/nano/ivl-nano, and out/nano/times.json with the seconds of each step.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PARTS = (
    {"sheets": 110_000, "documents": 60_000, "letters": 50_000},
    {"scenes": 110_000, "large": 18_000, "pairs": 36_000, "words": 8_000},
)
"""How many samples of each kind; the two parts are made side by side, since one process paints."""
OUT = Path("out/nano")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the data that is made")
    parser.add_argument(
        "--steps", type=int, nargs=2, metavar=("FIRST", "SECOND"), help="of each stage, else the recipes'"
    )
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="for both stages, as of ivl train")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=15)
    args = parser.parse_args()
    python = [sys.executable, "-m"]
    sets = [part for each in args.overrides for part in ("--set", each)]
    times = {
        "data": run(*(generating(part, args) for part in PARTS)),
        "start": run([*python, "tools.nano.start"]),
    }
    for idx, stage in enumerate(("stage1", "stage2")):
        steps = ["--set", f"max_steps={args.steps[idx]}"] if args.steps else []
        times[stage] = run([*python, "ivl", "train", f"tools/nano/{stage}.yaml", *sets, *steps])
    times["trim"] = run([*python, "tools.nano.trim"])
    times["ship"] = run([*python, "tools.nano.ship"])
    (OUT / "times.json").write_text(json.dumps(times, indent=1) + "\n", encoding="utf-8")
    print(times)


def generating(part: Mapping[str, int], args: argparse.Namespace) -> list[str]:
    """The command that makes one part of the data, with half of the processes."""
    amounts = [f"--{name}={int(args.scale * number)}" for name, number in part.items()]
    command = [sys.executable, "-m", "tools.nano.generate", *amounts, f"--device={args.device}"]
    return [*command, f"--workers={max(1, args.workers // 2)}"]


def run(*commands: Sequence[str]) -> float:
    """Seconds that commands took side by side; stops everything where one fails."""
    began = time.monotonic()
    running = []
    for command in commands:
        print("$", *command[1:], flush=True)
        running.append(subprocess.Popen(command))
    codes = [process.wait() for process in running]
    if any(codes):
        sys.exit("a step failed: see above")
    return round(time.monotonic() - began, 1)


if __name__ == "__main__":
    main()
