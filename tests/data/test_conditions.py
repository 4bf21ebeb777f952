"""A `where` means what SQL would mean by it, says itself back, and is refused in words where no row can satisfy it."""

from __future__ import annotations

import datetime
import math
import time
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.data.conditions import Clause, Where
from synth.data.encoding import encode_column
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.errors import ConditionError

CITIES = ("Lyon", "O'Slo", "Paris", 'a "b"', "and")
LEVELS = ("low", "mid", "high", "top")
SCHEMA = Schema(
    (
        Column("age", Kind.INTEGER, nullable=True, minimum=-50, maximum=50),
        Column("net income", Kind.DECIMAL, nullable=True, decimals=2),
        Column("ratio", Kind.DECIMAL, nullable=True, decimals=17),
        Column("city", Kind.CATEGORICAL, nullable=True, categories=CITIES),
        Column("level", Kind.ORDINAL, nullable=True, categories=LEVELS),
        Column("code", Kind.CATEGORICAL, nullable=True, categories=(1, 2, 5)),
        Column("not", Kind.BOOLEAN, nullable=True),
        Column("seen", Kind.DATETIME, nullable=True, unit="second"),
        Column("born", Kind.DATETIME, nullable=True, unit="day"),
    )
)
EXTRA = Schema(
    (*SCHEMA.columns, Column("id", Kind.INTEGER, Role.KEY), Column("note", Kind.TEXT), Column("uid", Kind.IDENTIFIER))
)
FIRST = datetime.datetime(2024, 1, 1)

ages = st.integers(-50, 50)
cents = st.integers(-300, 300).map(lambda cents: cents / 100)
ratios = st.floats(-2, 2, allow_nan=False)
moments = st.integers(-5000, 5000).map(lambda seconds: FIRST + datetime.timedelta(seconds=seconds))
days = st.integers(-30, 30).map(lambda days: FIRST.date() + datetime.timedelta(days=days))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "age": ages,
    "net income": cents,
    "ratio": ratios,
    "city": st.sampled_from(CITIES),
    "level": st.sampled_from(LEVELS),
    "code": st.sampled_from((1, 2, 5)),
    "not": st.booleans(),
    "seen": moments,
    "born": days,
}
TYPES = {
    "age": pa.int8(),
    "net income": pa.float64(),
    "ratio": pa.float64(),
    "city": pa.dictionary(pa.int8(), pa.string()),
    "level": pa.string(),
    "code": pa.int32(),
    "not": pa.bool_(),
    "seen": pa.timestamp("us"),
    "born": pa.date32(),
}
ROWS = st.lists(st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()}), min_size=1, max_size=20)
UNORDERED = ("city", "code", "not")


def _table(rows: list[dict[str, Any]]) -> Table:
    return Table(pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()}), SCHEMA)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, (str, datetime.date)):
        return "'" + (value if isinstance(value, str) else value.isoformat()).replace("'", "''") + "'"
    return repr(value)


def _plain(name: str) -> pc.Expression:
    """A column as Arrow compares it: an ordinal by its place in the order."""
    field = pc.field(name)
    return field.cast(pa.string()) if name == "city" else field


def _scalar(name: str, value: Any) -> Any:
    return pa.scalar(value, pa.string() if name == "city" else TYPES[name] if name != "age" else pa.int64())


