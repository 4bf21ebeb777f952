"""Whether the joint table of each pair of columns is that of the real rows, numbers cut into bins that come from these."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synth.metrics.evidence import Evidence, Side
from synth.metrics.histograms import subsampled
from synth.metrics.joint_tables import Joints, joints, mean_interval, worst_pairs
from synth.metrics.measurement import Interval
from synth.metrics.registry import Reading, metric


@metric("fidelity.pairs", better="lower", cost=0.4)
def pairs(evidence: Evidence) -> Iterator[Reading]:
    """Mean total variation of the joint tables of all pairs of columns, numbers cut into ten real bins, nulls as a category.

    Unlike `fidelity.trend`, two numbers are compared by their joint table as well: what a correlation does not see, counts.
    The interval is a delete-d jackknife's; of more than 1,500 pairs a seeded sample is taken, and the interval widened.
    """
    found = joints(evidence)
    held = found.errors.get("holdout")
    yield Reading(
        mean_interval(found.errors["synthetic"], found.cuts.judged, found.every),
        None if held is None else mean_interval(held, found.pairing("holdout"), found.every),
        detail={
            "worst": worst_pairs(found, found.errors["synthetic"][0], None if held is None else held[0]),
            "pairs": len(found.pairs),
            "pairs_in_all": found.every,
        },
    )


@metric("fidelity.worst_pair", better="lower")
def worst_pair(evidence: Evidence) -> Iterator[Reading]:
    """Largest error of a single pair beyond what chance explains: one broken pair among many hides in their mean.

    Each pair's error is compared with its mean over all ways to share the pooled rows out between the two tables, so that a
    sparse table, noisy in every sample, is not the worst for that alone. The reference is the largest among the holdout rows'
    pairs, whichever that is: choosing the largest biases both alike. The interval is a delete-d jackknife's.
    """
    found = joints(evidence)
    sides: dict[Side, Interval] = {side: _largest(found, side) for side in found.excess}
    errors, excess = ({side: table[0] for side, table in tables.items()} for tables in (found.errors, found.excess))
    yield Reading(
        sides["synthetic"],
        sides.get("holdout"),
        detail={
            "columns": found.names(int(excess["synthetic"].argmax())),
            "worst": worst_pairs(
                found, errors["synthetic"], errors.get("holdout"), excess["synthetic"], beyond_chance=excess["synthetic"]
            ),
        },
    )


def _largest(found: Joints, side: Side) -> Interval:
    return subsampled(np.maximum(found.excess[side].max(axis=1), 0), found.pairing(side))
