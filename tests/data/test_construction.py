"""What is kept by construction holds whatever a generator makes, and training rows come back as they were."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.data.conditions import Where
from synth.data.constraints import broken_rows, within_range
from synth.data.construction import Construction
from synth.data.encoding import Encoded, decode, encode
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.errors import ConditionError, SchemaError
from synth.generators.independent import Independent
from synth.generators.trees import Trees

INTEGERS = st.one_of(st.none(), st.integers(-1000, 1000))
CENTS = st.one_of(st.none(), st.integers(-100_000, 100_000))


def _decimal(column: list[int | None], digits: int) -> list[float | None]:
    return [None if value is None else value / 10**digits for value in column]


def _whole(name: str, **facts: Any) -> Column:
    return Column(name, Kind.INTEGER, **{"nullable": True, **facts})


def _round_trip(table: Table) -> Table:
    plan = Construction.plan(table.schema)
    return plan.inverse(plan.forward(table), table.schema, table.arrow.schema)


def _random_rows(learned: Table, rng: np.random.Generator, n: int) -> Table:
    """Rows that no method would be ashamed of: any category, any number, any null that the schema allows."""
    columns = []
    for column, encoded in zip(learned.schema.columns, encode(learned).columns, strict=True):
        if encoded.is_category:
            values = rng.integers(-1 if column.nullable else 0, encoded.levels, n)
        else:
            values = rng.normal(0, 500, n).round(3)
            values[rng.random(n) < (0.2 if column.nullable else 0)] = np.nan
        columns.append(encoded.with_values(values))
    rows = Encoded(tuple(columns), n)
    return Table(decode(rows, learned.schema, learned.arrow.schema), learned.schema)


def _inequality_table(pairs: list[tuple[int | None, int | None]], operator: str, digits: int, kinds: tuple[str, str]) -> Table:
    strict = operator in ("<", ">")
    ordered = [(a, b) if a is None or b is None else (min(a, b), max(a, b) + (1 if strict and a == b else 0)) for a, b in pairs]
    if operator in (">", ">="):
        ordered = [(b, a) for a, b in ordered]
    left, right = [a for a, _ in ordered], [b for _, b in ordered]
    kind = Kind.DECIMAL if digits else Kind.INTEGER
    schema = Schema(
        (
            Column("a", kind, nullable=True, decimals=digits or None),
            Column("b", kind, nullable=True, decimals=digits or None, minimum=-2000, maximum=2000),
        ),
        (f"a {operator} b",),
    )
    arrays = [
        pa.array(_decimal(values, digits) if digits else values, type=pa.type_for_alias(alias))
        for values, alias in zip((left, right), kinds, strict=True)
    ]
    return Table(pa.table(arrays, names=["a", "b"]), schema)


@settings(deadline=None, max_examples=120)
@given(
    st.lists(st.tuples(INTEGERS, INTEGERS), min_size=1, max_size=30),
    st.sampled_from(["<", "<=", ">", ">="]),
    st.sampled_from([(0, ("int64", "int32")), (0, ("int16", "double")), (1, ("double", "double")), (2, ("double", "float"))]),
)
def test_rows_that_keep_an_inequality_come_back_as_they_were(pairs: Any, operator: str, shape: Any) -> None:
    table = _inequality_table(pairs, operator, *shape)
    assert Construction.plan(table.schema).steps
    assert _round_trip(table).equals(table)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(INTEGERS, INTEGERS), min_size=1, max_size=5),
    st.sampled_from(["<", "<=", ">", ">="]),
    st.sampled_from([(0, ("int64", "int32")), (0, ("int16", "double")), (1, ("double", "double")), (2, ("double", "float"))]),
    st.integers(0, 2**32),
)
def test_an_inequality_holds_in_whatever_is_made(pairs: Any, operator: str, shape: Any, seed: int) -> None:
    table = _inequality_table(pairs, operator, *shape)
    plan = Construction.plan(table.schema)
    made = plan.inverse(_random_rows(plan.forward(table), np.random.default_rng(seed), 50), table.schema, table.arrow.schema)
    assert made.arrow.schema.equals(table.arrow.schema)
    assert not broken_rows(made)[f"a {operator} b"].any()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2040, 1, 1)), st.integers(0, 10**6), st.booleans()
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 2**32),
)
def test_an_end_never_comes_before_its_start(rows: Any, seed: int) -> None:
    starts = [start.replace(microsecond=0) for start, _, _ in rows]
    gaps = [None if gone else datetime.timedelta(seconds=gap) for _, gap, gone in rows]
    ends = [None if gap is None else start + gap for start, gap in zip(starts, gaps, strict=True)]
    schema = Schema(
        (Column("start", Kind.DATETIME, unit="second"), Column("end", Kind.DATETIME, nullable=True, unit="second")),
        ("start <= end",),
    )
    arrow = pa.table(
        {"start": pa.array(starts, pa.timestamp("us", "Europe/Berlin")), "end": pa.array(ends, pa.timestamp("ms", "UTC"))}
    )
    table = Table(arrow, schema)
    assert _round_trip(table).equals(table)
    plan = Construction.plan(schema)
    made = plan.inverse(_random_rows(plan.forward(table), np.random.default_rng(seed), 40), schema, arrow.schema)
    assert not broken_rows(made)["start <= end"].any()


def test_a_day_that_ends_after_a_moment_is_rounded_away_from_it() -> None:
    schema = Schema((Column("seen", Kind.DATETIME, unit="minute"), Column("due", Kind.DATETIME, unit="day")), ("seen <= due",))
    arrow = pa.table(
        {
            "seen": pa.array([datetime.datetime(2024, 3, 1, 9, 30)], pa.timestamp("s")),
            "due": pa.array([datetime.date(2024, 3, 4)], pa.date32()),
        }
    )
    table = Table(arrow, schema)
    assert _round_trip(table).equals(table)
    plan = Construction.plan(schema)
    learned = plan.forward(table)
    shorter = learned.arrow.set_column(1, learned.schema.names[1], pa.array([60]))
    made = plan.inverse(Table(shorter, learned.schema), schema, arrow.schema)
    assert made.column("due").to_pylist() == [datetime.date(2024, 3, 2)]


def _sum_table(parts: list[tuple[Any, Any, Any]], digits: int) -> Table:
    totals = [None if gone or a is None or b is None else a - b for a, b, gone in parts]
    # A total that stands although a term is missing is a fact of its own, and is kept too.
    totals = [
        7 if total is None and a is None and not gone else total for total, (a, _, gone) in zip(totals, parts, strict=True)
    ]
    kind = Kind.DECIMAL if digits else Kind.INTEGER
    names = ("total", "a", "b")
    schema = Schema(tuple(Column(n, kind, nullable=True, decimals=digits or None) for n in names), ("total = a - b",))
    values = (totals, [a for a, _, _ in parts], [b for _, b, _ in parts])
    arrays = [pa.array(_decimal(v, digits), pa.float64()) if digits else pa.array(v, pa.int64()) for v in values]
    return Table(pa.table(arrays, names=list(names)), schema)


@settings(deadline=None, max_examples=120)
@given(st.lists(st.tuples(CENTS, CENTS, st.booleans()), min_size=1, max_size=30), st.sampled_from([0, 1, 2, 5]))
def test_rows_that_keep_a_sum_come_back_as_they_were(parts: Any, digits: int) -> None:
    table = _sum_table(parts, digits)
    assert _round_trip(table).equals(table)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(CENTS, CENTS, st.booleans()), min_size=1, max_size=5),
    st.sampled_from([0, 1, 2, 5]),
    st.integers(0, 2**32),
)
def test_a_sum_holds_in_whatever_is_made(parts: Any, digits: int, seed: int) -> None:
    table = _sum_table(parts, digits)
    plan = Construction.plan(table.schema)
    made = plan.inverse(_random_rows(plan.forward(table), np.random.default_rng(seed), 50), table.schema, table.arrow.schema)
    assert not broken_rows(made)["total = a - b"].any()


def _places(extra: tuple[Column, ...] = (), constraints: tuple[str, ...] = ("combinations(city, country)",)) -> Schema:
    return Schema(
        (
            Column("city", Kind.CATEGORICAL, nullable=True, categories=("Lyon", "Paris", "Oslo")),
            Column("age", Kind.INTEGER),
            Column("country", Kind.CATEGORICAL, Role.TARGET, categories=("Norway", "France", "Spain")),
            Column("eu", Kind.BOOLEAN, nullable=True),
            *extra,
        ),
        constraints,
    )


def _places_table(schema: Schema) -> Table:
    rows = {
        "city": pa.array(["Lyon", "Paris", "Oslo", None, "Paris"]).dictionary_encode(),
        "age": [1, 2, 3, 4, 5],
        "country": pa.array(["France", "France", "Norway", "Spain", "France"], pa.large_string()),
        "eu": pa.array([True, True, False, None, True]),
    }
    return Table(pa.table(rows), schema)


def test_only_combinations_of_the_training_data_are_made() -> None:
    table = _places_table(_places())
    plan = Construction.plan(table.schema)
    learned = plan.forward(table)
    assert learned.schema.names == ("city × country", "age", "eu")
    assert learned.schema.target is not None  # the role passes to the category that holds the target
    assert _round_trip(table).equals(table)
    made = plan.inverse(_random_rows(learned, np.random.default_rng(0), 300), table.schema, table.arrow.schema)
    seen = set(zip(made.column("city").to_pylist(), made.column("country").to_pylist(), strict=True))
    assert seen == {("Lyon", "France"), ("Paris", "France"), ("Oslo", "Norway"), (None, "Spain")}
    assert not broken_rows(made, table)["combinations(city, country)"].any()


def test_a_combination_that_never_occurred_is_broken() -> None:
    table = _places_table(_places())
    wrong = table.arrow.set_column(2, "country", pa.array(["Spain"] * 5, pa.large_string()))
    broken = broken_rows(Table(wrong, table.schema), table)["combinations(city, country)"]
    assert broken.tolist() == [True, True, True, False, True]
    assert broken_rows(table) == {}


def test_combinations_that_share_a_column_are_kept_together() -> None:
    table = _places_table(_places(constraints=("combinations(city, country)", "combinations(country, eu)")))
    assert Construction.plan(table.schema).forward(table).schema.names == ("city × country × eu", "age")
    assert _round_trip(table).equals(table)


def test_a_condition_on_a_member_becomes_one_on_the_category() -> None:
    table = _places_table(_places())
    learned = Construction.plan(table.schema).forward(table)
    where = Where.parse("country = 'France' and age > 1", table.schema)
    direct = where.on(learned.schema)
    assert {clause.column for clause in direct.clauses} == {"age", "city × country"}
    assert (direct.mask(learned) == where.mask(table)).all()
    with pytest.raises(ConditionError, match="no combination of city, country"):
        Where.parse("country = 'Spain' and city = 'Oslo'", table.schema).on(learned.schema)


def test_a_column_that_is_replaced_is_not_conditioned_on_directly() -> None:
    schema = Schema((_whole("a"), _whole("b")), ("a <= b",))
    table = Table(pa.table({"a": [1, 2], "b": [3, 4]}), schema)
    learned = Construction.plan(schema).forward(table)
    assert [clause.column for clause in Where.parse("a > 1 and b > 3", schema).on(learned.schema).clauses] == ["a"]


def test_combinations_that_would_copy_rows_are_refused() -> None:
    schema = Schema((_whole("a"), _whole("b")), ("combinations(a, b)",))
    table = Table(pa.table({"a": list(range(200)), "b": list(range(200))}), schema)
    with pytest.raises(SchemaError, match="would be copied rows"):
        Construction.plan(schema).forward(table)


def test_chains_are_brought_back_in_the_order_they_need() -> None:
    names = ("e", "d", "c", "b", "a")
    texts = ("d <= e", "c = a + b", "c <= d", "a <= b")
    schema = Schema(tuple(_whole(name, nullable=False) for name in names), texts)
    rows = {"a": [1, 5, -3], "b": [2, 5, 0], "c": [3, 10, -3], "d": [3, 11, 0], "e": [9, 11, 1]}
    table = Table(pa.table({name: rows[name] for name in names}), schema)
    plan = Construction.plan(schema)
    assert len(plan.steps) == 4
    assert _round_trip(table).equals(table)
    made = plan.inverse(_random_rows(plan.forward(table), np.random.default_rng(1), 200), schema, table.arrow.schema)
    assert not any(broken.any() for broken in broken_rows(made).values())


def test_a_circle_is_left_to_rejection_rather_than_got_wrong() -> None:
    schema = Schema(tuple(_whole(name) for name in "abc"), ("a <= b", "b <= c", "c <= a"))
    plan = Construction.plan(schema)
    assert len(plan.steps) == 2
    table = Table(pa.table({"a": [4, 5], "b": [4, 5], "c": [4, 5]}), schema)
    assert _round_trip(table).equals(table)


def test_target_and_sensitive_columns_stay_as_they_are() -> None:
    schema = Schema((_whole("price", role="target"), _whole("listed"), _whole("age", role="sensitive")), ("listed >= price",))
    assert Construction.plan(schema).replaced == {"listed"}
    both = Schema(schema.columns, ("age <= price",))
    assert Construction.plan(both).replaced == frozenset()
    total = Schema(schema.columns, ("price = listed + age",))
    assert Construction.plan(total).replaced == {"listed"}


def test_training_rows_that_break_a_constraint_are_named() -> None:
    schema = Schema((_whole("a"), _whole("b")), ("a <= b",))
    table = Table(pa.table({"a": [1, 5, 9], "b": [2, 4, 4]}), schema)
    with pytest.raises(SchemaError, match=r"2 of 3 rows break the constraint 'a <= b'; the first is row 2: a = 5, b = 4"):
        Construction.plan(schema).forward(table)


def test_a_constraint_on_reissued_columns_is_refused_where_no_issue_keeps_it() -> None:
    columns = (Column("id", Kind.INTEGER, Role.KEY), _whole("a"), Column("note", Kind.TEXT))
    with pytest.raises(SchemaError, match="issued anew"):
        Construction.plan(Schema(columns, ("a <= id",)))
    with pytest.raises(SchemaError, match="issued anew"):
        Construction.plan(Schema(columns, ("unique(note)",)))
    assert Construction.plan(Schema(columns, ("unique(id, a)", "pattern(note, '.*')"))).steps == ()


def test_a_name_that_is_taken_is_not_taken_twice() -> None:
    schema = Schema((_whole("a"), _whole("b"), _whole("b − a")), ("a <= b",))
    table = Table(pa.table({"a": [1], "b": [2], "b − a": [7]}), schema)
    assert _round_trip(table).equals(table)


def test_values_stay_within_their_physical_type() -> None:
    schema = Schema((_whole("a", nullable=False), _whole("b", nullable=False)), ("a <= b",))
    table = Table(pa.table({"a": pa.array([1], pa.int8()), "b": pa.array([100], pa.int8())}), schema)
    plan = Construction.plan(schema)
    learned = plan.forward(table)
    huge = Table(learned.arrow.set_column(1, learned.schema.names[1], pa.array([10**12])), learned.schema)
    assert plan.inverse(huge, schema, table.arrow.schema).column("b").to_pylist() == [127]


def test_a_generator_keeps_every_constraint_and_condition_at_once() -> None:
    rng = np.random.default_rng(0)
    start = rng.integers(0, 100, 400)
    place = rng.integers(0, 3, 400)
    arrow = pa.table(
        {
            "zip": pa.array([f"{number:05d}" for number in range(400)]),
            "start": start,
            "end": start + rng.integers(0, 9, 400),
            "both": pa.array(start * 2 + rng.integers(0, 1, 400), pa.int32()),
            "slot": rng.permutation(400),
            "city": np.array(["Lyon", "Paris", "Oslo"])[place],
            "country": np.array(["France", "France", "Norway"])[place],
        }
    )
    schema = Schema(
        (
            Column("zip", Kind.IDENTIFIER, Role.KEY),
            Column("start", Kind.INTEGER, minimum=0, maximum=99),
            Column("end", Kind.INTEGER, minimum=0, maximum=107),
            Column("both", Kind.INTEGER, minimum=0, maximum=198),
            Column("slot", Kind.INTEGER, minimum=0, maximum=399),
            Column("city", Kind.CATEGORICAL, categories=("Lyon", "Oslo", "Paris")),
            Column("country", Kind.CATEGORICAL, Role.TARGET, categories=("France", "Norway")),
        ),
        ("start <= end", "both >= start", "unique(slot)", "combinations(city, country)", "pattern(zip, '[0-9]{5}')"),
    )
    table = Table(arrow, schema)
    made = Independent().fit(table).sample(120, where="country = 'Norway' and end <= 60", seed=3)
    assert len(made) == 120
    assert made.arrow.schema.equals(arrow.schema)
    assert not any(broken.any() for broken in broken_rows(made, table).values())
    assert within_range(made).all()
    assert set(made.column("city").to_pylist()) == {"Oslo"}
    assert max(made.column("end").to_pylist()) <= 60


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from(["<=", "<"]), st.sampled_from([("a", "b"), ("b", "a")]))
def test_sides_of_different_decimals_are_rounded_apart(seed: int, operator: str, order: tuple[str, str]) -> None:
    low, high = order
    schema = Schema(
        (Column("a", Kind.DECIMAL, decimals=2), Column("b", Kind.DECIMAL, decimals=0)), (f"{low} {operator} {high}",)
    )
    table = Table(pa.table({low: [0.0], high: [1.0]}).select(["a", "b"]), schema)
    assert _round_trip(table).equals(table)
    plan = Construction.plan(schema)
    made = plan.inverse(_random_rows(plan.forward(table), np.random.default_rng(seed), 50), schema, table.arrow.schema)
    assert not next(iter(broken_rows(made).values())).any()
    assert all(float(value).is_integer() for value in made.column("b").to_pylist())


def test_a_total_that_is_null_by_itself_is_so_at_its_rate() -> None:
    """A total may stand although a term is missing: what it then is must not be null because it is elsewhere not needed."""
    table = _billed(1_500)
    for generator in (Trees(), Independent()):
        made = generator.fit(table).sample(6_000, seed=1)
        assert not broken_rows(made)["total = net + tax"].any()
        for name in ("net", "tax", "total"):
            real, fake = (rows.column(name).null_count / len(rows) for rows in (table, made))
            assert fake == pytest.approx(real, abs=0.012), (generator.name, name)


def test_a_sum_through_trees_keeps_its_distribution_and_its_conditions() -> None:
    table = _billed(3_000)
    model = Trees().fit(table)
    made = model.sample(6_000, seed=2)
    quartiles = [np.nanquantile(_numbers(rows, "total"), [0.1, 0.25, 0.5, 0.75, 0.9]) for rows in (table, made)]
    assert quartiles[1] == pytest.approx(quartiles[0], rel=0.06)
    for other in ("net", "tax"):
        real, fake = (_correlation(rows, "total", other) for rows in (table, made))
        assert fake == pytest.approx(real, abs=0.06)
    free = model.sample(60_000, seed=3)
    for condition in ("total between 20 and 30 and paid = 'yes'", "net is null and total > 20", "total is null"):
        asked, picked = model.sample(2_000, where=condition, seed=4), free.where(condition)
        assert len(asked.where(condition)) == 2_000
        assert not broken_rows(asked)["total = net + tax"].any()
        gap = abs(_yes(asked) - _yes(picked))
        assert gap < 3.5 * np.sqrt(0.25 * (1 / len(asked) + 1 / len(picked))), condition


@pytest.mark.parametrize("sensitive", ["low", "high"])
def test_what_is_put_together_stays_in_the_range_that_was_seen(sensitive: str) -> None:
    """The schema says no bounds, as an inferred one never does; a gap below a small high would reach below every low."""
    rng = np.random.default_rng(0)
    low = rng.integers(0, 40, 1_200)
    arrow = pa.table({"low": low, "high": low + rng.integers(0, 60, 1_200), "other": rng.normal(size=1_200)})
    columns = [Column(n, Kind.INTEGER, Role.SENSITIVE if n == sensitive else Role.FEATURE) for n in ("low", "high")]
    table = Table(arrow, Schema((*columns, Column("other", Kind.DECIMAL)), ("low <= high",)))
    made = Trees().fit(table).sample(3_000)
    for name in ("low", "high"):
        real, fake = _numbers(table, name), _numbers(made, name)
        assert fake.min() >= real.min()
        assert fake.max() <= real.max()
        assert np.quantile(fake, [0.25, 0.5, 0.75]) == pytest.approx(np.quantile(real, [0.25, 0.5, 0.75]), abs=4)


def _billed(rows: int) -> Table:
    rng = np.random.default_rng(7)
    net = np.round(rng.lognormal(3, 0.6, rows), 2)
    tax = np.round(np.where(rng.random(rows) < 0.3, 0, net / 5 + rng.lognormal(1, 0.8, rows)), 2)
    total = np.round(net + tax, 2)
    names, holes = ("net", "tax", "total"), (0.06, 0.06, 0.04)
    arrays = [pa.array(v, mask=rng.random(rows) < hole) for v, hole in zip((net, tax, total), holes, strict=True)]
    paid = pa.array(np.where(rng.random(rows) < 1 / (1 + np.exp((total - 30) / 10)), "yes", "no"))
    columns = [Column(name, Kind.DECIMAL, nullable=True, decimals=2) for name in names]
    schema = Schema((*columns, Column("paid", Kind.CATEGORICAL, Role.TARGET, categories=("no", "yes"))), ("total = net + tax",))
    return Table(pa.table([*arrays, paid], names=[*names, "paid"]), schema)


def _numbers(rows: Table, name: str) -> np.ndarray:
    return np.asarray(rows.column(name).to_numpy(), dtype=np.float64)


def _correlation(rows: Table, a: str, b: str) -> float:
    x, y = _numbers(rows, a), _numbers(rows, b)
    known = ~np.isnan(x) & ~np.isnan(y)
    return float(np.corrcoef(x[known], y[known])[0, 1])


def _yes(rows: Table) -> float:
    return rows.column("paid").to_pylist().count("yes") / len(rows)
