"""Whether the ends of numeric columns are filled as they are among the real rows, and reach as far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.histograms import DENSE, Pairing, counts, pairings, replicates, subsampled
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

ROWS = 500_000  # rows per table whose ends are compared
TAIL = 0.01  # share of the real rows that one end is
INNER = (0.01, 0.005, 0.002, 0.001)  # shares beyond whose quantiles the rows are counted; and beyond all real rows
LEAST = 500  # rows of a table below which five in its hundredth cannot be expected
WORST = 20  # ends named in the detail


@dataclass(frozen=True, eq=False)
class End:
    """One end of a column: values turned so that it is the upper one, and the real quantiles in it, from the inside out."""

    column: Compared
    upper: bool
    edges: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.column.name} ({'upper' if self.upper else 'lower'})"

    def values(self, side: Side) -> np.ndarray:
        """The column's values with this end upwards, NaN for null."""
        return self.column.of(side) if self.upper else -self.column.of(side)


@metric("fidelity.tails", better="lower")
def tails(evidence: Evidence) -> Iterator[Reading]:
    """Mean error of the ends of numeric columns: shares of rows beyond the real 1% to 0.1% quantiles and beyond all real rows.

    An end's error is the largest of these differences of shares of the known values, in hundredths (which the whole end is) and
    at most 1: an end that was emptied has the error 1, and one that is as full but reaches too far the part of it that does.
    Shares are those that lie strictly beyond, as the real ones do where many rows share the quantile; an end without a tenth of
    its hundredth beyond it is no tail. The interval is a delete-d jackknife's over groups of rows.
    """
    numbers = [column for column in evidence.columns if not column.is_category]
    if not numbers:
        raise NothingThereError("no column holds numbers")
    judged, real = pairings(evidence, "fidelity.tails", ROWS)
    for pair in (judged, real):
        if pair is not None and min(len(pair.train), len(pair.other)) < LEAST:
            raise SkipMetricError(f"fewer than {LEAST} rows have no ends to speak of: five rows in each are needed")
    ends = [end for column in numbers for upper in (False, True) if (end := _end(column, upper, judged)) is not None]
    if not ends:
        raise NothingThereError("no number has a tail: at both ends many rows share one value, or too few are known")
    errors = _errors(ends, judged)
    held = None if real is None else _errors(ends, real)
    yield Reading(
        subsampled(errors.mean(axis=1), judged),
        None if held is None or real is None else subsampled(held.mean(axis=1), real),
        detail={"worst": _worst(ends, errors[0], None if held is None else held[0]), "ends": len(ends)},
    )


def _end(column: Compared, upper: bool, judged: Pairing) -> End | None:
    """One end of a column; None where it is no tail."""
    values = column.train[judged.train.rows]
    values = np.sort(values[~np.isnan(values)]) * 1.0
    if len(values) < LEAST:
        return None
    values = values if upper else -values[::-1]
    levels = [level for level in INNER if level * len(values) >= DENSE]
    edges = np.unique([*np.quantile(values, [1 - level for level in levels], method="inverted_cdf"), values[-1]])
    beyond = len(values) - np.searchsorted(values, edges[0], "right")
    return End(column, upper, edges) if beyond >= TAIL / 10 * len(values) else None


def _errors(ends: list[End], pair: Pairing) -> np.ndarray:
    """Of each end, shape (1 + replicates, ends)."""
    return np.column_stack([_error(end, pair) for end in ends])


def _error(end: End, pair: Pairing) -> np.ndarray:
    beyond = []
    for sample in (pair.train, pair.other):
        values = end.values(sample.side)[sample.rows]
        null = np.isnan(values)
        cell = np.where(null, len(end.edges) + 1, np.searchsorted(end.edges, values, "left"))
        table = replicates(counts(cell, len(end.edges) + 2, sample))[:, :-1]  # without nulls
        known = np.maximum(table.sum(axis=1, keepdims=True), 1.0)
        beyond.append(table[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:] / known)
    gap = np.abs(beyond[0] - beyond[1]).max(axis=1) / TAIL
    return np.asarray(np.minimum(1.0, gap * pair.shrink))


def _worst(ends: list[End], errors: np.ndarray, held: np.ndarray | None) -> list[dict[str, Any]]:
    order = np.argsort(-(errors if held is None else errors - held), kind="stable")[:WORST]
    return [
        {
            "end": ends[place].name,
            "error": float(errors[place]),
            "reference": None if held is None else float(held[place]),
            "beyond": {side: _beyond(ends[place], side) for side in ("train", "synthetic")},
            "reach": _reach(ends[place]),
        }
        for place in order
    ]


def _beyond(end: End, side: Side) -> float:
    """The share of the known values beyond the real quantile."""
    values = end.values(side)
    values = values[~np.isnan(values)]
    return float((values > end.edges[0]).mean()) if len(values) else 0.0


def _reach(end: End) -> float | None:
    """How far beyond the quantile the synthetic rows in the end lie on average, in multiples of the real rows that do."""
    mean = []
    for side in ("synthetic", "train"):
        values = end.values(side)
        values = values[values > end.edges[0]]
        if not len(values):
            return None
        mean.append(float((values - end.edges[0]).mean()))
    return mean[0] / mean[1]
