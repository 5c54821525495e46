"""What goes wrong in one request ends that request alone: memory, the model's modules, token masks, bad inputs."""

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine_driver import one_thread
from ivl.engine import EngineCore, Request, TokenOutput
from ivl.errors import ContextLengthError, EngineError, InputError, SettingsError
from random_model import prompt_with_tiles, random_ids, random_tiles
from random_requests import EMPTY, ask, assert_nothing_held, drive, make_core, plain, some_requests

ERRORS = (torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("a kernel failed"))
POISON = 94
"""A token that no answer of `some_requests` has."""
POISONED_PIXEL = 77.0
GUILTY = 3


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


class Poison:
    """Makes the last layer raise where a poisoned token is computed, and the vision model where a poisoned tile is.

    The cache has been written by then, by the first layer for all sequences of the step.
    """

    def __init__(self, core: EngineCore, error: Exception, times: int = 10**9) -> None:
        self.error, self.times, self.is_near = error, times, False
        model = core.runner.model
        model.language_model.embed_tokens.register_forward_pre_hook(self._look)
        model.language_model.layers[-1].register_forward_pre_hook(lambda *_: self._raise(self.is_near))
        model.vision_model.register_forward_pre_hook(self._look_at_tiles)

    def _look(self, _: object, args: tuple[Tensor, ...]) -> None:
        self.is_near = bool((args[0] == POISON).any())

    def _look_at_tiles(self, _: object, args: tuple[Tensor, ...]) -> None:
        self._raise(bool((args[0][:, 0, 0, 0] == POISONED_PIXEL).any()))

    def _raise(self, is_due: bool) -> None:
        if is_due and self.times:
            self.times -= 1
            raise self.error


