"""What several releases cost together is never less than dp-accounting says, nor more by a millionth."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from synth.errors import ConfigError, InputError, MissingExtraError
from synth.privacy import accounting
from synth.privacy.accounting import (
    ATTO,
    MICRO,
    NANO,
    ORDERS,
    Curve,
    dpsgd_curve,
    micro_rho,
    rounded_up,
    shown,
    zcdp_epsilon,
    zcdp_rho,
)

dp_accounting = pytest.importorskip("dp_accounting", reason="what costs are held against comes with the extra dp")

DELTAS = (1e-3, 1e-5, 1e-6, 1e-9, 1e-12)
DPSGD = ((1.1, 0.01, 1000), (4.0, 0.2, 50), (2.0, 1.0, 3), (0.6, 0.05, 4))  # noise, rate, steps
costs = st.builds(Curve, st.integers(1, 3_000_000))
quick = settings(max_examples=30, deadline=None)
deltas = st.floats(-12, -5).map(lambda power: 10**power)


def composed(zcdp: Sequence[int] = (), dpsgd: Sequence[tuple[float, float, int]] = (), orders: Any = ORDERS) -> Any:
    """dp-accounting's accountant of all of these together."""
    accountant = dp_accounting.rdp.RdpAccountant(orders)
    for cost in zcdp:
        accountant.compose(dp_accounting.ZCDpEvent(cost / MICRO))
    for noise, rate, steps in dpsgd:
        accountant.compose(dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise)), steps)
    return accountant


def best_order(rho: float, delta: float) -> float:
    """The order at which the bound is least, found by another's root finder."""
    return float(1 + brentq(lambda u: rho * u**2 + math.log1p(u) + math.log(delta), 0, math.sqrt(-math.log(delta) / rho)))


# against dp-accounting -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", DELTAS)
def test_zcdp_costs_what_dp_accounting_says_at_the_best_of_all_orders(delta: float) -> None:
    for cost in (100, 8505, 30556, 500_000, 2_000_000, 40_000_000):
        order = best_order(cost / MICRO, delta)
        said = composed([cost], orders=[order * (1 + shift) for shift in (-1e-3, 0, 1e-3)]).get_epsilon(delta)
        assert said <= zcdp_epsilon(cost / MICRO, delta) <= said * (1 + 1e-6)


@pytest.mark.parametrize("job", DPSGD)
def test_dpsgd_costs_what_dp_accounting_says(job: tuple[float, float, int]) -> None:
    accountant, curve = composed(dpsgd=[job]), dpsgd_curve(*job)
    for delta in DELTAS:
        said = accountant.get_epsilon(delta)
        assert said <= curve.epsilon(delta) <= said * (1 + 1e-6)


def test_marginals_and_dpsgd_cost_together_what_dp_accounting_says() -> None:
    zcdp = [8505, 30556, 1, 17, 224249]
    accountant = composed(zcdp, DPSGD[:2])
    together = sum((Curve(cost) for cost in zcdp), Curve()) + CURVES[DPSGD[0]] + CURVES[DPSGD[1]]
    for delta in DELTAS:
        said = accountant.get_epsilon(delta)
        assert said <= together.epsilon(delta) <= said * (1 + 1e-6)


def test_a_thousand_small_spendings_round_up_by_less_than_a_millionth() -> None:
    step = dpsgd_curve(1.1, 0.01, 1)
    said = composed(dpsgd=[DPSGD[0]]).get_epsilon(1e-6)
    assert said <= sum([step] * 1000, Curve()).epsilon(1e-6) <= said + 1e-6


def test_the_comparison_sees_costs_that_are_rounded_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "rounded_up", lambda value, unit: math.floor(Fraction(value) * unit))
    low = sum([dpsgd_curve(1.1, 0.01, 1)] * 1000, Curve())
    assert low.epsilon(1e-6) < composed(dpsgd=[DPSGD[0]]).get_epsilon(1e-6)


