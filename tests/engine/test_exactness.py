"""The engine says what the plain loop says, token for token in float64, whatever else runs and however it runs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine_driver import Drive, Oracle, engine_config, models, one_thread, pictured, prompt, request, run
from ivl.engine.engine import EngineCore
from ivl.engine.request import Request
from random_model import IMAGE_TOKEN, random_ids

ORACLE = Oracle(models())
LENGTHS = (1, 4, 9, 14)
NO_LIMIT = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A prompt of the catalogue and how it comes."""

    text: int
    names: str
    seed: int
    more: int
    new: int
    is_second: bool
    """Whether it goes on where the answer to the same prompt ended."""
    at_step: int
    abort_after: int | None
    priority: int
    salt: str

    def request(self, model: str) -> Request:
        ids, pixels = pictured(self.text, self.names, self.seed, self.more)
        first = request(ids, pixels, self.new, priority=self.priority, cache_salt=self.salt)
        if not self.is_second:
            return first
        # The model may write the image token's id; in a prompt it would stand for a picture.
        answer = [token_id for token_id in ORACLE(model, first) if token_id != IMAGE_TOKEN]
        return replace(first, input_ids=prompt(ids, torch.tensor(answer, dtype=torch.int64), random_ids(3, seed=60)))


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What runs together, and in what engine."""

    model: str
    turns: list[Turn]
    config: dict[str, object]
    spare_blocks: int
    """Beyond what the longest request needs."""


turns = st.builds(
    Turn,
    text=st.sampled_from((1, 7, 16, 33)),
    names=st.sampled_from(("", "", "a", "b", "c", "d", "ab", "ba", "aa")),
    seed=st.integers(0, 1),
    more=st.sampled_from((1, 5, 12)),
    new=st.sampled_from(LENGTHS),
    is_second=st.booleans(),
    at_step=st.integers(0, 25),
    abort_after=st.one_of(st.none(), st.none(), st.integers(0, 12)),
    priority=st.sampled_from((0, 0, 0, 1, -1)),
    salt=st.sampled_from(("", "", "other")),
)
configs = st.fixed_dictionaries(
    {
        "block_size": st.integers(1, 17),
        "max_prefill_token_num": st.one_of(st.integers(1, 12), st.integers(1, 64)),
        "max_batch_size": st.integers(1, 8),
        "enable_prefix_caching": st.sampled_from((True, True, False)),
        "vision_cache_bytes": st.sampled_from((0, 1600, 4000, 2**20)),
    }
)


def scenes(most: int) -> st.SearchStrategy[Scene]:
    return st.builds(
        Scene,
        model=st.sampled_from(sorted(ORACLE.models)),
        turns=st.lists(turns, min_size=1, max_size=most),
        config=configs,
        spare_blocks=st.one_of(st.integers(0, 5), st.integers(0, 200)),
    )


def play(scene: Scene) -> Drive:
    """Let a scene happen and hold every answer against the plain loop."""
    wanted = [turn.request(scene.model) for turn in scene.turns]
    config = engine_config(**scene.config)
    longest = max(len(each.input_ids) + each.sampling.max_new_tokens for each in wanted)
    blocks = -(-longest // config.block_size) + scene.spare_blocks
    drive = Drive(EngineCore(ORACLE.models[scene.model], config, blocks=blocks))
    ids: dict[int, int] = {}  # by the place of the turn
    last = max(turn.at_step + (turn.abort_after or 0) for turn in scene.turns)
    for step in range(last + 1):
        for index, turn in enumerate(scene.turns):
            if turn.at_step == step:
                ids[index] = drive.add(wanted[index])
            if turn.abort_after is not None and turn.at_step + turn.abort_after == step:
                drive.abort(ids[index])
        if drive.core.has_work:
            drive.step()
    drive.drain()
    for index, request_id in ids.items():
        answer, expected = drive.answers[request_id], ORACLE(scene.model, wanted[index])
        assert answer.error is None, f"request {index} failed: {answer.error}"
        if answer.finish == "abort":
            expected = expected[: len(answer.tokens)]
        assert answer.tokens == expected, f"request {index} of {scene}"
    return drive


@given(scenes(most=6))
@settings(NO_LIMIT, max_examples=35)
def test_answers_are_those_of_the_plain_loop(scene: Scene) -> None:
    play(scene)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(scenes(most=10))
@settings(NO_LIMIT, max_examples=1000)
def test_answers_are_those_of_the_plain_loop_at_length(scene: Scene) -> None:
    play(scene)


@pytest.mark.parametrize("name", sorted(ORACLE.models))
def test_a_crowd_in_a_small_cache_is_preempted_shares_and_is_right(name: str) -> None:
    """The property test would show nothing if none of this ever happened in it."""
    mixed = [(7, "", 5), (16, "a", 1), (16, "b", 12), (33, "ab", 5), (16, "a", 1), (33, "c", 1), (33, "d", 5)]
    wanted = [request(*pictured(text, names, 0, more), new=14) for text, names, more in mixed]
    config = engine_config(block_size=3, max_prefill_token_num=10, vision_cache_bytes=1600)
    core = EngineCore(ORACLE.models[name], config, blocks=30)
    answers = run(core, *wanted)
    assert [answer.tokens for answer in answers] == [ORACLE(name, each) for each in wanted]
    stats = core.stats
    assert stats.preemptions > 1
    assert stats.cached_tokens > 30
    assert stats.cached_tiles > 1
    assert stats.encoded_tiles > 7
    assert stats.free_blocks == 30


def test_a_stop_token_ends_an_answer_where_it_ends_the_plain_loop() -> None:
    ids, pixels = pictured(16, "a", 0, 6)
    whole = ORACLE("qwen2", request(ids, pixels, new=14))
    stops = frozenset(whole[5:6])
    given = request(ids, pixels, new=14, stop_token_ids=stops)
    core = EngineCore(ORACLE.models["qwen2"], engine_config(), blocks=100)
    (answer,) = run(core, given)
    assert answer.tokens == ORACLE("qwen2", given) == whole[: whole.index(whole[5]) + 1]
    assert answer.finish == "stop"


SAMPLED = (
    {"temperature": 1.3},
    {"temperature": 0.8, "top_p": 0.7},
    {"temperature": 2.0, "top_k": 12, "repetition_penalty": 1.3},
    {"temperature": 1.0, "min_p": 0.05, "logprobs": 2},
    {"repetition_penalty": 1.5, "bad_token_ids": ((3,), (5, 7))},
    {"temperature": 1.0, "min_new_tokens": 4, "stop_token_ids": frozenset(range(0, 90, 3))},
)
MIXED = ((7, "", 5), (16, "a", 1), (33, "ab", 5), (16, "b", 12), (33, "c", 1), (7, "", 5))


def sampled_requests() -> list[Request]:
    """Two prompts are equal: only their seeds and settings tell their answers apart."""
    return [
        request(*pictured(text, names, 0, more), new=14, seed=index, **SAMPLED[index])
        for index, (text, names, more) in enumerate(MIXED)
    ]


@lru_cache
def sampled_alone() -> list[list[int]]:
    """Each in an engine of its own."""
    engines = [EngineCore(ORACLE.models["qwen2"], engine_config(), blocks=99) for _ in MIXED]
    return [run(core, each)[0].tokens for core, each in zip(engines, sampled_requests(), strict=True)]


def test_the_sampled_answers_are_not_the_greedy_ones() -> None:
    """Or the next test would show nothing."""
    greedy = [
        ORACLE("qwen2", each)[: len(told)] for each, told in zip(sampled_requests(), sampled_alone(), strict=True)
    ]
    assert all(told != expected for told, expected in zip(sampled_alone(), greedy, strict=True))


@given(
    order=st.permutations(range(len(MIXED))),
    at_steps=st.lists(st.integers(0, 12), min_size=len(MIXED), max_size=len(MIXED)),
    config=configs,
    spare_blocks=st.integers(0, 30),
)
@settings(NO_LIMIT, max_examples=10)
def test_what_a_seed_draws_depends_on_nothing_else(
    order: list[int], at_steps: list[int], config: dict[str, object], spare_blocks: int
) -> None:
    wanted, settings_of = sampled_requests(), engine_config(**config)
    longest = max(len(each.input_ids) + 14 for each in wanted)
    core = EngineCore(ORACLE.models["qwen2"], settings_of, blocks=-(-longest // settings_of.block_size) + spare_blocks)
    drive = Drive(core)
    ids: dict[int, int] = {}
    for step in range(13):
        ids |= {index: drive.add(wanted[index]) for index in order if at_steps[index] == step}
        if core.has_work:
            drive.step()
    drive.drain()
    assert [drive.answers[ids[index]].tokens for index in range(len(MIXED))] == sampled_alone()


def test_a_seed_draws_the_same_through_preemption() -> None:
    config = engine_config(block_size=3, max_prefill_token_num=10)
    core = EngineCore(ORACLE.models["qwen2"], config, blocks=26)
    assert [answer.tokens for answer in run(core, *sampled_requests())] == sampled_alone()
    assert core.stats.preemptions > 1
