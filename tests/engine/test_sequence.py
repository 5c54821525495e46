"""A sequence: its counts, the keys of its blocks, and where its image features go."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine_driver import TILES as PICTURES
from engine_driver import pictured, prompt, request
from ivl.engine.request import Request
from ivl.engine.sequence import Chunk, Sequence
from ivl.errors import InputError
from random_model import IMAGE_TOKEN, random_ids, random_tiles

PLAIN = (1e4, False)
TEXT, _ = pictured(6, "ab", 0, 6)
TILES = torch.cat((PICTURES["a"], PICTURES["b"]))


def entered(
    given: Request, adapter: int = 0, vision: int = 0, rope: tuple[float, bool] = PLAIN, size: int = 4
) -> Sequence:
    sequence = Sequence(given, IMAGE_TOKEN, 4, size)
    sequence.enter(1, adapter, vision, rope)
    return sequence


def keys(given: Request, **options: object) -> list[bytes]:
    sequence = entered(given, **options)  # type: ignore[arg-type]
    return sequence.keys(len(sequence.tokens) // sequence.block_size)


def num_equal(first: list[bytes], second: list[bytes]) -> int:
    """Of two lists of keys, the length of the beginning that they have in common; behind it nothing is equal."""
    count = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), len(first))
    assert not set(first[count:]) & set(second[count:])
    return count


def test_equal_requests_have_equal_keys_all_different_from_each_other() -> None:
    found = keys(request(TEXT, TILES))
    assert found == keys(request(TEXT.clone(), TILES.clone()))
    assert len(set(found)) == len(TEXT) // 4


@pytest.mark.parametrize(
    ("change", "common"),
    [
        (lambda ids, tiles: request(ids, tiles.flip(0)), 1),
        (lambda ids, tiles: request(ids, torch.cat((tiles[:1], tiles[:1]))), 3),
        (lambda ids, tiles: request(ids, None), 1),
        (lambda ids, tiles: request(ids, tiles + 1e-12), 1),
        (lambda ids, tiles: request(ids, tiles, cache_salt="x"), 0),
        (lambda ids, tiles: request(torch.cat((ids[:8], ids[:1], ids[9:])), None), 1),
    ],
    ids=["swapped pictures", "the first one twice", "no picture", "a little other pixels", "salt", "no image tokens"],
)
def test_keys_are_equal_up_to_the_first_difference(change: object, common: int) -> None:
    other = change(TEXT, TILES)  # type: ignore[operator]
    assert num_equal(keys(request(TEXT, TILES)), keys(other)) == common


@pytest.mark.parametrize("other", [{"adapter": 1}, {"rope": (2e4, False)}, {"rope": (1e4, True)}])
def test_nothing_is_shared_across_adapters_and_ropes(other: dict[str, object]) -> None:
    assert num_equal(keys(request(TEXT, TILES)), keys(request(TEXT, TILES), **other)) == 0


def test_a_picture_one_place_further_is_another_block() -> None:
    """Equal ids and digests, but the block begins inside the tile elsewhere."""
    first = prompt(random_ids(2), 4, random_ids(6, seed=4))
    ids = prompt(random_ids(3), 4, random_ids(6, seed=4))
    assert num_equal(keys(request(first, random_tiles(1))), keys(request(ids, random_tiles(1)))) == 0


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_a_block_inside_a_tile_names_its_pixels(size: int) -> None:
    a, b = (keys(request(*pictured(6, name, 0, 6)), size=size) for name in "ab")
    assert num_equal(a, b) == 6 // size


def test_keys_grow_with_the_answer() -> None:
    sequence = entered(request(TEXT, TILES))
    before = sequence.keys(len(TEXT) // 4)
    sequence.tokens += [1, 2, 3, 4]
    assert sequence.keys(len(TEXT) // 4 + 1)[:-1] == before
    assert sequence.keys(2) == before[:2]
    with pytest.raises(AssertionError, match="is not full"):
        sequence.keys(99)


def test_given_digests_are_taken_and_missing_ones_are_made_of_the_pixels() -> None:
    assert entered(request(TEXT, TILES, tile_digests=(b"1", b"2"))).tile_key(1) == (b"2", 0, "")
    digests = entered(request(TEXT, TILES)).tile_digests
    assert digests == entered(request(TEXT, TILES.transpose(2, 3).contiguous().transpose(2, 3))).tile_digests
    assert len(set(digests)) == 2
    assert entered(request(random_ids(5))).tile_digests == ()


def test_features_are_named_by_pixels_adapter_and_salt() -> None:
    plain = request(TEXT, TILES)
    salted = replace(plain, cache_salt="x")
    names = {entered(plain).tile_key(0), entered(plain, 1, 1).tile_key(0), entered(salted).tile_key(0)}
    assert len(names) == 3
    assert entered(plain, 1, 0).tile_key(0) == entered(plain).tile_key(0)


@pytest.mark.parametrize(("start", "stop"), [(0, 6), (0, 7), (6, 10), (7, 9), (9, 13), (5, 99), (10, 12), (13, 14)])
def test_rows_and_tiles_are_those_among_the_tokens(start: int, stop: int) -> None:
    sequence = entered(request(TEXT, TILES))
    first, last = sequence.image_rows(start, stop)
    assert sequence.places[first:last] == [i for i in range(start, min(stop, len(TEXT))) if TEXT[i] == IMAGE_TOKEN]
    assert list(sequence.tiles(first, last)) == sorted({row // 4 for row in range(first, last)})


@pytest.mark.parametrize("tiles", [random_tiles(1), random_tiles(3)])
def test_tiles_that_do_not_match_the_image_tokens_are_refused(tiles: Tensor) -> None:
    with pytest.raises(InputError, match=f"holds 8 image tokens but its {len(tiles)} tiles make {4 * len(tiles)}"):
        Sequence(request(TEXT, tiles), IMAGE_TOKEN, 4, 4)


def test_a_model_without_an_image_token_takes_no_pictures() -> None:
    with pytest.raises(InputError, match="holds 0 image tokens"):
        Sequence(request(TEXT, TILES), None, 4, 4)


def test_counts_follow_from_tokens_and_what_is_computed() -> None:
    sequence = entered(request(TEXT, TILES, new=5))
    assert sequence.bound == len(TEXT) + 5
    assert (sequence.num_left, sequence.is_decoding) == (len(TEXT), False)
    sequence.num_computed = len(TEXT) - 1
    assert not sequence.is_decoding, "the last token of a prompt is no answer"
    assert Chunk(sequence=sequence, start=0, stop=len(TEXT)).samples
    assert not Chunk(sequence=sequence, start=0, stop=len(TEXT) - 1).samples
    sequence.num_computed += 1
    sequence.tokens.append(3)
    assert (sequence.num_left, sequence.is_decoding) == (1, True)
    assert [sequence.blocks_for(count) for count in (0, 1, 4, 5)] == [0, 1, 1, 2]
