"""A scheduler run without weights, on a cache that remembers which tokens were computed into each slot."""

import random
from collections.abc import Iterable

import torch

from ivl.engine.block_pool import BlockPool
from ivl.engine.request import Request, SamplingParams
from ivl.engine.scheduler import Scheduler
from ivl.engine.sequence import Chunk, Sequence

IMAGE = 90
TILE = 4
ROPE = (1e4, False)


class FakeEngine:
    """Every step is checked: what runs, and that every token finds its own past in its blocks."""

    def __init__(self, blocks: int, max_running: int = 64, max_prefill: int = 64, share: bool = True, size: int = 4):
        self.scheduler = Scheduler(BlockPool(blocks), max_running, max_prefill, share_prefixes=share)
        self.size = size
        self.slots: dict[int, int] = {}
        self.num_steps = self.num_added = 0
        self.first_token: dict[int, int] = {}  # the step of it, by sequence
        self.ended: dict[int, int] = {}
        self.live: dict[int, Sequence] = {}

    def add(self, ids: Iterable[int], new: int = 1, priority: int = 0, digests: tuple[bytes, ...] = ()) -> Sequence:
        pixels = torch.zeros(len(digests)) if digests else None
        sampling = SamplingParams(max_new_tokens=new)
        tokens = torch.tensor(list(ids))
        request = Request(
            input_ids=tokens, pixel_values=pixels, sampling=sampling, priority=priority, tile_digests=digests
        )
        sequence = Sequence(request, IMAGE, TILE, self.size)
        self.num_added += 1
        sequence.enter(self.num_added, 0, 0, ROPE)
        self.scheduler.add(sequence)
        self.live[sequence.id] = sequence
        return sequence

    def step(self) -> list[Chunk]:
        chunks = self.scheduler.schedule()
        assert chunks or not self.live, "nobody can run"
        assert len({chunk.sequence.id for chunk in chunks}) == len(chunks), "one runs twice in a step"
        self.num_steps += 1
        decoding = {chunk.sequence.id for chunk in chunks if chunk.sequence.is_decoding}
        assert decoding == {s.id for s in self.scheduler.running.values() if s.is_decoding}, "an answer was left out"
        assert sum(c.stop - c.start for c in chunks if c.sequence.id not in decoding) <= self.scheduler.max_prefill
        assert len(self.scheduler.running) <= self.scheduler.max_running
        for chunk in chunks:
            self._write(chunk)
        for chunk in chunks:
            self._read(chunk)
        for chunk in chunks:
            self.scheduler.computed(chunk)
        for chunk in chunks:
            if chunk.samples:
                self._sample(chunk.sequence)
        return chunks

    def drain(self, most: int = 5_000) -> None:
        while self.live:
            self.step()
            assert self.num_steps < most, f"no end after {most} steps"
        self.scheduler.pool.check()
        self.scheduler.check_idle()

    def remove(self, sequence: Sequence) -> None:
        self.scheduler.remove(sequence)
        del self.live[sequence.id]

    def _sample(self, sequence: Sequence) -> None:
        self.scheduler.publish(sequence)
        self.first_token.setdefault(sequence.id, self.num_steps)
        sequence.tokens.append(hash(tuple(sequence.tokens)) % IMAGE)
        if len(sequence.tokens) == sequence.bound:
            self.ended[sequence.id] = self.num_steps
            self.remove(sequence)

    def _write(self, chunk: Chunk) -> None:
        for place, content in enumerate(_contents(chunk)[chunk.start :], start=chunk.start):
            self.slots[self._slot(chunk, place)] = content

    def _read(self, chunk: Chunk) -> None:
        for place, content in enumerate(_contents(chunk)):
            assert self.slots.get(self._slot(chunk, place)) == content, f"token {place} is not what is in its slot"

    def _slot(self, chunk: Chunk, place: int) -> int:
        return chunk.sequence.blocks[place // self.size] * self.size + place % self.size


def _contents(chunk: Chunk) -> list[int]:
    """What each token up to the chunk's end puts into the cache: it follows from all before it, pictures too."""
    sequence, contents, seen = chunk.sequence, [], 0
    digests = {place: sequence.tile_digests[row // TILE] for row, place in enumerate(sequence.places)}
    for place, token_id in enumerate(sequence.tokens[: chunk.stop]):
        seen = hash((seen, token_id, digests.get(place)))
        contents.append(seen)
    return contents


def ids(length: int, seed: int = 0) -> list[int]:
    """Random, and the same beginning for the same seed."""
    return random.Random(seed).choices(range(IMAGE), k=length)
