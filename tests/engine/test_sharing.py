"""What requests share through the caches, and what they must not: each rule is shown to be needed, too."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from engine_driver import Drive, Oracle, engine_config, models, one_thread, pictured, prompt, request, run
from ivl.engine.engine import EngineCore
from ivl.engine.request import Request
from ivl.engine.sequence import Sequence
from ivl.errors import AdapterError
from ivl.model.lora import merge
from random_adapter import make_adapter
from random_model import IMAGE_TOKEN, make_model, random_ids

ORACLE = Oracle(models())


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


PICTURES = [request(*pictured(8, name, 0, 6), new=9) for name in ("a", "b")]
WAYS = {
    "in one step": {"max_prefill_token_num": 64},
    "in chunks that split a tile": {"max_prefill_token_num": 5},
    "without a feature cache": {"vision_cache_bytes": 0},
    "in odd blocks": {"block_size": 5},
}


def answers_to_two_pictures(way: str, together: bool) -> bool:
    """Whether both are answered rightly."""
    core = EngineCore(ORACLE.models["qwen2"], engine_config(**WAYS[way]), blocks=40)
    answers = run(core, *PICTURES) if together else run(core, PICTURES[0]) + run(core, PICTURES[1])
    return [answer.tokens for answer in answers] == [ORACLE("qwen2", each) for each in PICTURES]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_two_pictures_of_one_size_share_nothing(way: str, together: bool) -> None:
    assert ORACLE("qwen2", PICTURES[0]) != ORACLE("qwen2", PICTURES[1]), "or the test could not fail"
    assert answers_to_two_pictures(way, together)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_without_digests_the_second_picture_would_get_the_first_ones_answer(
    way: str, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ivl.engine.sequence._digests", lambda given: (b"same",) * len(given.pixel_values))
    assert not answers_to_two_pictures(way, together)


@pytest.mark.parametrize("way", WAYS)
def test_without_digests_in_the_keys_of_blocks_the_second_picture_would_be_answered_as_the_first(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The features are right here: only the keys and values of the first picture are taken for the second's."""
    with_digests = Sequence.keys

    def keys(self: Sequence, count: int) -> list[bytes]:
        places, self.places = self.places, []
        try:
            return with_digests(self, count)
        finally:
            self.places = places

    monkeypatch.setattr(Sequence, "keys", keys)
    assert not answers_to_two_pictures(way, together=False)


def bounds_apart() -> list[Request]:
    """One beginning under four bases of dynamic NTK: 64 tokens and less have one, 70, 80 and 90 one each."""
    ids = random_ids(50, seed=33)
    return [request(ids, new=new) for new in (9, 14, 20, 30, 40)]


def answered_in_turn(wanted: list[Request]) -> tuple[bool, int]:
    """Whether all are answered rightly, one after the other; and the tokens found in the cache."""
    core = EngineCore(ORACLE.models["internlm2"], engine_config(), blocks=100)
    right = [run(core, each)[0].tokens == ORACLE("internlm2", each) for each in wanted]
    return all(right), core.stats.cached_tokens


def test_sequences_of_other_rope_bases_share_nothing() -> None:
    assert answered_in_turn(bounds_apart()) == (True, 48)


def test_without_the_base_in_the_keys_they_would_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    enter = Sequence.enter
    monkeypatch.setattr(Sequence, "enter", lambda self, i, a, v, rope: enter(self, i, a, v, (0.0, False)))
    is_right, num_cached = answered_in_turn(bounds_apart())
    assert num_cached == 4 * 48
    assert not is_right


