"""MLP, linear map and Q-Former between the same halves of a model, under equal budgets; and the tutorial's two claims.

    PYTHONPATH=src python benchmarks/connector_patterns.py --pilot --out OUT   a learning rate for each kind
    PYTHONPATH=src python benchmarks/connector_patterns.py --seeds 3 --out OUT --commit HASH
    python benchmarks/patterns_plot.py OUT/results.json                        the pictures, where matplotlib is
    PYTHONPATH=src python benchmarks/connector_patterns.py --toy --out /tmp/toy   to see that all of it works

Each kind and seed is a process of its own (`patterns_run.py`); `--jobs` of them share the device. What is done is not
done again: with `--minutes` the script stops its runs in time, and the same command goes on with them. Budget, protocol
and criteria: docs/patterns.md. Out: OUT/results.json and OUT/tables.md, as soon as one run is done.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from food_story.facts import run_facts
from food_story.processes import PYTHON, environment, num_cores
from patterns_claims import as_json, markdown
from patterns_data import split
from patterns_run import JOB, PATTERNS, RESULT, Job, measure

from ivl.zoo import general_folder, nano_folder

RATES = (3e-4, 1e-3, 3e-3)
"""That the pilot tries for each kind."""
PILOT_SEED = 1000
"""Used for nothing else."""
_CURVE = 100
"""Rows of a run's training curve that are kept."""
_GRACE = 45.0
"""Seconds in which a run that was told to stop saves its checkpoint."""


def main() -> None:
    args = _parser().parse_args()
    unknown = set(args.kinds.split(",")) - set(PATTERNS)
    if unknown:
        sys.exit(f"no such kind: {', '.join(sorted(unknown))}; there are {', '.join(PATTERNS)}")
    out, began = args.out.resolve(), time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "data" / "val.jsonl").is_file():
        split(args.data, out / "data")
    jobs = make_jobs(args, out)
    folders = [_prepared(out / ("pilot" if args.pilot else "runs") / job.name, job) for job in jobs]
    deadline = began + 60 * args.minutes if args.minutes else None
    left = run_all([each for each in folders if not (each / RESULT).is_file()], args.jobs, deadline)
    runs = [json.loads((each / RESULT).read_text("utf-8")) for each in folders if (each / RESULT).is_file()]
    print(
        f"{len(runs)} of {len(folders)} runs are done" + (": run the same again to go on" if left else ""), flush=True
    )
    if args.pilot:
        if not left:
            (out / "rates.json").write_text(json.dumps(best_rates(runs), indent=1), "utf-8")
            print((out / "rates.json").read_text("utf-8"))
    elif runs:
        reference = None if left else _reference(jobs[0], out)
        write_results(out, runs, reference, run_facts(args.commit, {"all": round(time.monotonic() - began, 1)}))
    sys.exit(3 if left else 0)


