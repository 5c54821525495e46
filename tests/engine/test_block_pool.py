"""The block pool: who holds what, what is found again, what goes first; a table of plain lists tells the truth."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from ivl.engine.block_pool import BlockPool


def filled(pool: BlockPool, *keys: bytes) -> list[int]:
    """Blocks that are held and hold these contents."""
    blocks = pool.allocate([], len(keys), len(keys))
    for block, key in zip(blocks, keys, strict=True):
        pool.publish(block, key)
    return blocks


def test_blocks_of_one_sequence_lie_in_one_run_and_leave_room_for_the_next() -> None:
    pool = BlockPool(20)
    first = pool.allocate([], 3, 6)
    second = pool.allocate([], 2, 4)
    assert first == [0, 1, 2]
    assert second == [6, 7]
    assert pool.allocate(first, 2, 3) == [3, 4]
    assert pool.allocate(second, 1, 2) == [8]


def test_what_was_freed_last_is_used_first_where_it_has_room() -> None:
    pool = BlockPool(100)
    first, second = pool.allocate([], 3, 6), pool.allocate([], 2, 4)
    pool.release(first)
    pool.release(second)
    assert pool.allocate([], 3, 4) == [6, 7, 8]
    assert pool.allocate([], 3, 6) == [0, 1, 2]
    pool.check()


def test_a_run_without_room_for_the_longest_is_left_to_a_shorter_one() -> None:
    pool = BlockPool(100)
    short = pool.allocate([], 2, 2)
    pool.allocate([], 2, 4)
    pool.release(short)
    assert pool.allocate([], 2, 4) == [6, 7]
    assert pool.allocate([], 1, 2) == [0]


def test_few_at_once_touch_few_blocks_for_ever() -> None:
    pool = BlockPool(10_000)
    held = [pool.allocate([], 3, 5) for _ in range(8)]
    touched = {block for blocks in held for block in blocks}
    for turn in range(1000):
        pool.release(held.pop(turn * 7 % 8))
        held.append(pool.allocate([], 1 + turn % 3, 5))
        held[-1] += pool.allocate(held[-1], 2, 4)
        touched.update(held[-1])
    assert len(touched) <= 2 * 8 * 5
    pool.check()


def test_clean_blocks_go_before_cached_ones() -> None:
    pool = BlockPool(4)
    pool.release(filled(pool, b"a", b"b"))
    assert sorted(pool.allocate([], 2, 2)) == [2, 3]
    assert len(pool.lookup([b"a", b"b"])) == 2


def test_the_longest_unused_goes_first_and_of_one_sequence_its_end() -> None:
    pool = BlockPool(4)
    old, new = filled(pool, b"a", b"b"), filled(pool, b"c", b"d")
    pool.release(old)
    pool.release(new)
    order: list[int] = []
    for _ in range(4):
        order += pool.allocate(order, 1, 1)
        pool.check()
    assert order == [*reversed(old), *reversed(new)]


def test_what_is_used_again_stays_longer() -> None:
    pool = BlockPool(2)
    a, b = filled(pool, b"a"), filled(pool, b"b")
    pool.release(a)
    pool.release(b)
    found = pool.lookup([b"a"])
    pool.hold(found)
    pool.release(found)
    pool.allocate([], 1, 1)
    assert pool.lookup([b"a"]) == a
    assert pool.lookup([b"b"]) == []


def test_a_block_that_is_given_out_again_is_not_found_any_more() -> None:
    pool = BlockPool(1)
    (block,) = filled(pool, b"a")
    pool.release([block])
    assert pool.lookup([b"a"]) == [block]
    assert pool.allocate([], 1, 1) == [block]
    assert pool.lookup([b"a"]) == []
    pool.release([block])
    assert pool.lookup([b"a"]) == []
    pool.check()
    pool.check_idle()


def test_a_beginning_is_found_as_far_as_it_goes() -> None:
    pool = BlockPool(8)
    blocks = filled(pool, b"a", b"b", b"c")
    assert pool.lookup([b"a", b"b", b"x", b"c"]) == blocks[:2]
    assert pool.lookup([b"x", b"a"]) == []


def test_a_held_block_is_never_given_out() -> None:
    pool = BlockPool(3)
    blocks = filled(pool, b"a")
    pool.hold(pool.lookup([b"a"]))
    pool.release(blocks)
    assert pool.num_free == 2
    assert not set(pool.allocate([], 2, 2)) & set(blocks)
    with pytest.raises(AssertionError, match="1 blocks are wanted, 0 are free"):
        pool.allocate([], 1, 1)


def test_of_two_equal_blocks_the_first_is_found_and_the_second_is_clean() -> None:
    pool = BlockPool(4)
    first, second = filled(pool, b"a"), filled(pool, b"a")
    assert pool.lookup([b"a"]) == first
    pool.release(second)
    pool.release(first)
    pool.check()
    assert pool.lookup([b"a"]) == first


@pytest.mark.parametrize("is_held", [True, False])
def test_a_forgotten_block_is_clean_when_it_is_free(is_held: bool) -> None:
    pool = BlockPool(2)
    blocks = filled(pool, b"a", b"b")
    if not is_held:
        pool.release(blocks)
    pool.forget(blocks[:1])
    pool.forget(blocks[:1])
    if is_held:
        pool.release(blocks)
    assert pool.lookup([b"a"]) == []
    assert pool.lookup([b"b"]) == blocks[1:]
    pool.check()


def test_what_is_released_too_often_is_told() -> None:
    pool = BlockPool(2)
    blocks = pool.allocate([], 1, 1)
    pool.release(blocks)
    with pytest.raises(AssertionError, match="released more often than held"):
        pool.release(blocks)


def test_a_block_that_is_never_released_is_told() -> None:
    pool = BlockPool(2)
    pool.allocate([], 1, 1)
    with pytest.raises(AssertionError, match="1 blocks are held"):
        pool.check_idle()


class PoolMachine(RuleBasedStateMachine):
    """Whatever is done in whatever order, the pool agrees with lists that are kept beside it."""

    holdings = Bundle("holdings")

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(7)
        self.held: list[int] = []

    @rule(target=holdings, count=st.integers(0, 4), extent=st.integers(0, 9))
    def allocate(self, count: int, extent: int) -> object:
        if count > self.pool.num_free:
            return multiple()
        blocks = self.pool.allocate([], count, extent)
        assert not set(blocks) & set(self.held)
        self.held += blocks
        return blocks

    @rule(blocks=holdings, names=st.lists(st.sampled_from("abcdef"), max_size=4))
    def publish(self, blocks: list[int], names: list[str]) -> None:
        for block, name in zip(blocks, names, strict=False):
            self.pool.publish(block, name.encode())

    @rule(target=holdings, names=st.lists(st.sampled_from("abcdef"), max_size=3, unique=True))
    def find(self, names: list[str]) -> list[int]:
        blocks = self.pool.lookup(name.encode() for name in names)
        self.pool.hold(blocks)
        self.held += blocks
        return blocks

    @rule(blocks=consumes(holdings))
    def release(self, blocks: list[int]) -> None:
        self.pool.release(blocks)
        for block in blocks:
            self.held.remove(block)

    @rule(blocks=holdings)
    def forget(self, blocks: list[int]) -> None:
        self.pool.forget(blocks)

    @invariant()
    def agrees(self) -> None:
        self.pool.check()
        assert self.pool.num_free == 7 - len(set(self.held))


PoolMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True, database=None
)
TestPoolMachine = PoolMachine.TestCase


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
def test_all_blocks_can_be_given_out_and_come_back(counts: list[int]) -> None:
    pool = BlockPool(sum(counts))
    given_out = [pool.allocate([], count, 2 * count) for count in counts]
    assert sorted(block for blocks in given_out for block in blocks) == list(range(sum(counts)))
    for blocks in given_out:
        pool.release(blocks)
    pool.check()
    pool.check_idle()
