"""What is added up, how layers are chosen, and what is said where nothing fits."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ivl.data.planner import Planner
from ivl.errors import TrainingError
from ivl.model.family import FAMILY
from ivl.model.internvl import InternVL
from ivl.train import memory
from ivl.train.config import TrainConfig
from ivl.train.memory import estimate, free_bytes, largest_micro_batch, plan_memory, require_fit
from ivl.train.memory_book import FILL, Load, MemoryEstimate, fit, trained_numbers
from ivl.train.ranks import Ranks
from ivl.train.trainable import apply_trainable, part_name, trained_parameters
from random_model import CONFIG

MODEL = FAMILY["InternVL2-2B"]
GB = 10**9
EVERYTHING = {"language_model": "full", "vision_model": "full", "connector": "full"}


def of(available: float | None = None, world_size: int = 1, device: str = "cuda", **fields: object) -> MemoryEstimate:
    return estimate(
        MODEL,
        TrainConfig(**fields),
        tokens_per_micro_batch=7680,
        tiles_per_micro_batch=28,
        world_size=world_size,
        bytes_available=None if available is None else int(available * GB),
        device=device,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"target_modules": ("q_proj", "down_proj")},
        {"vision_model": "lora", "connector": "lora"},
        {"vision_model": "lora", "vision_layers": 1, "use_dora": True},
        {"vision_model": "full", "vision_layers": 1, "connector": "full"},
        {"language_model": "frozen", "connector": "full"},
        EVERYTHING,
    ],
)
def test_numbers_that_train_are_exactly_those_made(fields):
    train = TrainConfig(r=3, **fields)
    model = InternVL(CONFIG)
    apply_trainable(model, train, seed=0)
    made = {part: [0, 0] for part in ("vision_model", "connector", "language_model")}
    for name, parameter in trained_parameters(model).items():
        made[part_name(name)]["lora_" not in name] += parameter.numel()
    assert {part: tuple(numbers) for part, numbers in made.items()} == trained_numbers(CONFIG, train)


def test_the_tutorials_adapters():
    assert trained_numbers(MODEL, TrainConfig())["language_model"] == (138_412_032, 0)


def test_each_kind_by_hand():
    found = of(activation_checkpointing="all")
    total, adapters = 2_205_754_368, 138_412_032
    assert found.weights == 2 * total
    assert found.trained == (4 + 2) * adapters
    assert found.gradients == 4 * adapters
    assert found.optimizer == 8 * adapters
    assert of(optim_type="Lion").optimizer == 4 * adapters
    full = of(activation_checkpointing="all", **EVERYTHING)
    assert full.weights == 0
    assert full.gradients == 4 * total
    assert of(device="cpu").weights == 4 * total
    assert of(device="cpu").trained == 4 * adapters


def test_checkpointing_pays_layer_by_layer():
    totals = [of(activation_checkpointing=count).total for count in range(25)]
    kept = [of(activation_checkpointing=count).activations for count in range(25)]
    steps = {before - after for before, after in pairwise(kept)}
    assert len(steps) == 1
    assert totals[0] > 2 * totals[24]
    assert of(activation_checkpointing="none").total == totals[0]
    assert of(activation_checkpointing="all").total == totals[24]
    assert of(activation_checkpointing=99).num_checkpointed == 24


@pytest.mark.parametrize("available", [14, 20, 30, 80])
def test_auto_takes_the_fewest_layers_that_fit(available):
    found = of(available)
    assert found.fits
    assert found.total <= FILL * available * GB
    if found.num_checkpointed:
        assert not of(available, activation_checkpointing=found.num_checkpointed - 1).fits
    assert (available == 80) == (found.num_checkpointed == 0)


def test_what_saves_memory_does():
    plain = of(activation_checkpointing="all")
    small = of(activation_checkpointing="all", quantization="nf4")
    assert plain.weights - small.weights == pytest.approx(1_509_949_440 * (2 - 0.516), rel=1e-6)
    assert small.total < plain.total
    one = of(activation_checkpointing="all", **EVERYTHING)
    four = of(activation_checkpointing="all", world_size=4, strategy="fsdp2", **EVERYTHING)
    assert four.optimizer == one.optimizer // 4
    assert four.total < one.total / 2
    assert of(world_size=4, strategy="ddp").gradients == 2 * of().gradients
    assert of(strategy="fsdp2").strategy == "none"


def test_auto_strategy_is_ddp_where_it_fits():
    assert of(70, world_size=4, **EVERYTHING).strategy == "ddp"
    assert of(40, world_size=4, **EVERYTHING).strategy == "fsdp2"


def test_a_run_that_cannot_fit_is_told_what_would():
    train, load = TrainConfig(activation_checkpointing=0), Load(num_tokens=7680, num_tiles=28)
    with pytest.raises(TrainingError) as caught:
        require_fit(FAMILY["InternVL2-8B"], train, load, 24 * GB)
    text = str(caught.value)
    ways = ["activation_checkpointing: all", "batch_size:", "quantization: nf4", "max_dynamic_patch:", "fsdp2 on"]
    places = [text.index(way) for way in ways]
    assert places == sorted(places)
    assert text.count(" GB") == 7
    assert "of the free 24.0 GB" in text
    assert "\n" not in text


def test_advice_is_true():
    """A change that is said to fit makes it fit."""
    train, load = TrainConfig(), Load(num_tokens=7680, num_tiles=28)
    with pytest.raises(TrainingError, match=r"quantization: nf4 \([\d.]+ GB\)"):
        require_fit(FAMILY["InternVL2-8B"], train, load, 24 * GB)
    found = require_fit(FAMILY["InternVL2-8B"], replace(train, quantization="nf4"), load, 24 * GB)
    assert found.fits


def test_packs_are_made_smaller_by_their_length():
    train = TrainConfig(packing=True, pack_length=65536, max_length=8192)
    with pytest.raises(TrainingError, match="pack_length and max_length: 16384"):
        require_fit(MODEL, train, Load(num_tokens=65536, num_tiles=250), 16 * GB)


def planned(lengths: list[int], tiles: list[int], **fields: object) -> tuple[Planner, TrainConfig, SimpleNamespace]:
    train = TrainConfig(**fields)
    corpus = SimpleNamespace(num_tokens=np.array(lengths, np.int32), num_tiles=np.array(tiles, np.int32))
    data = SimpleNamespace(
        train=corpus,
        planner=Planner(corpus.num_tokens, corpus.num_tiles, train, 1),
        processor=SimpleNamespace(config=CONFIG),
    )
    return data.planner, train, data


@pytest.mark.parametrize("packing", [False, True])
def test_the_largest_micro_batch_is_found(packing):
    generator = np.random.default_rng(0)
    lengths, tiles = generator.integers(5, 60, 41).tolist(), generator.integers(0, 5, 41).tolist()
    planner, train, data = planned(lengths, tiles, batch_size=3, max_epochs=2.5, max_length=64, packing=packing)
    slots = [slot for epoch in range(3) for step in planner.epoch(epoch) for micro in step for slot in micro]
    expected = tuple(max(sum(sizes[each] for each in slot) for slot in slots) for sizes in (lengths, tiles))
    assert largest_micro_batch(planner, train, data) == expected


def test_a_long_run_is_bounded():
    planner, train, data = planned([10, 20, 30], [0, 1, 2], batch_size=2, max_epochs=200_000)
    assert largest_micro_batch(planner, train, data) == (60, 4)


def test_a_run_on_this_machine():
    ranks = Ranks(device=torch.device("cpu"))
    _, train, data = planned([40] * 8, [1] * 8, r=4)
    assert plan_memory(train, ranks, data).num_checkpointed == 0
    checkpointed = plan_memory(replace(train, activation_checkpointing="all"), ranks, data)
    assert checkpointed.num_checkpointed == CONFIG.text.num_layers
    free = free_bytes(torch.device("cpu"))
    assert free is None or free > 2**20
    assert fit(CONFIG, train, Load(num_tokens=40, num_tiles=1, device="cpu"), None).fits


def test_an_auto_run_shards_where_one_rank_has_no_room(monkeypatch):
    """plan_memory says what `auto` has become; ranks on a CPU share its memory."""
    monkeypatch.setattr(Ranks, "all_max", lambda self, tensor: tensor)
    ranks = Ranks(device=torch.device("cpu"), world_size=2)
    _, train, data = planned([40] * 8, [1] * 8, r=4, **EVERYTHING)
    tokens, tiles = largest_micro_batch(data.planner, train, data)
    load = Load(num_tokens=tokens, num_tiles=tiles, world_size=2, device="cpu")
    train = replace(train, activation_checkpointing="none")
    needs = {name: fit(CONFIG, replace(train, strategy=name), load, None).total for name in ("ddp", "fsdp2")}
    assert needs["fsdp2"] < needs["ddp"]
    for free, expected in ((2.5 * needs["ddp"], "ddp"), (2.25 * needs["fsdp2"], "fsdp2")):
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: int(free))
        assert plan_memory(train, ranks, data).strategy == expected
