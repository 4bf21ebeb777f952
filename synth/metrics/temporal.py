"""Whether moments in time fall into the same periods, days and hours as real ones, and follow each other as closely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.data.encoding import NANOSECONDS
from synth.data.schema import Kind
from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.histograms import (
    BINS,
    Pairing,
    Sample,
    counts,
    pairings,
    real_edges,
    replicates,
    subsampled,
    total_variation,
)
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

ROWS = 500_000  # rows per table whose moments are compared
PERIODS = 60  # calendar periods at most: years, quarters, months, weeks, days or hours, the shortest that give no more
DAY, HOUR = NANOSECONDS["day"], NANOSECONDS["hour"]


@dataclass(frozen=True, eq=False)
class Part:
    """One way in which moments are compared: the cell of each row of each table, and how many cells there are."""

    name: str
    cell: Mapping[Side, np.ndarray]
    total: int


@metric("fidelity.temporal", better="lower")
def temporal(evidence: Evidence) -> Iterator[Reading]:
    """Mean total variation of when rows happen: calendar periods, weekdays, months, hours, and the gaps between events.

    For every column of moments, and the column that the schema orders rows by. Gaps are those between a row and the one before
    it, of the same subject where the schema names one; otherwise among equally many rows of each table, since more rows lie
    closer together. Hours are UTC's. The interval is a delete-d jackknife's over groups of rows.
    """
    columns = [c for c in evidence.columns if c.column.kind is Kind.DATETIME or (_orders(evidence, c) and not c.is_category)]
    if not columns:
        raise NothingThereError("no column holds moments in time")
    columns = [c for c in columns if not np.isnan(c.train).all()]
    if not columns:
        raise SkipMetricError("no training row has a moment in time")
    whole = pairings(evidence, "fidelity.temporal", ROWS)
    thin = _thinned(evidence, whole)
    errors: dict[str, np.ndarray] = {}
    held: dict[str, np.ndarray] = {}
    for column in columns:
        for part in _calendar(column):
            _compare(f"{column.name}: {part.name}", part, whole, errors, held)
        if evidence.train.schema.time in (None, column.name):
            for pairs, part in _gaps(evidence, column, whole, thin):
                _compare(f"{column.name}: {part.name}", part, pairs, errors, held)
    judged, real = whole
    yield Reading(
        subsampled(np.mean(list(errors.values()), axis=0), judged),
        None if real is None else subsampled(np.mean(list(held.values()), axis=0), real),
        detail={
            "parts": {
                name: {"error": float(error[0]), "reference": float(held[name][0]) if name in held else None}
                for name, error in errors.items()
            }
        },
    )


def _orders(evidence: Evidence, column: Compared) -> bool:
    return evidence.train.schema.time == column.name


def _compare(
    name: str,
    part: Part,
    pairs: tuple[Pairing, Pairing | None],
    errors: dict[str, np.ndarray],
    held: dict[str, np.ndarray],
) -> None:
    for pair, out in zip(pairs, (errors, held)):
        if pair is not None:
            tables = [replicates(counts(part.cell[s.side][s.rows], part.total, s)) for s in (pair.train, pair.other)]
            out[name] = total_variation(tables[0], tables[1], pair.shrink)


# the calendar --------------------------------------------------------------------------------------------------------


def _calendar(column: Compared) -> Iterator[Part]:
    """Periods, and the profiles of weekdays, months and hours that the column is fine and long enough for."""
    if column.column.kind is not Kind.DATETIME:
        edges = real_edges(column.train, BINS)
        yield Part("periods", {side: _in_order(column.of(side), edges) for side in _sides(column)}, len(edges) + 2)
        return
    step = NANOSECONDS[column.column.unit or "microsecond"]
    known = column.train[~np.isnan(column.train)]
    low, high = np.quantile(known, [0.005, 0.995], method="inverted_cdf")
    span = (high - low) * step
    for name, period in _PERIODS.items():
        first, last = (int(period(np.array([end]), step)[0]) for end in (low, high))
        if last - first < PERIODS:
            cells = {
                side: np.clip(_of(column, side, period, step) - first, -1, last - first + 1) + 1 for side in _sides(column)
            }
            yield _part(f"shares of {name}", column, cells, last - first + 3)
            break
    profiles = (
        ("weekdays", 7, step <= DAY and span >= 14 * DAY, lambda v, s: (_days(v, s) + 3) % 7),  # 1970 began on a Thursday
        ("months of the year", 12, step <= DAY and span >= 365 * DAY, lambda v, s: _months(v, s) % 12),
        ("hours of the day", 24, step <= HOUR and span >= 2 * DAY, lambda v, s: _hours(v, s) % 24),
    )
    for name, total, fits, profile in profiles:
        if fits:
            yield _part(name, column, {side: _of(column, side, profile, step) for side in _sides(column)}, total)


def _part(name: str, column: Compared, cells: dict[Side, np.ndarray], total: int) -> Part:
    """Cells with one more at the end for nulls."""
    return Part(name, {side: np.where(column.null(side), total, cell) for side, cell in cells.items()}, total + 1)


def _of(column: Compared, side: Side, period: Any, step: int) -> np.ndarray:
    values = column.of(side)
    return np.asarray(period(np.where(np.isnan(values), 0.0, values), step))


def _hours(values: np.ndarray, step: int) -> np.ndarray:
    return _units(values, step, HOUR)


def _days(values: np.ndarray, step: int) -> np.ndarray:
    return _units(values, step, DAY)


def _weeks(values: np.ndarray, step: int) -> np.ndarray:
    return (_days(values, step) + 3) // 7  # from Monday on


def _months(values: np.ndarray, step: int) -> np.ndarray:
    days = np.clip(_days(values, step), -(10**6), 10**7)  # the calendar's own limits lie far beyond
    return np.asarray(days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64))


def _units(values: np.ndarray, step: int, unit: int) -> np.ndarray:
    return np.floor(values * (step / unit) if step >= unit else values / (unit / step)).astype(np.int64)


_PERIODS: dict[str, Any] = {
    "hours": _hours,
    "days": _days,
    "weeks": _weeks,
    "months": _months,
    "quarters": lambda values, step: _months(values, step) // 3,
    "years": lambda values, step: _months(values, step) // 12,
    "decades": lambda values, step: _months(values, step) // 120,
    "centuries": lambda values, step: _months(values, step) // 1200,
}  # the shortest first


# gaps ----------------------------------------------------------------------------------------------------------------


def _thinned(evidence: Evidence, whole: tuple[Pairing, Pairing | None]) -> tuple[Pairing, Pairing | None]:
    """Equally many rows of every table."""
    judged, real = whole
    samples = [judged.train, judged.other, *(() if real is None else (real.other,))]
    rows, rng = min(len(sample) for sample in samples), evidence.rng("fidelity.temporal.gaps")
    thin = []
    for sample in samples:
        kept = np.sort(rng.permutation(len(sample))[:rows])
        thin.append(Sample(sample.side, sample.rows[kept], sample.group[kept], sample.groups))
    return Pairing(thin[0], thin[1]), None if real is None else Pairing(thin[0], thin[2])


def _gaps(
    evidence: Evidence, column: Compared, whole: tuple[Pairing, Pairing | None], thin: tuple[Pairing, Pairing | None]
) -> Iterator[tuple[tuple[Pairing, Pairing | None], Part]]:
    """The time since the row before, in bins of the training rows' gaps; rows that have none before them have a cell."""
    named = evidence.train.schema.subject is not None
    judged, real = whole if named else thin
    gaps: dict[Side, np.ndarray] = {}
    for sample in (judged.train, judged.other, *(() if real is None else (real.other,))):
        moments = column.of(sample.side)
        who = evidence.clusters(sample.side) if named else None
        gaps[sample.side] = np.full(len(moments), np.nan)
        gaps[sample.side][sample.rows] = _since(moments[sample.rows], None if who is None else who[sample.rows])
    if np.isnan(gaps["train"]).all():
        return
    edges = real_edges(gaps["train"], BINS)
    cells = {side: _in_order(gap, edges) for side, gap in gaps.items()}
    yield (judged, real), Part("gaps of one subject" if named else "gaps", cells, len(edges) + 2)


def _since(moments: np.ndarray, who: np.ndarray | None) -> np.ndarray:
    """For each row the time since the last row before it (of the same subject), NaN where there is none."""
    order = np.argsort(moments, kind="stable") if who is None else np.lexsort((moments, who))
    gap = np.concatenate([[np.nan], np.diff(moments[order])])
    if who is not None:
        gap[1:][np.diff(who[order]) != 0] = np.nan
    out = np.empty(len(moments))
    out[order] = gap
    return out


def _in_order(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, "left"))


def _sides(column: Compared) -> list[Side]:
    sides: tuple[Side, ...] = ("train", "holdout", "synthetic")
    return [side for side in sides if len(column.of(side))]
