"""Intervals for rates, differences of rates, areas under the ROC curve, and means of dependent parts."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from synth.metrics.measurement import Interval

LEVEL = 0.95  # of every interval that is not corrected for multiplicity


def z_of(level: float = LEVEL) -> float:
    """The two-sided normal quantile of a level: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(count: float, n: float, level: float = LEVEL) -> Interval:
    """A rate with Wilson's score interval; n may be an effective number. With n = 0 it is unknown: value NaN in [0, 1]."""
    if n == 0:
        return Interval(math.nan, 0.0, 1.0, 0)
    z, p = z_of(level), float(count / n)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(p, min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)), round(n))


def clopper_pearson(count: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """The exact interval of a rate; count and n may be effective numbers, not whole."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = 0.0 if count <= 0 else float(betaincinv(count, n - count + 1, tail))
    high = 1.0 if count >= n else float(betaincinv(count + 1, n - count, 1 - tail))
    return low, high


def newcombe(count_a: float, n_a: int, count_b: float, n_b: int, level: float = LEVEL) -> Interval:
    """The difference of two independent rates, a − b, with Newcombe's hybrid score interval (1998, method 10)."""
    a, b = wilson(count_a, n_a, level), wilson(count_b, n_b, level)
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Interval(value, low, high, min(n_a, n_b))


def magnitude(signed: Interval) -> Interval:
    """The interval of |x| from the interval of x."""
    ends = sorted((abs(signed.low), abs(signed.high)))
    low = 0.0 if signed.low <= 0.0 <= signed.high else ends[0]
    return Interval(abs(signed.value), low, ends[1], signed.n)


def normal(value: float, error: float, n: int, bounds: tuple[float, float], level: float = LEVEL) -> Interval:
    """value ± z·error, cut to the values that are possible."""
    half = z_of(level) * error
    return Interval(value, max(bounds[0], value - half), min(bounds[1], value + half), n)


def auc_parts(positive: np.ndarray, negative: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The area under the ROC curve and its DeLong (1988) components.

    positive, negative: scores of shape (n1,) and (n0,). Returns the area, for each positive the share of negatives below it,
    and for each negative the share of positives above it; ties count half.
    """
    ordered_pos, ordered_neg = np.sort(positive), np.sort(negative)
    below = (np.searchsorted(ordered_neg, positive, "left") + np.searchsorted(ordered_neg, positive, "right")) / 2
    above = (np.searchsorted(ordered_pos, negative, "left") + np.searchsorted(ordered_pos, negative, "right")) / 2
    v10 = below / len(negative)
    v01 = 1.0 - above / len(positive)
    return float(v10.mean()), v10, v01


def delong(positive: np.ndarray, negative: np.ndarray, level: float = LEVEL) -> Interval:
    """The area under the ROC curve with DeLong's interval, formed on the logit scale so that it stays inside (0, 1)."""
    area, v10, v01 = auc_parts(positive, negative)
    error = math.sqrt(variance_of_mean(v10) + variance_of_mean(v01))
    return logit_interval(area, error, len(positive) + len(negative), level)


def logit_interval(area: float, error: float, n: int, level: float = LEVEL) -> Interval:
    """An area with its standard error as an interval that stays inside [0, 1]."""
    if not 0.0 < area < 1.0:
        # nothing was ever ranked wrong (or right): the exact bound for a rate seen 0 or n times
        low, high = clopper_pearson(area * n, n, level)
        return Interval(area, low, high, n)
    half = z_of(level) * error / (area * (1 - area))
    middle = math.log(area / (1 - area))
    return Interval(area, 1 / (1 + math.exp(half - middle)), 1 / (1 + math.exp(-half - middle)), n)


def variance_of_mean(parts: np.ndarray) -> float:
    """Var(mean) of independent parts; 0 for fewer than two."""
    return float(parts.var(ddof=1) / len(parts)) if len(parts) > 1 else 0.0


def jackknife_error(leave_one_out: np.ndarray) -> float:
    """The delete-a-group jackknife's standard error from the values without each group, shape (groups,).

    Widened from Student's t to the normal, since few groups estimate it.
    """
    from scipy.special import stdtrit

    groups = len(leave_one_out)
    if groups < 2:
        return math.nan
    spread = math.sqrt((groups - 1) / groups * float(((leave_one_out - leave_one_out.mean()) ** 2).sum()))
    return spread * float(stdtrit(groups - 1, 0.5 + LEVEL / 2)) / z_of()


def newcombe_magnitude(count_a: float, n_a: int, count_b: float, n_b: int, level: float = LEVEL) -> Interval:
    """How far two independent rates lie apart, with Newcombe's interval."""
    return magnitude(newcombe(count_a, n_a, count_b, n_b, level))


def newcombe_stand_in(count: float, n: int, real_count: float, real_n: int, rows: int, level: float = LEVEL) -> Interval:
    """How far the rate of n real rows lies from that of others, as if they were as many as the `rows` that they stand in for.

    A difference of rates falls with the number of rows, so real and synthetic ones must rest on equally many. Of more real rows
    than that, this is the mean over all draws of so many of them, by the normal approximation; for fewer, it is scaled down
    by how much less the two would scatter. With n = rows it is `newcombe_magnitude`.
    """
    if min(n, real_n, rows) == 0:
        return newcombe_magnitude(count, n, real_count, real_n, level)
    whole = newcombe_magnitude(count, n, real_count, real_n, level)
    if rows >= n:
        less = math.sqrt((1 / rows + 1 / real_n) / (1 / n + 1 / real_n))
        return Interval(whole.value * less, whole.low * less, whole.high * less, n)
    p = count / n
    spread = math.sqrt(p * (1 - p) / rows * (n - rows) / (n - 1))
    value = whole.value
    if spread > 0:
        z = value / spread
        value = spread * math.sqrt(2 / math.pi) * math.exp(-z * z / 2) + value * math.erf(z / math.sqrt(2))
    more = value - whole.value
    return Interval(value, max(0.0, whole.low + more), min(1.0, whole.high + more), rows)
