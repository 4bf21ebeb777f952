"""Junction trees: cliques of columns in which a model's tables can be summed exactly, and how many cells these have.

Columns are eliminated one after the other, each the one whose clique has the fewest cells (min-weight: Kjærulff, "Triangulation
of graphs", 1990); maximal cliques are then joined by a spanning tree whose separators are largest (Jensen and Jensen, 1994).
Candidates are eliminated all at once, since the choice of the next marginal asks for the size of hundreds of trees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.generators._factors import Columns, cells, checked_columns, checked_sizes

Bools = NDArray[np.bool_]
DIGITS = 9  # of the logarithms that are compared, so that sums in another order do not change the tree


@dataclass(frozen=True)
class JunctionTree:
    """Cliques, each with all columns ascending; parents come before their children, and a root has none (-1)."""

    cliques: tuple[Columns, ...]
    parents: tuple[int, ...]

    @classmethod
    def of(cls, sizes: Sequence[int], measured: Sequence[Columns]) -> JunctionTree:
        """A tree each of whose columns is somewhere, and each measured set of columns within one clique."""
        formed = _eliminated(_adjacency(len(sizes), measured)[np.newaxis], sizes)
        maximal = formed[0][_is_maximal(formed)[0]]
        cliques = [tuple(int(column) for column in np.flatnonzero(clique)) for clique in maximal]
        return cls(*_spanning_tree(cliques, sizes))

    def separator(self, clique: int) -> Columns:
        """The columns that a clique shares with its parent; none for a root."""
        if self.parents[clique] < 0:
            return ()
        parent = set(self.cliques[self.parents[clique]])
        return tuple(column for column in self.cliques[clique] if column in parent)

    def cells(self, sizes: Sequence[int]) -> int:
        """How many cells all cliques have together: what a model holds in memory, and works through in each iteration."""
        return sum(cells(clique, sizes) for clique in self.cliques)


def junction_tree_cells(sizes: Sequence[int], cliques: Sequence[Columns]) -> int:
    """How many cells the model of these measured cliques has, before it is built."""
    checked = checked_sizes(sizes)
    return JunctionTree.of(checked, [checked_columns(clique, checked) for clique in cliques]).cells(checked)


def junction_tree_cells_each(sizes: Sequence[int], cliques: Sequence[Columns], candidates: Sequence[Columns]) -> list[int]:
    """How many cells the model would have, were each candidate in turn measured beside the cliques."""
    checked = checked_sizes(sizes)
    known = _adjacency(len(checked), [checked_columns(clique, checked) for clique in cliques])
    if not candidates:
        return []
    graphs = np.stack([known | _adjacency(len(checked), [checked_columns(one, checked)]) for one in candidates])
    formed = _eliminated(graphs, checked)
    counted = formed & _is_maximal(formed)[..., np.newaxis]
    size = np.array(checked, dtype=object)  # exact, however large
    logs = np.log2(np.array(checked, dtype=np.float64))
    if (counted @ logs).max() < 50:
        whole = np.where(counted, np.array(checked, dtype=np.int64), 1).prod(axis=-1) * counted.any(axis=-1)
        return [int(total) for total in whole.sum(axis=-1)]
    return [sum(math.prod(size[clique]) for clique in graph if clique.any()) for graph in counted]


def _adjacency(columns: int, cliques: Sequence[Columns]) -> Bools:
    """Which columns are measured together; none with itself."""
    edges = np.zeros((columns, columns), dtype=bool)
    for clique in cliques:
        edges[np.ix_(clique, clique)] = True
    np.fill_diagonal(edges, False)
    return edges


def _eliminated(edges: Bools, sizes: Sequence[int]) -> Bools:
    """The cliques formed, of shape (graphs, steps, columns), as each of the graphs loses column after column.

    A step touches the neighbours of the column that goes and no other: of many columns that is a small part.
    """
    graphs, columns = edges.shape[:2]
    edges = edges.copy()
    weights = np.log2(np.array(sizes, dtype=np.float64))
    formed = np.zeros((graphs, columns, columns), dtype=bool)
    every = np.arange(graphs)
    cost = np.round(edges @ weights + weights, DIGITS)
    for step in range(columns):
        least = cost.argmin(axis=1)
        around = edges[every, least]
        graph, near = np.nonzero(around)
        linked = edges[graph, near] | around[graph]
        linked[np.arange(len(graph)), near] = False
        linked[np.arange(len(graph)), least[graph]] = False
        edges[graph, near] = linked
        cost[graph, near] = np.round(linked @ weights + weights[near], DIGITS)
        cost[every, least] = np.inf
        formed[:, step] = around
        formed[every, step, least] = True
    return formed


def _is_maximal(formed: Bools) -> Bools:
    """Of shape (graphs, steps): a clique is within another only if that one was formed earlier."""
    as_numbers = formed.astype(np.float32)
    shared = as_numbers @ as_numbers.transpose(0, 2, 1)
    held = shared == as_numbers.sum(axis=-1)[:, :, np.newaxis]  # [g, i, j]: i's columns are all in j
    earlier = np.tri(formed.shape[1], k=-1, dtype=bool)
    return np.asarray(~(held & earlier).any(axis=-1))


def _spanning_tree(cliques: Sequence[Columns], sizes: Sequence[int]) -> tuple[tuple[Columns, ...], tuple[int, ...]]:
    """Prim's tree from the largest clique on, by the number of shared columns; where none are shared, another tree begins."""
    if not cliques:
        return (), ()
    sets = [set(clique) for clique in cliques]
    sizes_of = [cells(clique, sizes) for clique in cliques]
    order: list[int] = []
    parents: list[int] = []
    shared = dict.fromkeys(range(len(cliques)), (0, -1))  # with the tree so far, and through which of its cliques
    while shared:
        clique = max(shared, key=lambda one: (shared[one][0], sizes_of[one], -one))
        parents.append(shared.pop(clique)[1])
        order.append(clique)
        for other, (most, _) in shared.items():
            common = len(sets[clique] & sets[other])
            if common > most:
                shared[other] = (common, len(order) - 1)
    return tuple(cliques[clique] for clique in order), tuple(parents)
