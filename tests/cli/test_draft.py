"""`synth schema --draft`: a declaration to confirm. Under a budget, what nobody confirmed is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import synth
from synth.data.drafting import dump_draft, rounder
from synth.data.schema import Column, Kind
from synth.errors import SchemaError
from synth.generators.marginals import Marginals
from synth.privacy.budget import Budget
from synth.privacy.ledger import Ledger
from tests.declared import values


@pytest.fixture
def people(tmp_path: Path) -> Path:
    pq.write_table(pa.table(values(900)), tmp_path / "people.parquet")
    return tmp_path / "people.parquet"


def draft(people: Path) -> dict[str, Any]:
    found = yaml.safe_load(dump_draft(synth.read(people).schema, people.name))
    assert isinstance(found, dict)
    return found


def test_a_draft_is_the_schema_that_was_read_and_says_that_nobody_declared_it(people: Path) -> None:
    plain, under = synth.read(people).schema, synth.read(people, schema=draft(people)).schema
    for one, other in zip(plain.columns, under.columns, strict=True):
        for fact in ("kind", "role", "nullable", "categories", "minimum", "maximum", "decimals", "unit"):
            assert getattr(one, fact) == getattr(other, fact)
        assert other.declared == ()
        assert {"kind", "nullable"} <= set(other.read_off_data)


def test_without_a_budget_it_simply_works(people: Path) -> None:
    table = synth.read(people, schema=draft(people))
    assert len(synth.Independent().fit(table).sample(50)) == 50
    again = synth.read(table, schema={"columns": {"age": {"maximum": 120}}}).schema.column("age")
    assert (again.maximum, again.declared) == (120, ("maximum",))


def refusal(people: Path, schema: dict[str, Any], **given: Any) -> str:
    table = synth.read(people, schema=schema, check=False)
    with pytest.raises(SchemaError) as caught:
        Marginals(method="mst").fit(table, budget=Budget(5.0, 1e-5), dataset="people", **given)
    assert Ledger().accounts() == ()  # nothing was spent
    return str(caught.value)


needs_opendp = pytest.mark.usefixtures("_opendp")


@pytest.fixture
def _opendp() -> None:
    pytest.importorskip("opendp", reason="noise is OpenDP's: pip install 'synth[dp]'")


@needs_opendp
def test_a_budget_refuses_it_until_a_person_has_confirmed_every_fact(people: Path) -> None:
    schema = draft(people)
    said = refusal(people, schema)
    assert "column 'age' and 5 more of the draft were and are not confirmed" in said
    assert "read_off_data" in said
    assert "89" not in said  # no value of the rows
    for entry in schema["columns"].values():
        del entry["read_off_data"]
    schema["columns"]["age"]["read_off_data"] = ["maximum"]
    said = refusal(people, schema)
    assert "column 'age' of the draft was and is not confirmed" in said
    assert "age: {kind: integer, maximum: HIGHEST, read_off_data: [maximum]}" in said
    schema["columns"]["age"] |= {"maximum": 120, "read_off_data": []}
    table = synth.read(people, schema=schema, check=False)
    model = Marginals(method="mst").fit(table, budget=Budget(5.0, 1e-5), dataset="people")
    assert model.fitted.schema.column("age").maximum == 120


@needs_opendp
def test_what_is_not_confirmed_can_be_bought_where_it_can_be(people: Path) -> None:
    schema = draft(people)
    assert "kind" in refusal(people, schema, facts_share=0.3)  # what values are cannot be
    for entry in schema["columns"].values():
        bought = [fact for fact in entry["read_off_data"] if fact in ("minimum", "maximum", "nullable")]
        entry["read_off_data"] = bought
    table = synth.read(people, schema=schema, check=False)
    model = Marginals(method="mst").fit(table, budget=Budget(5.0, 1e-5), dataset="people", facts_share=0.3)
    assert model.receipt is not None
    assert set(model.receipt.bought["age"]) >= {"minimum", "maximum", "nullable"}
    assert "minimum" not in model.receipt.declared["age"]
    assert model.fitted.schema.column("age").read_off_data == ()


def test_a_list_of_facts_that_are_none_is_refused(people: Path) -> None:
    with pytest.raises(SchemaError, match="did you mean 'minimum'"):
        synth.read(people, schema={"columns": {"age": {"read_off_data": ["minimun"]}}})
    with pytest.raises(SchemaError, match="list names of facts"):
        synth.read(people, schema={"columns": {"age": {"read_off_data": "minimum"}}})


@given(low=st.integers(-(10**9), 10**9), width=st.integers(0, 10**9))
def test_rounder_bounds_hold_what_the_own_ones_do(low: int, width: int) -> None:
    found = rounder(Column("size", Kind.INTEGER, minimum=low, maximum=low + width))
    if found is not None:
        assert found[0] <= low
        assert low + width <= found[1]


@pytest.mark.parametrize(
    ("column", "bounds"),
    [
        (Column("age", Kind.INTEGER, minimum=17, maximum=90), (0, 120)),
        (Column("Hours per week", Kind.INTEGER, minimum=1, maximum=99), (0, 168)),
        (Column("age", Kind.INTEGER, minimum=17, maximum=900), (0, 900)),
        (Column("gain", Kind.INTEGER, minimum=-250, maximum=99_999), (-300, 100_000)),
        (Column("at", Kind.DATETIME, minimum="1994-03-02", maximum="1995-01-07", unit="day"), ("1994-01-01", "1995-12-31")),
    ],
)
def test_rounder_bounds_are_those_that_anybody_would_name(column: Column, bounds: tuple[Any, Any]) -> None:
    found = rounder(column)
    assert found is not None
    assert found[:2] == bounds


def test_the_command_writes_it_or_prints_it(people: Path, cli: Callable[..., Any]) -> None:
    shown = cli("schema", people, "--target", "member", "--draft")
    assert shown.code == 0
    assert "rounder: minimum: 0, maximum: 120 (an age)" in shown.out
    entry = yaml.safe_load(shown.out)["columns"]["member"]
    assert entry == {"kind": "boolean", "role": "target", "nullable": False, "read_off_data": ["kind", "nullable"]}
    written = cli("schema", people, "--draft", "--out", people.with_name("schema.yaml"))
    assert "confirm what it lists as read_off_data" in written.out
    assert cli("fit", people, "--schema", people.with_name("schema.yaml"), "--out", people.with_name("model")).code == 0
