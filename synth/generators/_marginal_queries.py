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
        self._costs: dict[tuple[int, int, Columns], int] = {}
        self._ways = self._first_steps()

    def marginal(self, columns: Columns) -> Floats:
        """p(columns), of the shape of their sizes."""
        home = self._home(columns)
        if home is not None:
            return self._inside(home, columns)
        parts = self._by_tree(columns)
        if len(parts) == 1:
            table, over = self._joint(self._centre(columns), (), columns)
            return np.transpose(table, [over.index(column) for column in columns])
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
        """The clique at which putting the marginal together costs least; it lies between the columns."""
        between = [clique for clique, ways in enumerate(self._ways) if len({ways[column] for column in columns}) > 1]
        return min(between, key=lambda clique: (self._cost(clique, (), columns), clique))

    def _cost(self, clique: int, kept: Columns, columns: Columns) -> int:
        """About how many cells `_joint` works through, or multiplications it makes."""
        here, ways = self._parted(clique, kept, columns)
        separators = {way: self._shared(clique, way) for way in ways}
        left = here.union(*separators.values())
        cost = cells(tuple(left), self._sizes)
        for way, beyond in ways.items():
            cost += self._onward_cost(way, clique, beyond)
            cost += cells(tuple(left), self._sizes) * cells(beyond, self._sizes)
            del separators[way]
            here.update(beyond)
            left = here.union(*separators.values())
        return cost

    def _onward_cost(self, clique: int, back: int, columns: Columns) -> int:
        key = (clique, back, columns)
        if key in self._beyond:
            return 0
        if key not in self._costs:
            separator = self._shared(clique, back)
            self._costs[key] = self._cost(clique, separator, columns) + 3 * cells((*separator, *columns), self._sizes)
        return self._costs[key]

    def _shared(self, clique: int, other: int) -> Columns:
        """The separator between two neighbours."""
        lower = clique if self._tree.parents[clique] == other else other
        return self._tree.separator(lower)

    def _parted(self, clique: int, kept: Columns, columns: Columns) -> tuple[set[int], dict[int, Columns]]:
        """Of the columns those that are here, with what is kept, and the others by the way to them, the fewest cells first."""
        ways: dict[int, Columns] = {}
        for column in columns:
            way = self._ways[clique][column]
            ways[way] = (*ways.get(way, ()), column)
        here = {*kept, *ways.pop(clique, ())}
        return here, {way: ways[way] for way in sorted(ways, key=lambda way: (cells(ways[way], self._sizes), way))}

    def _joint(self, clique: int, kept: Columns, columns: Columns) -> tuple[Floats, Columns]:
        """p(kept ∪ columns), and the order of its axes; columns are here or along ways that no kept one is on."""
        here, ways = self._parted(clique, kept, columns)
        separators = {way: self._shared(clique, way) for way in ways}
        over = tuple(sorted(here.union(*separators.values())))
        table = self._inside(clique, over)
        for way, beyond in ways.items():
            separator = separators.pop(way)
            stays = here.union(*separators.values())
            table, over = _chained(table, over, self._onward(way, clique, beyond), separator, beyond, stays, self._sizes)
            here.update(beyond)
        return table, over

    def _onward(self, clique: int, back: int, columns: Columns) -> Floats:
        """p(columns | separator to the clique behind), of shape (cells of the separator, cells of the columns)."""
        key = (clique, back, columns)
        if key not in self._beyond:
            separator = self._shared(clique, back)
            table, over = self._joint(clique, separator, columns)
            flat = np.transpose(table, [over.index(column) for column in (*separator, *columns)])
            flat = flat.reshape(cells(separator, self._sizes), cells(columns, self._sizes))
            total = flat.sum(axis=1, keepdims=True)
            likely = total > np.finfo(flat.dtype).tiny  # below that single precision has no digits left, and nothing to add
            self._beyond[key] = np.divide(flat, total, out=np.zeros_like(flat), where=likely)
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
    """Σ p(over) p(beyond | separator) over those columns of the separator that do not stay, and the order of its axes."""
    batch = [column for column in separator if column in stays]
    summed = [column for column in separator if column not in stays]
    free = [column for column in over if column not in separator]
    left = np.transpose(table, [over.index(column) for column in (*batch, *free, *summed)])
    left = left.reshape(cells(batch, sizes), cells(free, sizes), cells(summed, sizes))
    right = onward.reshape(*shape(separator, sizes), -1)
    right = np.transpose(right, [*(separator.index(column) for column in (*batch, *summed)), len(separator)])
    right = right.reshape(cells(batch, sizes), cells(summed, sizes), -1)
    order = (*batch, *free, *beyond)
    product = np.matmul(left, right) if summed else left * right
    return product.reshape(shape(order, sizes)), order
