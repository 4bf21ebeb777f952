"""Belief propagation over a junction tree in log space, planned once: all axes, shapes and buffers before the first pass.

Lauritzen and Spiegelhalter's two passes (1988). Upward, each clique's table becomes p(clique | separator), its potentials and
its children's messages having been added as logarithms; downward, it is multiplied by the separator's belief. A large table
is hence written a few times and exponentiated once. The logarithm of its sum over the separator at the last pass is taken off
first: nothing overflows while potentials move little, and a pass in which they moved far is done again with true maxima.

Within a clique, tables of few columns are added to one another before the whole is touched, and marginals are summed from one
another, by the same tree of nested sets of columns (`_nested`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from synth.generators._factors import Columns, Floats, cells, shape, spread
from synth.generators._junction_tree import JunctionTree

FAR = 1e12  # a separator's sum may have left 1 by this factor since the last pass; single precision holds 1e±38

Step = tuple[Callable[..., Any], tuple[Any, ...]]


@dataclass(eq=False)
class _Node:
    """A set of columns within a clique: what is added up to its table, and what is summed from it."""

    columns: Columns
    children: list[_Node] = field(default_factory=list)
    added: list[Floats] = field(default_factory=list)  # logarithms, each over these very columns
    asked: bool = False  # whether anybody reads its marginal
    mass: Floats | None = None  # where its marginal goes; a buffer of its own where nobody gave one

    @property
    def is_read(self) -> bool:
        return self.asked or any(child.is_read for child in self.children)


class BeliefPropagation:
    """Marginals of the distribution ∝ exp Σ θ_k over a junction tree.

    Columns are numbered in the order of the axes of all tables, and every set of columns is ascending; whoever plans
    numbers them by their cells, for long inner loops. `potentials` and `marginals` hold all measured cliques one after the
    other; a pass reads the first and fills the second. `beliefs` are then the cliques' tables, which sum to 1.
    """

    def __init__(self, sizes: Sequence[int], tree: JunctionTree, measured: Sequence[Columns], dtype: DTypeLike) -> None:
        self.tree = tree
        self._sizes = tuple(sizes)
        self._dtype = np.dtype(dtype)
        self.potentials, potentials = self._vector(measured)
        self.marginals, marginals = self._vector(measured)
        separators = [tree.separator(clique) for clique in range(len(tree.cliques))]
        self._messages, self._message = self._vector(separators)
        self._shifts, self._shift = self._vector(separators)
        self._sums, self._sum = self._vector(separators)
        self.beliefs = [np.empty(shape(clique, sizes), self._dtype) for clique in tree.cliques]
        nodes = self._nodes(measured, separators, potentials, marginals)
        self._up: list[list[Step]] = []
        self._safe: list[list[Step]] = []
        self._down: list[Step] = []
        for clique in range(len(tree.cliques)):
            root = nodes[clique][tree.cliques[clique]]
            logs = self._adding(root, self.beliefs[clique])
            self._up.append(logs + self._closing(clique, separators[clique]))
            self._safe.append(logs)
            self._opening(clique, separators[clique], nodes)
            self._summing(root, self.beliefs[clique])
        self._separators = separators

    # passes --------------------------------------------------------------------------------------------------------

    def run(self) -> float:
        """One pass up and one down. Returns log Σ exp Σ θ_k over all cells of all columns."""
        with np.errstate(all="ignore"):
            self._shifts[:] = -self._messages
            for clique in reversed(range(len(self._up))):
                for function, arguments in self._up[clique]:
                    function(*arguments)
            if not (self._sums.min(initial=1) > 1 / FAR and self._sums.max(initial=1) < FAR):
                self._run_safely()
            for function, arguments in self._down:
                function(*arguments)
        roots = (clique for clique, parent in enumerate(self.tree.parents) if parent < 0)
        return math.fsum(float(self._message[clique]) for clique in roots)

    def _run_safely(self) -> None:
        """The pass up with each table's true maximum over what is summed, wherever the potentials have gone."""
        self._shifts[:] = 0
        for clique in reversed(range(len(self._up))):
            table, separator = self.beliefs[clique], self._separators[clique]
            for function, arguments in self._safe[clique]:
                function(*arguments)
            summed = tuple(axis for axis, column in enumerate(self.tree.cliques[clique]) if column not in set(separator))
            most = table.max(axis=summed, keepdims=True)
            np.subtract(table, most, out=table)
            np.exp(table, out=table)
            self._sum[clique][...] = table.sum(axis=summed)
            np.add(np.log(self._sum[clique]), most.reshape(self._sum[clique].shape), out=self._message[clique])

    # the plan ------------------------------------------------------------------------------------------------------

    def _vector(self, of: Sequence[Columns]) -> tuple[Floats, list[Floats]]:
        """Tables over these sets of columns in one vector of zeros, and each as a view of it."""
        ends = np.cumsum([0, *(cells(columns, self._sizes) for columns in of)])
        vector = np.zeros(int(ends[-1]), self._dtype)
        return vector, [
            vector[begin:end].reshape(shape(columns, self._sizes)) for columns, begin, end in zip(of, ends, ends[1:])
        ]

    def _nodes(
        self, measured: Sequence[Columns], separators: Sequence[Columns], potentials: list[Floats], marginals: list[Floats]
    ) -> list[dict[Columns, _Node]]:
        """For each clique its nodes by their columns: what is measured there, and the separators around it."""
        cliques = self.tree.cliques
        wanted: list[dict[Columns, _Node]] = [{clique: _Node(clique)} for clique in cliques]

        def node(clique: int, columns: Columns) -> _Node:
            return wanted[clique].setdefault(columns, _Node(columns))

        sizes_of = [cells(clique, self._sizes) for clique in cliques]
        for columns, potential, marginal in zip(measured, potentials, marginals, strict=True):
            inside = [clique for clique in range(len(cliques)) if set(columns) <= set(cliques[clique])]
            home = node(min(inside, key=lambda clique: sizes_of[clique]), columns)
            home.added.append(potential)
            home.asked, home.mass = True, marginal
        for clique, (parent, separator) in enumerate(zip(self.tree.parents, separators)):
            node(clique, separator).added.append(self._shift[clique])
            if parent >= 0:
                outside = node(parent, separator)
                outside.added.append(self._message[clique])
                outside.asked = True
        for nodes in wanted:
            _nested(nodes, self._sizes)
        return wanted

    def _adding(self, node: _Node, out: Floats) -> list[Step]:
        """Steps that leave in `out` the sum of all that is added to a node and to those within it."""
        steps: list[Step] = []
        views = list(node.added)
        for child in node.children:
            if not child.children and len(child.added) <= 1:
                table = child.added[0] if child.added else None
            else:
                table = np.empty(shape(child.columns, self._sizes), self._dtype)
                steps += self._adding(child, table)
            if table is not None:
                views.append(table.reshape(spread(child.columns, node.columns, self._sizes)))
        views.sort(key=lambda view: view.size)
        if len(views) < 2:
            return [*steps, (np.copyto, (out, views[0] if views else np.zeros((), self._dtype)))]
        steps.append((np.add, (views[0], views[1], out)))
        return steps + [(np.add, (out, view, out)) for view in views[2:]]

    def _closing(self, clique: int, separator: Columns) -> list[Step]:
        """Steps from a clique's logarithms to p(clique | separator), up to the drift of its sum, and to its message."""
        table, total = self.beliefs[clique], self._sum[clique]
        message, shift = self._message[clique], self._shift[clique]
        return [
            (np.exp, (table, table)),
            *self._sums_of(table, self.tree.cliques[clique], separator, total),
            (np.log, (total, message)),
            (np.subtract, (message, shift, message)),
        ]

    def _opening(self, clique: int, separator: Columns, nodes: list[dict[Columns, _Node]]) -> None:
        """Steps from p(clique | separator) to the belief, by the separator's belief in the parent."""
        total, table, parent = self._sum[clique], self.beliefs[clique], self.tree.parents[clique]
        ratio = np.empty_like(total)
        if parent < 0:
            self._down.append((np.divide, (1.0, total, ratio)))
        else:
            belief = nodes[parent][separator].mass
            assert belief is not None  # the parent's plan came first
            self._down.append((np.divide, (belief, total, ratio)))
        over = ratio.reshape(spread(separator, self.tree.cliques[clique], self._sizes))
        self._down.append((np.multiply, (table, over, table)))

    def _summing(self, node: _Node, table: Floats) -> None:
        """Steps that sum a node's marginal into those of the nodes within it."""
        for child in (child for child in node.children if child.is_read):
            if child.mass is None:
                child.mass = np.empty(shape(child.columns, self._sizes), self._dtype)
            self._down += self._sums_of(table, node.columns, child.columns, child.mass)
            self._summing(child, child.mass)
        if node.mass is not None and node.mass is not table:
            self._down.append((np.copyto, (node.mass, table)))
        node.mass = table

    def _sums_of(self, table: Floats, columns: Columns, kept: Columns, out: Floats) -> list[Step]:
        return sums_of(table, columns, kept, self._sizes, out)


