"""MST: all columns by themselves, then the pairs of a maximum spanning tree, chosen and counted with noise.

McKenna, Miklau and Sheldon, "Winning the NIST Contest: A scalable and general approach to differentially private synthetic
data" (Journal of Privacy and Confidentiality, 2021), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synth.generators._exact_counts import ExactCounts, equal_parts
from synth.generators._factors import Columns, NoisyMarginal, cells
from synth.generators._graphical_model import GraphicalModel, estimate
from synth.privacy.mechanisms import Noise
from synth.progress import Progress

SINGLES = 1 / 3  # of the budget, for the columns by themselves
CHOICES = 1 / 3  # for the choice of the pairs; the rest is for these


def mst(counts: ExactCounts, noise: Noise, *, max_cells: int, progress: Progress) -> tuple[GraphicalModel, list[NoisyMarginal]]:
    """The model of these rows, and what was measured of them: costs all that the noise's allowance has left.

    max_cells: of a pair; larger ones are never chosen.
    Raises BudgetError where what is left is too little for the number of columns.
    """
    sizes, budget = counts.sizes, noise.allowance.left
    columns = range(len(sizes))
    pairs = [pair for pair in _pairs(len(sizes)) if cells(pair, sizes) <= max_cells]
    edges = _most_edges(len(sizes), pairs)
    for_choices = int(CHOICES * budget) if edges else 0
    for_singles = int(SINGLES * budget) if edges else budget

    measured = []
    for column, cost in zip(columns, equal_parts(for_singles, len(sizes), "the columns by themselves"), strict=True):
        measured.append(counts.measure((column,), noise, cost))
        progress("fit", column + 1, len(sizes) + edges + 1)
    model = estimate(sizes, measured)
    if edges:
        tree = _spanning_tree(counts, model, pairs, noise, equal_parts(for_choices, edges, "the choices of pairs"))
        for edge, cost in zip(tree, equal_parts(noise.allowance.left, edges, "the pairs"), strict=True):
            measured.append(counts.measure(edge, noise, cost))
            progress("fit", len(measured), len(sizes) + edges + 1)
        model = estimate(sizes, measured, start=model)
    progress("fit", len(sizes) + edges + 1, len(sizes) + edges + 1)
    return model, measured


def _spanning_tree(
    counts: ExactCounts, model: GraphicalModel, pairs: Sequence[Columns], noise: Noise, costs: Sequence[int]
) -> list[Columns]:
    """Pairs that hold all columns together without a ring, each likely the one of which the model is furthest off (Kruskal)."""
    error = {pair: np.abs(counts[pair] - p).sum() for pair, p in zip(pairs, model.marginals(pairs), strict=True)}
    group = list(range(len(counts.sizes)))
    tree: list[Columns] = []
    for cost in costs:
        open_ = [(a, b) for a, b in pairs if group[a] != group[b]]
        scores = np.array([error[pair] for pair in open_])
        a, b = open_[noise.choose(scores, cost, sensitivity=counts.rows_per_unit, what="the choice of a pair of columns")]
        tree.append((a, b))
        group = [group[a] if one == group[b] else one for one in group]
    return tree


def _pairs(columns: int) -> list[Columns]:
    return [(a, b) for a in range(columns) for b in range(a + 1, columns)]


def _most_edges(columns: int, pairs: Sequence[Columns]) -> int:
    """How many of the pairs a spanning tree has, or a forest where they do not hold all columns together."""
    group = list(range(columns))
    edges = 0
    for a, b in pairs:
        if group[a] != group[b]:
            edges += 1
            group = [group[a] if one == group[b] else one for one in group]
    return edges
