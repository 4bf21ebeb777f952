"""How far rows of mixed columns lie apart, and the nearest neighbour of many rows among many.

A row becomes a point: a number its place between 0 and 1 on a scale that the training rows set, a category one corner of a
simplex, so that two rows that differ in one category lie at the distance 1 and two numbers at opposite ends likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from synth.metrics.evidence import SIDES, Compared, Evidence, Side

KNOTS = 20  # quantiles of the training values between which a number's place is interpolated
CORNERS = 64  # categories up to which each has a dimension of its own; more share random directions
BLOCK = 4_000_000  # distances that the search holds at a time: 16 MB, about what the caches hold
STRAND = 64  # distances of which the search first looks at the smallest only
SPARE = 4  # candidates beyond the k nearest, among which the exact distance decides
PAIRS = 50_000  # distances taken directly at a time
DOUBT = 1e-6  # part of the largest squared norms below which a product of 32-bit floats says nothing
ROUNDING = 1e-9  # by which two sums of the same terms may differ


Scale = Callable[[np.ndarray], np.ndarray]  # a column's coded values, shape (rows,) → their points, float32 (rows, dimensions)


def positions(evidence: Evidence) -> dict[Side, np.ndarray]:
    """The rows of each table as points, float32 of shape (rows, dimensions)."""
    return evidence.once("positions", lambda: {side: points(evidence, side) for side in SIDES})


def spans(evidence: Evidence) -> dict[str, slice]:
    """Which dimensions of the points belong to which column."""
    ends = np.cumsum([0, *(_width(column) for column in evidence.columns)])
    return {column.name: slice(int(ends[i]), int(ends[i + 1])) for i, column in enumerate(evidence.columns)}


def _width(column: Compared) -> int:
    if column.levels is None:
        return 2 if any(column.null(side).any() for side in SIDES) else 1
    return min(column.levels + 1, CORNERS)


def points(evidence: Evidence, side: Side, rows: np.ndarray | None = None) -> np.ndarray:
    """The rows of one table at these positions (all by default) as points, as in `positions`, where few are needed."""
    scales = evidence.once("scales", lambda: _scales(evidence))
    chosen = [column.of(side) if rows is None else column.of(side)[rows] for column in evidence.columns]
    return np.concatenate([scale(values) for scale, values in zip(scales, chosen)], axis=1)


def _scales(evidence: Evidence) -> list[Scale]:
    rng = evidence.rng("distance.directions")
    return [_corners(column, rng) if column.is_category else _places(column) for column in evidence.columns]


def _places(column: Compared) -> Scale:
    """Where numbers lie among the training quantiles.

    Distinct quantiles are spaced evenly: skewed columns are spread out, and a value beside a spike stays close to it, which
    ranks would not give. Beyond the training range the scale goes on, as far again. A null is 1 away from every number.
    """
    seen = column.train[~np.isnan(column.train)]
    knots = np.unique(np.quantile(seen, np.linspace(0, 1, KNOTS + 1), method="inverted_cdf")) if len(seen) else np.zeros(1)
    even = np.linspace(0, 1, len(knots)) if len(knots) > 1 else np.zeros(1)
    span = float(knots[-1] - knots[0]) or 1.0
    nullable = any(column.null(side).any() for side in SIDES)

    def scale(values: np.ndarray) -> np.ndarray:
        null = np.isnan(values)
        plain = np.where(null, knots[0], values)
        beyond = np.clip((plain - knots[-1]) / span, 0, 1) - np.clip((knots[0] - plain) / span, 0, 1)
        place = np.where(null, 0.5, np.interp(plain, knots, even) + beyond)
        # with √¾ apart in a second direction, a null is 1 away from both ends of the scale
        both = np.column_stack([place, np.where(null, np.sqrt(0.75), 0.0)]).astype(np.float32)
        return both if nullable else both[:, :1]

    return scale


def _corners(column: Compared, rng: np.random.Generator) -> Scale:
    """Points of categories, nulls among them, at distance 1 from each other (about 1 where there are very many)."""
    levels = (column.levels or 0) + 1
    if levels <= CORNERS:
        book = np.eye(levels, dtype=np.float32) / np.float32(np.sqrt(2))
    else:
        book = (rng.choice([-1.0, 1.0], size=(levels, CORNERS)) / np.sqrt(2 * CORNERS)).astype(np.float32)
    return lambda values: book[values]  # the code of null is -1: the last corner


def nearest(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The Euclidean distance of each query to its nearest row: shape (queries,), float64."""
    return neighbours(queries, rows, 1)[0][:, 0]


