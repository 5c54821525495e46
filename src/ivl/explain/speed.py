"""Runs an engine under the clock: many requests at once, one after another, and the vision model alone.

In: an engine's synchronous core, or what encodes tiles; requests. Out: when every token came. Knows neither what a
request is nor what the figures mean (`speed_report.py`).

A token has come when its id is in Python's hands, which is when a server could send it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from ivl.errors import EngineError, IvlError
from ivl.explain.ceilings import wait_for
from ivl.model.config import InternVLConfig
from ivl.model.internvl import InternVL


class Core(Protocol):
    """An engine that is driven by hand: requests in, tokens out of every step."""

    @property
    def has_work(self) -> bool:
        """Whether a request is unfinished."""
        ...

    def add(self, request: Any) -> int:
        """Take a request; gives its id."""
        ...

    def abort(self, request_id: int) -> None:
        """Drop a request; one that has ended already is no error."""
        ...

    def step(self) -> Sequence[tuple[int, Any]]:
        """Compute once; gives the new tokens, or the error that ended a request, by request id."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompt:
    """Ready-made input. T tokens, N tiles, S pixels a side."""

    input_ids: Tensor
    """(T,) int64."""
    pixel_values: Tensor | None
    """(N, 3, S, S) float32 on the host, as after normalisation; None without tiles."""
    tile_digests: tuple[bytes, ...] = ()
    """One for each tile, as whoever cut the picture knows them: the engine need not read all pixels to tell them
    apart."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One run of requests."""

    seconds: float
    """From the first request to the last token."""
    token_s: tuple[tuple[float, ...], ...]
    """For each request, when each of its tokens came, from its own start."""

    @property
    def num_tokens(self) -> int:
        return sum(len(times) for times in self.token_s)

    @property
    def first_token_s(self) -> list[float]:
        """Time to first token of each request."""
        return [times[0] for times in self.token_s]

    @property
    def between_s(self) -> list[float]:
        """Time from each token to the next (inter-token latency), of all requests."""
        return [after - before for times in self.token_s for before, after in pairwise(times)]


def random_prompts(config: InternVLConfig, count: int, tiles: int, text_tokens: int, seed: int) -> list[Prompt]:
    """Prompts of random text around one picture of noise each; no two pictures are alike.

    Raises EngineError where the model names no image token.
    """
    if tiles and config.image_token_id is None:
        raise EngineError("the model names no image token: its tokenizer files are missing")
    generator = torch.Generator().manual_seed(seed)
    image = torch.full((tiles * config.tokens_per_tile,), config.image_token_id or 0)
    prompts = []
    for number in range(count):
        text = torch.randint(0, config.text.vocab_size - 1, (text_tokens,), generator=generator)
        if config.image_token_id is not None:
            text += text >= config.image_token_id  # any token but that one
        before, after = text[: text_tokens // 2], text[text_tokens // 2 :]
        size = (tiles, 3, config.image_size, config.image_size)
        pixels = torch.randn(size, generator=generator) if tiles else None
        digests = tuple(b"noise %d %d %d" % (seed, number, tile) for tile in range(tiles))
        input_ids = torch.cat((before, image, after))
        prompts.append(Prompt(input_ids=input_ids, pixel_values=pixels, tile_digests=digests))
    return prompts


def run_at_once(core: Core, requests: Sequence[Any], new_tokens: int) -> Round:
    """All requests together. Raises the error of a request that fails, and drops the others then."""
    begun = now = time.perf_counter()
    times: dict[int, list[float]] = {}
    try:
        for request in requests:
            times[core.add(request)] = []
        while core.has_work:
            outputs = core.step()
            now = time.perf_counter()
            for request_id, output in outputs:
                if isinstance(output, IvlError):
                    raise output
                times[request_id].append(now - begun)
    except BaseException:
        for request_id in times:
            core.abort(request_id)
        raise
    _check(times, new_tokens)
    return Round(seconds=now - begun, token_s=tuple(tuple(each) for each in times.values()))


def run_in_turn(core: Core, requests: Sequence[Any], new_tokens: int) -> Round:
    """One request after another; each one's tokens count from its own start."""
    rounds = [run_at_once(core, [request], new_tokens) for request in requests]
    return Round(
        seconds=sum(each.seconds for each in rounds),
        token_s=tuple(times for each in rounds for times in each.token_s),
    )


@torch.inference_mode()
def time_tiles(encode: Callable[[Tensor], Tensor], pixel_values: Tensor, device: str) -> float:
    """Seconds to encode tiles (N, 3, S, S) that are on the device already."""
    wait_for(device)
    begun = time.perf_counter()
    encode(pixel_values)
    wait_for(device)
    return time.perf_counter() - begun


@torch.no_grad()
def random_model(config: InternVLConfig, device: str, dtype: torch.dtype, seed: int = 0) -> InternVL:
    """A model of this shape with random weights: speed does not depend on their values."""
    with torch.device("meta"):
        model = InternVL(config)
    model = model.to(dtype).to_empty(device=device).eval().requires_grad_(False)
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.05)
        else:
            parameter.normal_(0, parameter.shape[-1] ** -0.5, generator=generator)
    return model


def _check(times: Mapping[int, Sequence[float]], new_tokens: int) -> None:
    for request_id, each in times.items():
        if len(each) != new_tokens:
            raise EngineError(f"request {request_id} ended after {len(each)} of {new_tokens} tokens: raise session_len")
