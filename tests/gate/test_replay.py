"""Rows of an export are drawn again from their model: every one is equal, and a row that is not is found."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import synth
from synth.data.example import example_table
from synth.data.schema import Column, Kind, Schema
from synth.data.table import Table
from synth.errors import InputError, VerificationError
from synth.gate.provenance import entries, provenance
from synth.gate.verdict import Attempt
from synth.generators.base import Generator
from synth.generators.independent import Independent
from synth.generators.trees import Trees
from synth.replay import replay

SMALL = 300  # rows of a shard, where four of the usual size would take too long


@pytest.fixture(scope="module")
def model() -> Independent:
    return Independent().fit(example_table(), seed=0)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Table]:
    """A sample in small shards. Whoever replays it knows the usual size, and must read this one off the provenance."""

    def sample(model: Generator, n: int, **options: Any) -> Table:
        with monkeypatch.context() as here:
            here.setattr(Generator, "_shard_rows", SMALL)
            return model.sample_table(n, **options)

    return sample


@pytest.fixture
def left(made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """An export of a table, as if its policy had approved it."""

    def export(table: Table, layout: str = "parquet", *, size: int = SMALL) -> Any:
        with monkeypatch.context() as here:
            here.setattr(Generator, "_shard_rows", size)
            policy = made.policy.replace("formats: [parquet, csv]", f"formats: [{layout}]")
            rows, approval = made.approved(table=table, policy=policy)
            if layout == "sql":
                return synth.to_sql(rows, f"sqlite:///{tmp_path / 'rows.db'}?table=rows", approval=approval)
            return synth.export(rows, approval, tmp_path / "export", formats=(layout,))

    return export


# all equal -------------------------------------------------------------------------------------------------------------


def test_a_thousand_rows_across_four_shards_are_all_equal(left: Callable[..., Any]) -> None:
    """Shards of the usual size, 100,000 rows."""
    rng = np.random.default_rng(3)
    real = synth.read(pa.table({"age": rng.integers(18, 90, 2_000), "town": rng.choice(["Bonn", "Köln", "Trier"], 2_000)}))
    model = Trees().fit(real, seed=0)
    export = left(model.sample_table(350_000, seed=5), size=100_000)
    rows = np.concatenate([k * 100_000 + rng.choice(50_000, 250, replace=False) for k in range(4)])
    done = replay(export, rows=rows.tolist(), model=model)
    assert len(done) == len(done.rows) == 1_000
    assert {entry.shard for entry in done.entries} == {0, 1, 2, 3}
    assert [entry.row for entry in done.entries] == sorted(rows.tolist())


@pytest.mark.parametrize("layout", ["parquet", "csv", "arrow", "huggingface", "sql"])
def test_rows_are_equal_in_every_layout(layout: str, model: Independent, small: Any, left: Any) -> None:
    """With keys, free text, nulls, dates and floats among them."""
    export = left(small(model, 1_000, seed=5), layout)
    done = replay(export, rows=range(1_000), model=model)
    assert len(done) == 1_000
    assert {entry.shard for entry in done.entries} == {0, 1, 2, 3}
    assert done.to_dict()["rows"][17]["sample"]["seed"] == 5


def test_rows_under_a_condition_are_equal(model: Independent, small: Any, left: Any) -> None:
    export = left(small(model, 1_000, where="age >= 40 and city = 'Cork'", seed=5))
    done = replay(export, rows=(17, 640, 999), model=model)
    assert all(row["age"] >= 40 and row["city"] == "Cork" for row in done.rows.arrow.to_pylist())
    assert done.entries[0].sample is not None
    assert done.entries[0].sample.where == "age >= 40 and city = 'Cork'"


def unique_pairs() -> Table:
    """No two rows share a day and a room, and each has a mail address, which is issued after those of earlier rows."""
    rng = np.random.default_rng(1)
    pairs = rng.permutation(6_400)[:400]
    columns = (
        Column("day", Kind.INTEGER),
        Column("room", Kind.INTEGER),
        Column("mail", Kind.IDENTIFIER, provider="company"),
    )
    arrow = pa.table({"day": pairs // 80, "room": pairs % 80, "mail": [f"Firm {i}" for i in range(400)]})
    return Table(arrow, Schema(columns, ("unique(day, room)",)))


def test_rows_that_may_not_repeat_earlier_shards_are_equal(small: Any, left: Any) -> None:
    model = Independent().fit(unique_pairs(), seed=0)
    assert model.fitted.in_order
    table = small(model, 1_000, seed=2)
    export = left(table)
    assert len(replay(export, rows=range(600, 1_000), model=model)) == 400


def test_shards_drawn_alone_would_not_be_equal_there(small: Any, left: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault that drawing the earlier shards is there for, planted."""
    model = Independent().fit(unique_pairs(), seed=0)
    export = left(small(model, 1_000, seed=2))
    monkeypatch.setattr("synth.generators._shards.Joined.in_order", False)
    with pytest.raises(VerificationError, match="differs in column"):
        replay(export, rows=range(900, 1_000), model=model)


