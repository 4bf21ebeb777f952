"""Within one fit no more is spent than the fit was given."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.errors import BudgetError, InputError
from synth.privacy.allowance import Allowance


def test_what_it_went_on_is_kept_in_order() -> None:
    allowance = Allowance(100)
    allowance.spend(30, "one-way counts")
    allowance.spend(70, "pairs")
    assert allowance.spent == [("one-way counts", 30), ("pairs", 70)]
    assert allowance.left == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 1000), st.lists(st.integers(1, 500)))
def test_it_never_gives_more_than_it_has(total: int, costs: list[int]) -> None:
    allowance = Allowance(total)
    for cost in costs:
        left = allowance.left
        if cost > left:
            with pytest.raises(BudgetError, match=f"{left:,} of {total:,} are left"):
                allowance.spend(cost, "a count")
            assert allowance.left == left
        else:
            allowance.spend(cost, "a count")
    assert 0 <= allowance.left == total - sum(cost for _, cost in allowance.spent)


@pytest.mark.parametrize("cost", [0, -1, 1.5, 3.0, True, "3", None])
def test_only_whole_costs_from_one_are_spent(cost: Any) -> None:
    allowance = Allowance(10)
    with pytest.raises(InputError, match="whole number from 1"):
        allowance.spend(cost, "a count")
    with pytest.raises(InputError, match="whole number from 1"):
        Allowance(cost)
    assert allowance.left == 10


def test_a_cost_for_nothing_that_is_named_is_not_spent() -> None:
    allowance = Allowance(10)
    with pytest.raises(InputError, match="say it in words"):
        allowance.spend(1, " ")
    assert allowance.left == 10


def test_the_list_that_it_hands_out_is_a_copy() -> None:
    allowance = Allowance(10)
    allowance.spend(4, "a count")
    allowance.spent.clear()
    assert allowance.left == 6
