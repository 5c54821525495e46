"""The clock of `ivl bench`: when tokens came, what the figures make of it, with an engine of 25 lines."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from ivl.errors import EngineError, InputError
from ivl.explain import speed
from ivl.explain.ceilings import Ceilings, measure_ceilings
from ivl.explain.costs import decode_weight_bytes, kv_bytes_per_token, prefill_flop, tile_flop
from ivl.explain.speed import Round, random_model, random_prompts, run_at_once, run_in_turn
from ivl.explain.speed_bench import Bench, peak_memory
from ivl.explain.speed_figures import (
    Load,
    Shape,
    distribution,
    floor_seconds,
    latency_figures,
    throughput_figures,
    vision_figures,
)
from random_model import CONFIG, IMAGE_TOKEN, random_tiles

CEILINGS = Ceilings(product_flop_per_s=1e9, read_bytes_per_s=2e9, copy_bytes_per_s=1e9)
SHAPE = Shape(config=CONFIG, itemsize=4, product_itemsize=4)
LOAD = Load(requests=3, tiles=1, text_tokens=6, new_tokens=5)


class Clock:
    """A second for each look at it, and what the engine adds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: self.now))


class FakeCore:
    """Gives each running request a token a step, in `step_s` seconds; takes `most` requests at once."""

    def __init__(self, clock: Clock, step_s: float = 1.0, most: int = 100) -> None:
        self.clock, self.step_s, self.most = clock, step_s, most
        self.left: dict[int, int] = {}
        self.num_added, self.fault, self.batches = 0, None, []

    @property
    def has_work(self) -> bool:
        return bool(self.left)

    def add(self, request: int) -> int:
        self.num_added += 1
        self.left[self.num_added] = request
        return self.num_added

    def abort(self, request_id: int) -> None:
        self.left.pop(request_id, None)

    def step(self) -> list[tuple[int, object]]:
        self.clock.now += self.step_s
        running = list(self.left)[: self.most]
        self.batches.append(len(running))
        for each in running:
            self.left[each] -= 1
            if not self.left[each]:
                del self.left[each]
        return [(each, self.fault or "a token") for each in running]


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> FakeCore:
    return FakeCore(Clock(monkeypatch))


def test_requests_at_once_share_their_start(core: FakeCore) -> None:
    core.most = 2
    done = run_at_once(core, [2, 2, 2], 2)
    assert done.token_s == ((1, 2), (1, 2), (3, 4))
    assert (done.seconds, done.num_tokens) == (4, 6)
    assert done.first_token_s == [1, 1, 3]
    assert done.between_s == [1, 1, 1]


def test_requests_in_turn_start_one_after_another(core: FakeCore) -> None:
    done = run_in_turn(core, [2, 2, 2], 2)
    assert done.token_s == ((1, 2),) * 3
    assert done.seconds == 6
    assert core.batches == [1] * 6


def test_a_failed_request_ends_the_run(core: FakeCore) -> None:
    core.fault = InputError("too many tiles")
    with pytest.raises(InputError, match="too many tiles"):
        run_at_once(core, [2, 3], 2)
    assert not core.has_work


def test_a_short_answer_is_no_measurement(core: FakeCore) -> None:
    with pytest.raises(EngineError, match="after 3 of 4 tokens"):
        run_at_once(core, [3], 4)


def test_prompts_are_distinct_and_repeatable() -> None:
    first, second = random_prompts(CONFIG, 2, tiles=2, text_tokens=7, seed=3)
    assert first.input_ids.tolist().count(IMAGE_TOKEN) == 2 * CONFIG.tokens_per_tile
    assert len(first.input_ids) == 2 * CONFIG.tokens_per_tile + 7
    assert first.pixel_values.shape == (2, 3, 56, 56)
    assert not torch.equal(first.pixel_values, second.pixel_values)
    assert len({*first.tile_digests, *second.tile_digests}) == 4
    again, _ = random_prompts(CONFIG, 2, tiles=2, text_tokens=7, seed=3)
    assert torch.equal(first.input_ids, again.input_ids)
    (text,) = random_prompts(CONFIG, 1, tiles=0, text_tokens=500, seed=0)
    assert text.pixel_values is None
    assert IMAGE_TOKEN not in text.input_ids
    assert int(text.input_ids.max()) < CONFIG.text.vocab_size
    with pytest.raises(EngineError, match="no image token"):
        random_prompts(replace(CONFIG, image_token_id=None), 1, tiles=1, text_tokens=1, seed=0)


def test_random_weights_run() -> None:
    model = random_model(CONFIG, "cpu", torch.float32, seed=1)
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}
    assert not model.training
    features = model.encode_tiles(random_tiles(2).float())
    assert torch.isfinite(features).all()
    assert len(model.generate_greedy(torch.tensor([1, 2, 3]), max_new_tokens=3)) == 3


def test_percentiles() -> None:
    times = distribution([4.0, 1.0, 2.0, 3.0, 5.0])
    assert (times.p50, times.p90, times.percentiles[0], times.percentiles[100]) == (3.0, pytest.approx(4.6), 1.0, 5.0)
    assert len(times.percentiles) == 101
    assert distribution([2.0]).p99 == 2.0


