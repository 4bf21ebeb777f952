"""A budget is checked at birth, and says exactly how much zCDP it buys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.errors import ConfigError
from synth.privacy.accounting import MICRO, zcdp_epsilon
from synth.privacy.budget import Budget


@pytest.mark.parametrize(("epsilon", "rho"), [(0.5, ".0085"), (1, ".0306"), (3, ".224"), (10, "1.783")])
def test_the_table_of_the_literature(epsilon: float, rho: str) -> None:
    """Known values of ρ at δ = 1e-5, to the digits in which they are quoted."""
    digits = len(rho.split(".")[1])
    assert f"{Budget(epsilon, 1e-5).micro_rho / MICRO:.{digits}f}".lstrip("0") == rho


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 50), st.floats(-12, -3).map(lambda power: 10**power))
def test_it_buys_as_much_as_stays_within_it_and_not_one_more(epsilon: float, delta: float) -> None:
    bought = Budget(epsilon, delta).micro_rho
    assert zcdp_epsilon(bought / MICRO, delta) <= epsilon < zcdp_epsilon((bought + 1) / MICRO, delta)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 50), st.floats(0.01, 50), st.floats(-12, -3), st.floats(-12, -3))
def test_more_epsilon_or_more_delta_never_buys_less(one: float, other: float, first: float, second: float) -> None:
    small, large = sorted((one, other))
    less, more = sorted((10**first, 10**second))
    assert Budget(small, less).micro_rho <= Budget(large, less).micro_rho <= Budget(large, more).micro_rho


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epsilon": 0}, "epsilon is 0"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"epsilon": float("inf")}, "epsilon is inf"),
        ({"epsilon": True}, "epsilon is True"),
        ({"epsilon": "1"}, "epsilon is '1'"),
        ({"epsilon": 1e-5}, "less than the smallest cost"),
        ({"delta": 0}, "delta is 0"),
        ({"delta": 1}, "delta is 1"),
        ({"delta": None}, "delta is None"),
        ({"unit": "rows"}, "did you mean 'row'"),
        ({"rows_per_subject": 3}, "the unit is a row"),
        ({"unit": "subject"}, "declare the most rows"),
        ({"unit": "subject", "rows_per_subject": 0}, "declare the most rows"),
        ({"unit": "subject", "rows_per_subject": 2.0}, "declare the most rows"),
    ],
)
def test_what_is_no_budget_is_refused_in_words(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Budget(**{"epsilon": 1.0, "delta": 1e-6, **given})


def test_it_says_in_words_whom_it_protects() -> None:
    assert Budget(1, 1e-6).in_words == "epsilon 1 at delta 1e-06 for a row"
    assert Budget(1, 1e-6, "subject", 4).about == "subject with at most 4 rows"


def test_its_plain_values_make_it_again() -> None:
    for budget in (Budget(0.3, 1e-7), Budget(2.5, 1e-9, "subject", 7)):
        assert Budget(**budget.to_dict()) == budget