@pytest.mark.parametrize("rho", [0.0085, 0.0306, 0.224, 1.783])
def test_no_cost_is_below_the_exact_one_of_gaussian_noise(rho: float) -> None:
    for delta in DELTAS:
        exact = dp_accounting.get_epsilon_gaussian(1 / math.sqrt(2 * rho), delta)
        assert exact <= zcdp_epsilon(rho, delta) <= 1.3 * exact


def test_no_cost_of_dpsgd_is_below_a_lower_bound_from_its_loss_distribution() -> None:
    noise, rate, steps = DPSGD[0]
    loss = dp_accounting.pld.privacy_loss_distribution.from_gaussian_mechanism(
        noise, sampling_prob=rate, pessimistic_estimate=False, value_discretization_interval=1e-3
    )
    assert 0.5 < loss.self_compose(steps).get_epsilon_for_delta(1e-5) <= CURVES[DPSGD[0]].epsilon(1e-5)


@pytest.mark.parametrize("delta", DELTAS)
def test_the_grid_of_orders_costs_little(delta: float) -> None:
    for rho in (10 ** (step / 20) for step in range(-90, 15)):
        best = zcdp_epsilon(rho, delta)
        if 0.05 <= best <= 20:
            on_grid = Curve(nano=tuple(rounded_up(rho * order, NANO) for order in ORDERS)).epsilon(delta)
            assert best <= on_grid <= best * (1 + 4e-4)


def test_an_order_at_which_the_series_fails_takes_the_next_ones_value(caplog: pytest.LogCaptureFixture) -> None:
    accountant = dp_accounting.rdp.RdpAccountant(ORDERS)
    with caplog.at_level(logging.WARNING):
        curve = dpsgd_curve(0.5, 0.5, 10)
        assert not caplog.records
        accountant.compose(dp_accounting.PoissonSampledDpEvent(0.5, dp_accounting.GaussianDpEvent(0.5)), 10)
        assert caplog.records, "dp-accounting warns of it, so there is such an order"
    said = [float(value) for value in accountant._rdp]
    first = next(place for place, value in enumerate(said) if math.isfinite(value))
    assert first > 0
    assert set(curve.nano[:first]) == {curve.nano[first]}
    assert all(value * NANO <= kept for value, kept in zip(said[first:], curve.nano[first:]))


# what holds of any costs -----------------------------------------------------------------------------------------------


@quick
@given(st.floats(1e-6, 100), st.floats(1e-6, 100), deltas)
def test_more_rho_is_more_epsilon(one: float, other: float, delta: float) -> None:
    low, high = sorted((one, other))
    assume(high > low * (1 + 1e-9))
    assert zcdp_epsilon(low, delta) < zcdp_epsilon(high, delta)


