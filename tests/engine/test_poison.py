"""Numbers that are not finite stay where they are: in free blocks, and in the one request that brought them."""

from collections.abc import Iterator
from math import inf, nan

import pytest
import torch

from engine_driver import TILES, Drive, Oracle, check_all, engine_config, models, one_thread, pictured, request, run
from ivl.engine.engine import EngineCore
from ivl.engine.request import Request
from ivl.errors import EngineError

ORACLE = Oracle({name: model for name, model in models().items() if name in ("qwen2", "fused")})
NAME = "qwen2"
MIXED = [(7, "", 5), (16, "a", 1), (16, "b", 12), (33, "ab", 5), (16, "c", 1), (33, "c", 1), (33, "d", 5)]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def mixed_requests() -> list[Request]:
    return [request(*pictured(text, names, 0, more), new=12) for text, names, more in MIXED]


def poison_free_blocks(core: EngineCore) -> None:
    """NaN in every block that nobody holds and that is not kept for its content."""
    cache, pool = core.runner.cache, core.scheduler.pool
    free = [block for block, holders in enumerate(pool._holders) if not holders and pool._key_of[block] is None]
    cache.keys[:, free] = nan
    cache.values[:, free] = nan


@pytest.mark.parametrize("name", sorted(ORACLE.models))
@pytest.mark.parametrize("share", [True, False])
def test_free_blocks_full_of_nan_reach_no_answer(name: str, share: bool) -> None:
    config = engine_config(block_size=5, max_prefill_token_num=11, enable_prefix_caching=share)
    core = EngineCore(ORACLE.models[name], config, blocks=22)
    drive, wanted = Drive(core), mixed_requests()
    ids = [drive.add(each) for each in wanted]
    while core.has_work:
        poison_free_blocks(core)
        drive.step()
    assert [drive.answers[i].tokens for i in ids] == [ORACLE(name, each) for each in wanted]
    assert core.stats.preemptions > 0


@pytest.mark.parametrize("what", [nan, inf, -inf])
@pytest.mark.parametrize("chunk", [4, 16, 64])
@pytest.mark.parametrize("share", [True, False])
def test_one_picture_that_is_not_finite_fails_alone(what: float, chunk: int, share: bool) -> None:
    config = engine_config(max_prefill_token_num=chunk, enable_prefix_caching=share)
    core = EngineCore(ORACLE.models[NAME], config, blocks=120)
    wanted = mixed_requests()
    bad = bad_picture(what)
    *answers, failed = run(core, *wanted[:3], *wanted[3:], bad)
    assert [answer.tokens for answer in answers] == [ORACLE(NAME, each) for each in wanted]
    assert isinstance(failed.error, EngineError)
    assert "not finite" in str(failed.error)
    # And nothing of it is left for those who come after it: not for the good ones, nor to make a bad one good.
    again = run(core, bad, *wanted)
    assert isinstance(again[0].error, EngineError)
    assert [answer.tokens for answer in again[1:]] == [ORACLE(NAME, each) for each in wanted]


def bad_picture(what: float) -> Request:
    """Begins as the other prompts do; one number of one of its tiles is not finite."""
    ids, pixels = pictured(16, "ab", 0, 9)
    assert pixels is not None
    pixels[0, 1, 5, 7] = what
    return request(ids, pixels, new=12)


@pytest.mark.parametrize("is_aborted", [True, False])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 4])
def test_who_shares_the_text_before_a_bad_picture_is_unharmed(is_aborted: bool, num_steps: int) -> None:
    """In a masked product 0 * NaN is NaN: what stands before the picture in one chunk is harmed, too."""
    core = EngineCore(ORACLE.models[NAME], engine_config(max_prefill_token_num=9), blocks=120)
    drive = Drive(core)
    bad = drive.add(bad_picture(nan))
    for _ in range(num_steps):
        drive.step()
    if is_aborted:
        drive.abort(bad)
    wanted = mixed_requests()
    ids = [drive.add(each) for each in wanted]
    drive.drain()
    assert [drive.answers[i].error for i in ids] == [None] * len(ids)
    assert [drive.answers[i].tokens for i in ids] == [ORACLE(NAME, each) for each in wanted]


def test_an_infinite_value_in_the_cache_fails_who_reads_it_and_is_not_shared() -> None:
    core = EngineCore(ORACLE.models[NAME], engine_config(), blocks=120)
    drive, wanted = Drive(core), mixed_requests()
    ids = [drive.add(each) for each in wanted]
    while not all(s.is_decoding for s in core.scheduler.running.values()) or core.scheduler.waiting:
        drive.step()
    victim = core.scheduler.running[ids[0]]
    core.runner.cache.values[1, victim.blocks[-1], 0] = nan
    core.runner.cache.values[1, victim.blocks[0], 0] = nan
    readers = {i for i in ids if victim.blocks[0] in core.scheduler.running[i].blocks}
    drive.drain()
    check_all(core)
    for index, request_id in enumerate(ids):
        answer = drive.answers[request_id]
        if request_id in readers:
            assert isinstance(answer.error, EngineError)
        else:
            assert answer.tokens == ORACLE(NAME, wanted[index])
    # The damaged blocks are found by nobody any more.
    assert [answer.tokens for answer in run(core, *wanted)] == [ORACLE(NAME, each) for each in wanted]


def test_the_tiles_of_these_tests_are_their_own() -> None:
    """`bad_picture` writes into a copy."""
    assert all(torch.isfinite(tiles).all() for tiles in TILES.values())
