"""A `Table` is rows that agree with a schema; nothing done with it changes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from synth.data.schema import Column, Kind, Role, Schema
from synth.data.sources import read
from synth.data.table import Table
from synth.errors import DataError, SchemaError


@pytest.fixture
def table() -> Table:
    return read(pd.DataFrame({"x": [5, 6, 7, 8], "c": ["a", "b", "a", None]}), target="c")


def test_rows_and_columns_are_taken_in_the_order_asked_for(table: Table) -> None:
    assert table.take([2, 0]).arrow.to_pydict() == {"x": [7, 5], "c": ["a", "a"]}
    assert table.filter(np.array([True, False, False, True])).column("x").to_pylist() == [5, 8]
    assert table.head(1).column("x").to_pylist() == [5]
    assert table.select(["c", "x"]).columns == ("c", "x")
    assert table.where("x >= 7").column("x").to_pylist() == [7, 8]
    assert Table.concat([table, table.head(1)]).column("x").to_pylist() == [5, 6, 7, 8, 5]
    assert (len(table), table.num_rows, table.columns) == (4, 4, ("x", "c"))


def test_an_unknown_column_names_the_nearest(table: Table) -> None:
    wide = read(pd.DataFrame({"income": [1, 2], "age": [3, 4]}))
    with pytest.raises(SchemaError, match="no column 'incme'; did you mean 'income'"):
        wide.column("incme")
    with pytest.raises(SchemaError, match="no column 'incme'"):
        wide.select(["incme"])


def test_rows_that_do_not_have_the_schemas_columns_are_refused(table: Table) -> None:
    with pytest.raises(DataError, match="are not the schema's"):
        Table(table.arrow, Schema((Column("x", Kind.INTEGER),)))


def test_the_digest_follows_values_types_order_and_nothing_else(table: Table) -> None:
    same = read(table.to_pandas(), target="c")
    assert table.digest() == same.digest() == table.digest()
    assert table.digest() == table.with_roles(target="x").digest()
    others = [table.take([1, 0, 2, 3]), table.head(3), table.select(["c", "x"])]
    others.append(replace(table, arrow=table.arrow.set_column(0, "x", table.arrow.column("x").cast("int32"))))
    others.append(replace(table, arrow=table.arrow.set_column(0, "x", table.arrow.column("x").cast("int32").cast("int64"))))
    digests = [other.digest() for other in others]
    assert table.digest() not in digests[:4]
    assert len(set(digests[:4])) == 4


def test_roles_are_laid_on_without_changing_the_table(table: Table) -> None:
    other = table.with_roles(target="x", sensitive=["c"])
    assert (other.schema.column("x").role, other.schema.column("c").role) == (Role.TARGET, Role.SENSITIVE)
    assert table.schema.column("c").role is Role.TARGET


def test_a_table_shows_itself(table: Table) -> None:
    assert repr(table) == "Table(4 rows × 2 columns; x: integer, c: categorical (target))"
    assert "<table" in table._repr_html_()
