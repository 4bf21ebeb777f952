"""A small made-up table with a column of every kind, and conditions on a table: what the conformance suite works with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from synth.data.encoding import encode
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table


def example_table(rows: int = 600, seed: int = 0) -> Table:
    """A small table with a column of every kind, nulls, a spike, a key and free text."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, rows)
    sex = rng.choice(["female", "male"], rows)
    city = rng.choice(["Aarhus", "Bergen", "Cork", "Delft", "Espoo"], rows, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    income = np.round(np.where(rng.random(rows) < 0.1, 0.0, rng.lognormal(8, 0.5, rows) + 500 * age), 2)
    left = np.where(rng.random(rows) < 1 / (1 + np.exp((age - 40) / 10)), "yes", "no")
    joined = np.datetime64("2015-01-01") + rng.integers(0, 3000, rows)
    seen = np.datetime64("2024-01-01T00:00:00") + rng.integers(0, 10**7, rows)

    def holed(values: Any, share: float, kind: pa.DataType) -> pa.Array:
        return pa.array(values, type=kind, mask=rng.random(rows) < share)

    columns = {
        Column("id", Kind.IDENTIFIER, Role.KEY, provider="sequence"): pa.array(np.arange(10_000, 10_000 + rows)),
        Column("age", Kind.INTEGER, nullable=True): holed(age, 0.1, pa.int64()),
        Column("income", Kind.DECIMAL, decimals=2, nullable=True): holed(income, 0.2, pa.float64()),
        Column("sex", Kind.CATEGORICAL, Role.SENSITIVE, categories=("female", "male")): pa.array(sex),
        Column("city", Kind.CATEGORICAL, categories=tuple(sorted(set(city))), nullable=True): holed(city, 0.15, pa.string()),
        Column("grade", Kind.ORDINAL, categories=("low", "middle", "high")): pa.array(
            np.where(age < 35, "low", np.where(age < 60, "middle", "high"))
        ),
        Column("member", Kind.BOOLEAN, nullable=True): holed(rng.random(rows) < 0.3, 0.1, pa.bool_()),
        Column("joined", Kind.DATETIME, unit="day", nullable=True): holed(joined, 0.05, pa.date32()),
        Column("seen", Kind.DATETIME, unit="second"): pa.array(seen, type=pa.timestamp("us")),
        Column("note", Kind.TEXT, nullable=True): holed([f"note number {i}" for i in range(rows)], 0.3, pa.string()),
        Column("left", Kind.CATEGORICAL, Role.TARGET, categories=("no", "yes")): pa.array(left),
    }
    schema = Schema(tuple(columns))
    return Table(pa.table(list(columns.values()), names=list(schema.names)), schema)


def example_conditions(table: Table) -> Iterator[dict[str, Any]]:
    """Conditions that real rows satisfy: on the commonest and rarest class, a range, nulls, and two columns together."""
    encoded = encode(table)
    target = table.schema.target
    names = sorted(encoded, key=lambda name: target is None or name != target.name)
    categories = [name for name in names if encoded[name].is_category]
    numbers = [name for name in names if table.schema.column(name).kind in (Kind.INTEGER, Kind.DECIMAL)]
    for name in categories[:2]:
        values = table.column(name).drop_null().value_counts().to_pylist()
        values.sort(key=lambda pair: pair["counts"])
        yield {name: values[0]["values"]}
        yield {name: values[-1]["values"]}
    for name in numbers[:2]:
        low, high = np.nanquantile(encoded[name].values, [0.4, 0.6])
        between = {">=": float(low), "<=": float(high)}
        yield {name: between}
        if categories:
            common = max(table.column(categories[0]).drop_null().value_counts().to_pylist(), key=lambda pair: pair["counts"])
            yield {categories[0]: common["values"], name: between}
    for name in names:
        if table.schema.column(name).nullable and table.column(name).null_count:
            yield {name: None}
            break
