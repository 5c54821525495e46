"""The scheduler alone, without weights: who runs, how far, in which blocks; and that it always comes to an end."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_engine import IMAGE, TILE, FakeEngine, ids


def test_short_prompts_are_not_held_up_by_a_long_one() -> None:
    engine = FakeEngine(blocks=2000, max_prefill=256)
    long = engine.add(ids(4000))
    engine.step()
    shorts = [engine.add(ids(20, seed)) for seed in range(1, 21)]
    engine.drain()
    # 400 tokens, three quarters of 256 in each step.
    assert max(engine.first_token[short.id] for short in shorts) <= 1 + 3
    assert engine.first_token[long.id] <= 1 + -(-4000 // 256) + 3


def test_a_long_prompt_ends_under_an_endless_stream_of_short_ones() -> None:
    engine = FakeEngine(blocks=3000, max_prefill=256)
    long = engine.add(ids(4000))
    for step in range(70):
        for extra in range(20):
            engine.add(ids(20, seed=1 + 20 * step + extra))
        engine.step()
    assert engine.first_token[long.id] <= -(-4000 // 64)
    engine.drain()


def test_two_long_prompts_do_not_halve_each_other() -> None:
    """The one that came first is not slowed down by the other for ever."""
    engine = FakeEngine(blocks=3000, max_prefill=64)
    first, second = engine.add(ids(1000)), engine.add(ids(990, seed=1))
    engine.drain()
    assert engine.first_token[first.id] <= -(-1990 // 64) + 1
    assert engine.first_token[second.id] <= -(-1990 // 64) + 1


def test_one_that_a_starved_leader_computes_for_does_not_wait_for_ever() -> None:
    """The oldest waits for a beginning that a younger one computes: its quarter must move that one on."""
    engine = FakeEngine(blocks=4000, max_prefill=64, max_running=256)
    engine.add(ids(640, seed=3))
    shared = ids(400)
    follower = engine.add(shared + ids(300, seed=1))
    leader = engine.add(shared + ids(8, seed=2))
    for step in range(200):
        for extra in range(4):
            engine.add(ids(20, seed=100 + 4 * step + extra))
        engine.step()
    assert leader.id in engine.first_token
    assert follower.id in engine.first_token


def test_a_leader_with_one_token_left_runs_once() -> None:
    """One that resumes may have a single token left before anything of it is published: it counts as decoding then."""
    engine = FakeEngine(blocks=100, max_prefill=8)
    shared = ids(8)
    leader = engine.add(shared, new=6)
    engine.step()
    engine.scheduler.distrust(leader)
    engine.scheduler._preempt(leader)
    engine.step()
    assert (leader.num_left, leader.is_decoding) == (1, True)
    engine.add(shared + ids(9, seed=1))
    engine.step()
    engine.drain()


def test_lower_priority_numbers_run_first() -> None:
    engine = FakeEngine(blocks=100, max_running=1)
    order = [engine.add(ids(8, seed), new=2, priority=priority).id for seed, priority in enumerate((2, 0, 1, 0, -1))]
    engine.drain()
    assert sorted(order, key=engine.ended.__getitem__) == [order[4], order[1], order[3], order[2], order[0]]


def test_of_running_answers_the_least_important_gives_its_blocks() -> None:
    engine = FakeEngine(blocks=9, size=4)
    first, middle, last = (engine.add(ids(8, seed), new=20, priority=p) for seed, p in enumerate((1, 0, 2)))
    while not engine.scheduler.num_preemptions:
        engine.step()
    assert list(engine.scheduler.waiting.values()) == [last]
    engine.drain()
    assert engine.ended[middle.id] <= engine.ended[first.id] <= engine.ended[last.id]


def test_who_waits_for_memory_is_not_overtaken() -> None:
    engine = FakeEngine(blocks=50, size=4)
    holder = engine.add(ids(110), new=12)
    while not holder.is_decoding:
        engine.step()
    big = engine.add(ids(160, seed=1))
    small = [engine.add(ids(4, seed)) for seed in range(2, 7)]
    while holder.id in engine.live:
        assert [chunk.sequence for chunk in engine.step()] == [holder]
    engine.step()
    assert big.id in engine.scheduler.running
    engine.drain()
    assert all(one.id in engine.ended for one in small)


def test_a_storm_of_preemptions_makes_progress() -> None:
    engine = FakeEngine(blocks=26, size=4, max_prefill=40)
    sequences = [engine.add(ids(8, seed), new=90) for seed in range(12)]
    engine.drain(most=12 * (90 + 3))
    assert engine.scheduler.num_preemptions >= 12
    assert [engine.ended[s.id] for s in sequences] == sorted(engine.ended[s.id] for s in sequences)


def test_a_prompt_waits_for_the_same_prompt_rather_than_compute_it_twice() -> None:
    engine = FakeEngine(blocks=200, max_prefill=16)
    engine.add(ids(64), new=3)
    engine.step()
    for _ in range(7):
        engine.add(ids(64), new=3)
    lengths = []
    while engine.live:
        lengths += [chunk.stop - chunk.start for chunk in engine.step() if chunk.stop <= chunk.sequence.num_prompt]
    # A last token is always computed, so that the others find all blocks but the last one.
    assert sum(lengths) == 48 + 7 * 4
    assert engine.scheduler.num_shared_tokens == 7 * 60


def test_what_is_computed_in_this_step_is_found_only_in_the_next() -> None:
    engine = FakeEngine(blocks=200, max_prefill=1000)
    first, twin = engine.add(ids(32)), engine.add(ids(32))
    assert [chunk.sequence for chunk in engine.step()] == [first]
    (chunk,) = engine.step()
    assert (chunk.sequence, chunk.start) == (twin, 28)


def test_prompts_of_less_than_a_block_run_side_by_side() -> None:
    engine = FakeEngine(blocks=20)
    for _ in range(4):
        engine.add(ids(4))
    assert len(engine.step()) == 4


def test_who_waits_for_one_that_is_aborted_computes_it_itself() -> None:
    engine = FakeEngine(blocks=200, max_prefill=8)
    first, twin = engine.add(ids(32)), engine.add(ids(32))
    engine.step()
    engine.remove(first)
    (chunk,) = engine.step()
    # Nobody vouches for the first eight tokens: no token has followed from them.
    assert (chunk.sequence, chunk.start) == (twin, 0)
    engine.drain()


@pytest.mark.parametrize("share", [True, False])
def test_pictures_of_one_size_share_only_what_is_before_them(share: bool) -> None:
    engine = FakeEngine(blocks=100, share=share)
    tokens = ids(8) + [IMAGE] * TILE + ids(5)
    for digest in (b"a", b"b", b"a"):
        engine.add(tokens, digests=(digest,))
        engine.drain()
    assert engine.scheduler.num_shared_tokens == (8 + 16 if share else 0)


def test_what_is_not_trusted_is_not_found() -> None:
    engine = FakeEngine(blocks=100)
    sequence = engine.add(ids(32), new=4)
    engine.step()
    engine.scheduler.distrust(sequence)
    engine.drain()
    engine.add(ids(32))
    engine.drain()
    assert engine.scheduler.num_shared_tokens == 0


Operation = tuple[str, int, int, int, int]
operations = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 40), st.integers(1, 14), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("picture"), st.integers(0, 9), st.integers(1, 14), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("abort"), st.integers(0, 99), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("step"), st.integers(1, 6), st.just(0), st.just(0), st.just(0)),
)


@given(
    st.lists(operations, max_size=40),
    st.integers(1, 17),
    st.integers(1, 8),
    st.integers(1, 64),
    st.booleans(),
    st.integers(0, 8),
)
@settings(deadline=None, derandomize=True, database=None, max_examples=150, suppress_health_check=list(HealthCheck))
def test_every_token_finds_its_own_past_in_its_blocks(
    happenings: list[Operation], size: int, max_running: int, max_prefill: int, share: bool, spare: int
) -> None:
    engine = FakeEngine(-(-55 // size) + spare, max_running, max_prefill, share, size)
    for name, first, new, seed, priority in happenings:
        if name == "add":
            engine.add(ids(first, seed), new, priority)
        elif name == "picture":
            engine.add(ids(first) + [IMAGE] * 2 * TILE + ids(5), new, priority, digests=(b"same", b"%d" % seed))
        elif name == "abort" and engine.live:
            engine.remove(list(engine.live.values())[first % len(engine.live)])
        elif name == "step":
            for _ in range(first):
                engine.step()
        engine.scheduler.pool.check()
    engine.drain()
