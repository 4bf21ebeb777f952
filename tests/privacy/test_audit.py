"""Each mechanism, and each method whole, give away no more than they claim; a pure Gaussian release nearly all of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.audits import exact_gaussian_epsilon, released
from benchmarks.mutations import DELTA, SMALL_RHO, noises, unique_category
from synth.errors import ConfigError, InputError
from synth.privacy.audit import (
    WORST,
    WORST_SIZES,
    Attempts,
    attempts,
    audit_epsilon,
    audit_mu,
    choice_mu,
    claimed_mu,
    exact_counts,
    gaussian_control,
    gaussian_mu,
    likelihood_ratio,
    runs_to_see,
)
from synth.privacy.canaries import audit_one_run, flip, right_guesses
from synth.privacy.mechanisms import Noise, sigma

pytest.importorskip("opendp", reason="what is audited is OpenDP's noise, which the extra 'dp' brings")

MICRO_RHO = 1_783_000  # ε = 10 at δ = 1e-5
SURELY = 1 - 1e-6  # where noise is OpenDP's, and differs each time


def test_the_worst_pair_differs_in_one_row_that_is_alone_in_its_cells() -> None:
    assert WORST.without.tolist() == [[0, 0, 0]] * 4
    assert WORST.with_.tolist() == [[0, 0, 0]] * 4 + [[1, 1, 1]]
    assert exact_counts(WORST.with_, (0, 1, 2), WORST_SIZES).ravel().tolist() == [4, 0, 0, 0, 0, 0, 0, 1]
    assert exact_counts(WORST.with_, (2,), (2,)).tolist() == [4, 1]


# the audit is not blind --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("micro_rho", [224_000, MICRO_RHO])
def test_a_pure_gaussian_release_is_caught_giving_away_most_of_its_claim(micro_rho: int) -> None:
    audit = gaussian_control(micro_rho, confidence=SURELY if micro_rho == MICRO_RHO else 0.99, seed=None)
    assert audit.sees, audit.in_words
    assert audit.bound <= 1.02 * audit.claim  # at 99% it may pass the claim by a hair now and then
    assert audit.runs >= 2_000


def test_an_audit_that_looks_away_is_known_to_be_blind() -> None:
    rng = np.random.default_rng(0)
    elsewhere = audit_mu("noise", 1.888, Attempts(rng.normal(size=2_000), rng.normal(size=2_000)))
    assert not elsewhere.sees
    assert elsewhere.holds


@pytest.mark.parametrize("micro_rho", [8_500, 224_000, 500_000, MICRO_RHO, 10**7])
def test_the_claim_of_a_count_is_that_of_the_discrete_gaussian(micro_rho: int) -> None:
    """Over all thresholds Φ⁻¹(1 − α) − Φ⁻¹(β) is no more, and somewhere as much; √(2ρ) is less, and near it for small ρ."""
    scale = sigma(micro_rho)
    values = np.arange(-math.ceil(30 * scale), math.ceil(30 * scale) + 1)
    mass = np.exp(-((values / scale) ** 2) / 2)
    above = np.cumsum((mass / mass.sum())[::-1])[::-1]  # P[X >= value]
    alpha, power = above[1:], above[:-1]  # with one more, X >= t where X >= t − 1 without
    seen = (alpha > 1e-12) & (power < 1 - 1e-12)
    mus = stats.norm.isf(alpha[seen]) - stats.norm.isf(power[seen])
    assert mus.max() == pytest.approx(gaussian_mu(micro_rho), rel=1e-9)
    assert claimed_mu(micro_rho) <= gaussian_mu(micro_rho)
    assert gaussian_mu(8_500) < 1.001 * claimed_mu(8_500)


def test_the_claim_of_a_choice_is_the_worst_over_all_odds() -> None:
    epsilon = math.sqrt(8 * MICRO_RHO / 1e6)
    odds = np.linspace(-20, 20, 4_001)
    mus = stats.norm.ppf(1 / (1 + np.exp(-odds - epsilon))) - stats.norm.ppf(1 / (1 + np.exp(-odds)))
    assert mus.max() == pytest.approx(choice_mu(MICRO_RHO), rel=1e-5)


# what is claimed holds ---------------------------------------------------------------------------------------------------


def test_counts_hold_their_claim_and_reach_it() -> None:
    """By OpenDP, one release at a time as in a fit, and by seeded noise as well."""
    new_noise = noises(MICRO_RHO, None)
    tries = attempts(released("counts", MICRO_RHO), likelihood_ratio, new_noise, runs=600)
    audit = audit_mu("counts", gaussian_mu(MICRO_RHO), tries, confidence=SURELY)
    assert audit.holds, audit.in_words
    assert audit.reached > 0.4


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("mst", {}),
        ("aim", {"iterations": 5, "rounds": 1}),
        ("network", {"iterations": 1, "rounds": 1, "components": 8}),
    ],
)
def test_methods_hold_their_claim_as_a_whole(method: str, settings: dict[str, int]) -> None:
    """At a size that CI can run; `make audit` has 2,000 runs a side."""
    if method == "network":
        pytest.importorskip("torch", reason="a network is trained with torch, which the extra 'torch' brings")
    tries = attempts(released(method, MICRO_RHO, **settings), likelihood_ratio, noises(MICRO_RHO, 3), runs=60)
    audit = audit_mu(method, claimed_mu(MICRO_RHO), tries)
    assert audit.holds, audit.in_words
    assert audit.bound > 0.05


def test_a_choice_holds_its_claim() -> None:
    scores = {4: np.array([0.0, 1.0]), 5: np.array([1.0, 0.0])}

    def release(codes: np.ndarray, noise: Noise) -> int:
        return noise.choose(scores[len(codes)], MICRO_RHO, sensitivity=1, what="a choice")

    tries = attempts(release, lambda chosen, _: float(chosen == 0), noises(MICRO_RHO, None), runs=400)
    black_box = audit_epsilon("a choice", math.sqrt(8 * MICRO_RHO / 1e6), 0.0, tries, confidence=SURELY)
    as_gaussian = audit_mu("a choice", choice_mu(MICRO_RHO), tries, confidence=SURELY)
    assert black_box.holds
    assert as_gaussian.holds
    assert as_gaussian.reached > 0.4


def test_a_category_of_one_row_shows_no_more_often_than_delta() -> None:
    def shown(noise: Noise) -> bool:
        return "rare" in noise.thresholded({"usual": 40, "rare": 1}, SMALL_RHO, DELTA, what="categories")

    assert unique_category("categories", shown, noises(SMALL_RHO, 5, delta=DELTA), 3_000).holds


# an attack that is tuned on what it is judged by would see ghosts ----------------------------------------------------------


def test_noise_without_the_unit_in_it_shows_nothing() -> None:
    rng = np.random.default_rng(1)
    for seen in range(20):
        scores = rng.integers(0, 2 + seen, (2, 1_000))
        assert audit_epsilon("noise", 0.0, 0.0, Attempts(*scores), confidence=0.9999).holds


def test_a_score_that_falls_with_the_unit_shows_as_much() -> None:
    rng = np.random.default_rng(2)
    without, with_ = rng.normal(0, 1, 4_000), rng.normal(2, 1, 4_000)
    up, down = (audit_mu("noise", 2.0, Attempts(sign * without, sign * with_)) for sign in (1, -1))
    assert up.bound == pytest.approx(down.bound, rel=0.05)
    assert 1.6 < down.bound < 2


# one run -----------------------------------------------------------------------------------------------------------------


def test_one_run_on_canaries_stays_below_epsilon_and_sees_some_of_it() -> None:
    rng, deviation, delta = np.random.default_rng(3), 1.0, 1e-5
    epsilon = exact_gaussian_epsilon(deviation, delta)
    included = rng.random(2_000) < 0.5
    scores = included + rng.normal(0, deviation, 2_000)
    audit = audit_one_run("sums with noise", epsilon, scores, included, delta=delta)
    assert audit.holds, audit.in_words
    assert audit.bound > 0.2 * epsilon


def test_one_run_finds_noise_that_is_missing() -> None:
    rng, delta = np.random.default_rng(4), 1e-5
    epsilon = exact_gaussian_epsilon(2.0, delta)
    included = rng.random(1_000) < 0.5
    planted = audit_one_run("a tenth of the noise", epsilon, included + rng.normal(0, 0.2, 1_000), included, delta=delta)
    assert not planted.holds
    copied = audit_one_run("a copy", epsilon, included.astype(float), included, delta=delta)
    assert copied.bound > 4


def test_coins_are_fair_and_nobody_can_flip_them_again() -> None:
    coins = flip(40_000)
    assert coins.dtype == bool
    assert abs(coins.sum() - 20_000) < 600  # six standard deviations
    assert not np.array_equal(coins, flip(40_000))
    assert flip(3).shape == (3,)


def test_guesses_are_the_extremes() -> None:
    scores, included = np.array([0.1, 0.9, 0.5, 0.2]), np.array([False, True, True, True])
    assert right_guesses(scores, included, 2) == 2
    assert right_guesses(scores, included, 4) == 3
    assert right_guesses(scores, included, 1) == 1


# refusals ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Attempts(np.zeros(1), np.zeros(5)), InputError, "two runs or more"),
        (lambda: Attempts(np.array([0.0, math.nan]), np.zeros(2)), InputError, "two runs or more"),
        (lambda: runs_to_see(1), ConfigError, "too little for an audit to see"),
        (lambda: right_guesses(np.zeros(3), np.ones(3, bool), 4), InputError, "4 guesses on 3"),
        (lambda: audit_one_run("x", 1.0, np.zeros(3), np.ones(3), delta=0.0), InputError, "give one of each"),
    ],
)
def test_what_is_no_audit_is_refused(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
