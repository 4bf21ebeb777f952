"""A column as states and positions, and back: what is told to the network is what the column holds."""

from __future__ import annotations

import numpy as np
import pytest

from synth.data.conditions import Where
from synth.data.encoding import EncodedColumn, encode
from synth.data.example import example_table
from synth.data.schema import Column, Kind, Schema
from synth.generators._modes import MOST_STATES, Modes

EXAMPLE = example_table(2_000)


def _number(values: np.ndarray, decimals: int | None = None) -> EncodedColumn:
    return EncodedColumn("x", values.astype(np.float64), decimals=decimals)


def _clause(**facts: float):
    where = Where.parse({"x": facts}, Schema((Column("x", Kind.DECIMAL),)))
    return where.clauses[0]


def _category(codes: np.ndarray, levels: int) -> EncodedColumn:
    return EncodedColumn("c", codes.astype(np.int32), levels=levels)


@pytest.mark.parametrize("column", encode(EXAMPLE).columns, ids=lambda column: column.name)
@pytest.mark.parametrize("modes", [1, 7])
def test_values_come_back(column: EncodedColumn, modes: int) -> None:
    rng = np.random.default_rng(0)
    of = Modes.of(column, modes)
    state, position = of.encode(column.values, rng)
    assert (np.bincount(state, minlength=of.states) == of.counts).all()
    assert ((position >= -1) & (position <= 1)).all()
    back = of.decode(state, position, rng)
    null = column.null
    assert (np.isnan(back) if of.is_number else back < 0).tolist() == null.tolist()
    if not of.between:
        assert (back[~null] == column.values[~null]).all()
    else:  # a near-unique number comes back to within a thousandth of its rows
        spread = np.sort(column.values[~null])
        apart = np.searchsorted(spread, back[~null]) - np.searchsorted(spread, column.values[~null])
        assert np.abs(apart).max() <= 0.003 * len(spread) + 1


def test_a_spike_is_a_state_of_its_own_and_positions_are_even() -> None:
    rng = np.random.default_rng(1)
    values = np.where(rng.random(5_000) < 0.3, 99_999.0, rng.lognormal(3, 2, 5_000))
    of = Modes.of(_number(values), 8)
    state, position = of.encode(values, rng)
    spike = state[values == 99_999]
    assert len(set(spike)) == 1
    assert not of.wide[spike[0]]
    assert of.counts[of.wide].max() <= 1.05 * of.counts[of.wide].min()
    assert (
        np.abs(np.histogram(position[values != 99_999], bins=10, range=(-1, 1))[0] / (values != 99_999).sum() - 0.1).max()
        < 0.02
    )


def test_scores_follow_the_values() -> None:
    rng = np.random.default_rng(2)
    values = np.where(rng.random(3_000) < 0.2, 0.0, rng.normal(5, 1, 3_000))
    of = Modes.of(_number(values), 10)
    state, position = of.encode(values, rng)
    middle, half = of.scores
    score = middle[state] + half[state] * position
    assert np.corrcoef(np.argsort(np.argsort(values)), np.argsort(np.argsort(score)))[0, 1] > 0.97
    assert np.abs(score).max() < 5


def test_even_draws_of_states_and_positions_have_the_column_s_distribution() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(0, 1, 3_000), rng.normal(50, 0.1, 3_000), np.full(2_000, 7.0)])
    of = Modes.of(_number(values), 10)
    state = rng.choice(of.states, size=8_000, p=of.counts / of.counts.sum())
    drawn = of.decode(state, rng.uniform(-1, 1, 8_000), rng)
    assert ks_2samp(drawn, values).statistic < 0.03
    assert ((drawn > 8) & (drawn < 49)).mean() < 0.003  # nothing in the gap, but for one knot


def test_grids_are_kept_where_values_repeat() -> None:
    rng = np.random.default_rng(4)
    values = np.round(rng.gamma(2, 20, 6_000) / 5) * 5
    of = Modes.of(_number(values, decimals=0), 6)
    drawn = of.decode(rng.integers(of.states, size=2_000), rng.uniform(-1, 1, 2_000), rng)
    assert set(drawn) <= set(values)


def test_a_hundred_thousand_levels_are_no_wider_than_a_hundred() -> None:
    rng = np.random.default_rng(5)
    codes = np.minimum(rng.zipf(1.3, 200_000), 100_000) - 1
    of = Modes.of(_category(codes, 100_000), 10)
    assert of.states <= MOST_STATES
    state, _ = of.encode(codes, rng)
    assert (np.bincount(state, minlength=of.states) == of.counts).all()
    drawn = of.decode(rng.choice(of.states, size=200_000, p=of.counts / of.counts.sum()), np.zeros(200_000), rng)
    share = np.bincount(drawn, minlength=100_000) / 200_000 - np.bincount(codes, minlength=100_000) / 200_000
    assert np.abs(share[:20]).max() < 0.005  # the common levels by themselves, the others within their state
    assert set(np.unique(drawn)) <= set(np.unique(codes))  # a level that was never seen is never drawn


def test_a_level_that_shares_a_state_can_be_asked_for() -> None:
    rng = np.random.default_rng(6)
    codes = rng.integers(1_000, size=20_000)
    of = Modes.of(_category(codes, 1_000), 10)
    schema = Schema((Column("c", Kind.CATEGORICAL, categories=tuple(f"level {k}" for k in range(1_000))),))
    clause = Where.parse({"c": "level 7"}, schema).clauses[0]
    share = of.share(clause)
    assert (share > 0).sum() == 1
    assert share.sum() * of.counts[share.argmax()] == pytest.approx((codes == 7).sum())
    drawn = of.given(clause).decode(np.full(50, share.argmax()), np.zeros(50), rng)
    assert (drawn == 7).all()


def test_shares_of_a_range_are_those_of_the_rows() -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(0, 1, 20_000)
    of = Modes.of(_number(values), 10)
    clause = _clause(**{">=": 0.5, "<=": 1.0})
    assert (of.share(clause) * of.counts).sum() / 20_000 == pytest.approx(clause.holds(values).mean(), abs=0.01)
    null = Modes.of(_number(np.where(rng.random(20_000) < 0.1, np.nan, values)), 10)
    state, _ = null.encode(np.array([np.nan]), rng)
    assert state[0] == null.states - 1


@pytest.mark.parametrize("values", [np.full(10, np.nan), np.full(10, 3.0), np.array([1.0, np.nan]), np.array([1.0, 2.0])])
def test_columns_of_hardly_anything(values: np.ndarray) -> None:
    rng = np.random.default_rng(8)
    of = Modes.of(_number(values), 10)
    state, position = of.encode(values, rng)
    assert np.array_equal(of.decode(state, position, rng), values, equal_nan=True)
    assert all(np.isfinite(part).all() for part in of.scores)


def test_saved_and_read_again() -> None:
    for k, column in enumerate(encode(EXAMPLE).columns):
        of = Modes.of(column, 5)
        again = Modes.from_arrays(f"{k}", of.to_arrays(f"{k}"), column, of.has_null, of.between)
        state = np.arange(of.states)
        first, second = (m.decode(state, np.zeros(of.states), np.random.default_rng(0)) for m in (of, again))
        assert np.array_equal(first, second, equal_nan=True)
