"""Tiles seen before: their stored output takes the place of their pixels, and nothing else ever does."""

import pytest
import torch

from ivl.data.collate import collate
from ivl.data.seen_tiles import TileStore
from ivl.types import ModelInputs

SHAPE = (4, 8)


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=str)
def store(request, tmp_path):
    return TileStore(folder=tmp_path / "tower", shape=SHAPE, dtype=request.param)


def batch(tiles):
    ids = torch.arange(5)
    return collate([("a", ModelInputs(input_ids=ids, labels=ids, pixel_values=tiles, tile_counts=(len(tiles),)))])


def tiles(*seeds):
    return torch.stack([torch.randn(3, 14, 14, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def outputs(store, *seeds):
    made = [torch.randn(*SHAPE, generator=torch.Generator().manual_seed(100 + seed)) for seed in seeds]
    return torch.stack(made).to(store.dtype)


def test_new_tiles_keep_their_pixels_and_known_ones_get_what_was_stored(store):
    first = store.look_up(batch(tiles(1, 2)))
    assert first.seen.is_known == (False, False)
    assert torch.equal(first.pixel_values, tiles(1, 2))
    store.write(first.seen.digests, outputs(store, 1, 2))
    second = store.look_up(batch(tiles(3, 2, 1)))
    assert second.seen.is_known == (False, True, True)
    assert torch.equal(second.pixel_values, tiles(3))
    assert torch.equal(second.seen.features, outputs(store, 2, 1))
    assert second.num_tiles == 3
    third = store.look_up(batch(tiles(1)))
    assert third.pixel_values is None
    assert third.num_tiles == 1


def test_a_pixel_more_or_less_is_another_tile(store):
    store.write(store.look_up(batch(tiles(1))).seen.digests, outputs(store, 1))
    changed = tiles(1)
    changed[0, 0, 0, 0] += 1e-6
    assert store.look_up(batch(changed)).seen.is_known == (False,)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04 a zip", b"\x80\x04N."])
def test_a_damaged_file_is_a_new_tile(store, content):
    digests = store.look_up(batch(tiles(1))).seen.digests
    store.write(digests, outputs(store, 1))
    next(store.folder.rglob("*.npy")).write_bytes(content)
    assert store.look_up(batch(tiles(1))).seen.is_known == (False,)


def test_another_shape_is_a_new_tile(store, tmp_path):
    store.write(store.look_up(batch(tiles(1))).seen.digests, outputs(store, 1))
    other = TileStore(folder=store.folder, shape=(2, 16), dtype=store.dtype)
    assert other.look_up(batch(tiles(1))).seen.is_known == (False,)


def test_no_pictures_no_lookup(store):
    ids = torch.arange(5)
    text = collate([("a", ModelInputs(input_ids=ids, labels=ids))])
    assert store.look_up(text) is text


def test_nothing_half_written_stays(store, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ivl.data.seen_tiles.np.save", full)
    with pytest.raises(OSError, match="No space"):
        store.write(("ab" * 32,), outputs(store, 1))
    assert not [path for path in store.folder.rglob("*") if path.is_file()]
