"""What a constraint says of rows, and what is refused as one."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.data.constraints import (
    broken_rows,
    check_constraints,
    columns_of,
    parse,
    within_range,
    without_repeats,
)
from synth.data.schema import Column, Kind, Schema
from synth.data.table import Table
from synth.errors import SchemaError

COLUMNS = (
    Column("a", Kind.INTEGER, nullable=True),
    Column("b", Kind.INTEGER, nullable=True, minimum=0, maximum=100),
    Column("education-num", Kind.DECIMAL, nullable=True, decimals=2),
    Column("when", Kind.DATETIME, nullable=True, unit="day"),
    Column("zip code", Kind.IDENTIFIER, nullable=True),
    Column("city", Kind.CATEGORICAL, nullable=True, categories=("Lyon", "Oslo")),
)


def _table(constraint: str, **values: Any) -> Table:
    columns = tuple(column for column in COLUMNS if column.name in values)
    arrays = [pa.array(values[column.name]) for column in columns]
    return Table(pa.table(arrays, names=[c.name for c in columns]), Schema(columns, (constraint,)))


def _broken(table: Table) -> list[bool]:
    return next(iter(broken_rows(table).values())).tolist()


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a <= b", ("a", "b")),
        ("a>=-3.5", ("a",)),
        ("'2024-01-01' < when", ("when",)),
        ("a = education-num - b", ("a", "education-num", "b")),
        ("a=education-num-b", ("a", "education-num", "b")),
        ("unique(`zip code`, a)", ("zip code", "a")),
        ("pattern(\"zip code\", '[0-9]{5}')", ("zip code",)),
        ("combinations(city, a)", ("city", "a")),
    ],
)
def test_the_columns_that_a_constraint_names(text: str, columns: tuple[str, ...]) -> None:
    schema = Schema(COLUMNS, (text,))
    assert columns_of(text, schema.names) == columns
    assert parse(text, schema).columns == columns


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a <= bb", "no column 'bb'; did you mean 'b'"),
        ("uniq(a)", "no 'uniq'; did you mean 'unique'"),
        ("a <= b <= 3", "one comparison at a time"),
        ("a", "expected <, <=, >, >= or ="),
        ("", "expected a column, found the end"),
        ("a <= a", "named twice"),
        ("combinations(a)", "two columns or more"),
        ("3 <= 4", "no column is named"),
        ("3 = a", "a column on its left"),
        ("a <= city", "only numbers and moments compare"),
        ("a <= when", "a moment with a number"),
        ("when <= 'soon'", "compare it with ISO text"),
        ("a <= 'soon'", "compare it with a number"),
        ("a = b + city", "only numbers can be summed"),
        ("pattern(city, '[')", "not a regular expression"),
        ("pattern(city, a)", "in single quotes"),
        ("a <= b; b <= a", "';' means nothing here"),
        ("a <= b b", "expected the end"),
        ("unique(a", "expected ')'"),
    ],
)
def test_what_is_no_constraint_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(SchemaError) as caught:
        parse(text, Schema(COLUMNS))
    assert said in str(caught.value)
    assert str(caught.value).count("\n") <= 2


def test_a_null_breaks_nothing() -> None:
    assert _broken(_table("a <= b", a=[1, 3, None, 3], b=[2, 2, 1, None])) == [False, True, False, False]
    assert _broken(_table("a < b", a=[1, 2], b=[2, 2])) == [False, True]
    assert _broken(_table("a = b + education-num", a=[3, 4, None], b=[1, 1, 1], **{"education-num": [2.0, 2.0, 2.0]})) == [
        False,
        True,
        False,
    ]
    assert _broken(_table("unique(a, b)", a=[1, 1, None, None, 1], b=[1, 2, 3, 3, 1])) == [False, False, False, False, True]


def test_constants_and_moments_compare() -> None:
    assert _broken(_table("a >= -1.5", a=[-2, -1, None])) == [True, False, False]
    days = [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)]
    assert _broken(_table("when > '2024-01-01'", when=days)) == [True, False]
    assert _broken(_table("'2024-01-01T12:00' <= when", when=days)) == [True, False]


def test_a_sum_is_judged_at_its_decimals_and_not_at_those_of_doubles() -> None:
    columns = tuple(Column(name, Kind.DECIMAL, decimals=1) for name in "abc")
    rows = pa.table({"a": [0.3, 0.4, 1e6 + 0.3], "b": [0.1, 0.1, 1e6], "c": [0.2, 0.2, 0.3]})
    assert _broken(Table(rows, Schema(columns, ("a = b + c",)))) == [False, True, False]


def test_a_pattern_matches_in_full() -> None:
    table = _table("pattern(\"zip code\", '[0-9]{5}')", **{"zip code": ["12345", "1234", "123456", None]})
    assert _broken(table) == [False, True, True, False]
    numbers = _table("pattern(a, '[0-9]{2}')", a=[12, 123, None, 45])
    assert _broken(numbers) == [False, True, False, False]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.none() | st.integers(0, 3), st.none() | st.sampled_from(["Lyon", "Oslo"])), max_size=30))
def test_unique_agrees_with_pandas(rows: list[tuple[int | None, str | None]]) -> None:
    table = _table(
        "unique(a, city)", a=pa.array([a for a, _ in rows], pa.int64()), city=pa.array([c for _, c in rows], pa.string())
    )
    frame = pd.DataFrame(rows, columns=["a", "city"], dtype=object)
    expected = frame.duplicated(keep="first") & frame.notna().all(axis=1)
    assert _broken(table) == expected.tolist()


def test_repeats_are_found_across_parts() -> None:
    table = _table("unique(a)", a=[1, 2, 3])
    parts = without_repeats([table, table.take([1]), _table("unique(a)", a=[4, 1])])
    assert [value for part in parts for value in part.column("a").to_pylist()] == [1, 2, 3, 4]


def test_a_number_outside_its_column_is_seen() -> None:
    table = _table("a <= b", a=[1, 2, 500], b=[101, 100, None])
    assert within_range(table).tolist() == [False, True, True]


def test_a_table_that_breaks_its_constraint_is_refused() -> None:
    check_constraints(_table("a <= b", a=[1], b=[1]))
    with pytest.raises(SchemaError, match="1 of 2 rows break the constraint 'a <= b'; the first is row 2: a = 3, b = 1"):
        check_constraints(_table("a <= b", a=[1, 3], b=[1, 1]))


def test_no_row_is_no_trouble() -> None:
    empty = pa.array([], pa.int64())
    for text in ("a <= b", "a = b", "unique(a)", "pattern(a, 'x')"):
        assert _broken(_table(text, a=empty, b=empty)) == []
    assert np.array_equal(within_range(_table("a <= b", a=empty, b=empty)), [])
