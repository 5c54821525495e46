"""What `server_overhead.py` measures: its figures, and a line of text for each."""

import statistics
from dataclasses import dataclass, field

from measuring import Circumstances


@dataclass(frozen=True, kw_only=True)
class Round:
    """One side's answers to all requests."""

    wall_s: float
    cpu_s: float
    """Of the process that holds engine and server, all threads; not of the clients."""
    texts: tuple[str, ...] = field(repr=False)
    first_s: tuple[float, ...] = ()
    """Until each request's first token, where a client saw it."""


@dataclass(kw_only=True)
class Figures:
    """All rounds of one side, in the order in which they ran."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    tokens_per_s: list[float] = field(default_factory=list)
    first_token_median_s: list[float] = field(default_factory=list)


@dataclass(kw_only=True)
class Load:
    """Many requests at once."""

    requests: int
    new_tokens: int
    with_picture: bool
    sides: dict[str, Figures] = field(default_factory=dict)
    wall_over_core: dict[str, float] = field(default_factory=dict)
    """Median of the ratios within each round, of wall time to the engine's own."""
    wall_over_pipeline: dict[str, float] = field(default_factory=dict)
    cpu_over_pipeline: dict[str, float] = field(default_factory=dict)


@dataclass(kw_only=True)
class FirstToken:
    """One request alone."""

    with_picture: bool
    pipeline_s: list[float] = field(default_factory=list)
    server_s: list[float] = field(default_factory=list)
    added_ms: float = 0.0
    """Median of the differences within each round."""


@dataclass(kw_only=True)
class Result:
    """Everything measured in a run."""

    circumstances: Circumstances
    loads: list[Load] = field(default_factory=list)
    first_token: list[FirstToken] = field(default_factory=list)


def report(load: Load) -> str:
    """A line for each side."""
    lines = [
        f"{load.requests} requests {'with' if load.with_picture else 'without'} a picture, {load.new_tokens} tokens"
    ]
    for name, figures in load.sides.items():
        wall, cpu = statistics.median(figures.wall_s), statistics.median(figures.cpu_s)
        ratios = [f"wall / core {load.wall_over_core[name]:.3f}"] if name in load.wall_over_core else []
        if name in load.wall_over_pipeline:
            ratios.append(f"wall / pipeline {load.wall_over_pipeline[name]:.3f}")
            ratios.append(f"cpu / pipeline {load.cpu_over_pipeline[name]:.3f}")
        rate = statistics.median(figures.tokens_per_s)
        lines.append(f"  {name:9} {wall:6.2f} s, cpu {cpu:6.2f} s, {rate:6.0f} tokens/s; {', '.join(ratios)}")
    return "\n".join(lines)


def report_first(first: FirstToken) -> str:
    """One line."""
    ours, bare = statistics.median(first.server_s), statistics.median(first.pipeline_s)
    kind = "with" if first.with_picture else "without"
    return (
        f"first token {kind} a picture: pipeline {1000 * bare:.1f} ms, server {1000 * ours:.1f} ms, "
        f"added {first.added_ms:.1f} ms"
    )
