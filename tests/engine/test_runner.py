"""One step of the model: the logits of whatever chunks equal those of one forward over the whole sequences."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from engine_driver import TILES, engine_config, models, one_thread, pictured, request
from ivl.engine.engine import EngineCore
from ivl.engine.request import Request
from ivl.engine.runner import Runner
from ivl.engine.sequence import Chunk, Sequence
from ivl.model.attention import PackedAttention
from ivl.model.internvl import InternVL
from random_model import CONFIG, random_ids

MODELS = models()
SIZE = 5
MIXED = (request(*pictured(7, "ab"), new=9), request(*pictured(16, ""), new=60), request(*pictured(1, "c"), new=50))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def make_runner(model: InternVL, feature_bytes: int = 2**20, max_tiles: int = 3) -> Runner:
    """As an engine makes it."""
    core = EngineCore(model, engine_config(block_size=SIZE, vision_cache_bytes=feature_bytes), blocks=64)
    core.runner.tiles.max_tiles = max_tiles
    return core.runner


def sequences(*requests: Request) -> list[Sequence]:
    """Ready to run, each in its own blocks."""
    made, next_block = [], 0
    for sequence_id, given in enumerate(requests):
        sequence = Sequence(given, CONFIG.image_token_id, 4, SIZE)
        sequence.enter(sequence_id, 0, 0, (0.0, False))
        count = sequence.blocks_for(sequence.num_prompt)
        sequence.blocks = list(range(next_block, next_block + count))
        next_block += count
        made.append(sequence)
    return made


@torch.inference_mode()
def run(runner: Runner, *chunks: tuple[Sequence, int, int]) -> dict[int, Tensor]:
    """The logits of the sequences that sample."""
    due, logits = runner.run([Chunk(sequence=s, start=start, stop=stop) for s, start, stop in chunks])
    assert len(due) == len(logits)
    return {chunk.sequence.id: row for chunk, row in zip(due, logits, strict=True)}


@torch.inference_mode()
def whole(model: InternVL, given: Request) -> Tensor:
    """(V,) after the last token, under the rope of the request's bound."""
    ids, pixels = given.input_ids, given.pixel_values
    features = None if pixels is None else model.encode_tiles(pixels)
    bound = len(ids) + given.sampling.max_new_tokens
    cos, sin = model.language_model.rope.cos_sin(torch.arange(len(ids)), [bound], [len(ids)])
    hidden = model.language_model(model.embed(ids, features), cos, sin, PackedAttention([0, len(ids)]))
    return model.language_model.logits(hidden[-1])


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("feature_bytes", [0, 2**20])
def test_chunks_that_split_tiles_give_the_logits_of_whole_prompts(name: str, feature_bytes: int) -> None:
    runner = make_runner(MODELS[name], feature_bytes)
    all_three = sequences(*MIXED)
    found: dict[int, Tensor] = {}
    for step in range(60):
        chunks = []
        for sequence, size in zip(all_three, (3, 7, 2), strict=True):
            start, stop = step * size, min((step + 1) * size, sequence.num_prompt)
            if start < stop:
                chunks.append((sequence, start, stop))
        if chunks:
            found |= run(runner, *chunks)
    assert sorted(found) == [0, 1, 2]
    for index, given in enumerate(MIXED):
        torch.testing.assert_close(found[index], whole(MODELS[name], given), rtol=0, atol=1e-11)


def test_a_step_without_a_last_token_gives_no_logits() -> None:
    (sequence,) = sequences(request(random_ids(20)))
    assert run(make_runner(MODELS["qwen2"]), (sequence, 0, 9)) == {}


def test_tiles_are_encoded_together_once_and_kept_apart() -> None:
    runner = make_runner(MODELS["qwen2"], max_tiles=3)
    encoded: list[int] = []
    model, encode = runner.model, runner.model.encode_tiles
    model.encode_tiles = lambda pixels: encoded.append(len(pixels)) or encode(pixels)  # type: ignore[assignment, func-returns-value, method-assign]
    try:
        every = sequences(request(*pictured(7, "ab")), request(*pictured(7, "bca")), request(*pictured(1, "d")))
        run(runner, *((sequence, 0, sequence.num_prompt) for sequence in every))
    finally:
        del model.encode_tiles
    assert encoded == [3, 3]
    assert (runner.tiles.num_encoded, runner.tiles.num_cached) == (6, 2)
    cache = runner.tiles.cache
    kept = cache.get(every[0].tile_key(0))
    assert kept is not None
    torch.testing.assert_close(kept, model.encode_tiles(TILES["a"])[0], rtol=0, atol=1e-12)
    assert kept.untyped_storage().nbytes() == kept.nbytes, "a view keeps its whole batch alive"
    cache.check()


def test_only_the_tiles_of_the_chunk_are_encoded() -> None:
    runner = make_runner(MODELS["qwen2"])
    (sequence,) = sequences(request(*pictured(7, "abcd")))
    run(runner, (sequence, 0, 7))
    assert runner.tiles.num_encoded == 0
    run(runner, (sequence, 7, 9))
    assert runner.tiles.num_encoded == 1
    run(runner, (sequence, 9, 15))
    assert runner.tiles.num_encoded == 2
