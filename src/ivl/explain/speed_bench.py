"""The workloads of `ivl bench` on one engine: rounds that warm up, rounds that count, and their figures.

In: an engine's core and what is to be asked of it. Out: `Figures` of each workload. Knows no terminal and no file.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ivl.explain.ceilings import Ceilings
from ivl.explain.speed import Core, Prompt, Round, random_prompts, run_at_once, run_in_turn, time_tiles
from ivl.explain.speed_figures import Figures, Load, Shape, latency_figures, throughput_figures, vision_figures

WORKLOADS = ("throughput", "latency", "vision")
MOST_TILES_AT_ONCE = 64
"""In a round of the vision workload, which needs no more to be quick and should not run out of memory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """An engine, and how it is measured."""

    core: Core
    encode: Callable[[Tensor], Tensor]
    """Tiles (N, 3, S, S) on the device -> image tokens."""
    to_request: Callable[[Prompt, int], Any]
    """A prompt and a number of new tokens as the engine's request: greedy, with no end token."""
    shape: Shape
    load: Load
    ceilings: Ceilings
    device: str
    dtype: torch.dtype
    batch: int
    """Requests that the engine runs together at most."""
    repeats: int = 3
    warmup: int = 1
    """Rounds before those that count."""
    seed: int = 0
    tell: Callable[[str], None] = lambda text: None

    def figures(self, workloads: Sequence[str] = WORKLOADS) -> Iterator[Figures]:
        """Figures of each workload, in turn."""
        measure = {"throughput": self.throughput, "latency": self.latency, "vision": self.vision}
        for name in workloads:
            yield measure[name]()

    def throughput(self) -> Figures:
        """All requests at once."""
        rounds, peak = self._rounds("throughput", lambda requests: run_at_once(self.core, requests, self._new))
        figures = throughput_figures(rounds, self.load, self.shape, self.ceilings, self.batch)
        return _with_memory(figures, peak)

    def latency(self) -> Figures:
        """One request after another."""
        rounds, peak = self._rounds("latency", lambda requests: run_in_turn(self.core, requests, self._new))
        return _with_memory(latency_figures(rounds, self.load, self.shape, self.ceilings), peak)

    def vision(self) -> Figures:
        """Tiles without a language model."""
        tiles = min(MOST_TILES_AT_ONCE, self.load.requests * max(1, self.load.tiles))
        size = self.shape.config.image_size
        generator = torch.Generator().manual_seed(self.seed)
        pixels = torch.randn(tiles, 3, size, size, generator=generator).to(self.device, self.dtype)
        reset_peak_memory(self.device)
        seconds = []
        for number in range(self.warmup + self.repeats):
            seconds.append(time_tiles(self.encode, pixels, self.device))
            self._tell_round("vision", number, seconds[-1])
        figures = vision_figures(seconds[self.warmup :], tiles, self.shape, self.ceilings)
        return _with_memory(figures, peak_memory(self.device))

    @property
    def _new(self) -> int:
        return self.load.new_tokens

    def _rounds(self, name: str, run: Callable[[list[Any]], Round]) -> tuple[list[Round], int]:
        """The rounds that count, and the peak of memory."""
        load = self.load
        prompts = random_prompts(self.shape.config, load.requests, load.tiles, load.text_tokens, self.seed)
        requests = [self.to_request(prompt, load.new_tokens) for prompt in prompts]
        reset_peak_memory(self.device)
        rounds = []
        for number in range(self.warmup + self.repeats):
            rounds.append(run(requests))
            self._tell_round(name, number, rounds[-1].seconds)
        return rounds[self.warmup :], peak_memory(self.device)

    def _tell_round(self, name: str, number: int, seconds: float) -> None:
        which = "warming up" if number < self.warmup else f"round {number - self.warmup + 1} of {self.repeats}"
        self.tell(f"{name}: {which}, {seconds:.3g} s")


def reset_peak_memory(device: str) -> None:
    """Begin to count anew on a GPU; a process's own peak cannot be reset."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: str) -> int:
    """Bytes: of torch's tensors on a GPU since the reset, else of this whole process since its start; 0: unknown."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _with_memory(figures: Figures, peak: int) -> Figures:
    return replace(figures, peak_memory_bytes=peak)
