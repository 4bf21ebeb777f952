"""Facts of a column that nobody declared, bought: each by a few noisy counts, believed where they are surely not noise.

    nullable      how many values are missing
    bounds        how many values there are of each magnitude, a power of two, on either side of 0
    categories    how often each occurs: those that are frequent enough (`Noise.thresholded`), the others together

A kind, the order of a scale, decimals and units are not for sale: all rows were encoded by them, so what one row says of them
would move the cells of the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from synth.data.schema import Category
from synth.privacy.mechanisms import Noise, sigma

SURE = 4.0  # standard deviations of its noise by which a count must be above nothing: a false alarm in 30,000 counts
MAGNITUDES = 63  # powers of two above the step of the column's grid
NO_GRID = 2.0**-30  # the least magnitude told apart where numbers have no grid


def buy_nullable(null: np.ndarray, noise: Noise, micro_rho: int, rows_per_unit: int, *, what: str) -> bool:
    """Whether a column has nulls worth telling of. null: boolean of shape (rows,)."""
    counted = noise.count(int(null.sum()), micro_rho, sensitivity=rows_per_unit, what=what)
    return counted > SURE * sigma(micro_rho, rows_per_unit)


def buy_bounds(
    values: np.ndarray, step: float | None, noise: Noise, micro_rho: int, rows_per_unit: int, *, what: str
) -> tuple[float, float] | None:
    """Bounds that nearly all values lie within, each 0 or a power of two steps; None where no magnitude is frequent enough.

    values: float64 without nulls. step: of the grid that values lie on, None where there is none.
    """
    least = step or NO_GRID
    with np.errstate(over="ignore"):
        size = np.abs(values) / least
    magnitude = np.where(size < 0.5, 0, np.clip(np.frexp(np.minimum(size, 2.0**MAGNITUDES))[1], 1, MAGNITUDES))
    place = (np.sign(values) * magnitude).astype(np.int64) + MAGNITUDES
    exact = np.bincount(place, minlength=2 * MAGNITUDES + 1)
    noisy = noise.counts(exact, micro_rho, sensitivity=rows_per_unit, what=what)
    sure = np.flatnonzero(noisy > SURE * sigma(micro_rho, rows_per_unit)) - MAGNITUDES
    if not len(sure):
        return None
    low, high = int(sure[0]), int(sure[-1])
    inside = least if step is not None else 0.0  # on a grid a magnitude ends one step before the next
    return _edge(low, least, inside, outward=low < 0), _edge(high, least, inside, outward=high > 0)


def buy_categories(
    codes: np.ndarray,
    levels: Sequence[Category],
    noise: Noise,
    micro_rho: int,
    rows_per_unit: int,
    *,
    delta: float,
    what: str,
) -> tuple[Category, ...]:
    """The categories that are frequent enough, sorted. codes: int of shape (rows,), negative for null."""
    found = np.bincount(codes[codes >= 0], minlength=len(levels)).tolist()
    counts: dict[Any, int] = {level: count for level, count in zip(levels, found, strict=True) if count}
    return tuple(noise.thresholded(counts, micro_rho, delta, rows_per_unit=rows_per_unit, what=what))


def _edge(magnitude: int, least: float, inside: float, *, outward: bool) -> float:
    """Where the values of a magnitude end, away from 0 or toward it."""
    if magnitude == 0:
        return 0.0
    size = math.ldexp(least, abs(magnitude)) - inside if outward else math.ldexp(least, abs(magnitude) - 1)
    return math.copysign(size, magnitude)
