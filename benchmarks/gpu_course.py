"""The workloads of `gpu_workloads.py`, each as something to time and the floor of its time.

In: a contestant, a configuration, measured ceilings. Out: `Workload`s. Knows no medians and no files. A repeat of a
first token has a picture of its own; a repeat of throughput has the same distinct ones again, with all caches off.
"""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from gpu_contestants import GpuContestant, Picture, around, decoded
from PIL import Image

from ivl.explain.ceilings import Ceilings, wait_for
from ivl.explain.costs import prefill_flop, tile_flop
from ivl.explain.speed import Prompt
from ivl.explain.speed_figures import Load, Shape, floor_seconds
from ivl.model.config import InternVLConfig

LARGE, MEDIUM = (1792, 1344), (1344, 896)
"""Pictures of 4 x 3 and of 3 x 2 tiles of 448 pixels, each with a thumbnail: 13 and 7 tiles."""
TEXT_TOKENS, THROUGHPUT_TEXT_TOKENS, THROUGHPUT_TILES = 50, 64, 7


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """A name, and what to time: `run` gives the seconds of one repeat."""

    name: str
    run: Callable[[], float]
    floor_s: float
    amount: float
    """Of `rate_unit` in one repeat."""
    rate_unit: str
    repeats: int
    warmup: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """All workloads for one contestant."""

    contestant: GpuContestant
    config: InternVLConfig
    ceilings: Ceilings
    device: str
    dtype: torch.dtype
    new_tokens: int
    requests: tuple[int, ...]
    is_quick: bool

    def workloads(self) -> Iterator[Workload]:
        """All of them, the quick ones first; each is made when it is asked for."""
        yield self.vision(13)
        yield self.vision(52)
        for tiles in (13, 1):
            for start in ("tensors", "picture", "jpeg"):
                yield self.first_token(tiles, start)
        yield self.decode()
        for count in self.requests:
            yield self.throughput(count, "tensors")
        for count in self.requests[:1] if self.is_quick else self.requests:
            yield self.throughput(count, "pictures")

    def vision(self, tiles: int) -> Workload:
        """Tiles that are on the device already."""
        size = self.config.image_size
        made: list[torch.Tensor] = []

        def run() -> float:
            if not made:
                made.append(torch.randn(tiles, 3, size, size, device=self.device).to(self.dtype))
            wait_for(self.device)
            begun = time.perf_counter()
            self.contestant.encode(made[0])
            wait_for(self.device)
            return time.perf_counter() - begun

        floor = tiles * tile_flop(self.config) / self.ceilings.product_flop_per_s
        return Workload(
            name=f"vision {tiles}", run=run, floor_s=floor, amount=tiles, rate_unit="tiles/s", repeats=7, warmup=3
        )

    def first_token(self, tiles: int, start: str) -> Workload:
        """One request until its first token, from pixels, a decoded picture or a JPEG; a new picture every time."""
        load = Load(requests=1, tiles=tiles, text_tokens=TEXT_TOKENS, new_tokens=1)
        numbers = iter(range(10_000))

        def run() -> float:
            number = next(numbers)
            if start == "tensors":
                (prompt,) = make_prompts(self.config, load, self.device, number)
                return self.contestant.answer(prompt, 1)[0]
            picture = make_picture(self.config, LARGE, tiles, TEXT_TOKENS, number)
            stored = io.BytesIO()
            picture.image.save(stored, "JPEG", quality=90)
            begun = time.perf_counter()
            if start == "jpeg":
                picture = replace(picture, image=decoded(stored.getvalue()))
            prompt = self.contestant.prepare(picture)
            preparing = time.perf_counter() - begun
            return preparing + self.contestant.answer(prompt, 1)[0]

        work = tiles * tile_flop(self.config) + prefill_flop(self.config, load.prompt_tokens(self.config))
        floor = work / self.ceilings.product_flop_per_s
        name = f"first token, {tiles} tiles, from {start}"
        return Workload(name=name, run=run, floor_s=floor, amount=1, rate_unit="requests/s", repeats=7, warmup=3)

    def decode(self) -> Workload:
        """The tokens of one answer after its first."""
        load = Load(requests=1, tiles=13, text_tokens=TEXT_TOKENS, new_tokens=self.new_tokens)
        made: list[Prompt] = []

        def run() -> float:
            made[:] = made or make_prompts(self.config, load, self.device)
            times = self.contestant.answer(made[0], self.new_tokens)
            return times[-1] - times[0]

        return Workload(
            name=f"decode, context {load.prompt_tokens(self.config)}",
            run=run,
            floor_s=self._floor(load) - self._floor(replace(load, new_tokens=1)),
            amount=self.new_tokens - 1,
            rate_unit="tokens/s",
            repeats=3,
        )

    def throughput(self, count: int, start: str) -> Workload:
        """Many requests at once, from pixels or from decoded pictures."""
        load = Load(
            requests=count,
            tiles=THROUGHPUT_TILES,
            text_tokens=THROUGHPUT_TEXT_TOKENS,
            new_tokens=self.new_tokens,
        )
        prompts: list[Prompt] = []
        pictures: list[Picture] = []

        def run() -> float:
            if start == "tensors":
                prompts[:] = prompts or make_prompts(self.config, load, self.device)
                return self.contestant.answer_all(prompts, self.new_tokens)
            size, tiles, text = MEDIUM, load.tiles, load.text_tokens
            pictures[:] = pictures or [make_picture(self.config, size, tiles, text, each) for each in range(count)]
            return self.contestant.answer_pictures(pictures, self.new_tokens)

        return Workload(
            name=f"throughput {count}, from {start}",
            run=run,
            floor_s=self._floor(load),
            amount=count,
            rate_unit="requests/s",
            repeats=2 if self.is_quick or count > 100 else 3,
        )

    def _floor(self, load: Load) -> float:
        shape = Shape(config=self.config, itemsize=self.dtype.itemsize, product_itemsize=self.dtype.itemsize)
        return floor_seconds(load, shape, self.ceilings, batch=load.requests)


def make_prompts(config: InternVLConfig, load: Load, device: str, seed: int = 0) -> list[Prompt]:
    """Prompts with distinct tiles of noise, which a GPU draws many times sooner than its host."""
    generator = torch.Generator(device).manual_seed(seed)
    texts = torch.Generator().manual_seed(seed)
    shape = (load.tiles, 3, config.image_size, config.image_size)
    prompts = []
    for number in range(load.requests):
        pixels = torch.randn(shape, generator=generator, device=device).cpu()
        prompt = around(config, pixels, random_text(config, load.text_tokens, texts))
        digests = tuple(b"noise %d %d %d" % (seed, number, tile) for tile in range(load.tiles))
        prompts.append(replace(prompt, tile_digests=digests))
    return prompts


def make_picture(config: InternVLConfig, size: tuple[int, int], tiles: int, text_tokens: int, seed: int) -> Picture:
    """A cloudy picture of its own, and random text."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 256, (size[1] // 16, size[0] // 16, 3), generator=generator, dtype=torch.uint8)
    image = Image.fromarray(noise.numpy()).resize(size, Image.Resampling.BICUBIC)
    text_ids = random_text(config, text_tokens, generator)
    return Picture(image=image, max_tiles=max(1, tiles - 1), text_ids=text_ids)


def random_text(config: InternVLConfig, count: int, generator: torch.Generator) -> torch.Tensor:
    """(count,) ids without image tokens."""
    assert config.image_token_id is not None, "the shape names its image token"
    return torch.randint(0, min(config.image_token_id, 90_000), (count,), generator=generator)