def make_jobs(args: argparse.Namespace, out: Path) -> list[Job]:
    """Seed by seed, so that a stop leaves whole seeds."""
    rates = json.loads((out / "rates.json").read_text("utf-8")) if (out / "rates.json").is_file() else {}
    sizes = [word.partition("=") for word in args.qformer]
    base = Job(
        pattern="mlp",
        seed=0,
        model=str(args.model.resolve()),
        data=str(out / "data"),
        images=str(args.data.resolve()),
        samples=args.budget,
        stage2_samples=args.stage2_budget,
        points=args.points,
        align_share=args.align_share,
        qformer=tuple((name, int(number)) for name, _, number in sizes),
        sets=tuple(args.sets.split(",")),
        limit=args.limit,
        workers=max(0, min(4, num_cores() // args.jobs - 1)),
        cache_share=round(0.5 / args.jobs, 3),
        device="cuda" if torch.cuda.is_available() else "cpu",
    )
    if args.toy:
        base = replace(base, samples=8, stage2_samples=0, points=1, batch=2, align_batch=4, limit=1, workers=0)
    kinds = args.kinds.split(",")
    if args.pilot:
        quick = replace(base, seed=PILOT_SEED, points=1, limit=base.limit or 10, stage2_samples=0)
        return [replace(quick, pattern=kind, lr=rate) for kind in kinds for rate in RATES]
    seeds = range(1 if args.toy else args.seeds)
    return [replace(base, pattern=kind, seed=seed, lr=rates.get(kind)) for seed in seeds for kind in kinds]


def _prepared(folder: Path, job: Job) -> Path:
    """The run's folder with its job. Exits where it holds another one."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(job), indent=1)
    if not (folder / JOB).is_file():
        (folder / JOB).write_text(text, "utf-8")
    elif _deciding(json.loads((folder / JOB).read_text("utf-8"))) != _deciding(json.loads(text)):
        sys.exit(f"{folder} holds a run with other settings: take another --out, or remove it")
    return folder


def _deciding(job: dict[str, Any]) -> dict[str, Any]:
    """Of a job what may not change; where it runs may."""
    return {
        name: value for name, value in job.items() if name not in ("workers", "cache_share", "model", "data", "images")
    }


def run_all(folders: Sequence[Path], at_once: int, deadline: float | None) -> int:
    """Do the runs, so many at once; gives how many are left at the deadline. Exits with the log of one that fails."""
    waiting, running = list(folders), dict[subprocess.Popen[bytes], Path]()
    try:
        while waiting or running:
            late = deadline is not None and time.monotonic() > deadline - _GRACE
            while waiting and len(running) < at_once and not late:
                folder = waiting.pop(0)
                running[_start(folder)] = folder
            for process in [each for each in running if each.poll() is not None]:
                folder = running.pop(process)
                if process.returncode:
                    sys.exit(f"{folder.name} ended with {process.returncode}:\n{_said(folder)}")
                print(f"  {folder.name} is done", flush=True)
            if late:
                break
            time.sleep(0.2)
        return len(waiting) + len(running)
    finally:
        _stop(list(running))


def _start(folder: Path) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("patterns_run.py")
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen([PYTHON, str(script), str(folder)], stdout=log, stderr=log, env=environment())


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Training saves on SIGTERM; whatever else goes on is found again as it was."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    until = time.monotonic() + _GRACE - 10
    for process in processes:
        try:
            process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _said(folder: Path) -> str:
    return (folder / "log.txt").read_text("utf-8", "replace")[-3000:]


def best_rates(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The learning rate of each pattern by the lowest held-out loss at the end."""
    found: dict[str, tuple[float, float]] = {}
    for run in runs:
        job, loss = run["job"], run["stages"][0]["validations"][-1]["loss"]
        found[job["pattern"]] = min(found.get(job["pattern"], (float("inf"), 0.0)), (loss, job["lr"]))
    return {pattern: rate for pattern, (_, rate) in found.items()}


def _reference(job: Job, out: Path) -> dict[str, Any]:
    """The model as it came, on the same questions."""
    path = out / "reference.json"
    if not path.is_file():
        path.write_text(json.dumps(measure(job, Path(job.model), out / "reference")), "utf-8")
        shutil.rmtree(out / "reference", ignore_errors=True)
    return json.loads(path.read_text("utf-8"))  # type: ignore[no-any-return]


def write_results(out: Path, runs: Sequence[dict[str, Any]], reference: dict[str, Any] | None, facts: Any) -> None:
    """`results.json` and `tables.md`."""
    small = [thinned(run) for run in runs]
    data = {"run": facts, "reference": reference, "runs": small, "claims": as_json(small)}
    (out / "results.json").write_text(json.dumps(data) + "\n", "utf-8")
    (out / "tables.md").write_text(markdown(data), "utf-8")
    print(markdown(data), flush=True)


def thinned(run: dict[str, Any]) -> dict[str, Any]:
    """A run with a curve of at most `_CURVE` rows, each the mean of its steps, and items' scores of the end alone."""
    stages = []
    for stage in run["stages"]:
        size = max(1, -(-len(stage["steps"]) // _CURVE))
        parts = [stage["steps"][start : start + size] for start in range(0, len(stage["steps"]), size)]
        steps = [part[-1] | {"loss": round(sum(row["loss"] for row in part) / len(part), 4)} for part in parts]
        points = [{k: v for k, v in each.items() if k not in ("scores", "clusters")} for each in stage["points"]]
        stages.append(stage | {"steps": steps, "points": [*points[:-1], stage["points"][-1]]})
    aligned = run["alignment"]
    if aligned is not None:
        every = max(1, -(-len(aligned["curve"]) // _CURVE))
        aligned = aligned | {"curve": aligned["curve"][::every]}
    job = {name: value for name, value in run["job"].items() if name not in ("model", "data", "images")}
    return run | {"stages": stages, "alignment": aligned, "job": job}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=nano_folder(), help="whose vision and language model are kept")
    parser.add_argument(
        "--data", type=Path, default=general_folder(), help="train.jsonl in LLaVA's layout, and pictures"
    )
    parser.add_argument("--sets", default="general", help="what `ivl eval` asks, parted by commas")
    parser.add_argument("--limit", type=int, help="questions of each set")
    parser.add_argument("--kinds", default="mlp,linear,qformer", help=f"of {', '.join(PATTERNS)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=8000, help="samples of stage 1, a Q-Former's alignment included")
    parser.add_argument("--stage2-budget", type=int, default=0, help="samples of stage 2; 0: none")
    parser.add_argument("--align-share", type=float, default=0.5, help="of a Q-Former's samples, for its alignment")
    parser.add_argument("--points", type=int, default=6, help="checkpoints that are asked the test questions")
    parser.add_argument("--qformer", action="append", default=[], metavar="SIZE=NUMBER", help="sizes of the Q-Former")
    parser.add_argument("--pilot", action="store_true", help="choose learning rates instead, on another seed")
    parser.add_argument("--jobs", type=int, default=3, help="runs side by side on the device; 1 for clean times")
    parser.add_argument("--minutes", type=float, help="stop in time; the same command goes on")
    parser.add_argument("--commit", help="where git cannot tell it")
    parser.add_argument("--toy", action="store_true", help="next to nothing of everything, to try the script")
    parser.add_argument("--out", type=Path, required=True)
    return parser


if __name__ == "__main__":
    main()
