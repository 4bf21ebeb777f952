"""A schema is checked when it is made; what it says travels as plain JSON."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from synth.data.schema import Column, Kind, Role, Schema
from synth.errors import SchemaError

SCHEMA = Schema(
    (
        Column("id", Kind.IDENTIFIER, Role.KEY),
        Column("start", Kind.DATETIME, minimum="2020-01-01", maximum="2021-01-01", unit="day"),
        Column("end", Kind.DATETIME, minimum="2020-01-01", maximum="2021-01-01", unit="day"),
        Column("grade", Kind.ORDINAL, Role.SENSITIVE, categories=("low", "high"), declared=("kind", "categories")),
        Column("price", Kind.DECIMAL, minimum=0.5, maximum=2.5, decimals=2, nullable=True, why="2 distinct numbers in 3 rows"),
        Column("note", Kind.TEXT, Role.DROPPED),
        Column("y", Kind.CATEGORICAL, Role.TARGET, categories=(0, 1)),
    ),
    ("start <= end", "unique(id)"),
    "start",
)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"name": ""}, "empty name"),
        ({"kind": "integr"}, "'integr'; did you mean 'integer'"),
        ({"role": "targt"}, "'targt'; did you mean 'target'"),
        ({"kind": "categorical"}, "lists no categories"),
        ({"kind": "categorical", "categories": ("a", "a")}, "lists a category twice"),
        ({"kind": "datetime", "unit": "week"}, "unit 'week' is not one of"),
        ({"minimum": 3, "maximum": 2}, "minimum 3 is above maximum 2"),
    ],
)
def test_a_column_that_contradicts_itself_is_refused(facts: dict[str, Any], words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        Column(**{"name": "x", "kind": "integer", **facts})


def test_a_schema_that_contradicts_itself_is_refused() -> None:
    x, y = Column("x", Kind.INTEGER, Role.TARGET), Column("y", Kind.INTEGER, Role.TARGET)
    with pytest.raises(SchemaError, match="'x' appears twice"):
        Schema((x, x))
    with pytest.raises(SchemaError, match="2 columns have the role target"):
        Schema((x, y))
    with pytest.raises(SchemaError, match="2 columns have the role subject"):
        Schema((replace(x, role=Role.SUBJECT), replace(y, role=Role.SUBJECT)))
    with pytest.raises(SchemaError, match="no column 'z'"):
        Schema((x,), time="z")
    with pytest.raises(SchemaError, match="both target and sensitive"):
        SCHEMA.with_roles(target="grade", sensitive=["grade"])


def test_it_travels_as_json() -> None:
    assert Schema.from_dict(json.loads(json.dumps(SCHEMA.to_dict()))) == SCHEMA
    with pytest.raises(SchemaError, match="unknown key 'knd'; did you mean 'kind'"):
        Column.from_dict({"name": "x", "knd": "integer"})


def test_its_parts_are_named() -> None:
    assert [column.name for column in SCHEMA.learned] == ["start", "end", "grade", "price", "y"]
    assert [column.name for column in SCHEMA.made] == ["id", "start", "end", "grade", "price", "y"]
    assert SCHEMA.target is SCHEMA.column("y")
    assert SCHEMA.sensitive == (SCHEMA.column("grade"),)
    assert SCHEMA.subject is None
    assert "grade" in SCHEMA
    assert len(SCHEMA) == 7


def test_a_selection_keeps_the_constraints_it_can() -> None:
    assert SCHEMA.select(["start", "end"]).constraints == ("start <= end",)
    assert SCHEMA.select(["id", "end"]).constraints == ("unique(id)",)
    assert SCHEMA.select(["id", "end"]).time is None


def test_new_roles_free_the_old_ones() -> None:
    moved = SCHEMA.with_roles(target="grade", sensitive=["y"])
    assert (moved.column("grade").role, moved.column("y").role) == (Role.TARGET, Role.SENSITIVE)
    assert SCHEMA.with_roles(sensitive=[]).sensitive == ()
    assert SCHEMA.with_roles() == SCHEMA


def test_the_digest_follows_what_is_legal_and_not_how_it_was_decided() -> None:
    price = SCHEMA.column("price")
    assert SCHEMA.with_columns(replace(price, why="other words")).digest() == SCHEMA.digest()
    assert SCHEMA.with_columns(replace(price, maximum=3.0)).digest() != SCHEMA.digest()


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        SCHEMA.time = "end"  # type: ignore[misc]
