"""Normal vectors given an interval for each coordinate, another one in every row: what missing cells are filled in from.

Each row has an order of its own: coordinates that are points, those in intervals, then the free ones, which are drawn last,
jointly and exactly. The ones in intervals begin as the likeliest of a few rows drawn one coordinate after another (the
simulator of Geweke, Hajivassiliou and Keane, weighed), and go on by Gibbs sampling (Geman and Geman 1984) with the free ones
integrated out: a missing cell holds no other back, however close their correlation.
"""

from __future__ import annotations

import numpy as np

from synth.generators._truncated import draw_between, log_mass
from synth.progress import Progress

BEGINNINGS = 8  # rows of which one is chosen
SWEEPS = 10  # over the coordinates in intervals
POINT = 1e-4  # an interval shorter than this is a point
CELLS = 3_000_000  # of the rows' matrices, held at once


def complete(
    low: np.ndarray, high: np.ndarray, correlation: np.ndarray, rng: np.random.Generator, progress: Progress
) -> np.ndarray:
    """A normal vector for each row between these bounds, of shape (rows, coordinates)."""
    rows, size = low.shape
    out = np.empty((rows, size))
    step = max(1, CELLS // max(1, size**2))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        out[part] = _completed(low[part], high[part], correlation, rng)
        progress("impute", min(start + step, rows), rows)
    return out


def _completed(low: np.ndarray, high: np.ndarray, correlation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    free = np.isinf(low) & np.isinf(high)
    with np.errstate(invalid="ignore"):
        point = ~free & (high - low < POINT)
    rank = np.where(free, 2, np.where(point, 0, 1))
    order = np.argsort(rank, axis=1, kind="stable")
    low, high, rank = (np.take_along_axis(each, order, axis=1) for each in (low, high, rank))
    R = correlation[order[:, :, None], order[:, None, :]]
    L = np.linalg.cholesky(R)
    bound = int((rank < 2).sum(axis=1).max(initial=0))  # coordinates that are not free, in the fullest row
    first, fixed = rank[:, :bound], rank[:, :bound] == 0
    z = _begun(low, high, L, first, rng)
    _sweep(z, low, high, _precision(R[:, :bound, :bound], first == 2), first, fixed, rng)
    # The free ones given the others: what they would be at the others' own innovations, and new innovations for themselves.
    innovation = rng.standard_normal(low.shape)
    for k in range(bound):
        so_far = np.einsum("rc,rc->r", L[:, k, :k], innovation[:, :k])
        innovation[:, k] = np.where(first[:, k] == 2, innovation[:, k], (z[:, k] - so_far) / L[:, k, k])
    drawn = np.einsum("rkc,rc->rk", L, innovation)
    out = np.empty_like(drawn)
    np.put_along_axis(out, order, drawn, axis=1)
    return np.asarray(out)


def _begun(low: np.ndarray, high: np.ndarray, L: np.ndarray, rank: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The coordinates that are not free, one after another: one of BEGINNINGS rows, by their weight."""
    rows, bound = rank.shape
    best, peak = np.zeros((rows, bound)), np.full(rows, -np.inf)
    for _ in range(BEGINNINGS):
        innovation, weight = np.zeros((rows, bound)), np.zeros(rows)
        for k in range(bound):
            shift = np.einsum("rc,rc->r", L[:, k, :k], innovation[:, :k])
            under, over = ((edge[:, k] - shift) / L[:, k, k] for edge in (low, high))
            innovation[:, k] = draw_between(under, over, rng)
            weight += np.where(rank[:, k] == 1, np.maximum(log_mass(under, over), -1e6), 0.0)
        weight += rng.gumbel(size=rows)  # the largest of these is a draw by weight
        better = weight > peak
        best[better], peak[better] = np.einsum("rkc,rc->rk", L[better, :bound, :bound], innovation[better]), weight[better]
    return np.asarray(np.clip(best, low[:, :bound], high[:, :bound]))


def _precision(R: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The inverse correlations of each row's coordinates that are not free; the free ones stand by themselves."""
    apart = free[:, :, None] | free[:, None, :]
    kept = np.where(apart, 0.0, R)
    places = np.arange(R.shape[1])
    kept[:, places, places] = 1.0
    return np.linalg.inv(kept)


def _sweep(
    z: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    precision: np.ndarray,
    rank: np.ndarray,
    fixed: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Gibbs sampling of the coordinates in intervals, in place."""
    moving = np.flatnonzero((rank == 1).any(axis=0))
    for _ in range(SWEEPS if len(moving) else 0):
        for k in moving:
            own = precision[:, k, k]
            mean = z[:, k] - np.einsum("rc,rc->r", precision[:, k], z) / own
            spread = 1 / np.sqrt(own)
            drawn = mean + spread * draw_between((low[:, k] - mean) / spread, (high[:, k] - mean) / spread, rng)
            z[:, k] = np.where(fixed[:, k], z[:, k], drawn)
