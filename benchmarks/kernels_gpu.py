"""Speed of the paged attention kernels on one NVIDIA GPU.

    python benchmarks/kernels_gpu.py --out FILE [--sweep]

InternVL2-2B's heads: 16 query heads, 8 key-value heads, width 128, bfloat16, blocks of 64 drawn at random. Decoding is
one query a row against its whole context, counted in GB/s of keys and values read; prefill is whole prompts, counted in
TFLOP/s of the causal half. Each figure is the median of replays of a CUDA graph that goes through enough layers
that no key is still in the L2 cache when it is read again. --sweep times other program shapes, splits and block sizes
too. Ceilings, measured in the same run: a bfloat16 matrix product and a read of 4 GiB.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import triton
from torch import Tensor

from ivl.engine.kernels import ProgramShape, choose_splits, paged_decode, paged_prefill, write_cache

HEADS, KV_HEADS, WIDTH = 16, 8, 128
DECODES = [(1, 3378), (8, 3378), (64, 1900), (256, 1900)]
PREFILLS = [(1, 3378), (8, 1856), (1, 306)]
BYTES_PER_POSITION = 2 * KV_HEADS * WIDTH * 2
L2_BYTES = 200 * 10**6  # what a graph reads at the least: well beyond any L2 cache
REPEATS = 20


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measurement."""

    kernel: str
    rows: int
    context: int
    block_size: int
    num_splits: int | None
    shape: ProgramShape | None
    """None: the one that the kernel chooses."""
    microseconds: float
    """Of one layer."""
    least: float
    most: float
    rate: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """A run and what it ran on."""

    device: str
    versions: dict[str, str]
    command: str
    commit: str
    matmul_tflops: float
    read_gbps: float
    figures: list[Figure]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Rows of one length, in a cache of several layers."""

    keys: Tensor
    """(L, num_blocks, block_size, K, Dh)."""
    values: Tensor
    tables: Tensor
    lens: Tensor

    @property
    def layers(self) -> int:
        return len(self.keys)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Time the paged attention kernels.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sweep", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(0)
    matmul, read = matmul_tflops(), read_gbps()
    print(f"{torch.cuda.get_device_name()}: {matmul:.0f} TFLOP/s bf16 product, {read:.0f} GB/s read", flush=True)
    figures = plain_figures() + (sweep() if args.sweep else [])
    result = Result(
        device=torch.cuda.get_device_name(),
        versions={"torch": torch.__version__, "triton": triton.__version__, "cuda": str(torch.version.cuda)},
        command=shlex.join(["python", *sys.argv]),
        commit=commit(),
        matmul_tflops=round(matmul, 1),
        read_gbps=round(read),
        figures=figures,
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(asdict(result), indent=2) + "\n", "utf-8")


def plain_figures() -> list[Figure]:
    """Every case as the engine runs it."""
    figures = [decode(rows, context) for rows, context in DECODES]
    figures += [prefill(rows, context) for rows, context in PREFILLS]
    return [*figures, *(store(tokens) for tokens in (256, 3378))]


def sweep() -> list[Figure]:
    """Other shapes, splits and block sizes."""
    shapes = [(64, 4, 2), (64, 4, 4), (32, 4, 3), (32, 4, 5), (64, 2, 3), (64, 8, 3)]
    narrow = [ProgramShape(queries=16, positions=n, num_warps=w, num_stages=s) for n, w, s in shapes]
    figures = [decode(*case, shape=shape) for case in (DECODES[0], DECODES[3]) for shape in narrow]
    figures += [decode(*DECODES[0], num_splits=splits) for splits in (8, 16, 32, 128)]
    figures += [decode(*DECODES[2], num_splits=splits) for splits in (2, 4, 8)]
    figures += [decode(*DECODES[3], block_size=size) for size in (16, 32, 128)]
    tiles = [(128, 64, 8, 2), (128, 64, 4, 2), (64, 64, 4, 2), (64, 64, 4, 3), (128, 128, 8, 2), (128, 32, 8, 3)]
    wide = [ProgramShape(queries=m, positions=n, num_warps=w, num_stages=s) for m, n, w, s in tiles]
    figures += [prefill(*case, shape=shape) for case in PREFILLS for shape in wide]
    return figures + [prefill(*PREFILLS[1], block_size=size) for size in (16, 128)]


def decode(
    rows: int, context: int, shape: ProgramShape | None = None, num_splits: int | None = None, block_size: int = 64
) -> Figure:
    """One query a row against `context` positions."""
    case = make_case(rows, context, block_size)
    q = torch.randn(rows, HEADS, WIDTH, dtype=torch.bfloat16, device="cuda")
    sms = torch.cuda.get_device_properties(0).multi_processor_count
    splits = num_splits or choose_splits(rows, KV_HEADS, context, sms)

    def run() -> None:
        for layer in range(case.layers):
            keys, values = case.keys[layer], case.values[layer]
            paged_decode(q, keys, values, case.tables, case.lens, WIDTH**-0.5, splits, shape=shape)

    work = rows * context * BYTES_PER_POSITION / 1e9
    return measure("decode", run, case.layers, work, "GB/s", rows, context, block_size, splits, shape)


def prefill(rows: int, context: int, shape: ProgramShape | None = None, block_size: int = 64) -> Figure:
    """Whole prompts of `context` tokens."""
    case = make_case(rows, context, block_size)
    q = torch.randn(rows * context, HEADS, WIDTH, dtype=torch.bfloat16, device="cuda")
    starts = torch.arange(rows + 1, dtype=torch.int32, device="cuda") * context

    def run() -> None:
        for layer in range(case.layers):
            keys, values = case.keys[layer], case.values[layer]
            paged_prefill(q, keys, values, case.tables, starts, case.lens, context, WIDTH**-0.5, shape=shape)

    work = rows * 4 * HEADS * WIDTH * context * (context + 1) / 2 / 1e12
    return measure("prefill", run, case.layers, work, "TFLOP/s", rows, context, block_size, None, shape)


def store(tokens: int) -> Figure:
    """Keys and values of `tokens` into a cache."""
    case = make_case(1, tokens, 64)
    k, v = torch.randn(2, tokens, KV_HEADS, WIDTH, dtype=torch.bfloat16, device="cuda")
    slots = torch.randperm(tokens, device="cuda")

    def run() -> None:
        for layer in range(case.layers):
            write_cache(k, v, case.keys[layer], case.values[layer], slots)

    return measure("write", run, case.layers, 2 * tokens * BYTES_PER_POSITION / 1e9, "GB/s", tokens, 1, 64, None, None)


def make_case(rows: int, context: int, block_size: int) -> Case:
    """Enough layers that a graph reads L2_BYTES at the least."""
    per_row = -(-context // block_size)
    num_blocks = rows * per_row
    layers = min(24, max(1, -(-L2_BYTES // (rows * context * BYTES_PER_POSITION))))
    size = (layers, num_blocks, block_size, KV_HEADS, WIDTH)
    keys, values = (torch.randn(size, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    tables = torch.randperm(num_blocks, device="cuda").view(rows, per_row).int()
    lens = torch.full((rows,), context, dtype=torch.int32, device="cuda")
    return Case(keys=keys, values=values, tables=tables, lens=lens)


def measure(
    kernel: str,
    run: Callable[[], None],
    layers: int,
    work: float,
    unit: str,
    rows: int,
    context: int,
    block_size: int,
    num_splits: int | None,
    shape: ProgramShape | None,
) -> Figure:
    """Time `run`, which goes through `layers` layers of `work` GB or TFLOP each; prints a line."""
    times = sorted(each / layers for each in replay_seconds(run))
    median = statistics.median(times)
    laid_out = "" if shape is None else f"{shape.queries}x{shape.positions}, {shape.num_warps}w, {shape.num_stages}s"
    figure = Figure(
        kernel=kernel,
        rows=rows,
        context=context,
        block_size=block_size,
        num_splits=num_splits,
        shape=shape,
        microseconds=round(median * 1e6, 2),
        least=round(times[0] * 1e6, 2),
        most=round(times[-1] * 1e6, 2),
        rate=round(work / median, 1),
        unit=unit,
    )
    print(
        f"{kernel:8} {rows:5} x {context:<6} block {block_size:<4} splits {num_splits or '-':<4} "
        f"{figure.microseconds:10.1f} us {figure.rate:8.0f} {unit:8} {laid_out}",
        flush=True,
    )
    return figure


def replay_seconds(run: Callable[[], object]) -> list[float]:
    """Seconds of each replay of `run` as a CUDA graph, after a warm-up."""
    run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    for _ in range(3):
        graph.replay()
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(REPEATS)]
    for start, stop in events:
        start.record()
        graph.replay()
        stop.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(stop) / 1e3 for start, stop in events]


def matmul_tflops() -> float:
    """The best bfloat16 product of 8192 cubed."""
    a, b = torch.randn(2, 8192, 8192, dtype=torch.bfloat16, device="cuda")
    return 2 * 8192**3 / min(replay_seconds(lambda: a @ b)) / 1e12


def read_gbps() -> float:
    """The best sum over 4 GiB."""
    numbers = torch.zeros(2**30, dtype=torch.float32, device="cuda")
    return numbers.nbytes / min(replay_seconds(numbers.sum)) / 1e9


def commit() -> str:
    """The commit of this checkout, or "unknown" where git does not tell."""
    words = ["git", "rev-parse", "HEAD"]
    try:
        run = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run.stdout.strip()


if __name__ == "__main__":
    main()
