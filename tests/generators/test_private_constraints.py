"""Constraints under a privacy budget: kept from the declaration alone, or refused before anything is spent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth.data.constraints import broken_rows
from synth.data.table import Table
from synth.errors import GenerationError, SchemaError
from synth.generators._storage import load
from synth.generators.marginals import Marginals
from synth.privacy.budget import Budget
from synth.privacy.ledger import Ledger

pytest.importorskip("opendp", reason="noise is OpenDP's: pip install 'synth[dp]'")

ROWS = 2_000


def number(low: int, high: int, *, nullable: bool = False) -> dict[str, Any]:
    return {"kind": "integer", "minimum": low, "maximum": high, "nullable": nullable}


COLUMNS: dict[str, Any] = {
    "start": number(0, 60),
    "end": number(0, 100),
    "rent": number(0, 50),
    "food": number(0, 50),
    "total": number(0, 100),
    "code": {"kind": "categorical", "categories": ["A1", "B2", "zz"], "nullable": False},
}


def rows(seed: int = 0) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    start, rent, food = rng.integers(0, 60, ROWS), rng.integers(5, 50, ROWS), rng.integers(0, 45, ROWS)
    code = rng.choice(["A1", "B2"], ROWS)
    end = np.minimum(start + rng.poisson(5, ROWS), 100)
    return {
        "start": start.tolist(), "end": end.tolist(), "rent": rent.tolist(), "food": food.tolist(),
        "total": (rent + food).tolist(), "code": code.tolist(),
    }  # fmt: skip


def table(constraints: list[str], *, given: dict[str, list[Any]] | None = None, **changed: Any) -> Table:
    schema = {"columns": {**COLUMNS, **changed}, "constraints": constraints}
    return synth.read(pa.table(given or rows()), schema=schema, check=False)


def fitted(data: Table, **given: Any) -> Marginals:
    return Marginals(method="mst").fit(data, budget=Budget(5.0, 1e-5), dataset="people", noise_seed=1, **given)


def kept(made: Table) -> bool:
    return not any(broken.any() for broken in broken_rows(made).values())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Marginals:
    rules = ["start <= end", "total = rent + food", "end >= 1", "pattern(code, '[AB][12]')", "unique(start, rent, food, end)"]
    books = tmp_path_factory.mktemp("books") / "ledger.sqlite"
    return fitted(table(rules), judging_share=0.1, ledger=books)


def test_inequalities_sums_patterns_and_unique_rows_are_kept(model: Marginals) -> None:
    made = model.sample_table(1_500, seed=0)
    assert len(made) == 1_500
    assert kept(made)
    assert made.schema.names == tuple(COLUMNS)


def test_and_they_are_kept_by_construction_where_they_can_be(model: Marginals) -> None:
    """A gap and a sum cost no rows: unrelated ends would break the one in a quarter of them, totals the other in all."""
    made = model.sample_table(1_500, where="code = 'A1'", seed=1)
    assert made.provenance is not None
    assert made.provenance.acceptance is not None
    assert made.provenance.acceptance > 0.8
    gap = np.array(made.column("end").to_pylist()) - np.array(made.column("start").to_pylist())
    assert np.mean(gap) == pytest.approx(5, abs=2.5)


def test_what_is_learned_in_their_place_is_counted_and_judged(model: Marginals) -> None:
    assert "end − start" in {name for names, _, _ in model.measurements for name in names}
    made = model.sample_table(1_000, seed=2)
    figures = synth.evaluate_public(model, made)
    assert figures["validity.constraints"].score is not None
    assert figures["validity.constraints"].score.value == 0
    assert [counts.sum() for counts in model.counted(made)] == [1_000] * len(model.measurements)
    assert np.isfinite(model.score(made)).all()


def test_a_saved_model_keeps_them_too(model: Marginals, tmp_path: Any) -> None:
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").sample_table(300, seed=4).arrow == model.sample_table(300, seed=4).arrow


def test_a_row_that_breaks_a_constraint_or_its_bounds_is_no_error_and_changes_no_column() -> None:
    given = rows()
    given["start"][0], given["end"][0], given["total"][1], given["end"][2] = 60, 0, 7, 10**15
    broken = fitted(table(["start <= end", "total = rent + food"], given=given), ledger=None)
    assert broken.fitted.learned_schema.names == ("start", "end − start", "rent", "food", "code")
    assert kept(broken.sample_table(500))


def test_which_columns_there_are_follows_from_what_may_be_null_and_not_from_what_is() -> None:
    may_be_null = {"total": number(0, 100, nullable=True)}
    model = fitted(table(["total = rent + food"], **may_be_null))
    assert "total is missing" in model.fitted.learned_schema.names  # although no total is
    assert kept(model.sample_table(300))
    terms = {"rent": number(0, 50, nullable=True), "total": number(0, 100, nullable=True)}
    given = rows()
    given["rent"][:400] = [None] * 400
    given["total"][:200] = [None] * 200
    model = Marginals(method="mst").fit(
        table(["total = rent + food"], given=given, **terms), budget=Budget(5.0, 1e-5), dataset="others", noise_seed=1
    )
    assert "total on its own" in model.fitted.learned_schema.names
    made = model.sample_table(2_000, seed=0)
    assert kept(made)
    assert made.column("rent").null_count / 2_000 == pytest.approx(0.2, abs=0.06)
    assert 0 < made.column("total").null_count < made.column("rent").null_count + 100


def refused(data: Table, **given: Any) -> str:
    with pytest.raises(SchemaError) as caught:
        fitted(data, **given)
    assert Ledger().accounts() == ()  # before anything was spent
    return str(caught.value)


def test_what_takes_the_rows_is_refused_with_the_reason() -> None:
    said = refused(table(["combinations(start, code)"]))
    assert "are those that the rows have" in said
    assert "declare one column whose categories are the legal combinations" in said


def test_what_is_learned_in_their_place_takes_declared_bounds_even_where_others_are_bought() -> None:
    without = {"end": {"kind": "integer", "nullable": False}}
    assert "end: {kind: integer, minimum: LOWEST, maximum: HIGHEST}" in refused(
        table(["start <= end"], **without), facts_share=0.3
    )


def test_bounds_that_no_row_can_keep_are_refused() -> None:
    assert "widen the bounds" in refused(table(["start <= end"], start=number(50, 60), end=number(0, 10)))


def test_what_is_hardly_ever_kept_ends_with_the_acceptance_rate() -> None:
    model = fitted(table(["food >= 50", "rent >= 50", "end >= 100"]))
    with pytest.raises(GenerationError, match="acceptance"):
        model.sample_table(1_000)
