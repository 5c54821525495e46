"""What the clock's readings mean: rates, percentiles, and shares of what the device could do.

In: rounds that were timed, a configuration, measured ceilings. Out: `Figures`, plain data for a table, a file or a
drawing. Knows no engine and no clock.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ivl.explain.ceilings import Ceilings
from ivl.explain.costs import decode_flop, decode_weight_bytes, kv_bytes_per_token, prefill_flop, tile_flop
from ivl.explain.speed import Round
from ivl.model.config import InternVLConfig


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of the engine."""

    requests: int = 16
    """Requests of a round."""
    tiles: int = 1
    """Tiles of each request's picture."""
    text_tokens: int = 50
    new_tokens: int = 64

    def prompt_tokens(self, config: InternVLConfig) -> int:
        """Tokens of a prompt."""
        return self.tiles * config.tokens_per_tile + self.text_tokens


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A model as its costs see it."""

    config: InternVLConfig
    itemsize: int
    """Bytes of a number of the run's dtype."""
    product_itemsize: int
    """Bytes of a number in the decoder's products: 1 where they are int8."""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """Times in seconds."""

    p50: float
    p90: float
    p99: float
    percentiles: tuple[float, ...]
    """The 0th to the 100th."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """A rate that was reached, and the one that the device can reach."""

    name: str
    unit: str
    reached: float
    ceiling: float

    @property
    def share(self) -> float:
        """Reached / ceiling; above 1 where the work's data fit into a cache."""
        return self.reached / self.ceiling


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One workload's."""

    name: str
    seconds: tuple[float, ...]
    """Of each round."""
    rates: dict[str, float]
    """Such as "requests_per_s"; medians of the rounds."""
    first_token_s: Distribution | None = None
    between_s: Distribution | None = None
    """From each token to the next."""
    shares: tuple[Share, ...] = ()
    peak_memory_bytes: int = 0


def distribution(times: Sequence[float]) -> Distribution:
    """Percentiles of times, the nearest below and above in proportion. Needs at least one."""
    ordered = sorted(times)

    def at(percent: float) -> float:
        place = (len(ordered) - 1) * percent / 100
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        return low + (high - low) * (place - math.floor(place))

    return Distribution(p50=at(50), p90=at(90), p99=at(99), percentiles=tuple(at(each) for each in range(101)))


def throughput_figures(rounds: Sequence[Round], load: Load, shape: Shape, ceilings: Ceilings, batch: int) -> Figures:
    """All requests at once; `batch`: requests that may run together."""
    seconds = statistics.median(each.seconds for each in rounds)
    floor = floor_seconds(load, shape, ceilings, batch)
    reached = load.requests / seconds
    return Figures(
        name="throughput",
        seconds=tuple(each.seconds for each in rounds),
        rates={
            "requests_per_s": reached,
            "new_tokens_per_s": load.requests * load.new_tokens / seconds,
            "all_tokens_per_s": load.requests * (load.prompt_tokens(shape.config) + load.new_tokens) / seconds,
        },
        first_token_s=distribution([time for each in rounds for time in each.first_token_s]),
        between_s=_between(rounds),
        shares=(Share(name="throughput", unit="requests/s", reached=reached, ceiling=load.requests / floor),),
    )


def latency_figures(rounds: Sequence[Round], load: Load, shape: Shape, ceilings: Ceilings) -> Figures:
    """One request after another."""
    first = distribution([time for each in rounds for time in each.first_token_s])
    between = _between(rounds)
    prompt = load.prompt_tokens(shape.config)
    work = load.tiles * tile_flop(shape.config) + prefill_flop(shape.config, prompt)
    shares = [
        Share(name="first token", unit="FLOP/s", reached=work / first.p50, ceiling=ceilings.product_flop_per_s),
    ]
    rates = {"requests_per_s": len(rounds[0].token_s) / statistics.median(each.seconds for each in rounds)}
    if between:
        step = _step_bytes(load, shape, 1)
        shares.append(Share(name="decode", unit="B/s", reached=step / between.p50, ceiling=ceilings.bytes_per_s))
        rates["decode_tokens_per_s"] = 1 / statistics.fmean(time for each in rounds for time in each.between_s)
    seconds = tuple(each.seconds for each in rounds)
    return Figures(
        name="latency", seconds=seconds, rates=rates, first_token_s=first, between_s=between, shares=tuple(shares)
    )


def vision_figures(seconds: Sequence[float], tiles: int, shape: Shape, ceilings: Ceilings) -> Figures:
    """`tiles` tiles together through vision model and connector, each round."""
    rate = tiles / statistics.median(seconds)
    reached = rate * tile_flop(shape.config)
    share = Share(name="vision", unit="FLOP/s", reached=reached, ceiling=ceilings.product_flop_per_s)
    return Figures(name="vision", seconds=tuple(seconds), rates={"tiles_per_s": rate}, shares=(share,))


def floor_seconds(load: Load, shape: Shape, ceilings: Ceilings, batch: int) -> float:
    """The least time for a round: prompts at the speed of products, steps at that of products or of memory."""
    config, prompt = shape.config, load.prompt_tokens(shape.config)
    work = load.requests * (load.tiles * tile_flop(config) + prefill_flop(config, prompt))
    seconds, left = work / ceilings.product_flop_per_s, load.requests
    while left > 0:
        together = min(left, batch)
        flop = together * decode_flop(config, prompt + load.new_tokens // 2)
        step = max(
            _step_bytes(load, shape, together) / ceilings.bytes_per_s,
            flop / ceilings.product_flop_per_s,
        )
        seconds, left = seconds + (load.new_tokens - 1) * step, left - together
    return seconds


def _step_bytes(load: Load, shape: Shape, together: int) -> float:
    """Bytes that one step of decoding reads in the middle of the answers."""
    context = load.prompt_tokens(shape.config) + load.new_tokens / 2
    weights = decode_weight_bytes(shape.config, shape.itemsize, shape.product_itemsize)
    return weights + together * context * kv_bytes_per_token(shape.config, shape.itemsize)


def _between(rounds: Sequence[Round]) -> Distribution | None:
    """None where every answer is one token long."""
    times = [time for each in rounds for time in each.between_s]
    return distribution(times) if times else None