@quick
@given(st.floats(1e-6, 100), deltas, deltas)
def test_more_delta_is_less_epsilon(rho: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assume(high > low * (1 + 1e-9))
    assert zcdp_epsilon(rho, high) < zcdp_epsilon(rho, low)


@quick
@given(st.floats(0.001, 100), deltas)
def test_rho_of_epsilon_is_the_largest_within_it(epsilon: float, delta: float) -> None:
    rho = zcdp_rho(epsilon, delta)
    assert zcdp_epsilon(rho, delta) <= epsilon < zcdp_epsilon(rho * (1 + 1e-9), delta)
    assert micro_rho(epsilon, delta) == math.floor(rho * MICRO)


@quick
@given(costs, costs, deltas)
def test_two_releases_cost_no_more_than_the_sum_of_their_epsilons(one: Curve, other: Curve, delta: float) -> None:
    together = (one + other).epsilon(delta)
    assert max(one.epsilon(delta), other.epsilon(delta)) < together <= one.epsilon(delta) + other.epsilon(delta)


@quick
@given(costs, st.sampled_from(DPSGD[:2]), deltas)
def test_so_it_is_for_marginals_and_dpsgd(zcdp: Curve, job: tuple[float, float, int], delta: float) -> None:
    dpsgd = CURVES[job]
    together = (zcdp + dpsgd).epsilon(delta)
    assert max(zcdp.epsilon(delta), dpsgd.epsilon(delta)) <= together <= zcdp.epsilon(delta) + dpsgd.epsilon(delta)


@quick
@given(st.lists(costs, min_size=2, max_size=6), st.randoms())
def test_neither_order_nor_grouping_matters(parts: list[Curve], random: Any) -> None:
    parts.append(CURVES[DPSGD[0]])
    total = sum(parts, Curve())
    random.shuffle(parts)
    assert sum(parts[:2], Curve()) + sum(parts[2:], Curve()) == total


@quick
@given(st.floats(0, 1e6), st.sampled_from([MICRO, NANO, ATTO]))
def test_what_is_written_down_is_never_less(value: float, unit: int) -> None:
    written = rounded_up(value, unit)
    assert 0 <= Fraction(written, unit) - Fraction(value) < Fraction(1, unit)


@quick
@given(costs, st.booleans(), st.floats(0.1, 30), deltas)
def test_what_is_left_may_be_spent_and_not_one_more(spent: Curve, trained: bool, epsilon: float, delta: float) -> None:
    total = spent + CURVES[DPSGD[0]] if trained else spent
    left = total.left(epsilon, delta)
    assert (total + Curve(left + 1)).epsilon(delta) > epsilon
    assert left == 0 or (total + Curve(left)).epsilon(delta) <= epsilon


@quick
@given(st.integers(1, 3_000_000), st.floats(0.001, 0.9), deltas)
def test_what_fails_with_some_probability_leaves_the_rest_of_delta(cost: int, share: float, delta: float) -> None:
    failing = rounded_up(delta * share, ATTO)
    spent = Curve(cost, atto_delta=failing // 2) + Curve(atto_delta=failing - failing // 2)
    beside = delta - failing / ATTO
    assert zcdp_epsilon(cost / MICRO, delta) < spent.epsilon(delta)
    about = zcdp_epsilon(cost / MICRO, beside)
    assert about * (1 - 1e-12) <= spent.epsilon(delta) <= about * (1 + 1e-9)


def test_without_any_delta_left_there_is_no_epsilon() -> None:
    assert Curve(1, atto_delta=ATTO // 1000 + 1).epsilon(1e-3) == math.inf
    assert Curve(atto_delta=1).epsilon(1e-3) == 0
    assert Curve().epsilon(1e-3) == 0


# what is no cost -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts", [{"micro_rho": -1}, {"micro_rho": 1.0}, {"micro_rho": True}, {"nano": [1, 2]}, {"atto_delta": "1"}]
)
def test_what_is_no_cost_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Curve(**parts)


@pytest.mark.parametrize("value", [-1e-9, math.inf, math.nan])
def test_what_cannot_be_written_down_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="finite"):
        rounded_up(value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0, 0.1, 1), "noise_multiplier is 0"),
        ((1, 0, 1), "sampling_rate is 0"),
        ((1, 1.1, 1), "at most 1"),
        ((1, 0.1, 1.5), "steps is"),
    ],
)
def test_what_is_no_dpsgd_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dpsgd_curve(*given)


@pytest.mark.parametrize("rho", [-1, math.nan, "1"])
def test_what_is_no_rho_is_refused(rho: Any) -> None:
    with pytest.raises(ConfigError, match="rho is"):
        zcdp_epsilon(rho, 1e-6)


def test_without_dp_accounting_dpsgd_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(MissingExtraError, match=r"synth\[dp\]"):
        dpsgd_curve(1.0, 0.1, 1)


def test_an_epsilon_is_shown_larger_where_it_is_spent_and_smaller_where_it_is_left() -> None:
    assert (shown(1.00001, up=True), shown(1.99999, up=False), shown(math.inf, up=True)) == ("1.001", "1.999", "infinite")
    assert shown(0.0, up=True) == "0"
    assert shown(3.0, up=False) == "3"


CURVES = {job: dpsgd_curve(*job) for job in DPSGD[:2]}