def sums_of(table: Floats, columns: Columns, kept: Columns, sizes: Sequence[int], out: Floats) -> list[Step]:
    """Steps that sum a contiguous table over `columns` into `out`, over `kept`: run after run of axes, the largest first."""
    steps: list[Step] = []
    left = list(columns)
    while len(left) > len(kept):
        begin, end = max(_runs(left, set(kept)), key=lambda run: cells(left[run[0] : run[1]], sizes))
        before, summed, after = (cells(part, sizes) for part in (left[:begin], left[begin:end], left[end:]))
        del left[begin:end]
        sums = np.empty(before * after, table.dtype) if len(left) > len(kept) else out.reshape(-1)
        ones = np.ones(summed, table.dtype)
        if after == 1:
            steps.append((np.dot, (table.reshape(before, summed), ones, sums)))
        elif before == 1:
            steps.append((np.dot, (ones, table.reshape(summed, after), sums)))
        else:
            steps.append((np.add.reduce, (table.reshape(before, summed, after), 1, None, sums.reshape(before, after))))
        table = sums
    return steps or [(np.copyto, (out, table))]


def _runs(columns: Sequence[int], kept: set[int]) -> Iterable[tuple[int, int]]:
    """Beginnings and ends of the stretches of columns that are not kept."""
    begin = 0
    while begin < len(columns):
        end = begin
        while end < len(columns) and columns[end] not in kept:
            end += 1
        if end > begin:
            yield begin, end
        begin = end + 1


