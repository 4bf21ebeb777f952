"""The distribution of highest entropy whose marginals fit noisy ones best, as a Markov random field over a junction tree.

McKenna, Sheldon and Miklau, "Graphical-model based estimation and inference for differential privacy" (ICML 2019; Private-PGM).
All of it is post-processing of what was measured: nothing here sees a row of data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # comes with scikit-learn

from synth.errors import ConfigError, GenerationError, TooLargeError
from synth.generators._ancestral import conditioned, draw_rows
from synth.generators._belief_propagation import BeliefPropagation
from synth.generators._factors import (
    Columns,
    Floats,
    NoisyMarginal,
    by_size,
    cells,
    checked_columns,
    checked_masks,
    checked_sizes,
    joined,
    rows_measured,
    shape,
    spread,
)
from synth.generators._junction_tree import JunctionTree, junction_tree_cells, junction_tree_cells_each
from synth.generators._marginal_queries import MarginalQueries
from synth.generators._mirror_descent import descend
from synth.memory import in_words, memory_there

__all__ = ["GraphicalModel", "NoisyMarginal", "estimate", "junction_tree_cells", "junction_tree_cells_each"]

SINGLE_FROM = 50_000  # cells of a tree from which passes are in single precision: 2.6 times as fast, 1e-5 off at most


def estimate(
    sizes: Sequence[int],
    measured: Sequence[NoisyMarginal],
    *,
    total: float | None = None,
    iterations: int = 1000,
    resolution: float = 1.5,
    start: GraphicalModel | None = None,
) -> GraphicalModel:
    """The model whose marginals come nearest to the measured ones, in units of their noise: min Σ (N p - counts)² / σ².

    `sizes` are the cells of each column; columns that nothing was measured on are uniform. `total` is the number of rows N;
    without it, the measurements' own sums tell, weighted by their precision. At most `iterations` passes are made, from `start`
    if it is given. They end early where cells that hold about `resolution` σ of rows fit: what is less is mostly noise, and
    stays near where higher entropy has it. 0 goes on to the optimum.

    Raises ConfigError for measurements that do not go with the sizes, or without any that tells the number of rows, and
    TooLargeError for a junction tree (`junction_tree_cells`) that there is no memory for.
    """
    sizes = checked_sizes(sizes)
    if iterations < 1 or not resolution >= 0:
        raise ConfigError(f"iterations is {iterations!r} and resolution {resolution!r}; give at least 1 and 0")
    for one in measured:
        if one.counts.shape != shape(checked_columns(one.columns, sizes), sizes):
            raise ConfigError(
                f"counts of shape {one.counts.shape} for the columns {one.columns}; "
                f"these have {shape(one.columns, sizes)} cells"
            )
    rows = rows_measured(measured) if total is None else float(total)
    if not (math.isfinite(rows) and rows > 0):
        raise ConfigError(f"the total is {rows!r} rows; give a number above 0")
    known = joined(measured, sizes)
    cliques = list(known)
    begun: list[Floats] = [np.zeros(shape(clique, sizes)) for clique in cliques]
    if start is not None:
        _warm(begun, cliques, start, sizes)
    if not cliques:
        return GraphicalModel(sizes, rows, (), ())
    counts = np.concatenate([known[clique][0].reshape(-1) for clique in cliques])
    precision = np.concatenate([np.full(known[clique][0].size, known[clique][1]) for clique in cliques])
    sigma = float(np.median([known[clique][1] ** -0.5 for clique in cliques]))
    time = math.inf if resolution == 0 else sigma / rows / resolution
    with threadpool_limits(1, "blas"):  # sums must not depend on the number of threads
        fitted = descend(
            _Ordered(sizes).propagation(cliques),
            counts / rows,
            precision * rows**2,
            np.concatenate([one.reshape(-1) for one in begun]),
            iterations,
            time,
        )
    return GraphicalModel(sizes, rows, tuple(cliques), tuple(_apart(fitted, cliques, sizes)))


@dataclass(frozen=True, eq=False)
class GraphicalModel:
    """p ∝ exp Σ θ_k(columns of k), of `total` rows. `cliques` name columns by ascending size, as the axes of potentials do."""

    sizes: Columns
    total: float
    cliques: tuple[Columns, ...]
    potentials: tuple[Floats, ...]  # θ_k, one array for each clique

    def marginal(self, columns: Sequence[int]) -> Floats:
        """Expected rows in each cell of any columns, with one axis for each in the order given; no count is negative."""
        return self.marginals([columns])[0]

    def marginals(self, sets: Sequence[Sequence[int]]) -> list[Floats]:
        """`marginal` of each set of columns; what many of them need is worked out once."""
        order = _Ordered(self.sizes)
        found: list[Floats] = []
        with threadpool_limits(1, "blas"):
            propagation = self._quick
            queries = MarginalQueries(order.sizes, propagation.tree, propagation.beliefs)
            for columns in sets:
                asked = order.ranks(checked_columns(columns, self.sizes))
                ascending = tuple(sorted(asked))
                table = queries.marginal(ascending).astype(np.float64) * self.total
                found.append(np.transpose(table, [ascending.index(rank) for rank in asked]))
        return found

    def sample(
        self, n: int, rng: np.random.Generator, allowed: Mapping[int, NDArray[np.bool_] | Floats] | None = None
    ) -> NDArray[np.int32]:
        """n rows of codes, of shape (n, columns); with `allowed`, given that columns lie in cells whose mask is true.

        A mask may also be of shares from 0 to 1: a row in such a cell is then allowed with that probability.

        The rows of one call are a stratified sample (`_ancestral`): each has exactly the model's distribution, together they
        come nearer to it than independent ones. They depend on n and rng alone, so shards with a generator each can be drawn
        in any order. Raises GenerationError where the model has no cell that is allowed.
        """
        order = _Ordered(self.sizes)
        if n < 0:
            raise ConfigError(f"{n!r} rows were asked for; give 0 or more")
        with threadpool_limits(1, "blas"):
            propagation = self._exact
        tables: list[Floats] | None = list(propagation.beliefs)
        if allowed:
            masks = {order.rank[column]: mask for column, mask in checked_masks(allowed, self.sizes).items()}
            tables = conditioned(order.sizes, propagation.tree, propagation.beliefs, masks)
        if tables is None:
            raise GenerationError(
                f"the model gives rows that meet the conditions on {_named(sorted(allowed or {}))} a probability of zero;\n"
                "widen the condition"
            )
        rows = draw_rows(n, order.sizes, propagation.tree, tables, rng)
        return np.ascontiguousarray(rows[:, order.ranks(range(len(self.sizes)))])

    def log_chance(self, codes: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """ln p of rows of codes, of shape (rows, columns); float64 of shape (rows,), -∞ where p is too small for a double."""
        order = _Ordered(self.sizes)
        ranked = codes[:, np.argsort(order.ranks(range(len(self.sizes))))]
        with threadpool_limits(1, "blas"):
            propagation = self._exact
        chance = np.zeros(len(codes))
        with np.errstate(divide="ignore", invalid="ignore"):
            for clique, columns in enumerate(propagation.tree.cliques):
                table, given = propagation.beliefs[clique], propagation.tree.separator(clique)
                summed = tuple(axis for axis, column in enumerate(columns) if column not in given)
                chance += np.log(table[tuple(ranked[:, column] for column in columns)])
                chance -= np.log(table.sum(axis=summed)[tuple(ranked[:, column] for column in given)])
        return np.where(np.isnan(chance), -np.inf, chance)

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """All there is to the model, as JSON and arrays; `restore` takes them back."""
        flat = np.concatenate([np.zeros(0), *(potential.reshape(-1) for potential in self.potentials)])
        told = {"sizes": list(self.sizes), "total": self.total, "cliques": [list(clique) for clique in self.cliques]}
        return told, {"potentials": flat}

    @classmethod
    def restore(cls, state: Mapping[str, Any], arrays: Mapping[str, Floats]) -> GraphicalModel:
        """The model that `state` told of: its marginals and rows are the same to the last bit."""
        sizes = checked_sizes(state["sizes"])
        cliques = tuple(checked_columns(clique, sizes) for clique in state["cliques"])
        flat = np.asarray(arrays["potentials"], dtype=np.float64)
        if flat.shape != (sum(cells(clique, sizes) for clique in cliques),):
            raise ConfigError(f"potentials of shape {flat.shape} do not go with the cliques {cliques}; the model is damaged")
        return cls(sizes, float(state["total"]), cliques, tuple(_apart(flat, cliques, sizes)))

    @cached_property
    def _quick(self) -> BeliefPropagation:
        return self._propagated(None)

    @cached_property
    def _exact(self) -> BeliefPropagation:
        """In double precision: a condition may single out what has a probability of 1e-100."""
        return self._propagated(np.dtype(np.float64))

    def _propagated(self, dtype: np.dtype[Any] | None) -> BeliefPropagation:
        propagation = _Ordered(self.sizes).propagation(self.cliques, dtype)
        propagation.potentials[:] = np.concatenate([np.zeros(0), *(one.reshape(-1) for one in self.potentials)])
        propagation.run()
        return propagation


class _Ordered:
    """Columns renumbered by ascending size, so that the inner loops over tables are long."""

    def __init__(self, sizes: Columns) -> None:
        columns = by_size(range(len(sizes)), sizes)
        self.rank = {column: rank for rank, column in enumerate(columns)}
        self.sizes = shape(columns, sizes)

    def ranks(self, columns: Sequence[int]) -> Columns:
        return tuple(self.rank[column] for column in columns)

    def propagation(self, cliques: Sequence[Columns], dtype: np.dtype[Any] | None = None) -> BeliefPropagation:
        """Passes over the tree of these cliques, whose columns are by size; where nobody says, as precise as is quick."""
        ranked = [self.ranks(clique) for clique in cliques]
        tree = JunctionTree.of(self.sizes, ranked)
        size = tree.cells(self.sizes)
        if dtype is None:
            dtype = np.dtype(np.float32 if size >= SINGLE_FROM else np.float64)
        need, there = 2.0 * size * dtype.itemsize, memory_there()  # the tables, and what is summed from them on the way
        if there is not None and need > there:
            raise TooLargeError(
                f"the measured columns make a tree of {size:,} cells, about {in_words(need)}; {in_words(there)} is free;\n"
                "measure fewer columns together, or give them fewer cells"
            )
        return BeliefPropagation(self.sizes, tree, ranked, dtype)


def _warm(begun: list[Floats], cliques: Sequence[Columns], start: GraphicalModel, sizes: Columns) -> None:
    """Add the potentials of an earlier model, each to the smallest clique that holds it; what has none is not measured now."""
    if start.sizes != sizes:
        raise ConfigError(f"the model to start from has columns of {start.sizes} cells, not {sizes}; start from none")
    for clique, potential in zip(start.cliques, start.potentials, strict=True):
        holders = [place for place, other in enumerate(cliques) if set(clique) <= set(other)]
        if holders:
            place = min(holders, key=lambda one: cells(cliques[one], sizes))
            begun[place] += potential.reshape(spread(clique, cliques[place], sizes))


def _apart(flat: Floats, cliques: Sequence[Columns], sizes: Columns) -> list[Floats]:
    """The tables of the cliques, each with a maximum of 0, which changes nothing but the scale."""
    ends = np.cumsum([0, *(cells(clique, sizes) for clique in cliques)])
    tables = [flat[begin:end].reshape(shape(clique, sizes)) for clique, begin, end in zip(cliques, ends, ends[1:])]
    return [table - table.max() for table in tables]


def _named(columns: Sequence[int]) -> str:
    return f"column {columns[0]}" if len(columns) == 1 else f"columns {', '.join(map(str, columns))}"
