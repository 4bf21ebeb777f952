"""Bounds of what was lost: above the truth no more often than they say, near it with many runs, and as the papers say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from synth.errors import ConfigError, InputError
from synth.privacy.audit_bounds import (
    Errors,
    chance_of_guesses,
    highest_rate,
    least_epsilon,
    least_epsilon_of_guesses,
    least_mu,
    lowest_rate,
)


@pytest.mark.parametrize(("count", "runs"), [(0, 1_000), (3, 1_000), (500, 1_000), (1_000, 1_000), (1, 2)])
def test_rates_are_bounded_by_clopper_and_pearson(count: int, runs: int) -> None:
    exact = stats.binomtest(count, runs).proportion_ci(0.98, "exact")  # two-sided: a hundredth on either side
    assert highest_rate(count, runs, 0.99) == pytest.approx(exact.high)
    assert lowest_rate(count, runs, 0.99) == pytest.approx(exact.low)


@pytest.mark.parametrize("mu", [0.25, 0.67, 1.888])
def test_the_bound_of_mu_passes_the_truth_no_more_often_than_it_says_and_comes_near_it(mu: float) -> None:
    rng = np.random.default_rng(0)
    runs, tries = 2_000, 3_000
    alpha, beta = stats.norm.sf(mu / 2), stats.norm.cdf(-mu / 2)
    drawn = zip(rng.binomial(runs, alpha, tries).tolist(), rng.binomial(runs, beta, tries).tolist(), strict=True)
    bounds = [least_mu(Errors(alarms, runs, misses, runs), 0.95) for alarms, misses in drawn]
    assert np.mean(np.array(bounds) > mu) <= 0.05
    whole = Errors(round(alpha * 10**7), 10**7, round(beta * 10**7), 10**7)
    assert 0.99 * mu <= least_mu(whole, 0.99) <= mu


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0])
def test_the_bound_of_epsilon_is_that_of_randomised_response(epsilon: float) -> None:
    """Answers that are true with e^ε/(1 + e^ε) lose exactly ε."""
    wrong = 1 / (1 + math.exp(epsilon))
    whole = Errors(round(wrong * 10**8), 10**8, round(wrong * 10**8), 10**8)
    assert 0.99 * epsilon <= least_epsilon(whole, 0.0, 0.99) <= epsilon
    assert least_epsilon(whole, 1e-2, 0.99) < least_epsilon(whole, 0.0, 0.99)


def test_a_thousand_runs_a_side_cannot_show_more_than_five_point_six() -> None:
    perfect = Errors(0, 1_000, 0, 1_000)
    assert 5.55 < least_epsilon(perfect, 1e-5, 0.95) < 5.65


def test_either_error_alone_can_show_it() -> None:
    """A release that shows the unit now and then, and never without it, is caught by either of its sides."""
    shown, hidden = Errors(0, 1_000, 700, 1_000), Errors(700, 1_000, 0, 1_000)
    assert least_epsilon(shown, 0.0, 0.95) == pytest.approx(least_epsilon(hidden, 0.0, 0.95))
    assert least_epsilon(shown, 0.0, 0.95) > 4


def test_a_coin_shows_nothing() -> None:
    coin = Errors(500, 1_000, 500, 1_000)
    assert least_mu(coin, 0.99) == least_epsilon(coin, 0.0, 0.99) == 0


# one run -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("guesses", "correct", "epsilon"), [(1_000, 760, 1.0), (50, 49, 2.0), (20, 20, 0.0), (10, 0, 1.0)])
def test_without_delta_guesses_are_coins_of_randomised_response(guesses: int, correct: int, epsilon: float) -> None:
    right = math.exp(epsilon) / (1 + math.exp(epsilon))
    exact = stats.binomtest(correct, guesses, right, "greater").pvalue
    assert chance_of_guesses(2_000, guesses, correct, epsilon, 0.0) == pytest.approx(exact)


def test_delta_adds_what_the_theorem_says() -> None:
    canaries, guesses, correct, epsilon, delta = 1_000, 40, 36, 1.5, 1e-5
    x = stats.binom(guesses, 1 / (1 + math.exp(-epsilon)))
    steepest = max((x.cdf(correct - 1) - x.cdf(correct - 1 - i)) / i for i in range(1, correct + 1))
    exact = x.sf(correct - 1) + 2 * canaries * delta * steepest
    assert chance_of_guesses(canaries, guesses, correct, epsilon, delta) == pytest.approx(exact)


def test_a_hundred_guesses_that_are_all_right_show_what_the_paper_says() -> None:
    """The probability is (e^ε/(1 + e^ε))^100 without δ: 5% at ε = log(1/(0.05^-0.01 - 1))."""
    found = least_epsilon_of_guesses(100, 100, 100, 0.0, 0.95)
    exact = math.log(1 / (0.05 ** (-1 / 100) - 1))
    assert exact - 1e-5 <= found <= exact + 1e-9
    assert least_epsilon_of_guesses(100, 100, 100, 1e-5, 0.95) < found
    assert least_epsilon_of_guesses(100, 100, 50, 0.0, 0.95) == 0


@pytest.mark.parametrize("wrong", [(-1, 10, 0, 10), (11, 10, 0, 10), (0, 0, 0, 10), (0, 10, 3, 2)])
def test_impossible_errors_are_refused(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match="errors in"):
        Errors(*wrong)


def test_what_is_no_confidence_and_no_guesses_is_refused() -> None:
    with pytest.raises(ConfigError, match="confidence of 99"):
        least_mu(Errors(1, 10, 1, 10), 99)
    with pytest.raises(InputError, match="5 of 4 guesses"):
        chance_of_guesses(10, 4, 5, 1.0, 0.0)
