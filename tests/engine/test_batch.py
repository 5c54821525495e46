"""Packing a step's chunks: the ids, positions and slots of every token, single ones first."""

from hypothesis import given, settings
from hypothesis import strategies as st

from engine_driver import request
from ivl.engine.batch import pack
from ivl.engine.sequence import Chunk, Sequence
from random_model import IMAGE_TOKEN, random_ids


def chunk(length: int, start: int, stop: int, blocks: list[int], size: int, seed: int = 0) -> Chunk:
    sequence = Sequence(request(random_ids(length, seed)), IMAGE_TOKEN, 4, size)
    sequence.blocks = blocks
    return Chunk(sequence=sequence, start=start, stop=stop)


def test_a_step_by_hand() -> None:
    prompt, single = chunk(9, 2, 6, [5, 1, 7], 3), chunk(4, 3, 4, [0, 2], 3, seed=1)
    batch = pack([prompt, single], block_size=3)
    assert batch.chunks == [single, prompt]
    assert batch.num_decodes == 1
    assert batch.offsets == [0, 1, 5]
    assert batch.input_ids.tolist() == [single.sequence.tokens[3], *prompt.sequence.tokens[2:6]]
    assert batch.positions.tolist() == [3, 2, 3, 4, 5]
    assert batch.slots.tolist() == [2 * 3, 5 * 3 + 2, 1 * 3, 1 * 3 + 1, 1 * 3 + 2]
    assert [(span.start, span.stop) for span in batch.spans] == [(3, 4), (2, 6)]
    assert batch.spans[1].blocks == [5, 1, 7]


@given(
    st.integers(1, 7),
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 29), st.integers(1, 30)), min_size=1, max_size=6),
)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_every_token_is_there_once_with_its_own_place_and_slot(size: int, shapes: list[tuple[int, int, int]]) -> None:
    chunks, next_block = [], 3
    for seed, (length, start, count) in enumerate(shapes):
        start = min(start, length - 1)
        blocks = list(range(next_block, next_block + -(-length // size)))[::-1]
        next_block += len(blocks)
        chunks.append(chunk(length, start, min(length, start + count), blocks, size, seed))
    batch = pack(chunks, size)
    lengths = [each.stop - each.start for each in batch.chunks]
    assert sorted(map(id, batch.chunks)) == sorted(map(id, chunks))
    assert lengths[: batch.num_decodes] == [1] * batch.num_decodes
    assert 1 not in lengths[batch.num_decodes :]
    for each, first in zip(batch.chunks, batch.offsets, strict=False):
        for row, place in enumerate(range(each.start, each.stop), start=first):
            assert batch.input_ids[row] == each.sequence.tokens[place]
            assert batch.positions[row] == place
            assert batch.slots[row] == each.sequence.blocks[place // size] * size + place % size
    assert batch.offsets[-1] == len(batch.slots) == len(set(batch.slots.tolist()))