def test_only_the_shard_of_a_row_is_drawn_where_it_can_be(
    model: Independent, small: Any, left: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synth.generators._shards import Shards

    export = left(small(model, 1_000, seed=5))
    drawn: list[int] = []
    draw = Shards.draw
    monkeypatch.setattr(Shards, "draw", lambda self, k, progress: drawn.append(k) or draw(self, k, progress))
    replay(export, rows=(650, 651, 899), model=model)
    assert drawn == [2]


def test_the_model_beside_the_export_is_taken(model: Independent, small: Any, left: Any, tmp_path: Path) -> None:
    export = left(small(model, 400, seed=5))
    with pytest.raises(InputError, match="no model is beside the export"):
        replay(export, rows=[17])
    model.save(tmp_path / "model")
    assert len(replay(export, rows=[17])) == 1
    assert len(replay(export, rows=[17], model=tmp_path / "model")) == 1


# and what is not -------------------------------------------------------------------------------------------------------


def changed(table: Table, column: str, row: int, value: Any) -> Table:
    """The table with another value in one cell."""
    place = table.schema.names.index(column)
    cells = table.arrow.column(column).to_pylist()
    cells[row] = value(cells[row]) if callable(value) else value
    return replace(
        table,
        arrow=table.arrow.set_column(
            place, table.arrow.schema.field(column), pa.array(cells, table.arrow.schema.field(column).type)
        ),
    )


@pytest.mark.attack("passes other rows off as drawn from a model", "replay names the row and the column that differ")
@pytest.mark.parametrize("layout", ["parquet", "csv", "sql"])
@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ("income", 417, lambda income: math.nextafter(income, math.inf)),
        ("age", 417, None),
        ("city", 417, "Cork"),
        ("id", 417, 1),
        ("note", 417, "a person's own words"),
        ("left", 417, lambda left: "no" if left == "yes" else "yes"),
    ],
)
def test_a_planted_difference_is_found(
    layout: str, column: str, row: int, value: Any, model: Independent, small: Any, left: Any
) -> None:
    table = small(model, 600, seed=6)
    assert all(table.arrow.column(name)[row].is_valid for name in ("income", "age")), "another seed, or nothing is planted"
    assert table.arrow.column("city")[row].as_py() != "Cork"
    export = left(changed(table, column, row, value), layout)
    with pytest.raises(VerificationError, match=rf"row 417 differs in column '{column}'"):
        replay(export, rows=range(400, 430), model=model)
    assert len(replay(export, rows=[416, 418], model=model)) == 2


def test_minus_zero_is_another_number_than_zero(left: Any) -> None:
    real = synth.read(pa.table({"x": [0.0] * 50 + [1.0] * 50}))
    model = Independent().fit(real, seed=0)
    table = model.sample_table(100, seed=0)
    row = table.arrow.column("x").to_pylist().index(0.0)
    export = left(changed(table, "x", row, -0.0))
    with pytest.raises(VerificationError, match=rf"row {row} differs in column 'x': drawn again '0.0', exported '-0.0'"):
        replay(export, rows=range(100), model=model)


