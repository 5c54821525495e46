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
from collections.abc import Sequence
from pathlib import Path

AMOUNTS = {"scenes": 200_000, "large": 24_000, "documents": 40_000, "pairs": 40_000, "words": 8_000}
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
    amounts = [f"--{name}={int(args.scale * number)}" for name, number in AMOUNTS.items()]
    python = [sys.executable, "-m"]
    sets = [part for each in args.overrides for part in ("--set", each)]
    times = {
        "data": run([*python, "tools.nano.generate", *amounts, f"--device={args.device}", f"--workers={args.workers}"]),
        "start": run([*python, "tools.nano.start"]),
    }
    for idx, stage in enumerate(("stage1", "stage2")):
        steps = ["--set", f"max_steps={args.steps[idx]}"] if args.steps else []
        times[stage] = run([*python, "ivl", "train", f"tools/nano/{stage}.yaml", *sets, *steps])
    times["ship"] = run([*python, "tools.nano.ship"])
    (OUT / "times.json").write_text(json.dumps(times, indent=1) + "\n", encoding="utf-8")
    print(times)


def run(command: Sequence[str]) -> float:
    """Seconds that the command took; stops everything where it fails."""
    print("$", *command[1:], flush=True)
    began = time.monotonic()
    subprocess.run(command, check=True)
    return round(time.monotonic() - began, 1)


if __name__ == "__main__":
    main()
