"""Vision, first token, decoding and throughput on InternVL2-2B's exact shape with random weights: ivl, transformers.

    python benchmarks/gpu_workloads.py --out speed.json

Runs every workload by itself: one that fails is written down and the next one begins. The file is written anew after
each. Ceilings are measured in the same run, and beside each time stands its floor: the operations and bytes of the
work at those ceilings. Needs one GPU of 80 GB and no network; `--shape tiny --device cpu` tries the script anywhere.
"""

import argparse
import gc
import re
import statistics
import time
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from gpu_contestants import GpuContestant, Ivl, Transformers
from gpu_course import TEXT_TOKENS, Course, Workload
from measuring import Circumstances, circumstances, write_result
from stand_in import make_config

from ivl.explain.ceilings import Ceilings, measure_ceilings
from ivl.explain.speed_bench import peak_memory, reset_peak_memory
from ivl.model.config import InternVLConfig
from ivl.model.family import FAMILY


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One workload of one contestant."""

    contestant: str
    workload: str
    seconds: list[float]
    """Every repeat."""
    median_s: float
    best_s: float
    floor_s: float
    share: float
    """Floor / median: 1 is all that the device can do."""
    rate: float
    """Tiles, tokens or requests a second, by the median."""
    best_rate: float
    rate_unit: str
    peak_memory_gib: float


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A workload that could not be run."""

    contestant: str
    workload: str
    error: str


@dataclass(kw_only=True)
class Result:
    """A run, as far as it has come."""

    circumstances: Circumstances
    device: str
    shape: str
    dtype: str
    ceilings: Ceilings
    measured: list[Measured] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def measure(name: str, workload: Workload, device: str, limit_s: float) -> Measured:
    """Warm up and repeat one workload; after `limit_s` seconds no further round begins, and the last one counts."""
    gc.collect()
    reset_peak_memory(device)
    seconds: list[float] = []
    end = time.perf_counter() + limit_s
    while not seconds or (len(seconds) < workload.warmup + workload.repeats and time.perf_counter() < end):
        seconds.append(workload.run())
    seconds = seconds[workload.warmup :] or seconds[-1:]
    median, best = statistics.median(seconds), min(seconds)
    return Measured(
        contestant=name,
        workload=workload.name,
        seconds=seconds,
        median_s=median,
        best_s=best,
        floor_s=workload.floor_s,
        share=workload.floor_s / median,
        rate=workload.amount / median,
        best_rate=workload.amount / best,
        rate_unit=workload.rate_unit,
        peak_memory_gib=round(peak_memory(device) / 2**30, 2),
    )


def run_contestant(name: str, course: Course, result: Result, args: argparse.Namespace) -> None:
    """Every workload, whatever happens to the others; the file grows with each."""
    for workload in course.workloads():
        if not re.search(args.only, workload.name):
            continue
        begun = time.perf_counter()
        try:
            result.measured.append(measure(name, workload, course.device, args.limit_s))
            print(report(result.measured[-1]), f"(took {time.perf_counter() - begun:.0f} s)", flush=True)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            told = f"{type(error).__name__} at {where}: {str(error)[:400]}"
            result.failures.append(Failure(contestant=name, workload=workload.name, error=told))
            print(f"{name:13} {workload.name:36} FAILED: {told}", flush=True)
        write_result(args.out, result)
        if course.device != "cpu":
            torch.cuda.empty_cache()


def report(done: Measured) -> str:
    """A line for people."""
    spread = f"{1000 * done.median_s:9.2f} ms (best {1000 * done.best_s:.2f})"
    rates = f"{done.rate:8.1f} {done.rate_unit}"
    return f"{done.contestant:13} {done.workload:36} {spread:30} {rates:22} {done.share:.0%} of the floor's speed"


def make_contestant(name: str, args: argparse.Namespace, config: InternVLConfig, dtype: torch.dtype) -> GpuContestant:
    """A contestant with weights of its own."""
    if name == "transformers":
        return Transformers(config, args.device, dtype)
    longest = 13 * config.tokens_per_tile + TEXT_TOKENS + args.new_tokens
    return Ivl(config, args.device, dtype, session_len=longest, max_requests=max(args.requests))


def tiny_config() -> InternVLConfig:
    """The stand-in's, a hundred times smaller: for trying the script."""
    config = make_config()
    vision = replace(config.vision, hidden_size=32, num_layers=1, num_heads=2, intermediate_size=48, image_size=56)
    text = replace(config.text, hidden_size=48, num_layers=2, head_dim=8, intermediate_size=64)
    return replace(config, vision=vision, text=text, image_size=56)


def main(argv: list[str] | None = None) -> Result:
    """Measure, print, write."""
    args = arguments(argv)
    torch.manual_seed(0)
    config = tiny_config() if args.shape == "tiny" else FAMILY[args.shape]
    dtype = getattr(torch, args.dtype)
    ceilings = measure_ceilings(args.device, dtype)
    gc.collect()
    device = "cpu" if args.device == "cpu" else torch.cuda.get_device_name(args.device)
    made = {"circumstances": circumstances(args.commit), "device": device, "shape": args.shape, "dtype": args.dtype}
    result = Result(ceilings=ceilings, **made)
    print(f"{device}, torch {torch.__version__}: {ceilings}", flush=True)
    for name in args.contestant:
        try:
            contestant = make_contestant(name, args, config, dtype)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            result.failures.append(Failure(contestant=name, workload="loading", error=told))
            print(f"{name} cannot be loaded: {told}", flush=True)
            write_result(args.out, result)
            continue
        # transformers' batches hold all rows at once: more than the first number do not fit into its memory.
        requests = tuple(args.requests if name == "ivl" else args.requests[:1])
        course = Course(
            contestant=contestant, config=config, ceilings=ceilings, device=args.device, dtype=dtype,
            new_tokens=args.new_tokens, requests=requests, is_quick=args.quick,
        )  # fmt: skip
        run_contestant(name, course, result, args)
        contestant.close()
        del contestant, course
        gc.collect()
        if args.device != "cpu":
            torch.cuda.empty_cache()
    return result


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--contestant", nargs="+", choices=("ivl", "transformers"), default=["ivl", "transformers"])
    parser.add_argument("--shape", choices=("tiny", *FAMILY), default="InternVL2-2B")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    parser.add_argument("--requests", type=int, nargs="+", default=[64, 256], help="throughput's numbers of requests")
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--only", default="", help="a regular expression: workloads whose names it finds")
    parser.add_argument("--quick", action="store_true", help="fewer rounds of throughput, pictures only once")
    parser.add_argument("--limit-s", type=float, default=40, help="seconds after which a workload is not repeated")
    parser.add_argument("--commit", help="of the checkout, where git cannot tell it")
    parser.add_argument("--out", type=Path, default=Path("gpu-workloads.json"), help="the results file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
