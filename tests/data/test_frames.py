"""What goes in as a pandas, polars or Arrow frame comes out as the same: dtypes, order, nulls."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal as assert_polars_equal

from synth.data.frames import as_table, to_arrow, to_pandas, to_polars
from synth.data.schema import Kind, Role
from synth.data.sources import read, write
from synth.errors import DataError, SchemaError

N = 6
PANDAS: dict[str, Any] = {
    "int64": np.arange(N),
    "uint8": np.arange(N, dtype="uint8"),
    "int16": np.arange(N, dtype="int16"),
    "Int64": pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
    "UInt16": pd.array([1, None, 3, 4, 5, 6], dtype="UInt16"),
    "float64": [0.5, np.nan, 2.0, 3.0, -1.25, 1e300],
    "float32": np.array([0.1, np.nan, 2.0, 3.0, -1.25, 7.5], dtype="float32"),
    "Float64": pd.array([0.5, None, 2, 3, 4, 5], dtype="Float64"),
    "whole numbers with NaN": [1.0, np.nan, 3.0, 4.0, 5.0, 6.0],
    "bool": [True, False, True, True, False, False],
    "boolean": pd.array([True, None, False, True, True, False], dtype="boolean"),
    "bool with None": pd.Series([True, None, False, True, True, False], dtype=object),
    "str": ["a", None, "b", "c", "", "ü"],
    "object text with None": pd.Series(["a", None, "b", "c", "", "ü"], dtype=object),
    "object text with NaN": pd.Series(["a", np.nan, "b", "c", "", "ü"], dtype=object),
    "object text with NA": pd.Series(["a", pd.NA, "b", "c", "", "ü"], dtype=object),
    "object integers": pd.Series([1, None, 3, 4, 5, 6], dtype=object),
    "string python": pd.array(["a", None, "b", "c", "", "ü"], dtype=pd.StringDtype("python")),
    "string pyarrow": pd.array(["a", None, "b", "c", "", "ü"], dtype=pd.StringDtype("pyarrow")),
    "category": pd.Categorical(["x", None, "y", "x", "y", "x"], categories=["y", "unused", "x"]),
    "ordered": pd.Categorical(["x", None, "y", "x", "y", "x"], categories=["y", "mid", "x"], ordered=True),
    "category of integers": pd.Categorical([3, None, 1, 3, 1, 1], categories=[3, 1, 2]),
    "ordered integers": pd.Categorical([3, None, 1, 3, 1, 1], categories=[3, 1, 2], ordered=True),
    "category of objects": pd.Categorical(["x", None] * 3, categories=pd.Index(["x", "y"], dtype=object)),
    "datetime ns": pd.to_datetime(["2020-01-01", None, "2021-05-05 12:30:00.123456789"] * 2, format="ISO8601").astype(
        "datetime64[ns]"
    ),
    "datetime us": pd.Series(pd.to_datetime(["2020-01-01", None] * 3)).astype("datetime64[us]"),
    "datetime s": pd.Series(pd.to_datetime(["2020-01-01", None] * 3)).astype("datetime64[s]"),
    "datetime with zone": pd.Series(pd.to_datetime(["2020-03-29 00:30", None] * 3)).dt.tz_localize("Europe/Berlin"),
    "datetime in UTC": pd.Series(pd.to_datetime(["2020-03-29 00:30", None] * 3)).dt.tz_localize("UTC"),
    "dates": pd.Series([dt.date(2020, 2, 29), None] * 3, dtype=object),
    "decimals": pd.Series([decimal.Decimal("1.20"), None] * 3, dtype=object),
    "arrow integers": pd.array([1, None, 3, 4, 5, 6], dtype=pd.ArrowDtype(pa.int64())),
    "arrow text": pd.array(["a", None, "b", "c", "", "d"], dtype=pd.ArrowDtype(pa.string())),
}


@pytest.mark.parametrize("name", PANDAS)
def test_a_pandas_column_comes_back_in_its_dtype(name: str, tmp_path: Any) -> None:
    frame = pd.DataFrame({"column": PANDAS[name], "other": np.arange(N) % 3})
    before = frame.copy(deep=True)
    table = read(frame)
    pd.testing.assert_frame_equal(table.to_frame(), before)
    pd.testing.assert_frame_equal(frame, before)
    stored = read(write(table, tmp_path / "t.parquet"))
    assert stored.digest() == table.digest()
    pd.testing.assert_frame_equal(stored.to_pandas(), before)


POLARS: dict[str, pl.Series] = {
    "Int64": pl.Series([1, None, 3]),
    "UInt8": pl.Series([1, None, 3], dtype=pl.UInt8),
    "Float32": pl.Series([0.1, None, 3], dtype=pl.Float32),
    "Boolean": pl.Series([True, None, False]),
    "String": pl.Series(["a", None, ""]),
    "Categorical": pl.Series(["x", None, "y"], dtype=pl.Categorical),
    "Enum": pl.Series(["x", None, "y"], dtype=pl.Enum(["y", "unused", "x"])),
    "Date": pl.Series([dt.date(2020, 2, 29), None, dt.date(1900, 1, 1)]),
    "Datetime ms": pl.Series([dt.datetime(2020, 2, 29), None, dt.datetime(1900, 1, 1)], dtype=pl.Datetime("ms")),
    "Datetime zone": pl.Series(
        [dt.datetime(2020, 2, 29), None, dt.datetime(1900, 1, 1)], dtype=pl.Datetime("us", "Europe/Berlin")
    ),
    "Decimal": pl.Series([decimal.Decimal("1.20"), None, decimal.Decimal("-3.45")], dtype=pl.Decimal(10, 2)),
}


@pytest.mark.parametrize("name", POLARS)
def test_a_polars_column_comes_back_in_its_dtype(name: str, tmp_path: Any) -> None:
    frame = pl.DataFrame({"column": POLARS[name], "other": [1, 2, 2]})
    table = read(frame)
    assert_polars_equal(table.to_frame(), frame)
    stored = read(write(table, tmp_path / "t.parquet"))
    assert_polars_equal(stored.to_polars(), frame)
    assert stored.digest() == table.digest()


ARROW = [
    pa.array([1, None], pa.timestamp("s")),
    pa.array([86_400_000, None], pa.date64()),
    pa.array([1.5, None], pa.float16()),
    pa.array([1, None], pa.uint32()),
    pa.array([decimal.Decimal("1.5"), None], pa.decimal256(50, 3)),
    pa.array(["a", None]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.large_string())),
    pa.array([1, None], pa.int8()),
    pa.array(["a", None], pa.large_string()),
    pa.array(["a", None]).dictionary_encode(),
    pa.array([1.5, None], pa.float32()),
    pa.array([1, None], pa.date32()),
    pa.array([1, None], pa.timestamp("ns", "America/New_York")),
    pa.array([decimal.Decimal("1.5"), None], pa.decimal128(20, 3)),
]


@pytest.mark.parametrize("values", ARROW, ids=lambda values: str(values.type))
def test_an_arrow_table_comes_back_in_its_types(values: pa.Array, tmp_path: Any) -> None:
    frame = pa.table({"column": values, "other": [1, 2]})
    table = read(frame)
    assert table.to_frame().equals(frame)
    assert read(write(table, tmp_path / "t.parquet")).digest() == table.digest()


texts = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5))
rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-(2**53), 2**53)),
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
        texts,
        st.one_of(st.none(), st.booleans()),
        st.one_of(st.none(), st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))),
        st.one_of(st.none(), st.dates(dt.date(1700, 1, 1), dt.date(2200, 1, 1))),
    ),
    min_size=2,
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(rows)
def test_any_frame_survives_the_way_through_arrow(cells: list[tuple[Any, ...]]) -> None:
    names = ["i", "f", "s", "b", "t", "d"]
    kinds = [pl.Int64, pl.Float64, pl.String, pl.Boolean, pl.Datetime("us"), pl.Date]
    polars = pl.DataFrame(cells, schema=dict(zip(names, kinds, strict=True)), orient="row")
    assert_polars_equal(to_polars(to_arrow(polars)[0]), polars)
    by_name = dict(zip(names, zip(*cells, strict=True), strict=True))
    pandas = pd.DataFrame(
        {
            "i": pd.array(by_name["i"], dtype="Int64"),
            "f": np.array(by_name["f"], dtype=float),
            "s": pd.array(by_name["s"], dtype="string"),
            "b": pd.array(by_name["b"], dtype="boolean"),
            "t": pd.Series(by_name["t"], dtype="datetime64[us]"),
            "d": pd.Series(by_name["d"], dtype=object),
        }
    )
    if not pandas["d"].isna().all():
        pd.testing.assert_frame_equal(to_pandas(to_arrow(pandas)[0]), pandas)


def test_string_views_are_read() -> None:
    assert read(pa.table({"x": pa.array(["a", None], pa.string_view())})).column("x").to_pylist() == ["a", None]


def test_integers_with_nulls_from_a_file_stay_integers_in_pandas() -> None:
    frame = to_pandas(pa.table({"i": [1, None], "b": [True, None], "j": [1, 2]}))
    assert [str(dtype) for dtype in frame.dtypes] == ["Int64", "boolean", "int64"]


def test_nan_is_a_null_like_any_other() -> None:
    table = read(pl.DataFrame({"x": [0.5, float("nan"), 2.5]}))
    assert table.column("x").null_count == 1
    assert table.schema.column("x").nullable


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame([[1, 2], [3, 4]]), "name 0, which is no text"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), "'a' appears twice"),
        (pd.DataFrame({"a": [1, "x", 2]}, dtype=object), r"row 1 holds 1 \(int\), row 2 holds 'x' \(str\)"),
        (pd.DataFrame({"a": pd.to_timedelta([1, 2], unit="s")}), "duration"),
        (pd.DataFrame({"a": [[1], [2, 3]]}), "nested"),
        (pd.DataFrame({"a": [{"k": 1}, {"k": 2}]}), "nested"),
        (pd.DataFrame({"a": pd.cut(pd.Series([1.0, 2.0, 3.0]), 2)}), "interval"),
        (pd.DataFrame({"a": pd.period_range("2020", periods=3, freq="D")}), "period"),
        (pd.DataFrame({"a": [1j, 2j]}), "complex"),
        (pd.DataFrame({"a": [b"x", b"y"]}), "binary"),
        (pd.DataFrame({"a": [None, None]}), "null in every row"),
        (pd.DataFrame({"a": [np.nan, np.nan]}), "null in every row"),
        (pd.DataFrame({"a": [1.0, np.inf]}), "inf in row 2"),
        (pd.DataFrame({"a": []}), "no rows"),
        (pa.table({"a": pa.array([decimal.Decimal("1.5")] * 2, pa.decimal64(10, 3))}), "decimal64"),
        (pl.DataFrame({"a": [[1], [2]]}), "nested"),
        (pl.DataFrame({"a": [object(), object()]}), "Python objects"),
        (pl.DataFrame({"a": [1, 2]}).lazy(), "collect"),
        ({"a": [1, 2]}, "is not a table"),
        (np.zeros((2, 2)), "is not a table"),
    ],
)
def test_what_is_no_table_of_values_is_refused_in_words(frame: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read(frame)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_column_that_is_dropped_may_hold_anything() -> None:
    frame = pd.DataFrame({"a": [[1], [2, 3]], "e": [None, None], "b": [1, 2]})
    table = read(frame, drop=["a", "e"])
    assert [column.name for column in table.schema.made] == ["b"]


def test_roles_given_with_a_table_are_laid_over_its_schema() -> None:
    frame = pd.DataFrame({"x": range(30), "y": [0, 1] * 15, "g": ["a", "b", "c"] * 10})
    table = as_table(read(frame), target="y", sensitive=["g"])
    assert table.schema.target is not None
    assert table.schema.target.kind is Kind.CATEGORICAL
    assert table.schema.column("g").role is Role.SENSITIVE
    assert as_table(table) is table
    with pytest.raises(SchemaError, match="did you mean 'y'"):
        as_table(frame, target="yy")
