"""Makes the training data of the small model: pictures as JPEG files and conversations about them as JSONL.

    python -m tools.nano.generate --out out/nano/data --scenes 2000          # a small part, on a CPU

In: the pack of artwork (`tools.nano.artwork`) and of fonts (`tools.nano.fonts`). Out: OUT/pictures/..., and one JSONL
file for each kind of sample, which `ivl train` reads. Worker processes plan and write, this process paints. The same
seed, sizes and device give the same files.
"""

import argparse
import itertools
import json
import os
import random
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from tools.nano.jobs import Job, Written, begin, plan_job, write_documents, write_letters, write_pictures, write_words
from tools.nano.pack import read_pack
from tools.nano.paint import Painter
from tools.nano.pairs import write_pairs
from tools.nano.scene import Scene
from tools.nano.setting import make_setting

CHUNK = 256
"""Scenes that are planned, painted and written together."""
LARGE = {
    (448, 448): 5.0, (448, 224): 3.0, (224, 448): 2.0, (672, 448): 2.0, (300, 200): 1.0, (400, 300): 1.0,
    (640, 480): 1.5, (896, 672): 1.5, (672, 896): 0.5,
}  # fmt: skip
"""Canvases that are cut into several tiles, and how often each comes."""
SMALL = (224, 224)
_PAINTED = ("scenes", "large", "sheets")
_MEMORY = "/dev/shm"


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How many samples of each kind."""

    sheets: int
    scenes: int
    large: int
    documents: int
    letters: int
    pairs: int
    words: int


def main() -> None:
    args = _parser().parse_args()
    amounts = Amounts(
        sheets=args.sheets,
        scenes=args.scenes,
        large=args.large,
        documents=args.documents,
        letters=args.letters,
        pairs=args.pairs,
        words=args.words,
    )
    began = time.monotonic()
    generate(args.pack, args.fonts, args.out, amounts, args.seed, args.workers, torch.device(args.device))
    print(f"{args.out}: done in {time.monotonic() - began:.0f} s", flush=True)


def generate(
    pack: Path, fonts: Path, out: Path, amounts: Amounts, seed: int, workers: int, device: torch.device
) -> None:
    """Write all files anew."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("sheets", "scenes", "large", "documents", "letters", "words"):
        if getattr(amounts, name):
            for file in (f"{name}.jsonl", f"{name}_maps.jsonl"):
                (out / file).unlink(missing_ok=True)
    artwork = read_pack(pack, workers)
    setting = make_setting(artwork)
    # Workers are copies of a process that has all modules and no GPU.
    context = get_context("forkserver")
    context.set_forkserver_preload(["tools.nano.jobs"])
    with ProcessPoolExecutor(workers, mp_context=context, initializer=begin, initargs=(setting, fonts, out)) as pool:
        documents = [pool.submit(write_documents, chunk, number, seed) for chunk, number in _chunks(amounts.documents)]
        letters = [pool.submit(write_letters, chunk, number, seed) for chunk, number in _chunks(amounts.letters)]
        words = [pool.submit(write_words, chunk, number, seed) for chunk, number in _chunks(amounts.words)]
        painter = Painter(torch.from_numpy(artwork.sprites).to(device))
        # Raw pixels are ten times what is kept of them: in memory, where the machine has such a folder.
        with tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as raw_folder:
            written = _paint_all(pool, painter, list(_jobs(amounts, seed)), Path(raw_folder), workers)
        gather(out, written)
        gather(out, [future.result() for future in [*documents, *letters, *words]])
        singles = [single for each in written for single in each.singles]
        if amounts.pairs:
            write_pairs(setting, out, singles, amounts.pairs, seed)


def _jobs(amounts: Amounts, seed: int) -> Iterator[Job]:
    for name, total in (("sheets", amounts.sheets), ("scenes", amounts.scenes)):
        for chunk, number in _chunks(total):
            yield Job(name=name, chunk=chunk, number=number, size=SMALL, seed=seed)
    rng = random.Random(f"{seed} large")
    for chunk, number in _chunks(amounts.large, CHUNK // 4):
        size = rng.choices(list(LARGE), list(LARGE.values()))[0]
        yield Job(name="large", chunk=chunk, number=number, size=size, seed=seed)


def _chunks(total: int, size: int = CHUNK) -> Iterator[tuple[int, int]]:
    for chunk, start in enumerate(range(0, total, size)):
        yield chunk, min(size, total - start)


def _paint_all(
    pool: ProcessPoolExecutor, painter: Painter, jobs: list[Job], raw_folder: Path, workers: int
) -> list[Written]:
    """Plans come from workers in order, are painted here, and go to workers again as files of raw pixels."""
    planned: deque[tuple[Job, Future[list[Scene]]]] = deque()
    writing: deque[Future[Written]] = deque()
    done: list[Written] = []
    began = time.monotonic()
    waiting = iter(jobs)
    for job in _first(waiting, 2 * workers):
        planned.append((job, pool.submit(plan_job, job)))
    while planned:
        job, future = planned.popleft()
        scenes = future.result()
        for following in _first(waiting, 1):
            planned.append((following, pool.submit(plan_job, following)))
        torch.manual_seed((job.seed * 1_000_003 + _PAINTED.index(job.name)) * 1_000_003 + job.chunk)
        raw = raw_folder / f"{job.name}-{job.chunk}.raw"
        painter.paint(scenes, strong=True).permute(0, 2, 3, 1).contiguous().cpu().numpy().tofile(raw)
        writing.append(pool.submit(write_pictures, job, scenes, raw))
        while len(writing) > 2 * workers or (writing and not planned):
            done.append(writing.popleft().result())
        if job.chunk % 100 == 0:
            print(f"{time.monotonic() - began:.0f} s: {job.name}, chunk {job.chunk}", flush=True)
    return done


def _first(items: Iterable[Job], number: int) -> Iterator[Job]:
    yield from itertools.islice(items, number)


def gather(out: Path, written: list[Written]) -> None:
    """Append the lines of all chunks to the files that they belong to, in order."""
    for each in written:
        for name, lines in each.lines.items():
            with (out / f"{name}.jsonl").open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, default=Path("out/nano/pack.npz"))
    parser.add_argument("--fonts", type=Path, default=Path("out/nano/fonts"))
    parser.add_argument("--out", type=Path, default=Path("out/nano/data"))
    parser.add_argument("--sheets", type=int, default=0, help="pictures of things in rows")
    parser.add_argument("--scenes", type=int, default=0, help="small pictures")
    parser.add_argument("--large", type=int, default=0, help="pictures of several tiles")
    parser.add_argument("--documents", type=int, default=0, help="pictures with text")
    parser.add_argument("--letters", type=int, default=0, help="pictures of single letters, with maps")
    parser.add_argument("--pairs", type=int, default=0, help="samples of several pictures; scenes are needed")
    parser.add_argument("--words", type=int, default=0, help="samples of text alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=15)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


if __name__ == "__main__":
    main()
