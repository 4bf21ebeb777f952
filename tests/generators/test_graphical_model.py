"""The estimated distribution against all cells of small tables written out."""

from __future__ import annotations

import numpy as np

from synth.generators._graphical_model import GraphicalModel, NoisyMarginal, estimate


def written_out(model: GraphicalModel) -> np.ndarray:
    """Expected rows in every cell of all columns."""
    count = len(model.sizes)
    logs = np.zeros(model.sizes)
    for clique, potential in zip(model.cliques, model.potentials, strict=True):
        ascending = sorted(clique)
        table = np.transpose(potential, [clique.index(column) for column in ascending])
        logs = logs + table.reshape([model.sizes[column] if column in clique else 1 for column in range(count)])
    odds = np.exp(logs - logs.max())
    return model.total * odds / odds.sum()


def summed(table: np.ndarray, columns: tuple[int, ...]) -> np.ndarray:
    left = sorted(columns)
    sums = table.sum(axis=tuple(axis for axis in range(table.ndim) if axis not in columns))
    return np.transpose(sums, [left.index(column) for column in columns])


def test_marginals_of_any_columns_are_sums_of_the_whole_table():
    rng = np.random.default_rng(0)
    for _ in range(60):
        count = int(rng.integers(1, 6))
        sizes = rng.integers(1, 5, count).tolist()
        truth = rng.random(sizes) ** 3
        measured = []
        for _ in range(rng.integers(0, 6)):
            columns = tuple(rng.choice(count, rng.integers(1, min(3, count) + 1), replace=False).tolist())
            exact = summed(1000 * truth / truth.sum(), columns)
            measured.append(NoisyMarginal(columns, exact + rng.normal(0, 5, exact.shape), 5.0))
        model = estimate(sizes, measured, total=1000, iterations=30)
        whole = written_out(model)
        sets = [tuple(rng.choice(count, rng.integers(0, count + 1), replace=False).tolist()) for _ in range(10)]
        for columns, found in zip(sets, model.marginals(sets), strict=True):
            assert np.allclose(found, summed(whole, columns), atol=1e-7)