class Forced:
    """A token mask that lets one token through at one place of the answer, and all at every other."""

    def __init__(self, place: int, token_id: int = POISON) -> None:
        self.place, self.token_id = place, token_id

    def bitmask(self) -> Tensor:
        words = torch.full((3,), -1, dtype=torch.int32)
        if self.place == 0:
            words.zero_()
            words[self.token_id // 32] = 1 << (self.token_id % 32)
        return words

    def accept(self, token_id: int) -> None:
        self.place -= 1


def in_vision_model(request: Request) -> Request:
    assert request.pixel_values is not None
    tiles = request.pixel_values.clone()
    tiles[-1, 0, 0, 0] = POISONED_PIXEL
    return replace(request, pixel_values=tiles)


def in_prefill(request: Request) -> Request:
    ids = request.input_ids.clone()
    ids[-2] = POISON
    return replace(request, input_ids=ids)


def in_decode(request: Request) -> Request:
    return replace(request, token_mask=Forced(place=3))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("poison", [in_vision_model, in_prefill, in_decode])
def test_one_poisoned_request_of_eight_fails_alone(poison: Callable[[Request], Request], error: Exception) -> None:
    core = make_core()
    Poison(core, error)
    requests = some_requests()
    ids = [core.add(poison(each) if index == GUILTY else each) for index, each in enumerate(requests)]
    ended = drive(core)
    for index, (request_id, request) in enumerate(zip(ids, requests, strict=True)):
        if index != GUILTY:
            assert ended[request_id] == plain(request)
    told = ended[ids[GUILTY]]
    assert isinstance(told, EngineError)
    assert told.__cause__ is error
    expected = "the model failed on this request: RuntimeError: a kernel failed"
    assert str(told).startswith("not enough memory for this request" if error is not ERRORS[2] else expected)
    assert_nothing_held(core)


@pytest.mark.parametrize("poison", [in_vision_model, in_prefill, in_decode])
def test_what_fails_once_fails_nobody(poison: Callable[[Request], Request]) -> None:
    core = make_core()
    fault = Poison(core, torch.OutOfMemoryError("for a moment"), times=1)
    requests = some_requests()
    requests[GUILTY] = poison(requests[GUILTY])
    ids = [core.add(each) for each in requests]
    ended = drive(core)
    assert fault.times == 0
    assert all(isinstance(ended[request_id], list) for request_id in ids)
    others = [index for index in range(8) if index != GUILTY]
    assert [ended[ids[index]] for index in others] == [plain(requests[index]) for index in others]
    assert_nothing_held(core)


def test_several_poisoned_requests_fail_each_for_itself() -> None:
    core, requests = make_core(), some_requests()
    Poison(core, MemoryError())
    guilty = {1: in_vision_model, 4: in_prefill, 5: in_decode, 7: in_prefill}
    ids = [core.add(guilty.get(index, lambda each: each)(each)) for index, each in enumerate(requests)]
    ended = drive(core)
    failed = [index for index, request_id in enumerate(ids) if isinstance(ended[request_id], EngineError)]
    assert failed == list(guilty)
    assert len({id(ended[ids[index]]) for index in failed}) == 4, "each has an error of its own"
    for index in set(range(8)) - set(guilty):
        assert ended[ids[index]] == plain(requests[index])
    assert_nothing_held(core)


def test_who_waits_for_a_beginning_that_fails_computes_it() -> None:
    core = make_core(max_prefill_token_num=8)
    Poison(core, MemoryError())
    beginning = random_ids(24, seed=5)
    ends = [torch.tensor([7, POISON]), torch.tensor([8, 9]), torch.tensor([10, 11])]
    requests = [ask(torch.cat((beginning, end))) for end in ends]
    ids = [core.add(each) for each in requests]
    ended = drive(core)
    assert isinstance(ended[ids[0]], EngineError)
    assert [ended[each] for each in ids[1:]] == [plain(each) for each in requests[1:]]
    assert_nothing_held(core)


@pytest.mark.parametrize("poison", [in_prefill, in_decode])
def test_nothing_of_a_failed_request_is_shared(poison: Callable[[Request], Request]) -> None:
    core = make_core(max_prefill_token_num=8)
    fault = Poison(core, MemoryError())
    request = poison(ask(random_ids(26, seed=5)))
    failed = core.add(request)
    assert isinstance(drive(core)[failed], EngineError)
    before, fault.times = core.stats.cached_tokens, 0
    again = replace(request, token_mask=None)
    request_id = core.add(again)
    assert drive(core)[request_id] == plain(again)
    assert core.stats.cached_tokens == before


def test_a_failed_step_keeps_no_memory_while_it_is_tried_again() -> None:
    core, alive = make_core(), []
    kept: list[weakref.ref[Tensor]] = []

    def fail_once(_: object, args: tuple[Tensor, ...]) -> None:
        if kept:
            alive.append(kept[0]() is not None)
        else:
            activations = args[0] * 2
            kept.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("full")

    core.runner.model.language_model.layers[-1].register_forward_pre_hook(fail_once)
    for request in some_requests(4):
        core.add(request)
    drive(core)
    assert alive
    assert not any(alive), "what the failed step computed still takes the memory that was missing"


class Faulty(Forced):
    """A token mask that raises at one place of the answer."""

    def __init__(self, place: int, method: str, error: Exception) -> None:
        super().__init__(place=-1)
        self.left, self.method, self.error = place, method, error

    def bitmask(self) -> Tensor:
        self._pass("bitmask")
        return super().bitmask()

    def accept(self, token_id: int) -> None:
        self._pass("accept")

    def _pass(self, method: str) -> None:
        if method == self.method:
            self.left -= 1
            if self.left < 0:
                raise self.error


@pytest.mark.parametrize("error", [SettingsError("no way on"), ValueError("no way on")])
@pytest.mark.parametrize("method", ["bitmask", "accept"])
def test_a_token_mask_that_raises_ends_its_own_request(method: str, error: Exception) -> None:
    core, requests = make_core(), some_requests()
    masks = {GUILTY: Faulty(4, method, error), 4: Forced(place=-1)}
    ids = [core.add(replace(each, token_mask=masks.get(index))) for index, each in enumerate(requests)]
    ended = drive(core)
    told = ended[ids[GUILTY]]
    assert (told if isinstance(error, SettingsError) else told.__cause__) is error
    assert isinstance(told, SettingsError | EngineError)
    assert "no way on" in str(told)
    for index in set(range(8)) - {GUILTY}:
        assert ended[ids[index]] == plain(requests[index])
    assert_nothing_held(core)


BAD_INPUTS = {
    "empty": (lambda: ask(EMPTY), InputError, "at least one token"),
    "unknown id": (lambda: ask(torch.tensor([3, 96])), InputError, "96"),
    "negative id": (lambda: ask(torch.tensor([3, -1])), InputError, "-1"),
    "tile of another size": (lambda: ask(prompt_with_tiles(1), 8, torch.zeros(1, 3, 28, 28)), InputError, "28"),
    "tile without a channel": (lambda: ask(prompt_with_tiles(1), 8, torch.zeros(1, 1, 56, 56)), InputError, "56"),
    "too many tiles": (lambda: ask(prompt_with_tiles(1), 8, random_tiles(2)), InputError, "4 image tokens"),
    "too few tiles": (lambda: ask(prompt_with_tiles(2), 8, random_tiles(1)), InputError, "8 image tokens"),
    "longer than the session": (lambda: ask(random_ids(256)), ContextLengthError, "256 tokens long.*session_len"),
    "200,000 tokens": (lambda: ask(random_ids(200_000)), ContextLengthError, "200000 tokens long"),
    "63 blocks": (lambda: ask(random_ids(252)), ContextLengthError, "252 tokens long.*cache holds 200"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_a_request_that_cannot_be_done_is_refused_on_arrival(case: str) -> None:
    make, kind, message = BAD_INPUTS[case]
    core, running = make_core(blocks=50), some_requests(2)
    ids = [core.add(each) for each in running]
    core.step()
    with pytest.raises(kind, match=message) as told:
        core.add(make())
    assert "\n" not in str(told.value)
    ended = drive(core)
    for request_id, request in zip(ids, running, strict=True):
        assert ended[request_id] == plain(request)[-len(ended[request_id]) :]
    assert_nothing_held(core)


def test_an_answer_that_would_outgrow_the_cache_ends_there() -> None:
    core, request = make_core(blocks=8), ask(random_ids(20), 50)
    request_id = core.add(request)
    assert drive(core)[request_id] == plain(replace(request, sampling=replace(request.sampling, max_new_tokens=12)))
    assert_nothing_held(core)


def test_a_closed_engine_says_so_and_holds_nothing() -> None:
    core = make_core()
    model = weakref.ref(core.runner.model)
    for request in some_requests(4):
        core.add(request)
    core.step()
    core.close()
    assert_nothing_held(core)
    gc.collect()
    assert model() is None, "the weights are still held"
    with pytest.raises(EngineError, match="engine is closed"):
        core.add(some_requests(1)[0])


def test_an_aborted_request_is_gone_before_the_next_step() -> None:
    core, requests = make_core(), some_requests(3, max_new_tokens=30)
    ids = [core.add(each) for each in requests]
    outcomes = core.step()
    core.abort(ids[0])
    core.abort(ids[0])
    assert ids[0] not in {request_id for request_id, _ in core.step()}
    ended = drive(core)
    tokens = [o.token_id for request_id, o in outcomes if request_id == ids[2] and isinstance(o, TokenOutput)]
    assert len(tokens) + len(ended[ids[2]]) in (29, 30)
    assert_nothing_held(core)
