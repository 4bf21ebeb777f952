"""The even scale of numbers: what was seen comes back exactly, what was not lies between what was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.data.encoding import Encoded, EncodedColumn
from synth.generators._cells import FEW, MOST_STATES, Cell, Cells
from synth.generators._codes import Codebook
from synth.generators._quantiles import Scale


def book(values: np.ndarray, decimals: int | None = None, per_day: int | None = None) -> Codebook:
    return Codebook.of(EncodedColumn("x", np.asarray(values, dtype=np.float64), decimals=decimals, per_day=per_day))[0]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(-50, 50), min_size=2, max_size=400),
    st.floats(0.001, 0.999),
    st.sampled_from([1.0, 0.25, 1e9]),
)
def test_every_place_in_a_values_interval_leads_back_to_it(values: list[int], within: float, unit: float) -> None:
    held = np.array(values) * unit
    made = book(held)
    scale = Scale.of(made)
    if not scale.rows:
        return
    code = np.setdiff1d(np.arange(made.levels), scale.atoms)
    low, high = scale.intervals(code)
    assert np.allclose(high - low, made.counts[code] / scale.rows)
    back = scale.values(low + within * (high - low))
    assert (back == made.values[code]).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_near_unique_values_come_back_near_and_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = book(rng.lognormal(3, 2, 500))
    scale = Scale.of(made)
    places = np.sort(rng.random(300))
    values = scale.values(places)
    assert made.values is not None
    assert (np.diff(values) >= 0).all()
    assert values.min() >= made.values[0]
    assert values.max() <= made.values[-1]
    wanted = np.quantile(made.values, places, method="nearest")
    around = np.searchsorted(made.values, wanted)
    assert (values >= made.values[np.maximum(around - 1, 0)]).all()
    assert (values <= made.values[np.minimum(around + 1, made.levels - 1)]).all()


def test_an_even_draw_of_places_gives_the_shares_of_the_values() -> None:
    rng = np.random.default_rng(0)
    held = np.where(rng.random(5_000) < 0.4, 0, rng.geometric(0.02, 5_000)).astype(float)
    made = book(held, decimals=0)
    cell = Cell.of(made)
    assert cell.scale is not None
    assert 0.0 in made.values[cell.scale.atoms]  # type: ignore[index]
    drawn = cell.scale.values(rng.random(20_000))
    assert not np.isin(drawn, made.values[cell.scale.atoms]).any()  # type: ignore[index]
    rest = held[~np.isin(held, made.values[cell.scale.atoms])]  # type: ignore[index]
    for edge in (20, 50, 100):
        assert np.mean(drawn <= edge) == pytest.approx(np.mean(rest <= edge), abs=0.015)


def test_dates_keep_to_the_weekdays_that_were_seen() -> None:
    rng = np.random.default_rng(1)
    day = rng.integers(0, 4_000, 3_000)
    days = day[(day + 3) % 7 < 5]  # days since 1970; Monday to Friday
    scale = Scale.of(book(days * 86_400.0 + rng.integers(0, 86_400, len(days)), decimals=0, per_day=86_400))
    moments = scale.values(rng.random(5_000))
    assert ((moments // 86_400 + 3) % 7 < 5).all()
    assert not np.isin(moments, days * 86_400.0).all()


def encoded(**columns: tuple[np.ndarray, int | None]) -> Encoded:
    made = [EncodedColumn(name, values, levels=levels) for name, (values, levels) in columns.items()]
    return Encoded(tuple(made), len(made[0].values))


def test_cells_come_back_as_they_were() -> None:
    rng = np.random.default_rng(2)
    n = 4_000
    number = np.where(rng.random(n) < 0.3, 0.0, rng.integers(1, 90, n)).astype(float)
    rows = encoded(
        small=(rng.integers(-1, 4, n).astype(np.int32), 6),
        large=(rng.integers(-1, 1_000, n).astype(np.int32), 100_000),
        few=(rng.integers(0, FEW, n).astype(float), None),
        number=(np.where(rng.random(n) < 0.2, np.nan, number), None),
        constant=(np.full(n, 7.0), None),
        empty=(np.full(n, np.nan), None),
    )
    cells = Cells.of(rows)
    tokens, low, high = cells.encode(rows, n)
    assert (tokens >= 0).all()
    assert (tokens < np.array(cells.sizes)).all()
    assert max(cells.sizes) < MOST_STATES
    assert cells.places == 1
    back = cells.decode(tokens.astype(np.int64), low + rng.random(low.shape) * (high - low))
    for column in rows.columns:
        assert np.array_equal(back[column.name], column.values, equal_nan=not column.is_category), column.name
    again = Cells.from_arrays(cells.nulls, cells.to_arrays(), rows.take(np.arange(0)))
    assert again.sizes == cells.sizes
    assert again.gates == cells.gates
    assert np.array_equal(again.encode(rows, n)[0], tokens)


def test_what_no_training_row_had_is_not_taken_for_something_that_one_had() -> None:
    category = Cell.of(Codebook.of(EncodedColumn("c", np.array([0, 2, 2, 0], dtype=np.int32), levels=4))[0])
    few = Cell.of(book(np.array([1.0, 2.0, 4.0])))
    assert category.states(np.array([0, 1, 2, 3, -1], dtype=np.int32)).tolist() == [0, -1, 1, -1, -1]
    assert few.states(np.array([1.0, 3.0, 4.0, 5.0, np.nan])).tolist() == [0, -1, 2, -1, -1]