@pytest.mark.attack("reorders the rows of a sample before they are judged", "replay finds the first that is not in its place")
def test_reordered_rows_are_found(model: Independent, small: Any, left: Any) -> None:
    table = small(model, 600, seed=5)
    export = left(table.take(np.arange(600)[::-1]))
    with pytest.raises(VerificationError, match="row 17 differs"):
        replay(export, rows=[17], model=model)


@pytest.mark.attack("names another model than the one that made the rows", "replay compares its digest with the signed one")
def test_another_model_is_refused(model: Independent, small: Any, left: Any) -> None:
    export = left(small(model, 400, seed=5))
    other = Independent().fit(example_table(seed=1), seed=0)
    with pytest.raises(VerificationError, match="not the model that made the rows"):
        replay(export, rows=[17], model=other)


@pytest.mark.attack(
    "edits provenance.parquet, so that a row seems to come from another seed", "nothing is drawn: it is not as signed"
)
def test_a_tampered_export_is_not_replayed(model: Independent, small: Any, left: Any) -> None:
    export = left(small(model, 400, seed=5))
    other = provenance(small(model, 400, seed=6), None)
    (export / "provenance.parquet").write_bytes(other)
    with pytest.raises(VerificationError, match=r"provenance\.parquet was altered"):
        replay(export, rows=[17], model=model)


def test_rows_that_synth_did_not_make_say_why_they_cannot_be_drawn(model: Independent, small: Any, left: Any) -> None:
    table = small(model, 400, seed=5)
    export = left(replace(table, provenance=None))
    with pytest.raises(InputError, match=r"row 17 cannot be drawn again: .*\n.*synth did not make"):
        replay(export, rows=[17], model=model)


def test_a_part_of_a_sample_says_so(model: Independent, small: Any, left: Any) -> None:
    export = left(small(model, 400, seed=5).head(300))
    with pytest.raises(InputError, match="not a whole sample"):
        replay(export, rows=[17], model=model)


@pytest.mark.parametrize("rows", [[400], [-1], [17, 10**12]])
def test_rows_that_are_not_there(rows: list[int], model: Independent, small: Any, left: Any) -> None:
    export = left(small(model, 400, seed=5))
    with pytest.raises(InputError, match=r"there is no row .*; rows go from 0 to 399"):
        replay(export, rows=rows, model=model)
    with pytest.raises(InputError, match="no row is named"):
        replay(export, rows=[], model=model)


# the file --------------------------------------------------------------------------------------------------------------


def test_provenance_has_one_entry_per_row_and_says_how_large_shards_are(model: Independent, tmp_path: Path) -> None:
    table = model.sample_table(250_000, where="sex = 'male'", seed=5)
    content = provenance(table, Attempt(3, 8))
    assert content == provenance(table, Attempt(3, 8))
    (tmp_path / "p.parquet").write_bytes(content)
    assert len(content) < 20_000
    found = pq.read_table(tmp_path / "p.parquet")
    assert found.column("row").to_pylist() == list(range(250_000))
    assert found.column("shard").to_pylist() == [row // 100_000 for row in range(250_000)]
    assert found.column("row_in_shard").to_pylist() == [row % 100_000 for row in range(250_000)]
    same = {name: set(found.column(name).unique().to_pylist()) for name in found.column_names[1:3] + found.column_names[5:]}
    assert same == {
        "generator": {"independent"},
        "model_digest": {model.digest()},
        "seed": {5},
        "where": {"sex = 'male'"},
        "attempt": {3},
    }
    assert found.schema.metadata == {b"synth:shard_rows": b"100000", b"synth:rows": b"250000"}
    first, last = entries(tmp_path / "p.parquet", [249_999, 17])
    assert (first.row, first.shard, last.shard, last.row_in_shard, last.attempt) == (17, 0, 2, 49_999, 3)


def test_what_is_not_known_is_null(model: Independent, tmp_path: Path) -> None:
    table = model.sample_table(40, seed=5)
    (tmp_path / "p.parquet").write_bytes(provenance(replace(table, provenance=None), None))
    found = pq.read_table(tmp_path / "p.parquet")
    assert all(found.column(name).null_count == 40 for name in found.column_names if name != "row")
    (entry,) = entries(tmp_path / "p.parquet", [17])
    assert entry.sample is None
