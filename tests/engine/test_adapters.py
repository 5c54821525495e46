"""Adapters chosen per request: each answers as if merged, alone or beside others; none shares what another cached."""

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
import torch

from engine_driver import one_thread
from ivl.engine import EngineCore, EngineWorker, Request
from ivl.errors import AdapterError
from ivl.model.adapter_io import Adapter, LowRank
from ivl.model.internvl import InternVL
from ivl.model.lora import AdaptedLinear, merge
from random_adapter import make_adapter
from random_model import make_model, prompt_with_tiles, random_ids, random_tiles
from random_requests import ask, assert_nothing_held, drive, make_core, plain, some_requests, within

ADAPTERS = {
    "all": make_adapter(1),
    "words": make_adapter(2, parts=("language_model",), ends=("q_proj", "v_proj", "down_proj"), rank=2),
    "eyes": make_adapter(3, parts=("vision_model", "connector"), rank=4),
}
NAMES = (None, *ADAPTERS)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@cache
def merged(name: str) -> InternVL:
    model = make_model()
    merge(model, ADAPTERS[name])
    return model


def alone(request: Request) -> list[int]:
    """The oracle: the plain loop of a model into which the request's adapter is merged."""
    if request.adapter is None:
        return plain(request)
    return merged(request.adapter).generate_greedy(
        request.input_ids, request.pixel_values, request.sampling.max_new_tokens
    )


def make_loaded(**settings: int) -> EngineCore:
    core = make_core(**settings)
    for name, adapter in ADAPTERS.items():
        core.load_adapter(name, adapter)
    return core


def mixed(count: int, new: int = 8) -> list[Request]:
    return [replace(each, adapter=NAMES[i % 4 - i // 4]) for i, each in enumerate(some_requests(count, new))]


def names_of(core: EngineCore) -> tuple[str, ...]:
    return core.runner.adapters.names


def is_adapted(core: EngineCore) -> bool:
    return any(isinstance(module, AdaptedLinear) for module in core.runner.model.modules())


@pytest.mark.parametrize("settings", [{}, {"blocks": 64}, {"max_prefill_token_num": 7}, {"max_batch_size": 3}], ids=str)
def test_a_mixed_batch_answers_as_merged_models_do(settings: dict[str, int]) -> None:
    core, requests = make_loaded(**settings), mixed(12)
    ids = [core.add(each) for each in requests]
    ended = drive(core)
    assert [ended[each] for each in ids] == [alone(each) for each in requests]
    assert_nothing_held(core)


def test_preempted_answers_keep_their_adapter() -> None:
    core = make_loaded(blocks=24)
    requests = [ask(random_ids(8, seed), 30, adapter=NAMES[seed % 4]) for seed in range(6)]
    ids = [core.add(each) for each in requests]
    ended = drive(core)
    assert core.stats.preemptions > 0
    assert [ended[each] for each in ids] == [alone(each) for each in requests]


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]], ids=str)
def test_one_prompt_under_each_adapter_shares_nothing(order: tuple[str | None, ...]) -> None:
    core = make_loaded()
    tiles, ids = random_tiles(2), prompt_with_tiles(2, text=20)
    for name in order:
        request = ask(ids, 8, tiles, adapter=name)
        request_id = core.add(request)
        assert drive(core)[request_id] == alone(request)
    assert core.stats.cached_tokens == 0
    # "words" sees what the base sees; "all" and "eyes" each look for themselves.
    assert (core.stats.encoded_tiles, core.stats.cached_tiles) == (6, 2)
    assert len({tuple(alone(ask(ids, 8, tiles, adapter=name))) for name in NAMES}) == 4, (
        "the adapters change too little"
    )
    core.add(ask(ids, 8, tiles, adapter="all"))
    drive(core)
    assert core.stats.cached_tokens > 0, "an adapter shares with itself"


def test_one_prompt_under_each_adapter_at_once_shares_nothing() -> None:
    core = make_loaded()
    requests = [ask(prompt_with_tiles(2, text=20), 8, random_tiles(2), adapter=name) for name in NAMES * 2]
    ids = [core.add(each) for each in requests]
    ended = drive(core)
    assert [ended[each] for each in ids] == [alone(each) for each in requests]


def test_other_weights_under_the_same_name_share_nothing() -> None:
    core, answers = make_core(), []
    ids, tiles = prompt_with_tiles(1, text=20), random_tiles(1)
    for name in ("all", "eyes", "words", "all"):
        core.load_adapter("tuned", ADAPTERS[name])
        request_id = core.add(ask(ids, 8, tiles, adapter="tuned"))
        answers.append(drive(core)[request_id])
        assert answers[-1] == alone(ask(ids, 8, tiles, adapter=name))
        core.unload_adapter("tuned")
    assert core.stats.cached_tokens == 0
    assert not is_adapted(core)


