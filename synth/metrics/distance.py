"""How far rows of mixed columns lie apart, and the nearest neighbour of many rows among many.

A row becomes a point: a number its place between 0 and 1 on a scale that the training rows set, a category one corner of a
simplex, so that two rows that differ in one category lie at the distance 1 and two numbers at opposite ends likewise.
"""

from __future__ import annotations

import numpy as np

from synth.metrics.evidence import SIDES, Compared, Evidence, Side

KNOTS = 20  # quantiles of the training values between which a number's place is interpolated
CORNERS = 64  # categories up to which each has a dimension of its own; more share random directions
BLOCK = 16_000_000  # distances that the search holds at a time: 64 MB


def positions(evidence: Evidence) -> dict[Side, np.ndarray]:
    """The rows of each table as points, float32 of shape (rows, dimensions)."""
    return evidence.once("positions", lambda: _positions(evidence))


def spans(evidence: Evidence) -> dict[str, slice]:
    """Which dimensions of the points belong to which column."""
    ends = np.cumsum([0, *(_width(column) for column in evidence.columns)])
    return {column.name: slice(int(ends[i]), int(ends[i + 1])) for i, column in enumerate(evidence.columns)}


def _width(column: Compared) -> int:
    if column.levels is None:
        return 2 if any(column.null(side).any() for side in SIDES) else 1
    return min(column.levels + 1, CORNERS)


def _positions(evidence: Evidence) -> dict[Side, np.ndarray]:
    rng = evidence.rng("distance.directions")
    parts = [_corners(column, rng) if column.is_category else _places(column) for column in evidence.columns]
    return {side: np.concatenate([part[side] for part in parts], axis=1) for side in SIDES}


def _places(column: Compared) -> dict[Side, np.ndarray]:
    """Where numbers lie among the training quantiles.

    Distinct quantiles are spaced evenly: skewed columns are spread out, and a value beside a spike stays close to it, which
    ranks would not give. Beyond the training range the scale goes on, as far again. A null is 1 away from every number.
    """
    seen = column.train[~np.isnan(column.train)]
    knots = np.unique(np.quantile(seen, np.linspace(0, 1, KNOTS + 1), method="inverted_cdf")) if len(seen) else np.zeros(1)
    even = np.linspace(0, 1, len(knots)) if len(knots) > 1 else np.zeros(1)
    span = float(knots[-1] - knots[0]) or 1.0
    out: dict[Side, np.ndarray] = {}
    for side in SIDES:
        values = column.of(side)
        null = np.isnan(values)
        plain = np.where(null, knots[0], values)
        beyond = np.clip((plain - knots[-1]) / span, 0, 1) - np.clip((knots[0] - plain) / span, 0, 1)
        place = np.where(null, 0.5, np.interp(plain, knots, even) + beyond)
        # with √¾ apart in a second direction, a null is 1 away from both ends of the scale
        out[side] = np.column_stack([place, np.where(null, np.sqrt(0.75), 0.0)]).astype(np.float32)
        if not any(column.null(s).any() for s in SIDES):
            out[side] = out[side][:, :1]
    return out


def _corners(column: Compared, rng: np.random.Generator) -> dict[Side, np.ndarray]:
    """Points of categories, nulls among them, at distance 1 from each other (about 1 where there are very many)."""
    levels = (column.levels or 0) + 1
    if levels <= CORNERS:
        book = np.eye(levels, dtype=np.float32) / np.float32(np.sqrt(2))
    else:
        book = (rng.choice([-1.0, 1.0], size=(levels, CORNERS)) / np.sqrt(2 * CORNERS)).astype(np.float32)
    return {side: book[column.of(side)] for side in SIDES}  # the code of null is -1: the last corner


def nearest(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The Euclidean distance of each query to its nearest row: shape (queries,), float64.

    Blocks of ‖q‖² − 2q·r + ‖r‖² find the neighbour; the distance to it is then taken directly, since the difference of large
    numbers loses what lies close.
    """
    out = np.empty(len(queries))
    half = (rows.astype(np.float64) ** 2).sum(axis=1).astype(np.float32) / 2
    turned = np.ascontiguousarray(rows.T)
    step = max(1, BLOCK // len(rows))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        neighbour = (block @ turned - half).argmax(axis=1)
        gap = block.astype(np.float64) - rows[neighbour]
        out[start : start + step] = np.sqrt((gap * gap).sum(axis=1))
    return out
