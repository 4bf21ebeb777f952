"""AIM: round by round, the marginal that the model has most wrong is chosen and counted, until the budget is spent.

McKenna, Mullins, Sheldon and Miklau, "AIM: An Adaptive and Iterative Mechanism for Differentially Private Synthetic Data"
(PVLDB 2022), Algorithms 2 to 4. Costs are whole micro-ρ: each round costs a part of the budget, a tenth of it for the choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synth.errors import BudgetError
from synth.generators._exact_counts import ExactCounts
from synth.generators._factors import Columns, Floats, NoisyMarginal, cells
from synth.generators._graphical_model import GraphicalModel, estimate, junction_tree_cells_each
from synth.privacy.mechanisms import Noise
from synth.progress import Progress

CHOICE = 0.1  # of a round's cost is for the choice: 1 - α
ABSOLUTE = math.sqrt(2 / math.pi)  # expected absolute value of a normal deviate
LEAST = 2  # micro-ρ of a round: one for the choice, one for the counts
SHARPER = 1.5  # times the cost, once a round brought less than its noise; by four, as in the paper, rounds end too soon


class Model(Protocol):
    """What tells expected rows."""

    def marginals(self, sets: Sequence[Sequence[int]]) -> list[Floats]: ...


def aim(
    counts: ExactCounts,
    noise: Noise,
    *,
    degree: int,
    target: int | None = None,
    rounds: int,
    max_cells: int,
    iterations: int,
    progress: Progress,
) -> tuple[GraphicalModel, list[NoisyMarginal]]:
    """The model of these rows, and what was measured of them: costs all that the noise's allowance has left.

    degree: columns of the marginals that are to come out right. target: the column that the others are to predict, with which
    `degree` others are to come out right too. rounds: at most, per column; rounds that bring little
    make later ones cost more. max_cells: of the model. iterations: passes of the estimation after each round.
    Raises BudgetError where what is left is too little for the number of columns.
    """
    sizes, allowance = counts.sizes, noise.allowance
    whole, columns = allowance.left, len(sizes)
    cost = first_cost(whole, rounds, columns)
    candidates = downward_closure(columns, degree, target)

    measured = [counts.measure((column,), noise, cost - for_choice(cost)) for column in range(columns)]
    model = estimate(sizes, measured, iterations=iterations)
    while left := allowance.left:
        if left <= 2 * cost:
            cost = left  # the last round
        spent = whole - left
        worth = _worth_asking(candidates, sizes, model.total, counts.sigma(cost - for_choice(cost)))
        fitting = _fitting(worth, measured, sizes, (spent + cost) / whole * max_cells)
        chosen = _choose(counts, model, fitting, noise, cost)
        before = model.marginal(chosen)
        measured.append(counts.measure(chosen, noise, cost - for_choice(cost)))
        model = estimate(sizes, measured, iterations=iterations, start=model)
        if moved_little([before], [model.marginal(chosen)], measured[-1:]):
            cost = int(cost * SHARPER)
        progress("fit", whole - allowance.left, whole)
    return estimate(sizes, measured, start=model), measured


def downward_closure(columns: int, degree: int, target: int | None = None) -> list[Columns]:
    """The sets of columns that may be measured: all of `degree` columns, these with the target, and what they hold."""
    small = [few for size in range(1, min(degree, columns) + 1) for few in combinations(range(columns), size)]
    with_target = {tuple(sorted({*few, target})) for few in small} if target is not None else set()
    return sorted({*small, *with_target}, key=lambda few: (len(few), few))


def first_cost(whole: int, rounds: int, columns: int) -> int:
    """What a round costs at first, and each column by itself. Raises BudgetError where the columns would leave nothing."""
    cost = max(LEAST, whole // (rounds * columns))
    if columns * cost >= whole:
        raise BudgetError(
            f"{whole:,} micro-ρ are left for {columns} columns, of which each costs {cost:,} by itself; nothing was drawn: "
            "give a larger epsilon, or drop columns"
        )
    return cost


def for_choice(cost: int) -> int:
    """Of what a round costs, the part that the choice does; the rest is for the counts."""
    return max(1, int(CHOICE * cost))


def moved_little(before: Sequence[Floats], after: Sequence[Floats], measured: Sequence[NoisyMarginal]) -> bool:
    """Whether a model moved by less than the noise of what it was moved by, so that later rounds had better cost more."""
    moved = sum(float(np.abs(now - then).sum()) for then, now in zip(before, after, strict=True))
    return moved <= sum(ABSOLUTE * one.sigma * one.counts.size for one in measured)


def _worth_asking(candidates: list[Columns], sizes: Columns, rows: float, sigma: float) -> list[Columns]:
    """Single columns, and the sets whose noise would not outweigh all that can be wrong with them: each row, in two cells.

    The others are hardly ever chosen, and on many columns it takes long to score them. `rows` is the noisy number.
    """
    most = 2 * rows / (ABSOLUTE * sigma)
    return [one for one in candidates if len(one) == 1 or cells(one, sizes) < most]


def _fitting(candidates: list[Columns], measured: list[NoisyMarginal], sizes: Columns, max_cells: float) -> list[Columns]:
    """The candidates with which the model stays small enough; those that it holds already always do."""
    known = [one.columns for one in measured]
    held = [set(columns) for columns in known]
    small = [one for one in candidates if cells(one, sizes) <= max_cells or any(set(one) <= columns for columns in held)]
    each = junction_tree_cells_each(sizes, known, small)
    return [
        one
        for one, cells_then in zip(small, each, strict=True)
        if cells_then <= max_cells or any(set(one) <= columns for columns in held)
    ]


def _choose(counts: ExactCounts, model: GraphicalModel, candidates: list[Columns], noise: Noise, cost: int) -> Columns:
    """Likely the candidate whose error, less that which its noise would bring, weighs most."""
    scores = scores_of(counts, model, candidates, counts.sigma(cost - for_choice(cost)))
    sensitivity, what = choice_sensitivity(counts, candidates), "the choice of a marginal"
    return candidates[noise.choose(scores, for_choice(cost), sensitivity=sensitivity, what=what)]


def scores_of(counts: ExactCounts, model: Model, candidates: Sequence[Columns], sigma: float) -> NDArray[np.float64]:
    """How far the model is off each candidate, less what noise of this deviation would bring, by its weight.

    The paper's weight is how many columns a candidate shares with the sets that are to come out right, taken together. Where
    these are all of `degree` columns, that is in proportion to how many the candidate has; with a target it stays at that.
    """
    return np.array(
        [
            len(columns) * (np.abs(counts[columns] - p).sum() - ABSOLUTE * sigma * p.size)
            for columns, p in zip(candidates, model.marginals(candidates), strict=True)
        ]
    )


def choice_sensitivity(counts: ExactCounts, candidates: Sequence[Columns]) -> int:
    """How far one unit moves any of the scores."""
    return max(map(len, candidates)) * counts.rows_per_unit
