"""Fifty threads and five event loops drive one pipeline: everyone gets the answer that he gets alone."""

import asyncio
import gc
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine_driver import one_thread
from exact_pipeline import assert_baseline, exact_pipeline, picture
from ivl.session import Pipeline
from ivl.types import GenerationConfig, Response

NUM_THREADS, NUM_LOOPS, TASKS_PER_LOOP = 50, 5, 4
QUESTIONS = ("Hello", "What is in this image?", "Which of these two is hotter? Say why, at length.", "热吗？")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@dataclass(frozen=True)
class Job:
    """What is asked, and what is answered to him who asks alone."""

    prompt: Any
    gen_config: GenerationConfig
    answers: list[Response]


def make_jobs(pipe: Pipeline) -> list[Job]:
    """Texts and pictures, greedy and sampled, one answer and several."""
    jobs = []
    for seed in range(24):
        images = [picture(seed + each, (56, 56 * (1 + seed % 2))) for each in range(seed % 3)]
        prompt = (QUESTIONS[seed % 4] * (1 + seed % 5), images) if images else QUESTIONS[seed % 4] * (1 + seed % 5)
        sampled = {"temperature": 0.9, "top_p": 0.9, "random_seed": seed, "n": 1 + seed % 2} if seed % 4 > 1 else {}
        gen_config = GenerationConfig(max_new_tokens=4 + seed % 23, ignore_eos=seed % 3 > 0, **sampled)
        answers = pipe(prompt, gen_config)
        jobs.append(Job(prompt, gen_config, answers if gen_config.n > 1 else [answers]))
    return jobs


def check(job: Job, pieces: list[Response]) -> None:
    """The pieces so far are the beginnings of the right answers; the answers whole where all ended."""
    for index, answer in enumerate(job.answers):
        own = [piece for piece in pieces if piece.index == index]
        tokens = tuple(token_id for piece in own for token_id in piece.token_ids)
        is_whole = bool(own) and own[-1].finish_reason is not None
        assert tokens == (answer.token_ids if is_whole else answer.token_ids[: len(tokens)])
        if is_whole:
            assert "".join(piece.text for piece in own) == answer.text


class Crowd:
    """Many who ask until the time is over; what each did is counted."""

    def __init__(self, pipe: Pipeline, jobs: list[Job], seconds: float) -> None:
        self.pipe, self.jobs = pipe, jobs
        self.until = time.monotonic() + seconds
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, deed: str) -> None:
        with self._lock:
            self.counts[deed] += 1

    def thread(self, seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < self.until:
            deed = chance.choice((self.whole, self.stream, self.leave, self.drop, self.several))
            deed(chance.choice(self.jobs), chance)
            self.count(deed.__name__)

    def loop(self, seed: int) -> None:
        async def main() -> None:
            await asyncio.gather(*(self.task(seed * 100 + each) for each in range(TASKS_PER_LOOP)))

        asyncio.run(main())

    def whole(self, job: Job, chance: random.Random) -> None:
        answers = self.pipe(job.prompt, job.gen_config)
        assert (answers if job.gen_config.n > 1 else [answers]) == job.answers

    def stream(self, job: Job, chance: random.Random) -> None:
        check(job, list(self.pipe.stream(job.prompt, job.gen_config)))

    def leave(self, job: Job, chance: random.Random) -> None:
        stream = self.pipe.stream(job.prompt, job.gen_config)
        check(job, [piece for piece, _ in zip(stream, range(chance.randrange(6)), strict=False)])
        stream.close()

    def drop(self, job: Job, chance: random.Random) -> None:
        self.pipe.stream(job.prompt, job.gen_config)

    def several(self, job: Job, chance: random.Random) -> None:
        answers = self.pipe([job.prompt] * 3, job.gen_config)
        assert answers == [job.answers if job.gen_config.n > 1 else job.answers[0]] * 3

    async def task(self, seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < self.until:
            job, most = chance.choice(self.jobs), chance.choice((10**9, 1, 5))
            pieces = []
            async with aclosing(self.pipe.stream_async(job.prompt, job.gen_config)) as stream:
                async for piece in stream:
                    pieces.append(piece)
                    if len(pieces) == most:
                        break
            check(job, pieces)
            if chance.random() < 0.2:
                await self.cancel(chance.choice(self.jobs))
            self.count("async")

    async def cancel(self, job: Job) -> None:
        async def read() -> None:
            async for _ in self.pipe.stream_async(job.prompt, job.gen_config):
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def drive_crowd(folder: Path, seconds: float, **settings: int) -> Counter[str]:
    with exact_pipeline(folder, **settings) as pipe:
        crowd = Crowd(pipe, make_jobs(pipe), seconds)
        with ThreadPoolExecutor(NUM_THREADS + NUM_LOOPS) as pool:
            asked = [pool.submit(crowd.thread, seed) for seed in range(NUM_THREADS)]
            asked += [pool.submit(crowd.loop, seed) for seed in range(NUM_LOOPS)]
            for future in asked:
                future.result(seconds + 60)
        gc.collect()
        assert pipe.engine.failure is None
        assert_baseline(pipe)
        crowd.counts["preemptions"] = pipe.stats.preemptions
        assert not [each for each in threading.enumerate() if each.name.startswith("ivl-prepare")]
    return crowd.counts


def test_a_crowd_for_three_seconds(tiny_folder: Callable[[str], Path]) -> None:
    counts = drive_crowd(tiny_folder("tiny-internlm2"), 3, blocks=400)
    assert {"whole", "stream", "leave", "drop", "several", "async"} <= set(counts)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_crowd_for_a_minute_with_little_memory(tiny_folder: Callable[[str], Path]) -> None:
    counts = drive_crowd(tiny_folder("tiny-internlm2"), 60, blocks=120, block_size=8)
    assert counts["preemptions"] > 0
    assert sum(counts.values()) > 500
