"""The feature cache: what is kept, what goes first, and that its bytes are counted right."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ivl.engine.feature_cache import FeatureCache
from ivl.engine.sequence import TileKey

BYTES = 4 * 8 * 4


def key(name: str, uid: int = 0, salt: str = "") -> TileKey:
    return name.encode(), uid, salt


def features(value: float = 0.0) -> Tensor:
    return torch.full((4, 8), value)


def test_what_was_put_in_comes_out() -> None:
    cache = FeatureCache(10 * BYTES)
    kept = features(3.0)
    cache.put(key("a"), kept)
    assert cache.get(key("a")) is kept
    assert cache.num_bytes == BYTES


@pytest.mark.parametrize("other", [key("b"), key("a", uid=1), key("a", salt="x")])
def test_another_picture_adapter_or_salt_finds_nothing(other: TileKey) -> None:
    cache = FeatureCache(10 * BYTES)
    cache.put(key("a"), features())
    assert cache.get(other) is None


def test_the_longest_unused_goes_first() -> None:
    cache = FeatureCache(2 * BYTES)
    cache.put(key("a"), features())
    cache.put(key("b"), features())
    cache.get(key("a"))
    cache.put(key("c"), features())
    assert [cache.get(key(name)) is None for name in "abc"] == [False, True, False]
    cache.check()


def test_the_same_tile_again_counts_once() -> None:
    cache = FeatureCache(2 * BYTES)
    for value in (1.0, 2.0):
        cache.put(key("a"), features(value))
    assert cache.num_bytes == BYTES
    found = cache.get(key("a"))
    assert found is not None
    assert found[0, 0] == 2


@pytest.mark.parametrize("budget", [0, BYTES - 1])
def test_what_is_larger_than_the_budget_is_not_kept_and_drives_nothing_out(budget: int) -> None:
    cache = FeatureCache(budget)
    cache.put(key("small"), features()[:0])
    cache.put(key("a"), features())
    assert cache.get(key("a")) is None
    assert cache.get(key("small")) is not None
    cache.check()


def test_what_is_removed_is_gone() -> None:
    cache = FeatureCache(2 * BYTES)
    cache.put(key("a"), features())
    cache.remove(key("a"))
    cache.remove(key("a"))
    assert cache.get(key("a")) is None
    assert cache.num_bytes == 0
    cache.check()


@given(st.integers(0, 5 * BYTES), st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 4)), max_size=40))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_it_never_goes_over_its_budget(budget: int, puts: list[tuple[str, int]]) -> None:
    cache = FeatureCache(budget)
    for name, rows in puts:
        own = key(f"{name}{rows}")
        cache.put(own, features()[:rows])
        cache.check()
        assert (cache.get(own) is not None) == (rows * BYTES // 4 <= budget)
