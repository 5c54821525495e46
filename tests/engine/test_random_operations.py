"""Requests come, advance and are aborted in any order and at any moment: nothing is ever lost or left behind."""

import random
from collections.abc import Callable, Iterator

import pytest

from engine_driver import Drive, Oracle, check_all, engine_config, models, one_thread, pictured, request
from ivl.engine.engine import EngineCore
from ivl.engine.request import Request

NAME = "fused"
ORACLE = Oracle({NAME: models()[NAME]})
BUDGET = 4000


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def some_request(rng: random.Random) -> Request:
    names = rng.choice(("", "", "a", "b", "c", "d", "ab", "aa"))
    ids, pixels = pictured(rng.choice((1, 7, 16, 33)), names, rng.randrange(2), rng.choice((1, 5, 12)))
    salt, priority = rng.choice(("", "", "x")), rng.choice((0, 0, 0, 1, -1))
    return request(ids, pixels, rng.choice((1, 4, 9, 20)), cache_salt=salt, priority=priority)


def operate(count: int, seed: int) -> None:
    """`count` operations; every answer is the plain loop's, or the beginning of it where it was aborted."""
    rng = random.Random(seed)
    settings = {"block_size": rng.choice((1, 3, 4, 7)), "max_prefill_token_num": 24, "vision_cache_bytes": BUDGET}
    blocks = -(-100 // int(settings["block_size"]))
    drive = Drive(EngineCore(ORACLE.models[NAME], engine_config(**settings, max_batch_size=8), blocks=blocks))
    asked: dict[int, Request] = {}
    for index in range(count):
        live = list(drive.core._sequences)
        what = rng.choices(("add", "step", "abort"), (0 if len(live) > 20 else 3, 8, 1))[0]
        if what == "add":
            given = some_request(rng)
            asked[drive.add(given)] = given
        elif what == "step" and live:
            drive.step()
        elif what == "abort" and live:
            drive.abort(rng.choice(live))
        if index % 100 == 0:
            check_all(drive.core)
    drive.drain()
    assert drive.core.stats.free_blocks == drive.core.stats.num_blocks
    assert drive.core.stats.feature_bytes <= BUDGET
    assert drive.core.stats.preemptions > 0
    for request_id, given in asked.items():
        answer = drive.answers[request_id]
        assert answer.tokens == ORACLE(NAME, given)[: len(answer.tokens) if answer.finish == "abort" else None]


def test_a_thousand_random_operations() -> None:
    operate(1_000, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [2, 3])
def test_ten_thousand_random_operations(seed: int) -> None:
    operate(10_000, seed)


def is_waiting(drive: Drive, request_id: int) -> bool:
    return request_id in drive.core.scheduler.waiting


def is_between_chunks(drive: Drive, request_id: int) -> bool:
    sequence = drive.core._sequences[request_id]
    return 0 < sequence.num_computed < sequence.num_prompt and request_id in drive.core.scheduler.running


def is_decoding(drive: Drive, request_id: int) -> bool:
    return drive.core._sequences[request_id].is_decoding and bool(drive.answers[request_id].tokens)


def is_preempted(drive: Drive, request_id: int) -> bool:
    return is_waiting(drive, request_id) and bool(drive.answers[request_id].tokens)


PHASES: dict[str, Callable[[Drive, int], bool]] = {
    "waiting": is_waiting,
    "between chunks": is_between_chunks,
    "decoding": is_decoding,
    "preempted": is_preempted,
}


def abort_in(phase: str, count: int) -> None:
    """Requests are four answers to one prompt each; some of the siblings are left to end, and end well."""
    config = engine_config(max_prefill_token_num=8, vision_cache_bytes=BUDGET, max_batch_size=8)
    drive = Drive(EngineCore(ORACLE.models[NAME], config, blocks=22))
    rng, num_aborted = random.Random(5), 0
    asked: dict[int, Request] = {}
    while num_aborted < count:
        while len(drive.core._sequences) < 12:
            ids, pixels = pictured(rng.choice((1, 7, 16)), rng.choice(("", "a", "c")), rng.randrange(2))
            given = request(ids, pixels, rng.choice((4, 30)))
            asked |= {drive.add(given): given for _ in range(4)}
        drive.step()
        for request_id in [each for each in drive.core._sequences if PHASES[phase](drive, each)][:3]:
            drive.abort(request_id)
            num_aborted += 1
        check_all(drive.core)
    for request_id in list(drive.core._sequences)[::2]:
        drive.abort(request_id)
    drive.drain()
    assert drive.core.stats.free_blocks == 22
    ended = [each for each in asked if drive.answers[each].finish == "length"]
    assert ended
    assert all(drive.answers[each].tokens == ORACLE(NAME, asked[each]) for each in ended)


@pytest.mark.parametrize("phase", PHASES)
def test_aborts_in_every_phase_leave_nothing_behind(phase: str) -> None:
    abort_in(phase, 30)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("phase", PHASES)
def test_a_thousand_aborts_leave_nothing_behind(phase: str) -> None:
    abort_in(phase, 250)


def test_an_abort_frees_its_blocks_at_once() -> None:
    core = EngineCore(ORACLE.models[NAME], engine_config(), blocks=40)
    drive = Drive(core)
    ids = [drive.add(request(*pictured(16, name, 0, 5), new=9)) for name in ("a", "b")]
    drive.step()
    held = core.stats.num_blocks - core.stats.free_blocks
    drive.abort(ids[0])
    assert core.stats.num_blocks - core.stats.free_blocks < held
    drive.abort(ids[1])
    assert core.stats.free_blocks == 40
    assert not core.has_work
    core.check_idle()
    for request_id in (*ids, 99):
        core.abort(request_id)  # ended already, or never there
