"""Packing and dealing out, as pure numbers."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivl.data.packing import cut_evenly, deal_packs, deal_samples, pack


def realistic(count: int, longest: int, seed: int = 0) -> list[int]:
    """Lengths of chat samples: pictures of 0 to 13 tiles at 256 tokens, and text of log-normal length."""
    rng = random.Random(seed)
    tiles = rng.choices([0, 1, 3, 4, 5, 7, 9, 10, 13], [10, 10, 10, 15, 10, 25, 8, 7, 5], k=count)
    return [min(256 * each + max(20, int(rng.lognormvariate(4.6, 0.9))), longest) for each in tiles]


@given(st.lists(st.integers(1, 64), max_size=120), st.integers(1, 40))
def test_every_sample_is_in_one_pack_and_packs_keep_the_budget(lengths, window):
    packs = pack(lengths, 64, window=window)
    assert sorted(place for each in packs for place in each) == list(range(len(lengths)))
    assert all(0 < sum(lengths[place] for place in each) <= 64 for each in packs)


@pytest.mark.parametrize("budget", [8192, 16384, 32768])
def test_packs_are_dense(budget):
    lengths = realistic(20_000, 8192)
    packs = pack(lengths, budget)
    assert sum(lengths) / (len(packs) * budget) > 0.99


def test_what_stays_open_is_filled_by_the_next_window():
    assert len(pack([60, 60, 40, 40], 100, window=2)) == 2
    assert len(pack([60, 99, 99, 99, 99, 40], 100, window=2)) == 6  # but is held open for one window only


def test_a_hundred_thousand_samples_are_packed_quickly():
    lengths = realistic(100_000, 8192)
    start = time.process_time()
    pack(lengths, 8192)
    assert time.process_time() - start < 2


def test_a_sample_above_the_budget_is_a_broken_invariant():
    with pytest.raises(AssertionError, match="65 tokens does not fit"):
        pack([65], 64)


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 8))
def test_every_pack_is_dealt_to_one_rank(weights, num_ranks):
    micros = deal_packs(weights, num_ranks)
    assert all(len(micro) == num_ranks for micro in micros)
    dealt = [place for micro in micros for place in micro if place is not None]
    assert sorted(dealt) == list(range(len(weights)))
    assert len(micros) == -(-len(weights) // num_ranks)


def test_ranks_get_like_tiles_in_a_micro_batch_and_over_the_step():
    rng = random.Random(1)
    weights = [rng.randint(0, 60) for _ in range(32)]
    micros = deal_packs(weights, 4)
    spreads = [max(weights[place] for place in micro) - min(weights[place] for place in micro) for micro in micros]
    assert sum(spreads) <= max(weights) - min(weights)  # neighbours in order of weight share a micro batch
    loads = [sum(weights[micro[rank]] for micro in micros) for rank in range(4)]
    assert max(loads) - min(loads) <= max(spreads)


@given(st.lists(st.integers(1, 999), min_size=1, max_size=64), st.integers(1, 8))
def test_samples_are_dealt_once_and_within_capacity(lengths, num_slots):
    capacity = -(-len(lengths) // num_slots)
    slots = deal_samples(lengths, num_slots, capacity)
    assert sorted(place for slot in slots for place in slot) == list(range(len(lengths)))
    assert max(map(len, slots)) <= capacity


def test_samples_are_dealt_by_length():
    lengths = realistic(64, 8192)
    loads = [sum(lengths[place] for place in slot) for slot in deal_samples(lengths, 8, 8)]
    plain = [sum(lengths[place] for place in slot) for slot in cut_evenly(64, 8)]
    assert max(loads) / min(loads) < 1.05 < max(plain) / min(plain)


@pytest.mark.parametrize(("count", "slots", "sizes"), [(7, 3, [2, 2, 3]), (2, 4, [0, 1, 0, 1]), (8, 2, [4, 4])])
def test_runs_are_cut_evenly(count, slots, sizes):
    runs = cut_evenly(count, slots)
    assert [len(run) for run in runs] == sizes
    assert [place for run in runs for place in run] == list(range(count))
