"""A small table, figures written by hand, and an export of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth.data.sketch import SKETCH
from synth.data.table import Provenance, Table
from synth.gate import card
from synth.gate.approval import Approval, approve
from synth.gate.export import export
from synth.gate.keys import default_key
from synth.gate.policy import Policy
from synth.gate.verdict import Verdict
from synth.metrics.measurement import Interval, Measurement, Measurements

POLICY = """
name: small
version: 1.0.0
title: A small policy
description: For the tests of the gate.
requires: {holdout: true, min_synthetic: 50}
checks:
  - {measure: fidelity.shape, excess: 0.05, why: "Columns must look like real ones."}
  - {measure: privacy.exact_copies, limit: 0.01, why: "Copies are not synthetic."}
  - {measure: fidelity.trend, limit: 0.2, severity: warn, why: "Relations are worth a look."}
formats: [parquet, csv]
"""


def rows(seed: int = 0, n: int = 60) -> Table:
    """Rows as a generator would have made them."""
    rng = np.random.default_rng(seed)
    arrow = pa.table(
        {
            "age": pa.array(rng.integers(18, 90, n)),
            "income": pa.array(np.round(rng.normal(1_000, 200, n), 2)),
            "town": pa.array(rng.choice(["Bonn", "Köln", "Trier"], n)),
        }
    )
    table = synth.read(arrow)
    return Table(table.arrow, table.schema, provenance=Provenance("trees", "ab" * 32, seed, n))


def figure(name: str, value: float, *, half: float = 0.005, reference: float | None = None, **facts: Any) -> Measurement:
    """A measurement with an interval of ± half."""
    real = None if reference is None else Interval(reference, reference - half, reference + half, 1_000)
    return Measurement(name, facts.pop("better", "lower"), Interval(value, value - half, value + half, 1_000), real, **facts)


def good_figures() -> tuple[Measurement, ...]:
    return (
        figure("fidelity.shape", 0.02, reference=0.01),
        figure("privacy.exact_copies", 0.001, half=0.002),
        figure("fidelity.trend", 0.05),
    )


def measured(table: Table, items: tuple[Measurement, ...]) -> Measurements:
    digests = {"train": "1" * 64, "holdout": "2" * 64, "synthetic": table.digest(), "schema": table.schema.digest()}
    origin = table.provenance
    context = {
        "rows": {"train": 1_000, "holdout": 1_000, "synthetic": len(table)},
        "digests": digests,
        "target": None,
        "sensitive": [],
        "seed": 0,
        SKETCH: [f"{number:016x}" for number in range(8)],
        "provenance": None if origin is None else dict(vars(origin)),
    }
    return Measurements(items, context, table)


def documents(verdict: Verdict, table: Table) -> Mapping[str, bytes]:
    return {
        "verdict.json": verdict.to_bytes(),
        "README.md": card.readme(verdict, table),
        "croissant.json": card.croissant(verdict, table, data_digest=verdict.context["digests"]["synthetic"]),
        "provenance.parquet": card.provenance(table),
    }


def approved(seed: int = 0, **options: Any) -> tuple[Table, Approval]:
    """A table and the approval of it."""
    table = rows(seed)
    verdict = Policy.parse(POLICY).judge(measured(table, good_figures()))
    given = {"by": "Ada", "key": default_key(), "documents": documents(verdict, table)} | options
    return table, approve(verdict, table, **given)


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """What tests build cases from."""
    return SimpleNamespace(
        rows=rows, figure=figure, good=good_figures, measured=measured, documents=documents, approved=approved, policy=POLICY
    )


@pytest.fixture
def exported(tmp_path: Path) -> Callable[[int], Path]:
    """Exports of tables that differ by their seed."""

    def make(seed: int = 0) -> Path:
        return export(*approved(seed), tmp_path / f"export-{seed}")

    return make
