from dataclasses import replace

import pytest

from evals.fake_pipeline import Bench, sums
from ivl.errors import DataError, SettingsError
from ivl.evals.questions import choose_items


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_items_of_a_limit_are_spread_and_always_the_same():
    items = sums(1000).items
    chosen = choose_items(items, 100, 0)
    numbers = [int(item.item_id[1:]) for item in chosen]
    assert [number // 10 for number in numbers] == list(range(100))
    assert choose_items(items, 100, 0) == chosen != choose_items(items, 100, 1)
    # Kinds that take turns are all there.
    assert all(10 < sum(number % 5 == kind for number in numbers) < 30 for kind in range(5))
    assert choose_items(items, 1000, 0) == choose_items(items, None, 0) == items


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([], "no set is given"),
        ([sums(2), sums(3)], "two sets are named 'sums'"),
        ([sums(2, "../up")], "the set's name '../up' is not allowed"),
        ([replace(sums(0), faults=("a.jsonl:1: no question",))], "nothing to ask; the first of 1 faults: a.jsonl:1"),
        ([replace(sums(2), items=sums(1).items * 2)], "sums.jsonl:1: a second item with the id 'q0'"),
    ],
)
def test_sets_are_checked_before_anything_is_asked(bench, sets, message):
    with pytest.raises(SettingsError, match=message):
        bench.run(*sets)
    assert bench.opened == []


def test_an_item_without_a_right_answer_is_told_before_anything_is_asked(bench):
    items = (*sums(3).items, replace(sums(1, first=9).items[0], answers=()))
    with pytest.raises(DataError, match=r"sums\.jsonl:10: an answer is missing"):
        bench.run(replace(sums(3), items=items))
    assert bench.opened == []
