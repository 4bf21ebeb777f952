"""Encoding loses nothing: every kind comes back value for value, null for null, in its own type."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synth.data.encoding import Encoded, decode, encode, encode_column
from synth.data.sources import read
from synth.errors import DataError


def comes_back(values: pa.Array, **roles: Any) -> None:
    table = read(pa.table({"x": values, "other": range(5, 5 + len(values))}), **roles)
    learned = table.select([column.name for column in table.schema.learned])
    again = decode(encode(learned), learned.schema, learned.arrow.schema)
    assert again.schema.equals(learned.arrow.schema, check_metadata=True)
    assert again.equals(learned.arrow)


def lists(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Lists with nulls and at least one value."""
    return st.lists(st.one_of(st.none(), values), min_size=2, max_size=30).filter(
        lambda found: any(v is not None for v in found)
    )


INTEGERS = [pa.int8(), pa.uint8(), pa.int16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()]


@settings(max_examples=30, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", INTEGERS, ids=str)
def test_integers(kind: pa.DataType, data: st.DataObject) -> None:
    bits = kind.bit_width
    low, high = (0, 2**bits - 1) if str(kind).startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    values = data.draw(lists(st.integers(max(low, -(2**53)), min(high, 2**53))))
    comes_back(pa.array(values, kind), kinds={"x": "integer"})


@settings(max_examples=60, deadline=None)
@given(lists(st.floats(allow_nan=False, allow_infinity=False)))
@example([1.20703125, 1.797693134862316e300])
def test_doubles(values: list[Any]) -> None:
    comes_back(pa.array(values, pa.float64()), kinds={"x": "decimal"})


@settings(max_examples=60, deadline=None)
@given(lists(st.floats(allow_nan=False, allow_infinity=False, width=32)))
def test_floats(values: list[Any]) -> None:
    comes_back(pa.array(values, pa.float32()), kinds={"x": "decimal"})


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4), st.data())
def test_numbers_on_a_grid(digits: int, data: st.DataObject) -> None:
    values = data.draw(lists(st.integers(-(10**9), 10**9)))
    comes_back(pa.array([None if v is None else v / 10**digits for v in values]), kinds={"x": "decimal"})


@settings(max_examples=60, deadline=None)
@given(lists(st.decimals(-(10**9), 10**9, places=4)))
def test_exact_decimals(values: list[Decimal | None]) -> None:
    comes_back(pa.array(values, pa.decimal128(18, 4)))


TEXT = st.text(st.characters(codec="utf-8"), max_size=4)


@settings(max_examples=60, deadline=None)
@given(lists(TEXT), st.sampled_from([pa.string(), pa.large_string()]))
def test_categories(values: list[str | None], kind: pa.DataType) -> None:
    comes_back(pa.array(values, kind), target="x")


@settings(max_examples=30, deadline=None)
@given(lists(TEXT))
def test_dictionaries(values: list[str | None]) -> None:
    comes_back(pa.array(values).dictionary_encode(), target="x")
    levels = list(dict.fromkeys(value for value in values if value is not None))
    for frame in (
        pd.DataFrame({"x": pd.Categorical(values, categories=[*levels, "spare level"], ordered=True)}),
        pl.DataFrame({"x": pl.Series(values, dtype=pl.Enum([*levels, "spare level"]))}),
    ):
        table = read(frame, target="x")
        again = decode(encode(table), table.schema, table.arrow.schema)
        assert again.schema.equals(table.arrow.schema, check_metadata=True)
        assert again.column("x").to_pylist() == table.column("x").to_pylist()


@settings(max_examples=30, deadline=None)
@given(lists(st.booleans()))
def test_booleans(values: list[bool | None]) -> None:
    comes_back(pa.array(values, pa.bool_()))
    comes_back(pa.array(values, pa.bool_()), kinds={"x": "categorical"})


@settings(max_examples=60, deadline=None)
@given(
    lists(st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2240, 1, 1))),
    st.sampled_from(["ms", "us", "ns"]),
    st.sampled_from([None, "UTC", "Europe/Berlin", "+05:30"]),
)
def test_moments(values: list[dt.datetime | None], unit: str, zone: str | None) -> None:
    comes_back(pa.array(values, pa.timestamp("us")).cast(pa.timestamp(unit), safe=False).cast(pa.timestamp(unit, zone)))


@settings(max_examples=30, deadline=None)
@given(lists(st.integers(0, 10**15)))
def test_nanoseconds_near_1970(ticks: list[int | None]) -> None:
    comes_back(pa.array(ticks, pa.timestamp("ns", "UTC")))


@settings(max_examples=30, deadline=None)
@given(lists(st.dates(dt.date(1700, 1, 1))))
def test_dates(values: list[dt.date | None]) -> None:
    comes_back(pa.array(values, pa.date32()))
    comes_back(pa.array(values, pa.date64()))


def test_codes_and_nulls_are_as_documented() -> None:
    table = read(
        pd.DataFrame({"c": ["b", None, "a"], "b": pd.array([True, None, False], dtype="boolean"), "f": [0.5, None, 1.5]})
    )
    rows = encode(table)
    assert rows["c"].values.tolist() == [1, -1, 0]
    assert rows["b"].values.tolist() == [1, -1, 0]
    assert np.array_equal(rows["f"].values, [0.5, np.nan, 1.5], equal_nan=True)
    assert (rows["c"].values.dtype, rows["f"].values.dtype) == (np.int32, np.float64)
    assert all(column.null.tolist() == [False, True, False] for column in rows.columns)
    assert (rows["c"].levels, rows["b"].levels, rows["f"].levels) == (2, 2, None)
    assert rows.take(np.array([2, 0]))["c"].values.tolist() == [0, 1]
    assert isinstance(rows, Encoded)


def test_a_value_outside_the_legal_ones_is_refused() -> None:
    column = read(pd.DataFrame({"c": ["a", "b"]})).schema.column("c")
    with pytest.raises(DataError, match="'z', which is not among its 2 legal values"):
        encode_column(column, pa.array(["a", "z"]))


def test_what_is_issued_anew_has_no_encoding() -> None:
    column = read(pd.DataFrame({"user_id": [3, 1, 2]})).schema.column("user_id")
    with pytest.raises(DataError, match="re-issued, not learned"):
        encode_column(column, pa.array([1]))