def test_tenants_with_other_salts_find_nothing_of_each_other() -> None:
    ids, pixels = pictured(16, "a", 0, 6)
    core = EngineCore(ORACLE.models["qwen2"], engine_config(), blocks=100)
    salts = ["", "x", "y", "x"]
    wanted = [request(ids, pixels, cache_salt=salt) for salt in salts]
    found = []
    for each in wanted:
        before = core.stats
        assert run(core, each)[0].tokens == ORACLE("qwen2", each)
        after = core.stats
        found.append((after.cached_tokens - before.cached_tokens, after.encoded_tiles - before.encoded_tiles))
    assert found == [(0, 1), (0, 1), (0, 1), ((len(ids) - 1) // 4 * 4, 0)]


def test_the_same_prompt_is_computed_once_for_all_its_answers() -> None:
    ids, pixels = pictured(16, "c", 0, 6)
    core = EngineCore(ORACLE.models["qwen2"], engine_config(max_prefill_token_num=11), blocks=100)
    answers = run(core, *(request(ids, pixels) for _ in range(4)))
    assert [answer.tokens for answer in answers] == [ORACLE("qwen2", request(ids, pixels))] * 4
    assert core.stats.cached_tokens == 3 * ((len(ids) - 1) // 4 * 4)
    assert core.stats.encoded_tiles == 2


def test_equal_tiles_in_one_prompt_are_encoded_once() -> None:
    given = request(*pictured(7, "aaba", 0, 6))
    core = EngineCore(ORACLE.models["qwen2"], engine_config(), blocks=100)
    assert run(core, given)[0].tokens == ORACLE("qwen2", given)
    assert core.stats.encoded_tiles == 2


def test_without_prefix_caching_nothing_is_shared() -> None:
    ids, pixels = pictured(16, "a", 0, 6)
    core = EngineCore(ORACLE.models["qwen2"], engine_config(enable_prefix_caching=False), blocks=100)
    answers = run(core, *(request(ids, pixels) for _ in range(3)))
    assert [answer.tokens for answer in answers] == [ORACLE("qwen2", request(ids, pixels))] * 3
    assert core.stats.cached_tokens == 0


def test_an_image_token_that_is_only_text_shares_nothing_with_a_picture() -> None:
    ids, pixels = pictured(8, "a", 0, 6)
    wanted = [request(ids, pixels), request(ids), request(ids, pixels), request(ids)]
    core = EngineCore(ORACLE.models["qwen2"], engine_config(), blocks=100)
    assert ORACLE("qwen2", wanted[0]) != ORACLE("qwen2", wanted[1])
    for each in wanted:
        assert run(core, each)[0].tokens == ORACLE("qwen2", each)


def test_a_second_turn_finds_the_first_with_its_answer() -> None:
    name = "plain rope"
    core = EngineCore(ORACLE.models[name], engine_config(), blocks=60)
    ids, pixels = pictured(16, "a", 0, 5)
    first = request(ids, pixels, new=14)
    (answer,) = run(core, first)
    more = prompt(ids, torch.tensor(answer.tokens), random_ids(3))
    second = request(more, pixels, new=9)
    assert IMAGE_TOKEN not in answer.tokens
    (other,) = run(core, second)
    assert other.tokens == ORACLE(name, second)
    # All of the prompt, and of the answer all but its last token, which was never computed, in whole blocks.
    assert core.stats.cached_tokens == (len(ids) + 13) // 4 * 4
    assert core.stats.encoded_tiles == 1


ADAPTERS = {
    "speech": make_adapter(1, parts=("language_model",)),
    "sight": make_adapter(2),
    "newer": make_adapter(3),
}


@pytest.fixture(scope="module")
def merged() -> Oracle:
    """The plain loop of the base and of each adapter merged into it."""
    base = make_model(qkv_bias=True)
    with_adapters = {name: deepcopy(base) for name in ADAPTERS}
    for name, model in with_adapters.items():
        merge(model, ADAPTERS[name])
    return Oracle({"": base, **with_adapters})


def with_adapters(*names: str) -> EngineCore:
    core = EngineCore(make_model(qkv_bias=True), engine_config(max_prefill_token_num=20), blocks=100)
    for name in names:
        core.load_adapter(name, ADAPTERS[name])
    return core


def test_adapters_share_nothing_but_features_that_they_leave_alone(merged: Oracle) -> None:
    core = with_adapters("speech", "sight")
    plain = request(*pictured(16, "ab", 0, 6), new=8)
    wanted = [replace(plain, adapter=name) for name in (None, "sight", "speech", None, "sight", "speech")]
    expected = [merged(each.adapter or "", plain) for each in wanted]
    assert len({tuple(tokens) for tokens in expected}) == 3, "or the test could not fail"
    assert [answer.tokens for answer in run(core, *wanted)] == expected
    assert [run(core, each)[0].tokens for each in wanted] == expected
    assert core.stats.encoded_tiles == 4  # those of "speech" are the base's


def test_an_adapter_that_is_loaded_anew_finds_nothing_of_the_old_one(merged: Oracle) -> None:
    core = with_adapters("sight")
    given = request(*pictured(16, "ab", 0, 6), new=8, adapter="sight")
    assert run(core, given)[0].tokens == merged("sight", given)
    core.unload_adapter("sight")
    core.load_adapter("sight", ADAPTERS["newer"])
    before = core.stats
    assert run(core, given)[0].tokens == merged("newer", given) != merged("sight", given)
    assert core.stats.cached_tokens == before.cached_tokens
    assert core.stats.encoded_tiles == before.encoded_tiles + 2


def test_an_adapter_stays_until_its_last_request_has_ended(merged: Oracle) -> None:
    core = with_adapters("sight")
    given = request(*pictured(16, "a", 0, 6), new=8, adapter="sight")
    drive = Drive(core)
    first = drive.add(given)
    drive.step()
    core.unload_adapter("sight")
    with pytest.raises(AdapterError, match="is being unloaded"):
        core.add(given)
    drive.drain()
    assert drive.answers[first].tokens == merged("sight", given)
    with pytest.raises(AdapterError, match="no adapter 'sight' is loaded"):
        core.add(given)
