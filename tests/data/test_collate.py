"""Samples end to end: targets, weights, places."""

import pytest
import torch

from ivl.data.collate import collate
from ivl.types import ModelInputs


def sample(ids, trained, num_tiles=0, fill=0.0):
    """Inputs whose labels are the ids at the places in `trained`."""
    ids = torch.tensor(ids)
    labels = torch.full_like(ids, -100)
    labels[list(trained)] = ids[list(trained)]
    tiles = torch.full((num_tiles, 3, 2, 2), fill) if num_tiles else None
    return ModelInputs(input_ids=ids, labels=labels, pixel_values=tiles, tile_counts=(num_tiles,) * (num_tiles > 0))


A = ("a", sample([1, 2, 3, 4], [2, 3], 2, 0.5))
B = ("b", sample([5, 6, 7], [1]))
C = ("c", sample([8, 9], [0, 1], 1, 0.25))


def test_targets_are_the_next_tokens_of_the_same_sample():
    batch = collate([A, B, C])
    assert batch.input_ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert batch.targets.tolist() == [-100, 3, 4, -100, 6, -100, -100, 9, -100]
    assert batch.offsets == (0, 4, 7, 9)
    assert batch.sample_ids == ("a", "b", "c")
    assert [(name, part.start, part.stop) for name, part in batch.spans()] == [("a", 0, 4), ("b", 4, 7), ("c", 7, 9)]


@pytest.mark.parametrize(
    ("weighting", "of_two", "of_one"), [("token", 1.0, 1.0), ("sample", 0.5, 1.0), ("square", 2**-0.5, 1.0)]
)
def test_weights_count_trained_tokens_of_each_sample(weighting, of_two, of_one):
    weights = collate([A, B], weighting).weights
    assert weights.dtype == torch.float32
    assert weights.tolist() == pytest.approx([0, of_two, of_two, 0, of_one, 0, 0])


def test_a_samples_weights_do_not_depend_on_its_neighbours():
    alone = torch.cat([collate([each], "square").weights for each in (A, B, C)])
    assert torch.equal(collate([A, B, C], "square").weights, alone)


def test_tiles_stand_in_the_order_of_the_text():
    batch = collate([A, B, C])
    assert batch.pixel_values.shape == (3, 3, 2, 2)
    assert batch.pixel_values[:, 0, 0, 0].tolist() == [0.5, 0.5, 0.25]
    assert (batch.num_tiles, batch.num_tokens, batch.num_samples) == (3, 9, 3)
    assert collate([B]).pixel_values is None


def test_a_sample_without_trained_tokens_weighs_nothing():
    assert collate([("d", sample([1, 2], []))], "sample").weights.tolist() == [0, 0]


def test_a_batch_of_none_is_two_text_tokens():
    batch = collate([], dropped=["x: gone"], filler_id=7)
    assert batch.input_ids.tolist() == [7, 7]
    assert batch.targets.tolist() == [-100, -100]
    assert batch.weights.tolist() == [0, 0]
    assert batch.offsets == (0, 2)
    assert (batch.sample_ids, batch.num_samples, batch.num_tokens) == ((), 0, 0)
    assert batch.dropped == ("x: gone",)
    assert list(batch.spans()) == []
