"""Marginals of any few columns from the calibrated tables of a junction tree, with work shared among many of them.

Within a clique a marginal is summed from the next larger one that is kept. Across cliques it is put together at the clique
where the ways to the columns part: what lies along each way is p(columns beyond | separator), kept for all
that ask for it again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synth.generators._belief_propagation import sums_of
from synth.generators._factors import Columns, Floats, cells, shape, spread
from synth.generators._junction_tree import JunctionTree

NOWHERE = -1  # no way leads there: the column is in another tree of the forest


class MarginalQueries:
    """Answers for one calibrated tree. All sets of columns are ascending, in the numbering of its tables."""

    def __init__(self, sizes: Sequence[int], tree: JunctionTree, beliefs: Sequence[Floats]) -> None:
        self._sizes, self._tree, self._beliefs = sizes, tree, beliefs
        self._sets = [set(clique) for clique in tree.cliques]
        self._cells = [cells(clique, sizes) for clique in tree.cliques]
        self._homes: dict[Columns, int] = {}
        self._within: dict[tuple[int, Columns], Floats] = {}
        self._beyond: dict[tuple[int, int, Columns], Floats] = {}
        self._ways = self._first_steps()

    def marginal(self, columns: Columns) -> Floats:
        """p(columns), of the shape of their sizes."""
        home = self._home(columns)
        if home is not None:
            return self._inside(home, columns)
        parts = self._by_tree(columns)
        if len(parts) == 1:
            return self._joint(self._centre(columns), (), columns)
        whole = np.ones((), self._beliefs[0].dtype)
        for part in parts:
            whole = whole * self.marginal(part).reshape(spread(part, columns, self._sizes))
        return whole

    # within a clique -----------------------------------------------------------------------------------------------

    def _home(self, columns: Columns) -> int | None:
        """The smallest clique that holds these columns."""
        if columns not in self._homes:
            inside = [clique for clique, there in enumerate(self._sets) if there.issuperset(columns)]
            self._homes[columns] = min(inside, key=lambda clique: self._cells[clique], default=NOWHERE)
        return None if self._homes[columns] == NOWHERE else self._homes[columns]

    def _inside(self, clique: int, columns: Columns) -> Floats:
        """Summed from the table with one column more, the smallest that is missing: so the largest goes first."""
        if columns == self._tree.cliques[clique]:
            return self._beliefs[clique]
        if (clique, columns) not in self._within:
            missing = next(column for column in self._tree.cliques[clique] if column not in columns)
            larger = tuple(sorted((*columns, missing)))
            table = self._inside(clique, larger)
            out = np.empty(shape(columns, self._sizes), table.dtype)
            for function, arguments in sums_of(table, larger, columns, self._sizes, out):
                function(*arguments)
            self._within[clique, columns] = out
        return self._within[clique, columns]

    # across cliques ------------------------------------------------------------------------------------------------

    def _first_steps(self) -> list[list[int]]:
        """For each clique and column the neighbour through which the way leads to it; the clique itself where it is there."""
        tree = self._tree
        count, columns = len(tree.cliques), len(self._sizes)
        around: list[list[int]] = [[] for _ in range(count)]
        for clique, parent in enumerate(tree.parents):
            if parent >= 0:
                around[clique].append(parent)
                around[parent].append(clique)
        ways = [[NOWHERE] * columns for _ in range(count)]
        for clique in range(count):
            for first in around[clique]:
                stack = [(first, clique)]
                while stack:
                    here, before = stack.pop()
                    for column in tree.cliques[here]:
                        ways[clique][column] = first
                    stack += [(there, here) for there in around[here] if there != before]
            for column in tree.cliques[clique]:
                ways[clique][column] = clique
        return ways

    def _by_tree(self, columns: Columns) -> list[Columns]:
        """The columns apart by the trees of the forest that they are in."""
        parts: list[Columns] = []
        left = columns
        while left:
            there = self._home((left[0],))
            assert there is not None  # each column is in some clique
            parts.append(tuple(column for column in left if self._ways[there][column] != NOWHERE))
            left = tuple(column for column in left if column not in parts[-1])
        return parts

    def _centre(self, columns: Columns) -> int:
        """The clique from which the fewest columns lie the same way; of these the one with the smallest table to begin with."""
        costs = []
        for clique, ways in enumerate(self._ways):
            if ways[columns[0]] == NOWHERE:
                continue
            crowd: dict[int, int] = {}
            for column in columns:
                if ways[column] != clique:
                    crowd[ways[column]] = crowd.get(ways[column], 0) + 1
            needed = {column for column in columns if ways[column] == clique}
            needed.update(column for way in crowd for column in self._shared(clique, way))
            costs.append((max(crowd.values()), cells(tuple(needed), self._sizes), clique))
        return min(costs)[2]

    def _shared(self, clique: int, other: int) -> Columns:
        """The separator between two neighbours."""
        lower = clique if self._tree.parents[clique] == other else other
        return self._tree.separator(lower)

    def _joint(self, clique: int, kept: Columns, columns: Columns) -> Floats:
        """p(kept ∪ columns), ascending, for columns here or along ways that no kept one is on; those are here."""
        ways: dict[int, list[int]] = {}
        for column in columns:
            ways.setdefault(self._ways[clique][column], []).append(column)
        here = {*kept, *ways.pop(clique, [])}
        separators = {way: self._shared(clique, way) for way in ways}
        start = tuple(sorted(here.union(*separators.values())))
        table, over = self._inside(clique, start), start
        for way in sorted(ways, key=lambda way: (cells(ways[way], self._sizes), way)):
            beyond = tuple(ways[way])
            separator = separators.pop(way)
            stays = here.union(*separators.values(), beyond)
            table, over = _chained(table, over, self._onward(way, clique, beyond), separator, beyond, stays, self._sizes)
            here.update(beyond)
        return table

    def _onward(self, clique: int, back: int, columns: Columns) -> Floats:
        """p(columns | separator to the clique behind), with the separator's axes first."""
        key = (clique, back, columns)
        if key not in self._beyond:
            separator = self._shared(clique, back)
            over = tuple(sorted((*separator, *columns)))
            joint = self._joint(clique, separator, columns)
            moved = np.moveaxis(joint, [over.index(column) for column in separator], range(len(separator)))
            flat = moved.reshape(cells(separator, self._sizes), cells(columns, self._sizes))
            total = flat.sum(axis=1, keepdims=True)
            self._beyond[key] = np.divide(flat, total, out=np.zeros_like(flat), where=total > 0)
        return self._beyond[key]


def _chained(
    table: Floats,
    over: Columns,
    onward: Floats,
    separator: Columns,
    beyond: Columns,
    stays: set[int],
    sizes: Sequence[int],
) -> tuple[Floats, Columns]:
    """Σ p(over) p(beyond | separator) over those columns of the separator that do not stay; ascending in all that are left."""
    batch = [column for column in separator if column in stays]
    summed = [column for column in separator if column not in stays]
    free = [column for column in over if column not in separator and column in stays]
    left = np.transpose(table, [over.index(column) for column in (*batch, *free, *summed)])
    left = left.reshape(cells(batch, sizes), cells(free, sizes), cells(summed, sizes))
    right = onward.reshape(*shape(separator, sizes), -1)
    right = np.transpose(right, [*(separator.index(column) for column in (*batch, *summed)), len(separator)])
    right = right.reshape(cells(batch, sizes), cells(summed, sizes), -1)
    result = np.matmul(left, right).reshape(shape((*batch, *free, *beyond), sizes))
    order = (*batch, *free, *beyond)
    ascending = tuple(sorted(order))
    return np.ascontiguousarray(np.transpose(result, [order.index(column) for column in ascending])), ascending