@st.composite
def comparisons(draw: st.DrawFn, names: tuple[str, ...] = tuple(VALUES)) -> tuple[str, dict[str, Any], pc.Expression]:
    """A comparison as text, as a mapping, and as Arrow evaluates it."""
    name = draw(st.sampled_from(names))
    quoted = draw(st.sampled_from(['"{}"', "`{}`"])).format(name) if name in ("net income", "not") else name
    ordered = ["<", "<=", ">", ">=", "between"] if name not in UNORDERED else []
    operator = draw(st.sampled_from(["=", "!=", "in", "not in", "is null", "is not null", *ordered]))
    field = _plain(name)
    if operator == "is null":
        return f"{quoted} IS NULL", {name: None}, pc.field(name).is_null()
    if operator == "is not null":
        return f"{quoted} Is Not Null", {name: {"!=": None}}, pc.field(name).is_valid()
    values = draw(st.lists(VALUES[name], min_size=1, max_size=4)) if "in" in operator else [draw(VALUES[name])]
    if name == "ratio":
        values = [value + 0.0 for value in values]  # Arrow's is_in tells -0.0 from 0.0, SQL and we do not
    if operator == "between":
        values = [values[0], draw(VALUES[name])]
    if operator in ("in", "not in"):
        text = f"{quoted} {operator} ({', '.join(map(_text, values))})"
        inside = field.isin(pa.array(values, _scalar(name, values[0]).type))
        return text, {name: {operator: values}}, (inside if operator == "in" else ~inside) & pc.field(name).is_valid()
    if operator == "between":
        text, mapping = f"{quoted} between {_text(values[0])} AND {_text(values[1])}", {name: {"between": values}}
        if name == "level":
            return (
                text,
                mapping,
                field.isin(pa.array(LEVELS[LEVELS.index(values[0]) : LEVELS.index(values[1]) + 1], pa.string())),
            )
        return text, mapping, (field >= _scalar(name, values[0])) & (field <= _scalar(name, values[1]))
    text = f"{quoted}{operator}{_text(values[0])}"
    compare = {"=": "__eq__", "!=": "__ne__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}[operator]
    if name == "level":
        allowed = [v for v in LEVELS if getattr(LEVELS.index(v), compare)(LEVELS.index(values[0]))]
        return text, {name: {operator: values[0]}}, field.isin(pa.array(allowed, pa.string()))
    return text, {name: {operator: values[0]}}, getattr(field, compare)(_scalar(name, values[0]))


def _selected(table: Table, expression: pc.Expression) -> list[int]:
    numbered = table.arrow.append_column("row", pa.array(range(len(table))))
    return list(numbered.filter(expression).column("row").to_pylist())


@pytest.mark.parametrize("name", VALUES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_every_comparison_selects_what_arrow_selects(name: str, data: st.DataObject) -> None:
    text, _, expression = data.draw(comparisons(names=(name,)))
    values = [*data.draw(st.lists(VALUES[name], min_size=5, max_size=8)), None]
    table = _table([dict.fromkeys(TYPES) | {name: value} for value in values])
    try:
        mask = Where.parse(text, SCHEMA).mask(table)
    except ConditionError:
        mask = np.zeros(len(table), dtype=bool)
    assert np.flatnonzero(mask).tolist() == _selected(table, expression)


@settings(deadline=None, max_examples=150)
@given(ROWS, st.lists(comparisons(), min_size=1, max_size=4), st.booleans())
def test_rows_are_those_that_arrow_selects(rows: Any, said: Any, bracketed: bool) -> None:
    table = _table(rows)
    expression = said[0][2]
    for _, _, other in said[1:]:
        expression = expression & other
    texts = [f"({text})" if bracketed else text for text, _, _ in said]
    try:
        where = Where.parse(" and ".join(texts), SCHEMA)
    except ConditionError:
        assert _selected(table, expression) == []  # only what no row can satisfy is refused
        return
    assert np.flatnonzero(where.mask(table)).tolist() == _selected(table, expression)
    assert Where.parse(str(where), SCHEMA) == where
    assert str(Where.parse(str(where), SCHEMA)) == str(where)
    assert Where.parse(where, SCHEMA) == where


@settings(deadline=None, max_examples=100)
@given(comparisons())
def test_a_mapping_says_what_text_says(said: Any) -> None:
    text, mapping, _ = said
    try:
        expected = Where.parse(text, SCHEMA)
    except ConditionError:
        with pytest.raises(ConditionError):
            Where.parse(mapping, SCHEMA)
        return
    assert Where.parse(mapping, SCHEMA) == expected


@settings(deadline=None, max_examples=60)
@given(ROWS, st.integers(-60, 60), st.floats(-3, 3))
def test_rows_are_those_that_pandas_queries(rows: Any, age: int, ratio: float) -> None:
    text = f"age >= {age} and ratio < {ratio!r} and city != 'Lyon' and seen <= '2024-01-01T00:30:00'"
    frame = pd.DataFrame(rows).assign(seen=lambda f: pd.to_datetime(f["seen"])).astype({"age": "Float64", "ratio": "Float64"})
    frame = frame[frame[["age", "ratio", "city"]].notna().all(axis=1)]
    try:
        mask = Where.parse(text, SCHEMA).mask(_table(rows))
    except ConditionError:
        assert age > 50
        return
    assert np.flatnonzero(mask).tolist() == frame.query(text).index.tolist()


@settings(deadline=None, max_examples=300)
@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from(["age", "and", "=", "(", ")", "in", "'x", "3", "null", ",", "not", "\n"])).map(" ".join)
)
def test_junk_is_refused_in_three_lines(text: str) -> None:
    said = ""
    try:
        where = Where.parse(text, SCHEMA)
        assert Where.parse(str(where), SCHEMA) == where
    except ConditionError as error:
        said = str(error)
    assert said.count("\n") <= 2


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("income = 3", "no column 'income'"),
        ("citty = 'Lyon'", "no column 'citty'; did you mean 'city'?"),
        ("city = 'Pariss'", "column 'city' is never 'Pariss'; did you mean 'Paris'?"),
        ("age = '30'", "column 'age' is integer, so it cannot be '30'; write 30 without quotes"),
        ("age = 'old'", "give a number"),
        ("age = true", "cannot be True"),
        ("city = 3", "column 'city' is never 3"),
        ("code = '2'", "holds int values; write 2"),
        ("code = true", "column 'code' is never True"),
        ('"not" = 1', "write true or false"),
        ("age > 40 and age < 30", "no value satisfies age > 40 and age < 30; remove one of these conditions"),
        ("age > 3 and age < 4", "no value satisfies"),
        ("age = 3.5", "no value satisfies age = 3.5; widen"),
        ("age between 4 and 3", "no value satisfies age between 4 and 3"),
        ("age = 3 and age != 3", "no value satisfies"),
        ("city = 'Lyon' and city = 'Paris'", "no value satisfies city = 'Lyon' and city = 'Paris'"),
        ("age is null and age = 3", "no value satisfies age is null and age = 3"),
        ("age > 200", "no row can satisfy age > 200: column 'age' lies between -50 and 50"),
        ("level < 'low'", "no value satisfies level < 'low'"),
        ("city < 'Lyon'", "its values have no order; use `in (…)`"),
        ("seen = 3", "column 'seen' is a datetime, so it cannot be 3; write ISO text: '2024-03-01'"),
        ("seen = 'tomorrow'", "'tomorrow' is none"),
        ("seen > '2024-13-01'", "'2024-13-01' is none"),
        ("seen = '2024-01-01T00:00:00.5'", "no value satisfies"),
        ("", "the condition is empty"),
        ("  ", "the condition is empty"),
        ("age = 3 or age = 4", "`or` is not supported: use `column in (a, b)`"),
        ("city like 'L%'", "`like` is not supported"),
        ("upper(city) = 'LYON'", "functions are not supported"),
        ("not age = 3", "`not` before a comparison is not supported"),
        ("age not between 1 and 2", "after `not` only `in` is supported"),
        ("age = null", "write `column is null`"),
        ("city = Lyon", "write text in quotes: 'Lyon'"),
        ("city = 'Lyon", "the quote ' is never closed"),
        ("30 <= age", "the column comes first"),
        ("(age = 3", "this parenthesis is never closed"),
        ("age = 3)", "this parenthesis was never opened"),
        ("age = 3 city = 'Lyon'", "expected `and` between two comparisons"),
        ("age in ()", "expected a value"),
        ("age = 12px", "this is not a number"),
        ("age; drop table x", "';' means nothing here"),
        ("age < 1e999", "no finite number"),
        ({"age": 10**400}, "no finite number"),
        ({"age": float("nan")}, "no finite number"),
        ({"age": {">>": 3}}, "unknown operator '>>'"),
        ({"age": {}}, "empty mapping"),
        ({"age": []}, "empty list"),
        ({"age": [None, 3]}, "compares with None"),
        ({"age": {"between": [1]}}, "has 1 values"),
        ({"age": {"in": 3}}, "give a list"),
        ({"age": object()}, "value of type object"),
        (7, "a condition is text or a mapping, not int"),
        ("note = 'x'", "its values are issued anew"),
        ("uid = 'x'", "its values are issued anew"),
        ("id is null", "the schema says 'id' has no nulls"),
    ],
)
def test_what_cannot_be_met_is_refused_in_words(condition: Any, said: str) -> None:
    with pytest.raises(ConditionError) as caught:
        Where.parse(condition, EXTRA)
    assert said in str(caught.value)
    assert str(caught.value).count("\n") <= 2