def rounds(step: float, first: float, in_turn: bool) -> list[Round]:
    times = tuple(first + step * number for number in range(LOAD.new_tokens))
    seconds = times[-1] * (LOAD.requests if in_turn else 1)
    return [Round(seconds=seconds, token_s=(times,) * LOAD.requests)] * 2


def test_latency_is_read_against_products_and_memory() -> None:
    figures = latency_figures(rounds(0.5, 2.0, in_turn=True), LOAD, SHAPE, CEILINGS)
    first, decode = figures.shares
    prompt = LOAD.prompt_tokens(CONFIG)
    assert first.reached == pytest.approx((tile_flop(CONFIG) + prefill_flop(CONFIG, prompt)) / 2.0)
    assert first.ceiling == 1e9
    read = decode_weight_bytes(CONFIG, 4) + (prompt + 2.5) * kv_bytes_per_token(CONFIG, 4)
    assert decode.reached == pytest.approx(read / 0.5)
    assert decode.ceiling == 2e9
    assert figures.rates["decode_tokens_per_s"] == pytest.approx(2.0)
    assert figures.rates["requests_per_s"] == pytest.approx(1 / 4.0)


def test_throughput_is_read_against_its_floor() -> None:
    figures = throughput_figures(rounds(0.5, 2.0, in_turn=False), LOAD, SHAPE, CEILINGS, batch=8)
    (share,) = figures.shares
    assert share.share == pytest.approx(floor_seconds(LOAD, SHAPE, CEILINGS, 8) / 4.0)
    assert figures.rates["new_tokens_per_s"] == pytest.approx(15 / 4.0)
    assert figures.rates["all_tokens_per_s"] == pytest.approx(3 * (LOAD.prompt_tokens(CONFIG) + 5) / 4.0)


def test_the_floor_counts_every_batch_and_the_slower_of_products_and_memory() -> None:
    endless = replace(CEILINGS, product_flop_per_s=math.inf)
    both, apart = (floor_seconds(LOAD, SHAPE, endless, batch) for batch in (3, 1))
    weights = 4 * decode_weight_bytes(CONFIG, 4) / 2e9
    assert apart - both == pytest.approx(2 * weights)
    assert floor_seconds(LOAD, SHAPE, CEILINGS, 3) > both
    slow = replace(CEILINGS, product_flop_per_s=1e3)
    fast_memory = replace(slow, read_bytes_per_s=math.inf)
    assert floor_seconds(LOAD, SHAPE, slow, 3) == pytest.approx(floor_seconds(LOAD, SHAPE, fast_memory, 3))


def test_vision_counts_tiles() -> None:
    figures = vision_figures([2.0, 4.0, 3.0], 6, SHAPE, CEILINGS)
    assert figures.rates == {"tiles_per_s": 2.0}
    assert figures.shares[0].reached == 2 * tile_flop(CONFIG)


def test_answers_of_one_token_have_nothing_between() -> None:
    single = [Round(seconds=1.0, token_s=((1.0,),))]
    figures = latency_figures(single, replace(LOAD, new_tokens=1), SHAPE, CEILINGS)
    assert figures.between_s is None
    assert [share.name for share in figures.shares] == ["first token"]


def test_a_bench_warms_up_and_repeats(core: FakeCore) -> None:
    told: list[str] = []
    bench = Bench(
        core=core,
        encode=lambda pixels: pixels,
        to_request=lambda prompt, new_tokens: new_tokens,
        shape=SHAPE,
        load=LOAD,
        ceilings=CEILINGS,
        device="cpu",
        dtype=torch.float32,
        batch=8,
        repeats=2,
        warmup=1,
        tell=told.append,
    )
    throughput, latency = bench.figures(["throughput", "latency"])
    assert core.batches == [3] * 5 * 3 + [1] * 5 * 3 * 3
    assert throughput.seconds == (5, 5)
    assert latency.seconds == (15, 15)
    assert latency.peak_memory_bytes == pytest.approx(peak_memory("cpu"), rel=0.2)
    assert [line.partition(",")[0] for line in told[:3]] == [
        "throughput: warming up",
        "throughput: round 1 of 2",
        "throughput: round 2 of 2",
    ]


def test_vision_alone_needs_no_engine(core: FakeCore) -> None:
    seen: list[tuple[int, ...]] = []

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(pixels.shape))
        core.clock.now += 1
        return pixels

    bench = Bench(
        core=core, encode=encode, to_request=lambda *_: None, shape=SHAPE, load=replace(LOAD, requests=100),
        ceilings=CEILINGS, device="cpu", dtype=torch.float32, batch=8, repeats=2,
    )  # fmt: skip
    (figures,) = bench.figures(["vision"])
    assert seen == [(64, 3, 56, 56)] * 3
    assert figures.rates["tiles_per_s"] == 64


def test_ceilings_are_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(measure_ceilings.__globals__["_SIDE"], "cpu", 64)
    monkeypatch.setitem(measure_ceilings.__globals__["_BYTES"], "cpu", 2**20)
    measured = measure_ceilings("cpu", torch.float32, seconds=0.01)
    assert 1e7 < measured.product_flop_per_s < 1e14
    assert 1e7 < measured.read_bytes_per_s < 1e13
    assert measured.bytes_per_s == max(measured.read_bytes_per_s, measured.copy_bytes_per_s)
