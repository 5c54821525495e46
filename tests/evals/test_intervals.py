"""Intervals hold the true mean as often as they say, are the same each time, and are honest at the ends."""

import numpy as np
import pytest

from ivl.evals import intervals
from ivl.evals.intervals import mean_interval, paired_difference, wilson


def coverage(true_mean, make, num_trials=300):
    """Share of trials whose interval holds the true mean; `make` gives a trial's `Score`."""
    rng = np.random.default_rng(7)
    scores = [make(rng) for _ in range(num_trials)]
    return sum(score.low <= true_mean <= score.high for score in scores) / num_trials


def test_wilsons_interval_has_the_books_numbers():
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, example 1
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)  # example 3
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)  # example 4
    assert wilson(20, 20)[1] == 1.0


def test_zeros_and_ones_have_wilsons_interval():
    score = mean_interval([1] * 81 + [0] * 182)
    assert (score.mean, score.n) == (81 / 263, 263)
    assert (score.low, score.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert mean_interval([0.0] * 20).high == pytest.approx(0.1611, abs=5e-5)
    assert mean_interval([True] * 20).low == pytest.approx(1 - 0.1611, abs=5e-5)


def test_the_ends_of_another_scale():
    score = mean_interval([0.0] * 20, high=10.0)
    assert (score.low, score.high) == pytest.approx((0.0, 1.611), abs=5e-4)
    assert mean_interval([10.0] * 20, high=10.0).low == pytest.approx(8.389, abs=5e-4)


def test_other_values_have_a_bootstrap():
    values = np.random.default_rng(0).uniform(size=400)
    score = mean_interval(list(values))
    half = 1.96 * values.std() / 20
    assert score.mean == pytest.approx(values.mean())
    assert (score.low, score.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_a_seed_gives_the_same_interval_again_and_another_one_another():
    values = [0.1, 0.5, 0.9, 0.3] * 20
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values).low != mean_interval(values, seed=1).low


def test_the_memory_of_a_bootstrap_is_bounded(monkeypatch):
    values = list(np.random.default_rng(0).uniform(size=100))
    whole = mean_interval(values)
    monkeypatch.setattr(intervals, "_MOST_DRAWS", 1050)  # ten rows at once, and drawn alike
    assert mean_interval(values) == whole


def test_wilsons_interval_covers():
    assert 0.92 <= coverage(0.85, lambda rng: mean_interval(rng.uniform(size=80) < 0.85), 1000) <= 0.98


def test_the_bootstrap_covers():
    assert 0.92 <= coverage(0.4, lambda rng: mean_interval(rng.beta(2, 3, size=60))) <= 0.98


def hard_and_easy(rng, num_clusters, size):
    """Zeros and ones: each cluster has its own share of ones, often near 0 or 1; their true mean is 0.5."""
    shares = rng.beta(0.25, 0.25, size=(num_clusters, 1))
    return (rng.uniform(size=(num_clusters, size)) < shares).astype(float).ravel()


@pytest.mark.parametrize(("num_clusters", "size"), [(60, 6), (8, 40)])
def test_clusters_cover_where_single_values_do_not(num_clusters, size):
    names = [number // size for number in range(num_clusters * size)]
    assert 0.92 <= coverage(0.5, lambda rng: mean_interval(hard_and_easy(rng, num_clusters, size), names)) <= 0.98
    assert coverage(0.5, lambda rng: mean_interval(hard_and_easy(rng, num_clusters, size)), 200) < 0.72


def test_differences_of_clusters_cover_where_single_ones_do_not():
    """Before and after each have their own hard and easy clusters: the true difference is 0."""
    names = [number // 5 for number in range(200)]

    def trial(rng, clusters=None):
        return paired_difference(hard_and_easy(rng, 40, 5), hard_and_easy(rng, 40, 5), clusters)

    assert 0.92 <= coverage(0.0, lambda rng: trial(rng, names), 200) <= 0.985
    assert coverage(0.0, trial, 50) < 0.8


def test_independent_values_lose_little_by_clusters():
    values = np.random.default_rng(5).integers(2, size=600)
    alone, together = mean_interval(values), mean_interval(values, [number // 3 for number in range(600)])
    assert 1 <= (together.high - together.low) / (alone.high - alone.low) < 1.1


def test_clusters_make_nothing_surer():
    values, names = [1, 0] * 10, [number // 2 for number in range(20)]  # every cluster has the same mean
    assert mean_interval(values, names) == mean_interval(values)
    before, after = [1, 1] * 10, [1, 0] * 10
    alone, together = paired_difference(before, after), paired_difference(before, after, names)
    assert together.low <= alone.low < alone.high <= together.high


def test_one_cluster_says_nothing_of_others():
    score = mean_interval([1, 0, 1, 1], "aaaa")
    assert (score.mean, score.low, score.high) == (0.75, 0, 1)
    score = mean_interval([10.0, 0.0], "aa", high=10.0)
    assert (score.low, score.high) == (0, 10)
    score = paired_difference([1, 0, 0, 0], [1, 1, 1, 0], "aaaa")
    assert (score.mean, score.low, score.high) == (0.5, -1, 1)


def test_few_units_need_a_wider_interval():
    students_t = {4: 3.182, 5: 2.776, 10: 2.262, 30: 2.045, 120: 1.980}  # of one fewer degrees of freedom, at 97.5%
    for num, t in students_t.items():
        assert intervals._widening(num) == pytest.approx(t / 1.96 * (num / (num - 1)) ** 0.5, rel=0.01)
    values = [0.2, 0.4, 0.5, 0.7, 0.9]
    error = np.std(values, ddof=1) / 5**0.5
    score = mean_interval(values)
    assert (score.low, score.high) == pytest.approx((0.54 - 2.776 * error, 0.54 + 2.776 * error), abs=0.03)


def test_paired_differences_cover():
    def trial(rng, clusters=None):
        before = rng.uniform(size=80) < 0.6
        return paired_difference(before, np.where(rng.uniform(size=80) < 0.2, ~before, before), clusters)

    true = 0.2 * (0.4 - 0.6)
    assert 0.91 <= coverage(true, trial) <= 0.98
    assert 0.91 <= coverage(true, lambda rng: trial(rng, list(range(80)))) <= 0.98


def test_clusters_of_one_are_single_values():
    for values in ([0.2, 0.4, 0.9, 0.6, 0.1], [1, 0, 1, 1, 1]):
        assert mean_interval(values, "abcde") == mean_interval(values)
        assert paired_difference([0.3] * 5, values, "abcde") == paired_difference([0.3] * 5, values)


def test_clusters_of_other_sizes_weigh_by_their_values():
    score = mean_interval([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"])
    assert (score.mean, score.n, score.low, score.high) == (0.75, 4, 0.0, 1.0)


def test_clusters_that_are_wholly_right_or_wrong_count_as_one_value_each():
    score = mean_interval([1.0] * 100, [number % 20 for number in range(100)])
    assert (score.low, score.high) == (wilson(20, 20)[0], 1.0)
    score = mean_interval([1, 1, 1, 0, 0, 0] * 20, [number // 3 for number in range(120)])
    assert (score.low, score.high) == wilson(20, 40)


def test_a_pair_is_stronger_than_two_means():
    rng = np.random.default_rng(3)
    before = (rng.uniform(size=500) < 0.5).astype(float)
    after = before.copy()
    after[:15] = 1.0
    score = paired_difference(before, after)
    assert score.n == 500
    assert score.mean == pytest.approx(after.mean() - before.mean())
    assert 0 < score.low < score.mean < score.high < 0.03


def test_many_pairs_are_normal_and_agree_with_the_bootstrap(monkeypatch):
    rng = np.random.default_rng(1)
    before, after = rng.integers(2, size=10_000), rng.integers(2, size=10_000)
    normal = paired_difference(before, after)
    monkeypatch.setattr(intervals, "_NORMAL_FROM", 10**9)
    drawn = paired_difference(before, after)
    assert normal != drawn
    assert (normal.low, normal.high) == pytest.approx((drawn.low, drawn.high), abs=1e-3)


def test_no_change_is_not_certainty():
    score = paired_difference([1, 0, 1, 1] * 25, [1, 0, 1, 1] * 25)
    assert (score.mean, score.n) == (0.0, 100)
    assert -score.low == score.high == wilson(0, 100)[1]
    score = paired_difference([0] * 10, [1] * 10)
    assert (score.low, score.mean, score.high) == (1 - wilson(0, 10)[1], 1.0, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([]), "one value or more"),
        (lambda: mean_interval([0.5, float("nan")]), "finite"),
        (lambda: mean_interval([], []), "one value or more"),
        (lambda: mean_interval([1.0], []), "1 values, 0 clusters"),
        (lambda: paired_difference([], []), "one value or more"),
        (lambda: paired_difference([1.0], [1.0, 0.0]), "1 scores before, 2 after"),
        (lambda: paired_difference([1.0, 0.0], [0.0, 1.0], ["a"]), "2 values, 1 clusters"),
    ],
)
def test_what_has_no_interval_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
