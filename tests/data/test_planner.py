"""Which samples a step sees, and on which rank."""

import subprocess
import sys

import numpy as np
import pytest

from data.test_packing import realistic
from ivl.data.planner import Planner
from ivl.data.settings import DataSettings
from ivl.errors import DataError, SettingsError

LENGTHS = realistic(203, 8192)
TILES = [length // 256 for length in LENGTHS]
LAYOUTS = {
    "plain": {"group_by_length": False},
    "grouped": {"group_by_length": True},
    "packed": {"packing": True},
}


def make_planner(world_size=1, lengths=LENGTHS, *, shuffle=True, members=None, **settings):
    tiles = [length // 256 for length in lengths]
    return Planner(lengths, tiles, DataSettings(**settings), world_size, shuffle=shuffle, members=members)


def samples_of(step):
    return [sample for micro in step for slot in micro for sample in slot]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("world_size", "accumulation"), [(1, 1), (3, 1), (2, 4)])
def test_every_sample_comes_once_an_epoch(layout, world_size, accumulation):
    planner = make_planner(world_size, accumulative_counts=accumulation, **LAYOUTS[layout])
    for epoch in (0, 1):
        plan = planner.epoch(epoch)
        assert len(plan) == planner.num_steps(epoch)
        assert sorted(sample for step in plan for sample in samples_of(step)) == list(range(len(LENGTHS)))
        assert all(len(step) == accumulation and all(len(micro) == world_size for micro in step) for step in plan)
        assert all(samples_of(step) for step in plan)


@pytest.mark.parametrize("group_by_length", [True, False])
def test_a_step_sees_the_same_samples_however_the_global_batch_is_made(group_by_length):
    ways = [(1, 8, 1), (2, 4, 1), (1, 4, 2), (1, 1, 8), (4, 2, 1), (2, 2, 2)]
    plans = [
        make_planner(world, batch_size=size, accumulative_counts=accumulation, group_by_length=group_by_length).epoch(2)
        for world, size, accumulation in ways
    ]
    seen = [[sorted(samples_of(step)) for step in plan] for plan in plans]
    assert len(seen[0]) == 26
    assert len(seen[0][-1]) == 3
    assert all(each == seen[0] for each in seen)
    for (_, size, _), plan in zip(ways, plans, strict=True):
        assert max(len(slot) for step in plan for micro in step for slot in micro) == size


def test_packs_of_a_step_are_the_same_for_ranks_and_accumulation():
    plans = [
        make_planner(world, packing=True, accumulative_counts=accumulation).epoch(0)
        for world, accumulation in [(4, 1), (2, 2), (1, 4)]
    ]
    seen = [[sorted(sorted(slot) for micro in step for slot in micro) for step in plan] for plan in plans]
    assert seen[0] == seen[1] == seen[2]


def test_packs_keep_their_budget_and_fill_it():
    plan = make_planner(2, packing=True, pack_length=9000).epoch(0)
    loads = [sum(LENGTHS[sample] for sample in slot) for step in plan for micro in step for slot in micro]
    assert max(loads) <= 9000
    assert sum(loads) / 9000 / sum(load > 0 for load in loads) > 0.96


@pytest.mark.parametrize("layout", ["grouped", "packed"])
def test_ranks_work_alike(layout):
    lengths = realistic(2000, 8192)
    plan = make_planner(8, lengths, batch_size=4, **LAYOUTS[layout]).epoch(0)
    slowest = mean = 0.0
    for step in plan[:-1]:
        loads = [sum(lengths[sample] // 256 for sample in slot) for slot in step[0]]
        slowest, mean = slowest + max(loads), mean + sum(loads) / len(loads)
    assert slowest / mean < (1.15 if layout == "packed" else 1.1)


def test_the_last_step_uses_few_micro_batches_and_leaves_slots_empty():
    last = make_planner(2, [300] * 11, batch_size=2, accumulative_counts=2, shuffle=False).epoch(0)[-1]
    assert [[len(slot) for slot in micro] for micro in last] == [[2, 1], [0, 0]]
    packs = make_planner(2, [900] * 5, packing=True, max_length=1000, accumulative_counts=2, shuffle=False).epoch(0)
    assert packs[1] in ((((4,), ()), ((), ())), (((), (4,)), ((), ())))


def test_without_shuffling_the_order_is_the_datas_own():
    plan = make_planner(1, batch_size=5, group_by_length=False, shuffle=False).epoch(3)
    assert [sample for step in plan for sample in samples_of(step)] == list(range(len(LENGTHS)))


def test_epochs_and_seeds_have_their_own_orders():
    orders = {tuple(make_planner(seed=seed).epoch(epoch).samples) for seed in (1, 2) for epoch in (0, 1)}
    assert len(orders) == 4


def test_the_plan_is_the_same_in_another_process():
    code = (
        "from data.test_planner import make_planner, LAYOUTS\n"
        "print([make_planner(2, **layout).epoch(1).samples.tolist() for layout in LAYOUTS.values()])"
    )
    here = [make_planner(2, **layout).epoch(1).samples.tolist() for layout in LAYOUTS.values()]
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "7"}
    there = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == str(here)


def test_unusable_samples_are_left_out():
    plan = make_planner(1, [10, 0, 20, 0]).epoch(0)
    assert sorted(samples_of(plan[0])) == [0, 2]
    with pytest.raises(DataError, match="no usable sample: `ivl data check`"):
        make_planner(1, [0, 0])


def test_members_decide_what_an_epoch_holds():
    planner = make_planner(1, [10] * 6, members=lambda epoch: np.array([epoch, 5, 5]), batch_size=2)
    assert planner.num_steps(0) == 2
    assert sorted(sample for step in planner.epoch(1) for sample in samples_of(step)) == [1, 5, 5]


def test_a_pack_must_hold_the_longest_sample():
    with pytest.raises(SettingsError, match=r"pack_length=4096 is below max_length=8192.*raise pack_length"):
        make_planner(1, packing=True, pack_length=4096)


def test_steps_of_a_run():
    planner = make_planner(1, [10] * 10, batch_size=2)
    assert [planner.total_steps(epochs) for epochs in (1, 2, 0.5, 1.2, 1.25, 1e-3)] == [5, 10, 3, 6, 7, 1]
    assert planner.total_steps(3, max_steps=4) == 4
    assert planner.total_steps(1, max_steps=40) == 5
    assert [planner.locate(step) for step in (0, 4, 5, 12)] == [(0, 0), (0, 4), (1, 0), (2, 2)]
    packed = make_planner(1, packing=True)
    assert packed.total_steps(2) == packed.num_steps(0) + packed.num_steps(1)


def test_steps_can_be_taken_from_the_middle():
    plan = make_planner(2).epoch(0)
    assert plan[-1] == plan[len(plan) - 1] == list(plan)[-1]
    assert plan[3:5] == [plan[3], plan[4]]
    with pytest.raises(IndexError):
        plan[len(plan)]


def test_the_fingerprint_tells_apart_what_changes_a_step():
    same = make_planner(2, batch_size=4)
    alike = [make_planner(4, batch_size=2), make_planner(1, batch_size=4, accumulative_counts=2), make_planner(2)]
    assert {each.fingerprint() for each in alike} == {same.fingerprint()}
    other = [
        make_planner(1),
        make_planner(2, seed=1),
        make_planner(2, LENGTHS[::-1]),
        make_planner(2, packing=True),
        make_planner(2, packing=True, pack_length=9000),
        make_planner(2, shuffle=False),
        make_planner(2, members=lambda epoch: np.arange(100)),
    ]
    assert len({same.fingerprint(), *(each.fingerprint() for each in other)}) == len(other) + 1