def _nested(nodes: dict[Columns, _Node], sizes: Sequence[int]) -> None:
    """Hang the nodes of a clique under one another, with sets between where these save passes over a large table.

    Two groups of nodes are brought together in their union where it has less than half the cells of what they hang under:
    one pass over that is then saved for two over the union.
    """
    by_cells = sorted(nodes, key=lambda columns: (cells(columns, sizes), len(columns), columns), reverse=True)
    whole = max(by_cells, key=len)
    rest = [columns for columns in by_cells if columns != whole]
    _hang(nodes, whole, rest, sizes)


def _hang(nodes: dict[Columns, _Node], whole: Columns, within: list[Columns], sizes: Sequence[int]) -> None:
    groups: list[tuple[Columns, list[Columns]]] = []
    for columns in within:  # the largest first: what lies within another hangs under it
        holder = next((group for group in groups if set(columns) <= set(group[0])), None)
        if holder is None:
            groups.append((columns, []))
        else:
            holder[1].append(columns)
    while len(groups) > 1:
        unions = [
            (cells(union := tuple(sorted({*a[0], *b[0]})), sizes), union, a, b)
            for place, a in enumerate(groups)
            for b in groups[place + 1 :]
        ]
        least, union, a, b = min(unions, key=lambda one: one[:2])
        if 2 * least >= cells(whole, sizes):
            break
        members = sorted({*a[1], *b[1], a[0], b[0]} - {union}, key=lambda one: (-cells(one, sizes), one))
        groups = [group for group in groups if group is not a and group is not b] + [(union, members)]
    for columns, members in groups:
        node = nodes.setdefault(columns, _Node(columns))
        nodes[whole].children.append(node)
        _hang(nodes, columns, members, sizes)
