"""Columns go into tokens and come back with nothing lost that a table shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.data.conditions import Clause
from synth.data.encoding import EncodedColumn
from synth.data.schema import Kind
from synth.generators._bins import FEWEST_IN_PIECE, MOST_PIECES, Scale
from synth.generators._tokens import NEVER, Coder, coder_from, coder_of

RNG = np.random.default_rng


def number(values: object, decimals: int | None = 0) -> EncodedColumn:
    return EncodedColumn("x", np.asarray(values, dtype=np.float64), decimals=decimals)


def category(codes: np.ndarray, levels: int) -> EncodedColumn:
    return EncodedColumn("c", codes.astype(np.int32), levels=levels)


def moment(values: object, per_day: int) -> EncodedColumn:
    return EncodedColumn("t", np.asarray(values, dtype=np.float64), decimals=0, per_day=per_day)


def skewed(rows: int = 6_000, seed: int = 0) -> np.ndarray:
    """Amounts with two spikes, a heavy tail and holes."""
    rng = RNG(seed)
    values = np.round(rng.lognormal(6, 2, rows))
    values[rng.random(rows) < 0.3] = 0
    values[rng.random(rows) < 0.02] = 99_999
    return values


numbers = st.lists(
    st.one_of(st.just(math.nan), st.just(0.0), st.integers(-(10**6), 10**6).map(float)), min_size=2, max_size=400
)
columns = st.one_of(
    st.builds(number, numbers),
    st.builds(lambda v: number(np.array(v) / 8, None), numbers),
    st.builds(lambda v: number(np.array(v) / 100, 2), numbers),
    st.builds(lambda v, d: moment(v, d), numbers, st.sampled_from([1, 24, 86_400])),
    st.builds(
        lambda v, n: category(np.array(v) % (n + 1) - 1, n), st.lists(st.integers(0, 9_999), min_size=2), st.integers(1, 600)
    ),
)


def drawn(coder: Coder, rows: int, seed: int = 0) -> np.ndarray:
    """Values drawn from the tokens' priors, each token by itself."""
    rng, codes = RNG(seed), np.full((rows, len(coder.tokens)), -1)
    last = coder.tokens[0].levels - coder.has_null
    for place, token in enumerate(coder.tokens):
        prior = token.prior[np.maximum(codes[:, place - 1], 0)] if token.nested else np.repeat(token.prior[None], rows, axis=0)
        ends = np.cumsum(np.exp(prior.astype(np.float64)), axis=1)
        code = (ends < rng.random((rows, 1)) * ends[:, -1:]).sum(axis=1)
        codes[:, place] = code if place == 0 else np.where(codes[:, 0] < last, code, -1)
    return coder.decode(codes.astype(np.int32), rng)


def chances(coder: Coder, values: np.ndarray) -> np.ndarray:
    """The probability of each value, its tokens drawn from their priors."""
    codes = coder.encode(values)
    total = coder.chance(values, codes)
    for place, token in enumerate(coder.tokens):
        prior = (
            token.prior[np.maximum(codes[:, place - 1], 0)]
            if token.nested
            else np.repeat(token.prior[None], len(codes), axis=0)
        )
        share = np.exp(prior[np.arange(len(codes)), codes[:, place]].astype(np.float64)) / np.exp(prior).sum(axis=1)
        total = total * np.where(codes[:, place] >= 0, share, 1.0)
    return np.asarray(total)


