"""How sure a mean is: 95% intervals of scores, of groups of scores, and of differences between two subjects.

In: numbers, one for each question. Out: a `Score`. Knows no question and no model. All draws come from a seed, so the
same numbers have the same interval.

An interval speaks of the questions as a sample of such questions. It knows nothing of how they were chosen, of the seed
of a training, or of which prompt was best.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from ivl.evals.item import Score

Floats = npt.NDArray[np.float64]

_Z = 1.959963984540054
"""Of a normal variable, 95% lies within so many standard deviations."""
_NUM_RESAMPLES = 2000
_MOST_DRAWS = 4_000_000
"""At once, so that a large set does not fill the memory."""
_NORMAL_FROM = 10_000
"""From so many pairs on, a mean is normal to more digits than are shown."""


def mean_interval(values: Sequence[float], *, low: float = 0.0, high: float = 1.0, seed: int = 0) -> Score:
    """The mean: Wilson's interval where every value is `low` or `high`, else a bootstrap over the values.

    low, high: the least and the most that a value can be. The bootstrap takes the 2.5th and 97.5th percentile of 2,000
    means of values drawn with replacement. Under about 20 values that are not all at the ends it is too narrow, and of
    one value it is that value. Raises ValueError without values.
    """
    array = _array(values)
    mean = float(array.mean())
    if np.isin(array, (low, high)).all():
        least, most = (low + (high - low) * share for share in wilson(float((array == high).sum()), len(array)))
    else:
        least, most = _bootstrap(array, np.ones(len(array)), seed)
    return Score(mean=mean, low=least, high=most, n=len(array))


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share (1927); it never leaves 0 to 1 and is honest where all or none succeeded."""
    share, spread = successes / n, _Z**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == n else min(1.0, centre + half)


def clustered_interval(values: Sequence[float], clusters: Sequence[Hashable], *, seed: int = 0) -> Score:
    """The mean of values that come in clusters (questions about one dish, or one scene): bootstrap over clusters.

    Whole clusters are drawn with replacement, 2,000 times, each time the mean over all their values is taken. Where all
    values are 0, or all are 1, it is Wilson's interval for as many values as there are clusters. Under about 20
    clusters it is too narrow. `n` counts values. Raises ValueError without values, or if there is not one cluster for
    each.
    """
    array = _array(values)
    sums, sizes = _by_cluster(array, clusters)
    mean = float(array.mean())
    if mean in (0.0, 1.0) and np.ptp(array) == 0:
        low, high = wilson(mean * len(sums), len(sums))
    else:
        low, high = _bootstrap(sums, sizes, seed)
    return Score(mean=mean, low=low, high=high, n=len(array))


def paired_difference(
    before: Sequence[float],
    after: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
) -> Score:
    """The mean of after - before, where both answered the same questions in the same order.

    By a bootstrap over pairs (2,000 resamples, percentiles), or over clusters of them where these are given; from
    10,000 pairs (or clusters) on by the normal distribution. Where no pair differs, low and high are what Wilson's
    interval leaves possible for the share of pairs that would. Raises ValueError without values, or if the lengths are
    not the same.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} scores before, {len(after)} after; each question needs both")
    array = _array(after) - _array(before)
    sums, sizes = (array, np.ones(len(array))) if clusters is None else _by_cluster(array, clusters)
    mean = float(array.mean())
    if not array.any():
        high = wilson(0, len(sums))[1]
        return Score(mean=0.0, low=-high, high=high, n=len(array))
    low, high = _normal(sums, sizes) if len(sums) >= _NORMAL_FROM else _bootstrap(sums, sizes, seed)
    return Score(mean=mean, low=low, high=high, n=len(array))


def _array(values: Sequence[float]) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError("an interval needs one value or more")
    if not np.isfinite(array).all():
        raise ValueError("an interval needs finite values, and one is not")
    return array


def _by_cluster(array: Floats, clusters: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Sum and number of the values of each cluster."""
    if len(clusters) != len(array):
        raise ValueError(f"{len(array)} values, {len(clusters)} clusters; each value needs one")
    numbers: dict[Hashable, int] = {}
    which = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters])
    return np.bincount(which, weights=array).astype(np.float64), np.bincount(which).astype(np.float64)


def _bootstrap(sums: Floats, sizes: Floats, seed: int) -> tuple[float, float]:
    """Percentiles of resampled means; a unit that is drawn brings its sum and its size."""
    rng = np.random.default_rng(seed)
    rows = max(1, _MOST_DRAWS // len(sums))
    means = []
    for done in range(0, _NUM_RESAMPLES, rows):
        drawn = rng.integers(len(sums), size=(min(rows, _NUM_RESAMPLES - done), len(sums)))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return float(low), float(high)


def _normal(sums: Floats, sizes: Floats) -> tuple[float, float]:
    """A ratio's normal interval; for sizes of 1 that of a mean."""
    mean = sums.sum() / sizes.sum()
    residuals = sums - mean * sizes
    error = math.sqrt(len(sums) / (len(sums) - 1) * float((residuals**2).sum())) / float(sizes.sum())
    return float(mean) - _Z * error, float(mean) + _Z * error
