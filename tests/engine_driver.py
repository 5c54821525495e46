"""What engine tests share: requests in one line, an engine run to its end, and the plain loop's answers, remembered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ivl.engine.engine import EngineCore
from ivl.engine.request import Request, SamplingParams
from ivl.errors import IvlError
from ivl.model.config import RopeConfig
from ivl.model.fused import apply_fused
from ivl.model.internvl import InternVL
from ivl.types import EngineConfig
from random_model import IMAGE_TOKEN, make_model, random_ids, random_tiles

SESSION_LEN = 160
_REQUEST_FIELDS = ("adapter", "priority", "cache_salt", "tile_digests", "token_mask")


@contextmanager
def one_thread() -> Iterator[None]:
    """Products of this size only lose by threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def engine_config(**given: object) -> EngineConfig:
    return EngineConfig(**{"session_len": SESSION_LEN, "block_size": 4, **given})  # type: ignore[arg-type]


def request(ids: Tensor, pixels: Tensor | None = None, new: int = 6, **given: object) -> Request:
    """`given`: fields of Request and of SamplingParams."""
    own = {name: given.pop(name) for name in _REQUEST_FIELDS if name in given}
    params = SamplingParams(max_new_tokens=new, **given)  # type: ignore[arg-type]
    return Request(input_ids=ids, pixel_values=pixels, sampling=params, **own)  # type: ignore[arg-type]


def prompt(*parts: int | Tensor) -> Tensor:
    """Ids: a whole number stands for that many image tokens."""
    return torch.cat([torch.full((part,), IMAGE_TOKEN) if isinstance(part, int) else part for part in parts])


@dataclass
class Answer:
    """What came of a request."""

    tokens: list[int] = field(default_factory=list)
    finish: str | None = None
    error: IvlError | None = None


class Drive:
    """An engine and the answers of everything that was added to it."""

    def __init__(self, core: EngineCore) -> None:
        self.core = core
        self.answers: dict[int, Answer] = {}
        self.num_steps = 0

    def add(self, given: Request) -> int:
        request_id = self.core.add(given)
        assert request_id not in self.answers, "an id came twice"
        self.answers[request_id] = Answer()
        return request_id

    def step(self) -> None:
        """One step; nothing may come of a request that has ended, nor two tokens of one."""
        outcomes = self.core.step()
        self.num_steps += 1
        assert len({request_id for request_id, _ in outcomes}) == len(outcomes), "two tokens of one request in a step"
        for request_id, outcome in outcomes:
            answer = self.answers[request_id]
            assert (answer.finish, answer.error) == (None, None), f"request {request_id} goes on after its end"
            if isinstance(outcome, IvlError):
                answer.error = outcome
            else:
                answer.tokens.append(outcome.token_id)
                answer.finish = outcome.finish_reason

    def abort(self, request_id: int) -> None:
        self.core.abort(request_id)
        if self.answers[request_id].finish is None:
            self.answers[request_id].finish = "abort"

    def drain(self, most: int = 20_000) -> None:
        """Step until all is done, then look that nothing is held."""
        while self.core.has_work:
            self.step()
            assert self.num_steps < most, f"no end after {most} steps"
        check_all(self.core)
        self.core.check_idle()


def check_all(core: EngineCore) -> None:
    """Every block and every feature is where it belongs."""
    core.scheduler.pool.check()
    core.features.check()


def run(core: EngineCore, *requests: Request) -> list[Answer]:
    """All at once, to the end."""
    drive = Drive(core)
    ids = [drive.add(each) for each in requests]
    drive.drain()
    return [drive.answers[request_id] for request_id in ids]


def models() -> dict[str, InternVL]:
    """Decoder families, rope kinds and forms of a model, by name."""
    factors = tuple(1.0 + 0.3 * i for i in range(4)), tuple(2.0 + 0.7 * i for i in range(4))
    long = RopeConfig(kind="long", original_max_positions=32, short_factors=factors[0], long_factors=factors[1])
    return {
        "qwen2": make_model(qkv_bias=True),
        "internlm2": make_model(seed=1, decoder="internlm2"),
        "long rope": make_model(seed=2, decoder="phi3", rope=long, num_kv_heads=6),
        "fused": apply_fused(make_model(seed=3, qkv_bias=True)),
        "plain rope": make_model(seed=4, decoder="llama", rope=RopeConfig(theta=1e4)),
    }


class Oracle:
    """The plain loop of some models; each question is asked once."""

    def __init__(self, models: dict[str, InternVL]) -> None:
        self.models = models
        self._known: dict[tuple[object, ...], list[int]] = {}

    def __call__(self, name: str, given: Request) -> list[int]:
        """The greedy answer; the stop tokens of the request end it."""
        pixels, params = given.pixel_values, given.sampling
        content = b"" if pixels is None else pixels.numpy().tobytes()
        key = (name, tuple(given.input_ids.tolist()), hash(content), params.max_new_tokens, params.stop_token_ids)
        if key not in self._known:
            model = self.models[name]
            answer = model.generate_greedy(given.input_ids, pixels, params.max_new_tokens, params.stop_token_ids)
            self._known[key] = answer
        return self._known[key]


TILES = {name: random_tiles(count, seed) for name, count, seed in (("a", 1, 5), ("b", 1, 6), ("c", 2, 7), ("d", 2, 8))}
"""Pictures; "a" and "b" are of one size and different content, "c" and "d" too."""


def pictured(text: int, names: str, seed: int = 0, more: int = 5, between: int = 2) -> tuple[Tensor, Tensor | None]:
    """A prompt of `text` tokens that all prompts of a seed begin with, pictures, and `more` tokens of text."""
    parts: list[int | Tensor] = [random_ids(40, seed=70 + seed)[:text]]
    for index, name in enumerate(names):
        parts += [len(TILES[name]) * 4, random_ids(between, seed=90 + index)]
    pixels = torch.cat([TILES[name] for name in names]) if names else None
    return prompt(*parts, random_ids(more, seed=80 + seed)), pixels