def test_unloaded_in_use_it_serves_to_the_end_and_is_gone_then() -> None:
    core, names = make_loaded(), ("all", "words", "eyes")
    running = ask(random_ids(20), 20, adapter="all")
    waiting = ask(random_ids(20, seed=4), 6, adapter="all")
    gone = weakref.ref(next(each for each in core.runner.model.modules() if isinstance(each, AdaptedLinear)).deltas[1])
    ids = [core.add(running)]
    first = [outcome.token_id for _, outcome in core.step()]
    ids.append(core.add(waiting))
    core.unload_adapter("all")
    core.unload_adapter("all")  # it is on its way already
    with pytest.raises(AdapterError, match="'all' is being unloaded"):
        core.add(running)
    with pytest.raises(AdapterError, match="'all'"):
        core.load_adapter("all", ADAPTERS["all"])
    assert names_of(core) == names
    ended = drive(core)
    assert first + ended[ids[0]] == alone(running)
    assert ended[ids[1]] == alone(waiting)
    assert names_of(core) == names[1:]
    assert gone() is None, "the adapter's weights are still held"
    with pytest.raises(AdapterError, match="no adapter 'all' is loaded; loaded: 'words', 'eyes'"):
        core.add(running)
    core.load_adapter("all", ADAPTERS["all"])
    request_id = core.add(running)
    assert drive(core)[request_id] == alone(running)


def test_an_abort_of_the_last_user_lets_the_adapter_go() -> None:
    core = make_loaded()
    users = [core.add(ask(random_ids(20, seed), 20, adapter="all")) for seed in range(3)]
    core.step()
    core.unload_adapter("all")
    for user in users:
        assert "all" in names_of(core)
        core.abort(user)
    assert "all" not in names_of(core)
    for name in ("words", "eyes"):
        core.unload_adapter(name)
    assert not is_adapted(core)
    assert not core.has_work


def test_one_loaded_while_others_run() -> None:
    core = make_core()
    base = ask(random_ids(20), 20)
    ids = [core.add(base)]
    outputs = core.step()
    requests = []
    for name in ADAPTERS:
        core.load_adapter(name, ADAPTERS[name])
        requests.append(ask(prompt_with_tiles(1), 8, random_tiles(1), adapter=name))
        ids.append(core.add(requests[-1]))
        outputs += core.step()
    ended = drive(core)
    for request_id, request in zip(ids, [base, *requests], strict=True):
        early = [outcome.token_id for one, outcome in outputs if one == request_id]
        assert early + ended[request_id] == alone(request)


def misshapen() -> Adapter:
    """One of whose modules, the last, is too wide; all before it would fit."""
    good = ADAPTERS["all"]
    path = list(good.weights)[-1]
    wrong = LowRank(a=torch.zeros(3, 7), b=good.weights[path].b, scale=1.0)
    return replace(good, weights={**good.weights, path: wrong})


def test_an_adapter_of_the_wrong_shape_changes_nothing() -> None:
    core, request = make_core(), ask(random_ids(20), 20)
    core.load_adapter("words", ADAPTERS["words"])
    ids = [core.add(request), core.add(replace(request, adapter="words"))]
    outputs = core.step()
    with pytest.raises(AdapterError, match=r"shape \[3, 7\]") as told:
        core.load_adapter("wrong", misshapen())
    assert "\n" not in str(told.value)
    assert names_of(core) == ("words",)
    ended = drive(core)
    for request_id, name in zip(ids, (None, "words"), strict=True):
        early = [outcome.token_id for one, outcome in outputs if one == request_id]
        assert early + ended[request_id] == alone(replace(request, adapter=name))


def test_adapters_come_and_go_on_a_running_worker() -> None:
    worker, background = EngineWorker(make_core()), ask(random_ids(10), 240)
    running = worker.generate(background)
    for name in ("all", "words", "eyes", "all"):
        worker.call(lambda core, name=name: core.load_adapter("tuned", ADAPTERS[name]))
        request = ask(prompt_with_tiles(1), 8, random_tiles(1), adapter="tuned")
        stream = worker.generate(request)
        worker.call(lambda core: core.unload_adapter("tuned"))
        tokens = within(10, lambda stream=stream: [output.token_id for output in stream])
        assert tokens == alone(replace(request, adapter=name))
        assert worker.call(names_of) == ()
    assert within(20, lambda: [output.token_id for output in running]) == plain(background)
    assert not worker.call(is_adapted)
    worker.close()
    gc.collect()


def test_the_backends_own_decoding_never_sees_the_route_of_the_batch_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph of the base that is captured right after a batch with adapters must not hold any."""
    core, seen = make_loaded(), []
    decode = core.runner.backend.decode

    def watched(*args: object) -> object:
        route = next(each.route for each in core.runner.model.modules() if isinstance(each, AdaptedLinear))
        seen.append(route.runs)
        return decode(*args)

    monkeypatch.setattr(core.runner.backend, "decode", watched)
    for each in mixed(4):
        core.add(each)
    drive(core)
    assert seen
    assert not any(seen)