def neighbours(queries: np.ndarray, rows: np.ndarray, k: int, *, exclude_self: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of each query, the nearest first: Euclidean distances (float64) and positions, shape (queries, k).

    exclude_self: query number i is row number i and no neighbour of its own; a copy of it elsewhere is one.
    Products of blocks find a few more than k candidates; their distances are then taken directly, since the difference of large
    numbers loses what lies close. Of rows equally far away, which ones are named depends on nothing but their order.
    Raises ValueError where there are fewer than k rows to choose from.
    """
    if not 1 <= k <= len(rows) - exclude_self:
        raise ValueError(f"{k} neighbours are asked for among {len(rows)} rows{' without oneself' if exclude_self else ''}")
    distance, position = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
    for block, closeness in _Index(rows, queries).blocks():
        if exclude_self:
            own = np.arange(block.start, block.stop)
            closeness[own - block.start, own] = -np.inf
        position[block], distance[block] = _exact(queries[block], rows, closeness, k)
    return distance, position


def within(queries: np.ndarray, rows: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many rows lie in the ball around each query, and in how many of these balls each row lies.

    radii: shape (queries,); the surface belongs to the ball, so that a copy lies in a ball of radius 0.
    Returns int64 of shapes (queries,) and (rows,).
    """
    return around(queries, rows, radii)[2:]


def around(queries: np.ndarray, rows: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """In one search: the distance of each query to its nearest row, that row's position, and what `within` tells.

    Whatever the products leave in doubt about a ball is decided by the distance itself.
    """
    # equal rows are counted once, with their number: where a table repeats itself, all of them would be in doubt
    ball, centre, alike = _distinct(np.column_stack([queries, radii.astype(np.float64)]))
    point, place, copies = _distinct(rows)
    queries, radii, rows = queries[ball], radii[ball], rows[point]
    distance, position = np.empty(len(queries)), np.empty(len(queries), dtype=np.int64)
    inside, covered = np.zeros(len(queries)), np.zeros(len(rows))
    index = _Index(rows, queries)
    limit = (index.norms - radii.astype(np.float64) ** 2) / 2  # a row is inside where its closeness is at least that
    for block, closeness in index.blocks():
        found, far = _exact(queries[block], rows, closeness, 1)
        position[block], distance[block] = found[:, 0], far[:, 0]
        closeness -= limit[block, None].astype(np.float32)
        sure = (closeness > index.doubt).astype(np.float32)
        inside[block] = sure @ copies
        covered += alike[block] @ sure
        which, row = np.divmod(np.flatnonzero(np.abs(closeness, out=closeness) <= index.doubt), len(rows))
        for start in range(0, len(which), PAIRS):
            i, j = which[start : start + PAIRS] + block.start, row[start : start + PAIRS]
            apart = _distances(queries[i], rows, j[:, None])[:, 0]
            i, j = (part[apart <= radii[i] * (1 + ROUNDING)] for part in (i, j))
            inside += np.bincount(i, weights=copies[j], minlength=len(inside))
            covered += np.bincount(j, weights=alike[i], minlength=len(covered))
    whole = [np.rint(count).astype(np.int64) for count in (inside, covered)]
    return distance[centre], point[position[centre]], whole[0][centre], whole[1][place]


class _Index:
    """Rows laid out so that one product with a block of queries gives q·r − ‖r‖²/2, which is largest for the nearest row.

    Queries and rows are taken about the rows' mean, which leaves fewer digits to cancel.
    """

    def __init__(self, rows: np.ndarray, queries: np.ndarray) -> None:
        centre = rows.mean(axis=0, dtype=np.float64)
        moved, self._queries = rows - centre, np.append(queries - centre, np.ones((len(queries), 1)), axis=1)
        own = (moved**2).sum(axis=1)
        self.norms = (self._queries[:, :-1] ** 2).sum(axis=1)  # of the queries, shape (queries,)
        self.doubt = np.float32(DOUBT * (own.max(initial=0.0) + self.norms.max(initial=0.0)))
        self._queries = self._queries.astype(np.float32)
        self._turned = np.append(moved.T, -own[None] / 2, axis=0).astype(np.float32, order="C")

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Queries, and the closeness of each to all rows: an array that is overwritten by the next block."""
        step = max(1, BLOCK // self._turned.shape[1])
        room = np.empty((min(step, len(self._queries)), self._turned.shape[1]), dtype=np.float32)
        for start in range(0, len(self._queries), step):
            block = self._queries[start : start + step]
            yield slice(start, start + len(block)), np.matmul(block, self._turned, out=room[: len(block)])


def _exact(queries: np.ndarray, rows: np.ndarray, closeness: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the k nearest rows and the distances to them, from a few more that the products propose."""
    found = np.sort(_largest(closeness, min(k + SPARE, len(rows))), axis=1)
    far = _distances(queries, rows, found)
    far[np.take_along_axis(closeness, found, axis=1) == -np.inf] = np.inf  # oneself
    order = np.argsort(far, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(far, order, axis=1)


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k largest values of each line, in no order.

    They lie in the k strands with the largest maxima; those are found in one pass, and only they are looked through.
    """
    lines, width = values.shape
    strands = width // STRAND
    if strands < 2 * k:
        return np.argpartition(-values, k - 1, axis=1)[:, :k]
    even = strands * STRAND
    top = values[:, :even].reshape(lines, STRAND, strands).max(axis=1)
    chosen = np.argpartition(-top, k - 1, axis=1)[:, :k]
    members = (chosen[:, :, None] + np.arange(STRAND) * strands).reshape(lines, -1)
    rest = np.broadcast_to(np.arange(even, width), (lines, width - even))
    members = np.concatenate([members, rest], axis=1)
    best = np.argpartition(-np.take_along_axis(values, members, axis=1), k - 1, axis=1)[:, :k]
    return np.take_along_axis(members, best, axis=1)


def _distances(queries: np.ndarray, rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The distance of each query to the rows chosen for it: shape of `chosen`, (queries, k)."""
    gap = queries[:, None].astype(np.float64) - rows[chosen]
    return np.asarray(np.sqrt(np.einsum("qkd,qkd->qk", gap, gap)))


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of one row of each kind, for each row the number of its kind, and how many are of each kind (float32)."""
    plain = np.ascontiguousarray(rows + 0.0)  # −0 is 0
    packed = plain.view(np.dtype((np.void, plain.dtype.itemsize * plain.shape[1])))[:, 0]
    _, first, kind, times = np.unique(packed, return_index=True, return_inverse=True, return_counts=True)
    return first, kind, times.astype(np.float32)
