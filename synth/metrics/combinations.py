"""Which rows agree in which columns: every cell has a 64-bit print, and rows agree in some columns where sums of prints do."""

from __future__ import annotations

import numpy as np

from synth.metrics.evidence import Compared, Evidence, Side, on_grid

BINS = 50  # cells with equally many training values that a number is cut into where nearness is to count as agreement
SPREAD = np.uint64(0xBF58476D1CE4E5B9)  # Stafford's mixing constant, as in SplitMix64


def prints(evidence: Evidence, side: Side, rows: np.ndarray, bins: int | None = None) -> np.ndarray:
    """Prints of the cells of these rows: uint64 of shape (columns, rows).

    Two cells of one column have the same print where they hold the same value, on the grid that the column is written on; with
    `bins`, numbers where they lie in the same of so many cells. The sum of prints over some columns, which may run over, is the
    same for two rows where they agree in all of them, and otherwise with a chance of 2⁻⁶⁴.
    """
    rng = evidence.rng("combinations.prints")
    salts = rng.integers(0, 2**63, size=len(evidence.columns), dtype=np.uint64)
    return np.stack([_print(column, side, rows, salt, bins) for column, salt in zip(evidence.columns, salts)])


def _print(column: Compared, side: Side, rows: np.ndarray, salt: np.uint64, bins: int | None) -> np.ndarray:
    values = column.of(side)[rows]
    if column.levels is not None:
        content = (values + 1).astype(np.uint64)
    elif bins is None:
        content = np.where(np.isnan(values), np.nan, on_grid(column.column, values)).view(np.uint64)
    else:
        content = _cells(column, values, bins).astype(np.uint64)
    return _mixed(_mixed(content ^ salt) + salt)


def _cells(column: Compared, values: np.ndarray, bins: int) -> np.ndarray:
    seen = column.train[~np.isnan(column.train)]
    edges = np.unique(np.quantile(seen, np.linspace(0, 1, bins + 1)[1:-1])) if len(seen) else np.empty(0)
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values))


def _mixed(content: np.ndarray) -> np.ndarray:
    """A one-to-one function of 64-bit numbers in which every bit depends on every other."""
    content = (content ^ (content >> np.uint64(30))) * SPREAD
    return np.asarray(content ^ (content >> np.uint64(31)))


def times(sought: np.ndarray, among: np.ndarray) -> np.ndarray:
    """How often each of these sums of prints occurs among others: int64 of shape (sought,)."""
    known, counts = np.unique(among, return_counts=True)
    place = np.minimum(np.searchsorted(known, sought), len(known) - 1)
    return np.where(known[place] == sought, counts[place], 0)
