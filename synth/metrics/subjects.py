"""Whether subjects have as many rows as real ones, and keep what real ones keep from row to row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.histograms import (
    BINS,
    GROUPS,
    Pairing,
    Sample,
    counts,
    real_edges,
    replicates,
    subsampled,
    total_variation,
)
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

ROWS = 500_000  # rows per table, of whole subjects
WORST = 20  # columns named in the detail
FIRST, SAME, CHANGED = range(3)  # what a row's value is, beside the row before it of the same subject


@metric("fidelity.subject_structure", better="lower")
def subject_structure(evidence: Evidence) -> Iterator[Reading]:
    """Mean of two errors: how many rows the subject of a row has, and whether each column keeps its value from row to row.

    Total variation each: of the number of rows, in real bins; and, as the mean over columns, of whether a row is its subject's
    first, repeats the value before it, or changes it. A table whose every row is a new subject's has only first rows.
    The interval is a jackknife's over groups of subjects.
    """
    subject = evidence.train.schema.subject
    if subject is None:
        raise NothingThereError("no column names the subject of a row")
    judged, real = _pairings(evidence)
    if judged.train.groups < 2:
        raise SkipMetricError(f"a single subject in {subject.name!r} has no structure to compare")
    sizes = _sizes(evidence, judged, real)
    errors = {pair.other.side: _errors(evidence, pair, sizes) for pair in (judged, real) if pair is not None}
    held = errors.get("holdout")
    mean = {side: (rows + kept.mean(axis=1)) / 2 for side, (rows, kept) in errors.items()}
    yield Reading(
        subsampled(mean["synthetic"], judged),
        None if real is None else subsampled(mean["holdout"], real),
        detail={
            "rows_per_subject": {
                "error": float(errors["synthetic"][0][0]),
                "reference": None if held is None else float(held[0][0]),
                "mean": {side: _mean_rows(evidence, side) for side in ("train", "synthetic")},
            },
            "columns": _worst(evidence, errors["synthetic"][1][0], None if held is None else held[1][0]),
        },
    )


def _pairings(evidence: Evidence) -> tuple[Pairing, Pairing | None]:
    """As `histograms.pairings`, of whole subjects."""
    rng = evidence.rng("fidelity.subject_structure")
    sides: list[Side] = ["train", "synthetic", *(["holdout"] if evidence.rows("holdout") else [])]  # type: ignore[list-item]
    groups = min(GROUPS, *(int(evidence.clusters(side).max()) + 1 for side in sides))
    most = min(ROWS, evidence.rows("synthetic"))
    samples = {side: _whole(evidence, side, most if side == "holdout" else ROWS, groups, rng) for side in sides}
    judged = Pairing(samples["train"], samples["synthetic"])
    if "holdout" not in samples:
        return judged, None
    n, m, h = (len(samples[side]) for side in ("train", "synthetic", "holdout"))
    shrink = 1.0 if h >= m else math.sqrt((1 / m + 1 / n) / (1 / h + 1 / n))
    return judged, Pairing(samples["train"], samples["holdout"], shrink)


def _whole(evidence: Evidence, side: Side, most: int, groups: int, rng: np.random.Generator) -> Sample:
    """All rows of as many subjects as come to about `most` rows."""
    who = evidence.clusters(side)
    times = np.bincount(who)
    order = rng.permutation(len(times))
    kept = np.zeros(len(times), dtype=bool)
    kept[order[: max(1, int(np.searchsorted(np.cumsum(times[order]), most, "right")))]] = True
    group = np.empty(len(times), dtype=np.int64)
    group[order] = np.arange(len(times)) % groups
    rows = np.flatnonzero(kept[who])
    return Sample(side, rows, group[who[rows]], groups)


def _sizes(evidence: Evidence, judged: Pairing, real: Pairing | None) -> tuple[dict[Side, np.ndarray], int]:
    """For each row the cell of its subject's number of rows, and how many cells there are."""
    size = {}
    for sample in (judged.train, judged.other, *(() if real is None else (real.other,))):
        who = evidence.clusters(sample.side)
        size[sample.side] = np.bincount(who)[who].astype(np.float64)
    edges = real_edges(size["train"], BINS)
    return {side: np.searchsorted(edges, rows, "left") for side, rows in size.items()}, len(edges) + 1


def _errors(evidence: Evidence, pair: Pairing, sizes: tuple[dict[Side, np.ndarray], int]) -> tuple[np.ndarray, np.ndarray]:
    """Of the rows per subject, shape (1 + replicates,), and of each column's constancy, shape (1 + replicates, columns)."""
    cell, total = sizes
    tables = [replicates(counts(cell[s.side][s.rows], total, s)) for s in (pair.train, pair.other)]
    order = {s.side: _order(evidence, s) for s in (pair.train, pair.other)}
    kept = []
    for column in evidence.columns:
        train, other = (
            replicates(counts(_changes(evidence, column, s, order[s.side]), 3, s)) for s in (pair.train, pair.other)
        )
        kept.append(total_variation(train, other, pair.shrink))
    return total_variation(tables[0], tables[1], pair.shrink), np.column_stack(kept)


def _order(evidence: Evidence, sample: Sample) -> np.ndarray:
    """Places among the sampled rows: subject by subject, each in the order of time, or as the rows stand."""
    who, time = evidence.clusters(sample.side)[sample.rows], evidence.train.schema.time
    learned = {column.name for column in evidence.columns}
    if time is None or time not in learned:
        return np.argsort(who, kind="stable")
    return np.lexsort((evidence.column(time).of(sample.side)[sample.rows], who))


def _changes(evidence: Evidence, column: Compared, sample: Sample, order: np.ndarray) -> np.ndarray:
    """For each sampled row whether its value is FIRST, SAME or CHANGED."""
    who = evidence.clusters(sample.side)[sample.rows][order]
    values = column.of(sample.side)[sample.rows][order]
    same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    what = np.full(len(order), FIRST)
    what[1:][who[1:] == who[:-1]] = CHANGED
    what[1:][(who[1:] == who[:-1]) & same] = SAME
    out = np.empty(len(order), dtype=np.int64)
    out[order] = what
    return out


def _mean_rows(evidence: Evidence, side: Side) -> float:
    who = evidence.clusters(side)
    return len(who) / (int(who.max()) + 1)


def _worst(evidence: Evidence, errors: np.ndarray, held: np.ndarray | None) -> list[dict[str, Any]]:
    beyond = errors if held is None else errors - held
    return [
        {
            "column": evidence.columns[place].name,
            "error": float(errors[place]),
            "reference": None if held is None else float(held[place]),
        }
        for place in np.argsort(-beyond, kind="stable")[:WORST]
    ]
