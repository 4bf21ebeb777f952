"""A small table, figures written by hand, and an export of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth import approving
from synth.data.sketch import SKETCH
from synth.data.table import Provenance, Table
from synth.gate.approval import Approval, approve
from synth.gate.export import export
from synth.gate.keys import default_key
from synth.gate.leaving import leaving_rows, leaving_verdict
from synth.gate.policy import Policy
from synth.gate.released import Release
from synth.gate.terms import Terms, now
from synth.gate.verdict import Verdict
from synth.metrics.measurement import Interval, Measurement, Measurements

BEGAN = now()
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
        "provenance": None if origin is None else origin.to_dict(),
    }
    return Measurements(items, context, table)


def terms(**facts: Any) -> Terms:
    """This machine asks, and signs alone, for a month from when the tests began."""
    given = {"requested_by": "a test", "requester": default_key().keyid, "at": BEGAN.isoformat()}
    return Terms(**given | {"expires": (BEGAN + timedelta(days=30)).isoformat()} | facts)


def documents(verdict: Verdict, table: Table, under: Terms | None = None, by: str = "Ada") -> Mapping[str, bytes]:
    assert verdict.measurements is not None
    return approving.documents(verdict, verdict.measurements, table, terms=under or terms(), by=by)


def approved(seed: int = 0, *, table: Table | None = None, policy: str = POLICY, **options: Any) -> tuple[Table, Approval]:
    """A table and the approval of it."""
    table = rows(seed) if table is None else table
    verdict = Policy.parse(policy).judge(measured(table, good_figures()))
    under = options.pop("terms", None) or terms()
    given = {"by": "Ada", "key": default_key(), "terms": under} | options
    return table, approve(verdict, table, **{"documents": documents(verdict, table, under)} | given)


def kinds(n: int = 60) -> Table:
    """Rows with a column of every type that may leave, each with nulls, and the values that formats stumble over."""
    rng = np.random.default_rng(7)
    holes = rng.random(n) < 0.2
    begin, second = datetime(2024, 2, 28, 23, 59, 59, 123456), timedelta(days=1, seconds=1, microseconds=1)

    def column(values: Sequence[Any], kind: pa.DataType | None = None) -> pa.Array:
        cells = [values[i % len(values)] if i < len(values) or not holes[i] else None for i in range(n)]
        return pa.array(cells, kind)

    arrow = pa.table(
        {
            "id": pa.array([f"P{i:05d}" for i in range(n)]),
            "whole": column([0, -1, 2**53 + 1, -(2**63), 2**63 - 1], pa.int64()),
            "small": column([0, 1, 255], pa.uint8()),
            "real": column([0.1, -0.0, 1e300, 5e-324, 1 / 3, -123456.789]),
            "single": column([0.1, 16777216.0, -2.5], pa.float32()),
            "yes": column([True, False]),
            "text": column(["", "a", 'say "hi", twice', "line\nend", "ß∂ 😀", "null", " pad ", "'; DROP TABLE x; --", "4"]),
            "Town, (kept)": column(["Bonn", "Köln", "Trier"]).dictionary_encode(),
            "day": column([date(1, 1, 1), date(1970, 1, 1), date(9999, 12, 31)], pa.date32()),
            "at": column([begin + i * second for i in range(9)], pa.timestamp("us")),
            "zoned": column([begin + i * second for i in range(9)], pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
            "berlin": column([begin + i * second for i in range(9)], pa.timestamp("ms", "UTC")).cast(
                pa.timestamp("ms", "Europe/Berlin"), safe=False
            ),
            "exact": column([Decimal("0.10"), Decimal("-99999999.99"), Decimal("12345678.90")], pa.decimal128(12, 2)),
        }
    )
    table = synth.read(arrow, key="id")
    return Table(table.arrow, table.schema, provenance=Provenance("trees", "ab" * 32, 7, n))


def release_of(table: Table | None = None, *, layout: str = "parquet", under: Terms | None = None, **changes: Any) -> Release:
    """What the documents of an export state; changes: to the verdict."""
    table = rows() if table is None else table
    verdict = replace(Policy.parse(POLICY).judge(measured(table, good_figures())), **changes)
    return Release(leaving_verdict(verdict, table), leaving_rows(table), under or terms(), "Ada", layout)


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """What tests build cases from."""
    return SimpleNamespace(
        rows=rows, figure=figure, good=good_figures, measured=measured, documents=documents, approved=approved, policy=POLICY,
        terms=terms, kinds=kinds, release=release_of,
    )  # fmt: skip


@pytest.fixture
def exported(tmp_path: Path) -> Callable[[int], Path]:
    """Exports of tables that differ by their seed."""

    def make(seed: int = 0) -> Path:
        return export(*approved(seed), tmp_path / f"export-{seed}")

    return make
