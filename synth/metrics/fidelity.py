"""Whether each column, each pair of columns and each class looks as it does among the real rows.

Shape: KS distance of numbers, total variation of categories; trend: differences of correlations and of joint tables. Bins
come from the real column only, so that a column on another scale cannot pass; nulls are a category of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.metrics.evidence import Compared, Evidence
from synth.metrics.histograms import (
    FINE,
    Pairing,
    cells,
    counts,
    exact_kolmogorov,
    kolmogorov,
    pairings,
    real_edges,
    replicates,
    subsampled,
    total_variation,
)
from synth.metrics.intervals import newcombe_magnitude, newcombe_stand_in
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

ROWS = 500_000  # rows per table that shapes are computed on
EXPECTED = 10  # rows of a category that a table must have been expected to hold before their absence is counted


@metric("fidelity.shape", better="lower")
def shape(evidence: Evidence) -> Iterator[Reading]:
    """Mean error of the columns: KS distance of numbers, total variation of categories, nulls as a category."""
    judged, real = evidence.once("shapes", lambda: _shapes(evidence))
    score, reference = judged.errors, None if real is None else real.errors
    names = [c.name for c in evidence.columns]
    detail = {"columns": {name: float(error) for name, error in zip(names, score[0])}}
    if reference is not None:
        detail["reference_columns"] = {name: float(error) for name, error in zip(names, reference[0])}
    yield Reading(
        subsampled(score.mean(axis=1), judged.pair),
        None if real is None else subsampled(real.errors.mean(axis=1), real.pair),
        detail=detail,
    )


@metric("fidelity.worst_column", better="lower")
def worst_column(evidence: Evidence) -> Iterator[Reading]:
    """Largest error of a single column: one broken column among many hides in their mean."""
    judged, real = evidence.once("shapes", lambda: _shapes(evidence))
    yield Reading(
        subsampled(judged.errors.max(axis=1), judged.pair),
        None if real is None else subsampled(real.errors.max(axis=1), real.pair),
        detail={"column": evidence.columns[int(judged.errors[0].argmax())].name},
    )


@dataclass(frozen=True, eq=False)
class Shapes:
    """The errors of the columns, shape (1 + replicates, columns): of all rows, then of each replicate."""

    pair: Pairing
    errors: np.ndarray


def _shapes(evidence: Evidence) -> tuple[Shapes, Shapes | None]:
    """Of the synthetic rows, and of the holdout rows in their place."""
    judged, real = pairings(evidence, "fidelity.shape", ROWS)
    return _column_errors(evidence, judged), None if real is None else _column_errors(evidence, real)


def _column_errors(evidence: Evidence, pair: Pairing) -> Shapes:
    return Shapes(pair, np.column_stack([_column_error(column, pair) for column in evidence.columns]))


def _column_error(column: Compared, pair: Pairing) -> np.ndarray:
    train, other = column.of("train")[pair.train.rows], column.of(pair.other.side)[pair.other.rows]
    edges = np.empty(0) if column.is_category else real_edges(train, FINE)
    tables = []
    for sample in (pair.train, pair.other):
        cell, total = cells(column, sample.side, edges)
        tables.append(replicates(counts(cell[sample.rows], total, sample)))
    if column.is_category:
        return total_variation(tables[0], tables[1], pair.shrink)
    errors = kolmogorov(tables[0], tables[1])
    exact = exact_kolmogorov(train, other)
    # the cells give the spread between groups, the values themselves the distance
    return np.asarray(np.concatenate([[exact], errors[1:] - errors[0] + exact]) * pair.shrink)


@metric("fidelity.class_share", better="lower")
def class_share(evidence: Evidence) -> Iterator[Reading]:
    """For each target class: the difference between its synthetic and its training share."""
    target = _categorical_target(evidence)
    sides = {side: _tally(target, side) for side in ("train", "synthetic", "holdout")}
    sizes = {side: int(tally.sum()) for side, tally in sides.items()}
    for code in np.flatnonzero(sides["train"] + sides["synthetic"]):
        held = sides["holdout"][code], sizes["holdout"]
        real = sides["train"][code], sizes["train"]
        fake = sides["synthetic"][code], sizes["synthetic"]
        share, real_share = fake[0] / fake[1], real[0] / real[1]
        detail: dict[str, Any] = {"share": float(share), "real_share": float(real_share), "rows": int(fake[0])}
        detail["ratio"] = float(share / real_share) if real_share else None
        yield Reading(
            newcombe_magnitude(*fake, *real),
            newcombe_stand_in(*held, *real, fake[1]) if sizes["holdout"] else None,
            group={target.name: target.label(int(code) if code < (target.levels or 0) else -1)},
            detail=detail,
        )


@metric("fidelity.missing_classes", better="lower")
def missing_classes(evidence: Evidence) -> Iterator[Reading]:
    """Share of the target classes, of which some rows were to be expected, that have not one synthetic row."""
    yield _missing([_categorical_target(evidence)], evidence)


@metric("fidelity.missing_categories", better="lower")
def missing_categories(evidence: Evidence) -> Iterator[Reading]:
    """Share of the categories of all columns, of which some rows were to be expected, that have not one synthetic row."""
    columns = [column for column in evidence.columns if column.is_category]
    if not columns:
        raise NothingThereError("no column holds categories")
    yield _missing(columns, evidence)


def _missing(columns: list[Compared], evidence: Evidence) -> Reading:
    """Absent categories among those with at least EXPECTED rows to be expected: by chance, one is absent once in 22,000."""
    found: dict[str, tuple[int, int, list[str]]] = {}
    for side in ("synthetic", "holdout"):
        rows, considered, absent = evidence.rows(side), 0, []
        for column in columns:
            real, other = _tally(column, "train"), _tally(column, side)
            expected = real / max(real.sum(), 1) * rows >= EXPECTED
            considered += int(expected.sum())
            absent += [
                f"{column.name}={column.label(int(code) if code < (column.levels or 0) else -1)}"
                for code in np.flatnonzero(expected & (other == 0))
            ]
        found[side] = considered, len(absent), absent
    considered, missing, absent = found["synthetic"]
    if considered == 0:
        raise SkipMetricError(f"no category is frequent enough for {EXPECTED} synthetic rows of it to be expected")
    real_considered, real_missing, _ = found["holdout"]
    value, real_value = missing / considered, real_missing / max(real_considered, 1)
    # absence is a fact about this table, not an estimate: the interval has no width
    return Reading(
        Interval(value, value, value, considered),
        Interval(real_value, real_value, real_value, real_considered) if real_considered else None,
        detail={"absent": absent[:50], "considered": considered},
    )


def _tally(column: Compared, side: Any) -> np.ndarray:
    """Rows per category, nulls last."""
    cell, total = cells(column, side, np.empty(0))
    return np.bincount(cell, minlength=total)


def _categorical_target(evidence: Evidence) -> Compared:
    target = evidence.target
    if target is None:
        raise NothingThereError("no target is named; name one with target=")
    if not target.is_category:
        raise NothingThereError(f"the target {target.name!r} is a number and has no classes")
    return target
