"""Rows drawn from the calibrated tables of a junction tree, clique after clique, each given what it shares with its parent.

Rows that agree in what is given are drawn together, at evenly spaced quantiles from a random start and in a random order
(systematic sampling): each row by itself has exactly the model's distribution, while the number of rows in any stretch of cells
differs from what is expected by less than one in each such group, where independent draws would differ by its square root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from synth.generators._factors import Columns, Floats, cells, shape, spread
from synth.generators._junction_tree import JunctionTree


def draw_rows(
    n: int, sizes: Sequence[int], tree: JunctionTree, tables: Sequence[Floats], rng: np.random.Generator
) -> NDArray[np.int32]:
    """n rows of codes, of shape (n, columns). A table may have any scale that depends on nothing but its separator."""
    rows = np.zeros((n, len(sizes)), dtype=np.int32)
    for clique, columns in enumerate(tree.cliques):
        given = tree.separator(clique)
        drawn = tuple(column for column in columns if column not in given)
        table = np.transpose(tables[clique], [columns.index(column) for column in (*given, *drawn)])
        table = table.reshape(cells(given, sizes), cells(drawn, sizes))
        group = _flat(rows, given, sizes)
        cell = systematic(table, group, rng)
        for column, codes in zip(drawn, np.unravel_index(cell, shape(drawn, sizes)), strict=True):
            rows[:, column] = codes
    return rows


def conditioned(
    sizes: Sequence[int], tree: JunctionTree, beliefs: Sequence[Floats], allowed: Mapping[int, Floats]
) -> list[Floats] | None:
    """The cliques' tables given that columns lie in allowed cells, by the share of each that is; each table up to a scale per
    separator. None if they cannot."""
    tables = list(beliefs)
    first = {column: clique for clique in reversed(range(len(tables))) for column in tree.cliques[clique]}
    touched = {first[column] for column in allowed}
    for clique in reversed(range(len(tables))):
        if clique not in touched:
            continue
        columns, given = tree.cliques[clique], tree.separator(clique)
        table = np.array(tables[clique], dtype=np.float64)
        for column in columns:
            if column in allowed and first[column] == clique:
                table *= allowed[column].reshape(spread((column,), columns, sizes))
        tables[clique] = table
        if not table.any():
            return None
        parent = tree.parents[clique]
        if parent >= 0:
            summed = tuple(axis for axis, column in enumerate(columns) if column not in given)
            before, after = beliefs[clique].sum(axis=summed), table.sum(axis=summed)
            message = np.divide(after, before, out=np.zeros_like(after), where=before > 0)
            message /= message.max()
            tables[parent] = tables[parent] * message.reshape(spread(given, tree.cliques[parent], sizes))
            touched.add(parent)
    return tables


def _flat(rows: NDArray[np.int32], columns: Columns, sizes: Sequence[int]) -> NDArray[np.int64]:
    """The number of each row's cell in a table over these columns."""
    flat = np.zeros(len(rows), dtype=np.int64)
    for column in columns:
        flat *= sizes[column]
        flat += rows[:, column]
    return flat


def systematic(table: Floats, group: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A cell for each row, by the weights in its group's line of the table."""
    groups, which = np.unique(group, return_inverse=True)
    counts = np.bincount(which, minlength=len(groups))
    shuffled = np.argsort(_inside(which, rng.random(len(group))))
    rank = np.empty(len(group), dtype=np.int64)
    rank[shuffled] = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
    quantile = (rank + rng.random(len(groups))[which]) / counts[which]
    cumulative = np.cumsum(table[groups], axis=1, dtype=np.float64)
    cumulative /= cumulative[:, -1:]
    cumulative += np.arange(len(groups))[:, np.newaxis]
    found = np.searchsorted(cumulative.reshape(-1), _inside(which, quantile), side="right")
    return np.asarray(found - which * table.shape[1])


def _inside(which: NDArray[np.int64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """which + share, below which + 1 however it is rounded."""
    return np.asarray(np.minimum(which + share, np.nextafter(which + 1.0, 0)))