def test_a_caret_marks_the_place_also_in_long_text() -> None:
    text = "age > 1 and " * 40 + "age ? 3" + " and age < 40" * 40
    with pytest.raises(ConditionError) as caught:
        Where.parse(text, SCHEMA)
    _, shown, caret = str(caught.value).split("\n")
    assert shown[caret.index("^")] == "?"
    assert len(shown) < 100


def test_everything_said_of_a_column_becomes_one_clause() -> None:
    where = Where.parse("city != 'Lyon' and age < 40 and age >= 30 and age != 30 and city in ('Lyon', 'Paris', 'and')", SCHEMA)
    age, city = where.clauses
    assert (age.column, age.low, age.high, age.excluded) == ("age", 31, 39, frozenset())
    assert city.codes == frozenset({2, 4})
    assert str(where) == "age between 31 and 39 and city in ('Paris', 'and')"


def test_strict_bounds_are_the_next_value_and_read_as_they_were_written() -> None:
    where = Where.parse('ratio < 0.3 and ratio > 0.1 and "net income" > 2', SCHEMA)
    by_column = {clause.column: clause for clause in where.clauses}
    assert by_column["ratio"].high == math.nextafter(0.3, 0) and by_column["ratio"].low == math.nextafter(0.1, 1)  # noqa: PT018
    assert str(where) == '"net income" > 2 and ratio > 0.1 and ratio < 0.3'


