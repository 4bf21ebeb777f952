"""AIM's rounds with a network in place of the graphical model: what is measured need not hold together in small cliques.

Several marginals are chosen and counted in a round, by the scores and at the costs of AIM (`_aim`); then the network
(`_marginal_net`) takes some steps towards all that was measured so far. In the line of GEM (Liu, Vietri and Wu, NeurIPS 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

from synth.generators._aim import (
    LEAST,
    SHARPER,
    choice_sensitivity,
    downward_closure,
    first_cost,
    for_choice,
    moved_little,
    scores_of,
)
from synth.generators._exact_counts import ExactCounts, equal_parts
from synth.generators._factors import Columns, NoisyMarginal, cells
from synth.generators._product_mixture import ProductMixture
from synth.privacy.mechanisms import Noise
from synth.progress import Progress

COLUMNS_PER_CHOICE = 4  # so many columns, one more marginal in a round
SETTLING = 6  # times the steps of a round are taken in the end
WIDTH = 64  # of the points and of what becomes of them
BLOCKS = 2
LEARNING_RATE = 0.02  # of Adam; at half of it KDD comes to .011 in place of .009 in as many steps


def network(
    counts: ExactCounts,
    noise: Noise,
    *,
    degree: int,
    rounds: int,
    max_cells: int,
    iterations: int,
    components: int,
    progress: Progress,
) -> tuple[ProductMixture, list[NoisyMarginal]]:
    """The model of these rows, and what was measured of them: costs all that the noise's allowance has left.

    degree: columns of the marginals that are to come out right. rounds: measurements at most, per column; rounds that bring
    little make later ones cost more. max_cells: of a marginal. iterations: steps after each round. components: of the mixture.
    Raises BudgetError where what is left is too little for the number of columns.
    """
    from synth.generators._marginal_net import Fitting  # torch, for a fit alone

    sizes, allowance = counts.sizes, noise.allowance
    whole, columns = allowance.left, len(sizes)
    cost = first_cost(whole, rounds, columns)
    candidates = [few for few in downward_closure(columns, degree) if len(few) == 1 or cells(few, sizes) <= max_cells]
    together = max(1, columns // COLUMNS_PER_CHOICE)

    measured = [counts.measure((column,), noise, cost - for_choice(cost)) for column in range(columns)]
    fitting = Fitting(sizes, measured, points=components, width=WIDTH, blocks=BLOCKS, learning_rate=LEARNING_RATE)
    model = fitting.fit(measured, iterations)
    while left := allowance.left:
        several = min(together, len(candidates), left // LEAST)
        last = left < 2 * several * cost
        costs = equal_parts(left, several, "the last marginals") if last else [cost] * several
        chosen = _choose(counts, model, candidates, noise, costs)
        before = model.marginals(chosen)
        measured += [counts.measure(few, noise, cost - for_choice(cost)) for few, cost in zip(chosen, costs, strict=True)]
        model = fitting.fit(measured, iterations)
        if moved_little(before, model.marginals(chosen), measured[-several:]):
            cost = int(cost * SHARPER)
        progress("fit", whole - allowance.left, whole)
    return fitting.fit(measured, SETTLING * iterations, settle=True), measured


def _choose(
    counts: ExactCounts, model: ProductMixture, candidates: Sequence[Columns], noise: Noise, costs: Sequence[int]
) -> list[Columns]:
    """As many marginals as there are costs, each likely the one of the rest whose error weighs most."""
    scores = scores_of(counts, model, candidates, counts.sigma(costs[0] - for_choice(costs[0])))
    sensitivity = choice_sensitivity(counts, candidates)
    left, chosen = list(range(len(candidates))), []
    for cost in costs:
        place = noise.choose(scores[left], for_choice(cost), sensitivity=sensitivity, what="the choice of a marginal")
        chosen.append(candidates[left.pop(place)])
    return chosen
