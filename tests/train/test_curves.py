import math

import pytest

from ivl.train.curves import Smooth, limits, smooth, thin, ticks


def test_the_average_of_one_value_is_itself_and_of_a_constant_too():
    average = Smooth(20)
    assert [average.add(3.0) for _ in range(5)] == pytest.approx([3.0] * 5)


def test_the_average_follows_and_passes_over_what_is_no_number():
    average = Smooth(3)  # each value counts half as much as the next one
    assert average.add(math.nan) is not None
    assert average.add(1.0) == 1
    assert average.add(math.inf) == 1
    assert average.add(4.0) == pytest.approx((0.5 * 1 + 4) / 1.5)


def test_short_curves_are_not_smoothed():
    points = [(1, 5.0), (2, 1.0), (3, 4.0)]
    assert smooth(points) == points


def test_thinning_keeps_order_ends_of_stretches_and_spikes():
    points = [(step, math.sin(step)) for step in range(10_000)]
    points[4321] = (4321, 50.0)
    kept = thin(points, 100)
    assert len(kept) <= 100
    assert (4321, 50.0) in kept
    assert kept == sorted(kept)
    assert thin(points[:100], 100) == points[:100]


def test_a_spike_is_left_outside_and_a_slope_is_not():
    noisy = [(step, 1.0 + step % 7 / 10) for step in range(200)]
    assert limits([noisy]) == (1.0, 1.6)
    low, high = limits([[*noisy, (200, 99.0)]])
    assert (low, high) == (1.0, pytest.approx(1.78))
    assert limits([[(step, 5 - step / 50) for step in range(200)]]) == (pytest.approx(1.02), 5.0)


@pytest.mark.parametrize("curve", [[], [(0, math.nan)], [(0, 2.0)], [(0, 0.0), (1, 0.0)], [(0, -3.0)], [(0, 1e-300)]])
def test_limits_always_leave_room(curve):
    low, high = limits([curve])
    assert low < high
    assert all(low <= value <= high for _, value in curve if math.isfinite(value))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.33, 2.1, [0.5, 1, 1.5, 2]),
        (0, 3e-5, [0, 1e-5, 2e-5, 3e-5]),
        (-5, 5, [-4, -2, 0, 2, 4]),
        (7, 7, [7]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)
