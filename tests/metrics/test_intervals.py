"""Intervals agree with independent computations, and hold the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from synth.metrics.intervals import (
    auc_parts,
    clopper_pearson,
    delong,
    logit_interval,
    magnitude,
    newcombe,
    newcombe_magnitude,
    newcombe_stand_in,
    wilson,
)
from synth.metrics.measurement import Interval


@pytest.mark.parametrize(("count", "n"), [(0, 10), (1, 10), (7, 31), (50, 100), (10, 10), (3, 100_000)])
def test_wilson_and_clopper_pearson_agree_with_scipy(count: int, n: int) -> None:
    mine, theirs = wilson(count, n), binomtest(count, n).proportion_ci(method="wilson")
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    exact = binomtest(count, n).proportion_ci(method="exact")
    assert clopper_pearson(count, n) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_a_rate_of_no_rows_is_unknown() -> None:
    nothing = wilson(0, 0)
    assert math.isnan(nothing.value)
    assert (nothing.low, nothing.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("a", "m", "b", "n", "low", "high"),
    [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
    ],
)
def test_newcombe_gives_the_intervals_of_his_paper(a: int, m: int, b: int, n: int, low: float, high: float) -> None:
    found = newcombe(a, m, b, n)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_the_magnitude_of_an_interval_over_zero_starts_at_zero() -> None:
    assert magnitude(Interval(-0.1, -0.3, 0.2, 5)) == Interval(0.1, 0.0, 0.3, 5)
    assert magnitude(Interval(-0.4, -0.5, -0.2, 5)) == Interval(0.4, 0.2, 0.5, 5)


def test_the_area_agrees_with_scikit_learn_also_under_ties() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        positive, negative = rng.integers(0, 8, 40), rng.integers(0, 6, 70)
        truth = np.repeat([1, 0], [40, 70])
        assert auc_parts(positive, negative)[0] == pytest.approx(roc_auc_score(truth, np.concatenate([positive, negative])))


def test_delong_holds_the_true_area_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(1)
    truth = 0.7602499389065233  # Φ(1/√2) for unit normals one apart
    hits = 0
    for _ in range(400):
        found = delong(rng.normal(1, 1, 80), rng.normal(0, 1, 120))
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 400 <= 0.98


def test_a_perfect_area_still_has_a_width() -> None:
    found = delong(np.arange(10, 30), np.arange(10))
    assert found.value == found.high == 1.0
    assert 0.8 < found.low < 1.0
    assert logit_interval(0.0, 0.0, 30).high > 0


@pytest.mark.parametrize(("held", "rows"), [(8_000, 400), (1_000, 1_000), (500, 8_000)])
def test_real_rows_stand_in_for_as_many_synthetic_ones(held: int, rows: int) -> None:
    """Rates of one population, whatever the sizes: the mean distance of the stand-ins is that of the rows they stand in for."""
    rng = np.random.default_rng(0)
    n, p, draws = 6_000, 0.3, 3_000
    real, stand, fake = (rng.binomial(size, p, draws) for size in (n, held, rows))
    judged = np.mean([newcombe_magnitude(int(f), rows, int(r), n).value for f, r in zip(fake, real, strict=True)])
    found = [newcombe_stand_in(int(s), held, int(r), n, rows) for s, r in zip(stand, real, strict=True)]
    assert np.mean([interval.value for interval in found]) == pytest.approx(judged, rel=0.06)
    assert all(interval.low <= interval.value <= interval.high for interval in found)
