"""An endless stream of training batches: planned scenes with their questions as token ids, made in worker processes.

In: catalogue, mix, tokenizer. Out: `Batch`es of one canvas size each, so that every tensor is rectangular.

A scene's conversation is one prefix (system message, picture) and several branches after it, each a question with its
answer; every branch sees the prefix and itself. So a picture is read once and asked many times, and each branch gets
exactly what it would get alone.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from tools.seedling.layout import Plan, Planner
from tools.seedling.questions import Asker, Exchange
from tools.seedling.scenes import PlanBatch, batch_plans
from tools.seedling.text import Slot, Speaker
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from ivl.processing.tiling import choose_grid

SLOTS = (32, 32, 32, 32, 32, 32, 32, 32, 72)
"""Tokens of each branch; the last holds long answers and second turns."""
MAX_TILES = 6

SINGLE = {
    "name": 6.0,
    "exists": 4.5,
    "is": 1.5,
    "total": 0.3,
    "count": 0.7,
    "background": 0.6,
    "colour": 0.6,
    "where": 0.7,
}
SEVERAL = {
    "exists": 5.0,
    "count": 6.0,
    "total": 0.6,
    "background": 0.3,
    "colour": 0.5,
    "where": 1.2,
    "at": 1.5,
    "name": 1.0,
}
LONG = {"all": 1.0, "describe": 1.0, "turns": 1.0}
WEIGHTS = {"exists": 2.0, "is": 2.0, "count": 2.0, "name": 1.5}
"""How much an answer of a kind counts in the loss; others 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Scenes of one canvas size. B scenes, L tokens of all branches together."""

    plans: PlanBatch
    things: Tensor
    """(B, K) int64 thing of each sprite, -1 where there is none."""
    ids: Tensor | None
    """(B, L) int16."""
    weights: Tensor | None
    """(B, L) float16; how much predicting this token counts."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Which canvases are drawn, and how many tiles a batch has."""

    tiles_per_batch: int = 840
    """Divisible by every number of tiles (with thumbnail) that occurs: 1, 3, 4, 5, 6, 7."""
    square: float = 0.55
    """Share of batches whose canvas is exactly one tile."""
    several: float = 0.18
    """Share of batches whose canvas is cut into several tiles."""

    def draw(self, rng: random.Random) -> tuple[tuple[int, int], tuple[int, int]]:
        """Canvas (width, height) and its grid."""
        draw = rng.random()
        if draw < self.square:
            return (448, 448), (1, 1)
        wanted_one = draw > self.square + self.several
        while True:
            size = _small_size(rng) if wanted_one else _large_size(rng)
            grid = choose_grid(*size, max_tiles=MAX_TILES)
            if (grid == (1, 1)) == wanted_one:
                return size, grid


def _small_size(rng: random.Random) -> tuple[int, int]:
    side = rng.randint(224, 630)
    return side, (side if rng.random() < 0.5 else round(side * rng.uniform(0.84, 1.19)))


def _large_size(rng: random.Random) -> tuple[int, int]:
    common = ((640, 480), (480, 640), (800, 600), (1024, 768), (640, 640), (1000, 500), (672, 448), (448, 896))
    if rng.random() < 0.4:
        return rng.choice(common)
    width, height = rng.randint(280, 1000), rng.randint(280, 1000)
    return width, height


def num_tiles(grid: tuple[int, int]) -> int:
    """Tiles of a picture, thumbnail included."""
    tiles = grid[0] * grid[1]
    return tiles if tiles == 1 else tiles + 1


class Stream(IterableDataset[Batch]):
    """Batches without end; each worker has its own random numbers."""

    def __init__(self, planner: Planner, speaker: Speaker | None, sizes: Sizes, seed: int) -> None:
        self.planner = planner
        self.speaker = speaker
        self.sizes = sizes
        self.seed = seed
        self.asker = Asker(planner.catalogue.things)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        rng = random.Random(self.seed * 1000 + (worker.id if worker else 0))
        while True:
            yield self.batch(rng)

    def batch(self, rng: random.Random) -> Batch:
        size, grid = self.sizes.draw(rng)
        plans = [self.planner.plan(size, rng) for _ in range(self.sizes.tiles_per_batch // num_tiles(grid))]
        things = np.full((len(plans), 6), -1, np.int64)
        for row, plan in enumerate(plans):
            things[row, : len(plan.sprites)] = [item.thing for item in plan.scene.items]
        ids = weights = None
        if self.speaker is not None:
            ids, weights = self._text(plans, rng)
        batch = batch_plans(plans, size, grid)
        return Batch(plans=batch, things=torch.from_numpy(things), ids=ids, weights=weights)

    def _text(self, plans: list[Plan], rng: random.Random) -> tuple[Tensor, Tensor]:
        ids = np.full((len(plans), sum(SLOTS)), 2, np.int16)
        weights = np.zeros((len(plans), sum(SLOTS)), np.float16)
        for row, plan in enumerate(plans):
            start = 0
            for length in SLOTS:
                slot, weight = self._branch(plan, length, rng)
                span = slice(start, start + len(slot.ids))
                ids[row, span] = slot.ids
                weights[row, span] = [weight * trained for trained in slot.trained]
                start += length
        return torch.from_numpy(ids), torch.from_numpy(weights)

    def _branch(self, plan: Plan, length: int, rng: random.Random) -> tuple[Slot, float]:
        """A branch that fits into `length` tokens, and its weight in the loss."""
        assert self.speaker is not None, "branches need a tokenizer"
        for _ in range(30):
            language = rng.choice(("en", "zh"))
            kinds = LONG if length > 32 else SINGLE if len(plan.scene.items) == 1 else SEVERAL
            kind = rng.choices(list(kinds), list(kinds.values()))[0]
            exchanges = self._exchanges(kind, plan, rng, language)
            if exchanges:
                slot = self.speaker.slot(exchanges)
                if len(slot.ids) <= length:
                    return slot, WEIGHTS.get(kind, 1.0)
        return Slot(ids=(), trained=()), 0.0

    def _exchanges(self, kind: str, plan: Plan, rng: random.Random, language: str) -> list[Exchange]:
        if kind != "turns":
            exchange = self.asker.ask(kind, plan.scene, rng, language)
            return [exchange] if exchange else []
        kinds = SINGLE if len(plan.scene.items) == 1 else SEVERAL
        drawn = rng.choices(list(kinds), list(kinds.values()), k=2)
        turns = [self.asker.ask(one, plan.scene, rng, rng.choice(("en", "zh"))) for one in drawn]
        return [turn for turn in turns if turn is not None]
