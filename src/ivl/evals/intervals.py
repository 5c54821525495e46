"""How sure a mean is: 95% intervals of scores, of groups of scores, and of differences between two subjects.

In: numbers, one for each question, and which of them belong together. Out: a `Score`. Knows no question and no model.
All draws come from a seed, so the same numbers have the same interval.

An interval speaks of the questions as a sample of such questions. It knows nothing of how they were chosen, of the seed
of a training, or of which prompt was best. Questions that are alike, such as those about one picture, are a cluster:
a sample of clusters, not of questions. No interval is narrower for its clusters than it is without them, and one
cluster alone says nothing of others.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from ivl.evals.item import Score

Floats = npt.NDArray[np.float64]
Units = tuple[Floats, Floats]
"""What is drawn as a whole, single values or clusters of them: of each the sum, and the number of its values."""
Ends = tuple[float, float]

_Z = 1.959963984540054
"""Of a normal variable, 95% lies within so many standard deviations."""
_NUM_RESAMPLES = 2000
_MOST_DRAWS = 4_000_000
"""At once, so that a large set does not fill the memory."""
_NORMAL_FROM = 10_000
"""From so many pairs on, a mean is normal to more digits than are shown."""


def mean_interval(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    low: float = 0.0,
    high: float = 1.0,
    seed: int = 0,
) -> Score:
    """The mean of values, each in a cluster of its own, or in that which `clusters` names for it.

    low, high: the least and the most that a value can be. Where every cluster is all `low` or all `high`, and they are
    of one size or all alike, the interval is Wilson's for as many values as there are clusters. Else it is a bootstrap:
    clusters are drawn with replacement, 2,000 times, the 2.5th and 97.5th percentile of the means of all their values
    are taken, and made wider where clusters are few (`_widening`). `n` counts values. Raises ValueError without values,
    or if there is not one cluster for each.
    """
    array = _array(values)
    ends = [_mean_ends(units, low, high, seed) for units in _drawn(array, clusters)]
    return _score(array, ends)


def wilson(successes: float, n: int) -> Ends:
    """Wilson's 95% interval of a share (1927); it never leaves 0 to 1 and is honest where all or none succeeded."""
    share, spread = successes / n, _Z**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == n else min(1.0, centre + half)


def paired_difference(
    before: Sequence[float],
    after: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    most: float = 1.0,
    seed: int = 0,
) -> Score:
    """The mean of after - before, where both answered the same questions in the same order.

    most: the largest difference that can be. By a bootstrap as that of `mean_interval`, over pairs or over clusters of
    them; from 10,000 on by the normal distribution. Where all differ alike, or none does, low and high are what
    Wilson's interval leaves possible for the share of pairs (or clusters) that would be otherwise. Raises ValueError
    without values, or if the lengths are not the same.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} scores before, {len(after)} after; each question needs both")
    array = _array(after) - _array(before)
    return _score(array, [_difference_ends(units, most, seed) for units in _drawn(array, clusters)])


def _array(values: Sequence[float]) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError("an interval needs one value or more")
    if not np.isfinite(array).all():
        raise ValueError("an interval needs finite values, and one is not")
    return array


def _drawn(array: Floats, clusters: Sequence[Hashable] | None) -> list[Units]:
    """The single values; and the clusters, where there are any of more than one value."""
    single = (array, np.ones(len(array)))
    if clusters is None:
        return [single]
    if len(clusters) != len(array):
        raise ValueError(f"{len(array)} values, {len(clusters)} clusters; each value needs one")
    numbers: dict[Hashable, int] = {}
    which = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters])
    if len(numbers) == len(array):
        return [single]
    return [single, (np.bincount(which, weights=array).astype(np.float64), np.bincount(which).astype(np.float64))]


def _score(array: Floats, ends: Sequence[Ends]) -> Score:
    """The widest interval: where clusters are few, chance can make their means look more alike than values are."""
    return Score(
        mean=float(array.mean()),
        low=min(low for low, _ in ends),
        high=max(high for _, high in ends),
        n=len(array),
    )


def _mean_ends(units: Units, low: float, high: float, seed: int) -> Ends:
    sums, sizes = units
    shares = (sums / sizes - low) / (high - low)
    if np.isin(shares, (0.0, 1.0)).all() and (np.ptp(sizes) == 0 or np.ptp(shares) == 0):
        least, most = wilson(float(shares.sum()), len(shares))
        return low + (high - low) * least, low + (high - low) * most
    return _bootstrap(units, low, high, seed)


def _difference_ends(units: Units, most: float, seed: int) -> Ends:
    sums, sizes = units
    if len(sums) > 1 and np.ptp(sums / sizes) == 0:
        mean, share = float(sums[0] / sizes[0]), wilson(0, len(sums))[1]
        return max(-most, mean - share), min(most, mean + share)
    return _normal(units) if len(sums) >= _NORMAL_FROM else _bootstrap(units, -most, most, seed)


def _bootstrap(units: Units, least: float, most: float, seed: int) -> Ends:
    """Percentiles of resampled means, from `least` to `most`; a unit that is drawn brings its sum and its size."""
    sums, sizes = units
    if len(sums) == 1:
        return least, most
    rng = np.random.default_rng(seed)
    rows = max(1, _MOST_DRAWS // len(sums))
    means = []
    for done in range(0, _NUM_RESAMPLES, rows):
        drawn = rng.integers(len(sums), size=(min(rows, _NUM_RESAMPLES - done), len(sums)))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    ends = np.quantile(np.concatenate(means), (0.025, 0.975))
    mean = sums.sum() / sizes.sum()
    low, high = mean + _widening(len(sums)) * (ends - mean)
    return max(least, float(low)), min(most, float(high))


def _widening(num_units: int) -> float:
    """How much wider a bootstrap's interval has to be for so few units: 1.58 times for 5, 1.13 for 15, 1.01 for 150.

    Student's t over the normal distribution, by the expansion of Fisher and Cornish (1960), which is 3% short for three
    units and within 1% from four on; times what the bootstrap misses because it divides by n and not by n - 1.
    """
    free, z = num_units - 1, _Z
    first = (z**3 + z) / (4 * free)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    return (z + first + second + third) / z * math.sqrt(num_units / free)


def _normal(units: Units) -> Ends:
    """A ratio's normal interval; for sizes of 1 that of a mean."""
    sums, sizes = units
    mean = sums.sum() / sizes.sum()
    residuals = sums - mean * sizes
    error = math.sqrt(len(sums) / (len(sums) - 1) * float((residuals**2).sum())) / float(sizes.sum())
    return float(mean) - _Z * error, float(mean) + _Z * error
