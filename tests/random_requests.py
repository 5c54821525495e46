"""Requests to a tiny engine with random weights, what the plain loop answers to them, and help to catch what hangs."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from ivl.engine import EngineCore, EngineWorker, Request, SamplingParams, TokenOutput
from ivl.engine.stream import TokenStream
from ivl.errors import IvlError
from ivl.model.fused import apply_fused
from ivl.model.internvl import InternVL
from ivl.types import EngineConfig
from random_model import make_model, prompt_with_tiles, random_ids, random_tiles

Result = TypeVar("Result")
SMALL = {"session_len": 256, "block_size": 4, "max_batch_size": 16, "max_prefill_token_num": 48}
FIELDS = SamplingParams.__dataclass_fields__


def make_core(blocks: int = 256, **settings: Any) -> EngineCore:
    """An engine in float64 with small blocks, batches and chunks."""
    return EngineCore(apply_fused(make_model()), EngineConfig(**SMALL | settings), blocks=blocks)


def ask(ids: Tensor, max_new_tokens: int = 8, tiles: Tensor | None = None, **options: Any) -> Request:
    """A request, greedy unless told; options of SamplingParams and of Request."""
    sampling = {name: options.pop(name) for name in list(options) if name in FIELDS}
    params = SamplingParams(max_new_tokens=max_new_tokens, **sampling)
    return Request(input_ids=ids, pixel_values=tiles, sampling=params, **options)


def some_requests(count: int = 8, max_new_tokens: int = 8) -> list[Request]:
    """Texts and pictures of various lengths, all different."""
    requests = []
    for seed in range(count):
        if seed % 2:
            tiles = 1 + seed % 3
            requests.append(ask(prompt_with_tiles(tiles, text=3 + seed), max_new_tokens, random_tiles(tiles, seed)))
        else:
            requests.append(ask(random_ids(9 + 3 * seed, seed), max_new_tokens))
    return requests


def plain(request: Request) -> list[int]:
    """The oracle: the plain loop's answer of the base model."""
    sampling = request.sampling
    return _plain_model().generate_greedy(
        request.input_ids, request.pixel_values, sampling.max_new_tokens, sampling.stop_token_ids
    )


@cache
def _plain_model() -> InternVL:
    return make_model()


def drive(core: EngineCore) -> dict[int, list[int] | IvlError]:
    """Step until nothing is left: the tokens of each request, or the error that ended it."""
    ended: dict[int, list[int] | IvlError] = {}
    while core.has_work:
        for request_id, outcome in core.step():
            if isinstance(outcome, TokenOutput):
                tokens = ended.setdefault(request_id, [])
                assert isinstance(tokens, list), "a token came after an error"
                tokens.append(outcome.token_id)
            else:
                ended[request_id] = outcome
    return ended


def assert_nothing_held(core: EngineCore) -> None:
    """Every block is free and in its place, the feature cache counts right."""
    core.check_idle()
    core.scheduler.pool.check()
    core.features.check()
    assert core.stats.free_blocks == core.stats.num_blocks
    assert core.stats.running == core.stats.waiting == 0


@contextmanager
def held(worker: EngineWorker) -> Iterator[None]:
    """The engine's thread is kept busy between two steps."""
    is_held, go_on = threading.Event(), threading.Event()

    def hold(core: EngineCore) -> None:
        is_held.set()
        assert go_on.wait(10)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(worker.call, hold)
        assert is_held.wait(10)
        try:
            yield
        finally:
            go_on.set()
        done.result(10)


def ids(stream: TokenStream) -> list[int]:
    return [output.token_id for output in stream]


def within(seconds: float, function: Callable[[], Result]) -> Result:
    """What a function gives or raises on a thread of its own; fails where it takes too long."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"it hangs: not done after {seconds} s"
    if errors:
        raise errors[0]
    return results[0]


def eventually(holds: Callable[[], bool], seconds: float = 5) -> None:
    """Wait until something holds; fails where it does not come to."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.005)):
        if holds():
            return
        pause.wait(0.005)
    raise AssertionError(f"it does not hold after {seconds} s")


LONG = ask(random_ids(10), 240)
"""A request that runs for a while."""
EMPTY = torch.empty(0, dtype=torch.int64)