def test_nothing_said_means_every_row() -> None:
    table = _table([dict.fromkeys(TYPES)] * 3)
    for empty in (None, {}):
        where = Where.parse(empty, SCHEMA)
        assert not where
        assert where.clauses == ()
        assert where.mask(table).tolist() == [True] * 3


def test_values_of_other_libraries_are_values() -> None:
    mapping = {
        "age": np.int64(3),
        "ratio": {"<": np.float32(0.5)},
        "not": np.bool_(True),
        "seen": {">=": pd.Timestamp("2024-01-01 10:00")},
        "born": {"between": [datetime.date(2024, 1, 1), np.datetime64("2024-02-01")]},
        "city": {"Lyon", "Paris"},
    }
    assert str(Where.parse(mapping, SCHEMA)) == (
        "age = 3 and ratio < 0.5 and city in ('Lyon', 'Paris') and \"not\" = true and seen >= '2024-01-01T10:00:00' "
        "and born between '2024-01-01' and '2024-02-01'"
    )


def test_moments_with_a_zone_are_instants() -> None:
    schema = Schema((Column("t", Kind.DATETIME, unit="second"),))
    instants = pa.array([datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.UTC)], pa.timestamp("ms", "America/New_York"))
    table = Table(pa.table({"t": instants}), schema)
    for text in ("2024-01-01T12:00:00Z", "2024-01-01T07:00:00-05:00", "2024-01-01 13:00:00+0100", "2024-01-01T12"):
        assert Where.parse({"t": text}, schema).mask(table).all()
    assert not Where.parse("t > '2024-01-01T12:00:00Z'", schema).mask(table).any()
    assert Where.parse("t > '2024-01-01T11:59:59.999Z'", schema).mask(table).all()


def test_a_float32_is_the_number_it_was_written_as() -> None:
    schema = Schema((Column("x", Kind.DECIMAL, decimals=1),))
    table = Table(pa.table({"x": pa.array([0.1, 0.3, 0.7], pa.float32())}), schema)
    assert Where.parse("x = 0.3", schema).mask(table).tolist() == [False, True, False]
    assert Where.parse("x <= 0.3", schema).mask(table).tolist() == [True, True, False]


def test_clauses_judge_encoded_values() -> None:
    values = encode_column(SCHEMA.column("city"), pa.array(["Paris", None, "Lyon"])).values
    assert Clause("city", Kind.CATEGORICAL, codes=frozenset({2})).holds(values).tolist() == [True, False, False]
    assert Clause("city", Kind.CATEGORICAL, codes=frozenset({-1}), null=True).holds(values).tolist() == [False, True, False]
    numbers = np.array([1.0, np.nan, 3.0])
    assert Clause("age", Kind.INTEGER, low=2).holds(numbers).tolist() == [False, False, True]
    assert Clause("age", Kind.INTEGER, null=True).holds(numbers).tolist() == [False, True, False]


def test_only_unchanged_learned_columns_are_conditioned_on_directly() -> None:
    where = Where.parse("age > 3 and city = 'Lyon' and level = 'mid'", SCHEMA)
    other = Schema((Column("age", Kind.INTEGER), Column("city", Kind.CATEGORICAL, categories=("Lyon",))))
    assert [clause.column for clause in where.on(other).clauses] == ["age"]
    assert not where.on(Schema((Column("age", Kind.INTEGER, Role.KEY),)))


def test_a_table_is_filtered_by_a_condition() -> None:
    table = _table([dict.fromkeys(TYPES) | {"age": age} for age in (1, None, 5)])
    assert table.where("age > 1").column("age").to_pylist() == [5]
    assert table.where({"age": None}).column("age").to_pylist() == [None]


def test_ten_thousand_values_are_read_at_once() -> None:
    schema = Schema((Column("c", Kind.CATEGORICAL, categories=tuple(f"v{k}" for k in range(20_000))),))
    started = time.perf_counter()
    where = Where.parse({"c": [f"v{k}" for k in range(10_000)]}, schema)
    assert Where.parse(str(where), schema) == where
    assert time.perf_counter() - started < 5