@settings(max_examples=150, deadline=None)
@given(columns, st.integers(1, 40))
def test_every_training_value_has_tokens_that_can_give_it_back(column: EncodedColumn, bins: int) -> None:
    coder = coder_of(column, bins)
    codes = coder.encode(column.values)
    for place, token in enumerate(coder.tokens):
        assert codes[:, place].max() < token.levels
        known = codes[:, place] >= 0
        prior = token.prior[codes[known, place - 1]] if token.nested else token.prior[None]
        assert (
            np.broadcast_to(prior, (known.sum(), token.levels))[np.arange(known.sum()), codes[known, place]] > NEVER / 2
        ).all()
    assert (coder.chance(column.values, codes) > 0).all()
    back = EncodedColumn("back", coder.decode(codes, RNG(0)), column.levels)
    assert (back.null == column.null).all()
    assert (coder.encode(back.values) == codes).all()
    if column.is_category:
        assert (back.values == column.values).all()
    elif not column.null.all():
        assert np.nanmin(back.values) >= np.nanmin(column.values) - 7 * (column.per_day or 0)
        assert column.decimals is None or np.array_equal(np.round(back.values, column.decimals), back.values, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(columns, st.integers(1, 40))
def test_a_saved_coder_is_the_same(column: EncodedColumn, bins: int) -> None:
    coder = coder_of(column, bins)
    again = coder_from(column.take(np.arange(0)), "3", coder.to_arrays("3"))
    for one, other in zip(coder.tokens, again.tokens, strict=True):
        assert np.array_equal(one.prior, other.prior)
        assert (one.nested, one.line) == (other.nested, other.line)
    assert np.array_equal(drawn(coder, 50), drawn(again, 50), equal_nan=True)


@settings(max_examples=100, deadline=None)
@given(numbers, st.floats(-1e6, 1e6), st.floats(0, 1e6), st.sets(st.integers(-50, 50)), st.integers(1, 40))
def test_what_is_drawn_given_a_clause_satisfies_it(
    values: list[float], low: float, width: float, out: set[int], bins: int
) -> None:
    column = number(values)
    if column.null.all():
        return
    scale = Scale.of(column, bins)
    clause = Clause(
        "x", Kind.INTEGER, low=math.ceil(low), high=math.ceil(low) + math.floor(width), excluded=frozenset(map(float, out))
    )
    share = scale.share(clause)
    assert ((share >= 0) & (share <= 1)).all()
    some = np.flatnonzero(share > 0)
    assert clause.holds(scale.draw_given(np.repeat(some, 5), clause, RNG(0))).all()
    none = np.flatnonzero(share == 0)
    free = scale.draw(np.repeat(none, 20), RNG(1).random(20 * len(none)))
    assert not clause.holds(free).any()


def test_the_share_of_a_clause_is_how_often_free_draws_satisfy_it() -> None:
    scale = Scale.of(number(skewed()), 32)
    for clause in (
        Clause("x", Kind.INTEGER, low=50, high=3_000),
        Clause("x", Kind.INTEGER, low=100, excluded=frozenset([101.0, 150.0])),
        Clause("x", Kind.INTEGER, values=frozenset([0.0, 12.0, 700.0, 99_999.0])),
    ):
        share = scale.share(clause)
        free = scale.draw(np.repeat(np.arange(scale.pieces), 2_000), RNG(0).random(2_000 * scale.pieces))
        found = clause.holds(free).reshape(scale.pieces, 2_000).mean(axis=1)
        assert np.abs(share - found).max() < 0.06


def test_spikes_keep_their_share_and_do_not_leak_into_their_neighbours() -> None:
    real = skewed(20_000)
    fake = drawn(coder_of(number(real), 64), 20_000)
    for spike in (0, 99_999):
        assert (fake == spike).mean() == pytest.approx((real == spike).mean(), abs=0.015)
    assert ((fake > 90_000) & (fake != 99_999)).mean() == pytest.approx(((real > 90_000) & (real != 99_999)).mean(), abs=0.005)


def test_a_heavy_tail_is_drawn_as_it_is() -> None:
    real = RNG(1).pareto(1.5, 20_000)
    fake = drawn(coder_of(number(real, None), 64), 20_000)
    for q in (0.1, 0.5, 0.9, 0.99, 0.999):
        assert np.quantile(fake, q) == pytest.approx(np.quantile(real, q), rel=0.15)
    assert fake.max() <= real.max()


def test_the_probabilities_of_a_number_add_up_to_one() -> None:
    rng = RNG(2)
    for values in (skewed(), rng.integers(0, 90, 5_000), rng.integers(0, 4_000, 5_000)):
        every = np.append(np.arange(-3.0, values.max() + 3), np.nan)
        coder = coder_of(number(np.append(values, [np.nan] * 40)), 32)
        assert chances(coder, every).sum() == pytest.approx(1.0, abs=1e-6)


def test_a_piece_holds_several_rows_and_a_bin_not_too_many_pieces() -> None:
    scale = Scale.of(number(RNG(3).normal(0, 1e6, 5_000).round()), 64)
    assert scale.mass.min() >= FEWEST_IN_PIECE - 1
    assert np.diff(scale.first).max() <= MOST_PIECES
    assert 40 <= scale.bins <= 80
    assert (scale.low[1:] - scale.high[:-1]).min() >= 1  # they do not overlap
    assert np.median(scale.low[1:] - scale.high[:-1]) <= 2  # nor leave holes


def test_days_that_were_never_seen_keep_the_calendar() -> None:
    """Shops that open Monday to Saturday from nine to five, over thirty years."""
    rng = RNG(4)
    day = rng.integers(0, 10_000, 6_000)
    day = day[(day + 3) % 7 != 6].astype(np.float64)
    real = day * 86_400 + rng.integers(9 * 3_600, 17 * 3_600, len(day))
    fake = drawn(coder_of(moment(real, 86_400), 64), 6_000)
    assert not ((np.floor(fake / 86_400) + 3) % 7 == 6).any()
    hour = fake % 86_400 / 3_600
    assert hour.min() >= 9
    assert hour.max() < 17
    assert np.quantile(fake, 0.25) == pytest.approx(np.quantile(real, 0.25), rel=0.05)


def test_days_that_come_often_are_drawn_from_those_that_were_seen() -> None:
    firsts = np.arange("2015-01", "2024-01", dtype="datetime64[M]").astype("datetime64[D]").astype(np.float64)
    real = RNG(5).choice(firsts, 3_000)
    assert np.isin(drawn(coder_of(moment(real, 1), 32), 3_000), firsts).all()


def test_tokens_of_a_hundred_thousand_levels_are_few() -> None:
    codes = np.minimum(RNG(6).zipf(1.2, 50_000), 100_000) - 1
    coder = coder_of(category(codes, 100_000), 64)
    assert [token.levels < 400 for token in coder.tokens] == [True, True]
    fake = drawn(coder, 50_000)
    for level in range(5):
        assert (fake == level).mean() == pytest.approx((codes == level).mean(), abs=0.01)
    assert fake.max() < 100_000
