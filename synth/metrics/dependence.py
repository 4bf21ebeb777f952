"""How strongly columns depend on each other, of whatever form the dependence is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from synth.metrics.evidence import Evidence
from synth.metrics.histograms import Cut, Pairing, Sample, joint_counts
from synth.metrics.joint_tables import Joints, joints, mean_interval, worst_pairs
from synth.metrics.registry import NothingThereError, Reading, metric

OTHERS = 50  # training rows outside a column's most frequent cell below which it is taken for constant


@metric("fidelity.mutual_information", better="lower")
def mutual_information(evidence: Evidence) -> Iterator[Reading]:
    """Mean difference of the pairs' normalised mutual information, weighted by the training rows': what dependence was lost.

    Normalised by √(H(a)·H(b)): 0 where two columns say nothing of each other, 1 where each determines the other. Entropies are
    Grassberger's (physics/0307138), since plain ones find dependence in every sparse table. Weighted so, pairs that depend on
    each other count, and the many that do not cannot water the loss down. The interval is a delete-d jackknife's.
    """
    found = joints(evidence)
    varies = [_varies(column, found.cuts.judged.train) for column in found.cuts.columns]
    counted = np.array([varies[i] and varies[j] for i, j in found.pairs])
    weight = np.where(counted, found.information["train"], 0.0)
    if not (weight[0] > 0).any():
        raise NothingThereError("no two columns that vary say anything about each other")
    relative = weight / np.maximum(weight.mean(axis=1, keepdims=True), 1e-12)  # so that plain means are the weighted ones
    judged, real = found.cuts.judged, found.cuts.real
    errors, held = _differences(found, judged), None if real is None else _differences(found, real)
    yield Reading(
        mean_interval(relative * errors, judged, found.every),
        None if real is None or held is None else mean_interval(relative * held, real, found.every),
        detail={
            "worst": worst_pairs(
                found,
                errors[0],
                None if held is None else held[0],
                relative[0] * (errors[0] if held is None else errors[0] - held[0]),
                information=found.information["synthetic"][0],
                real_information=found.information["train"][0],
            ),
            "pairs": int(counted.sum()),
            "pairs_in_all": found.every,
        },
    )


def _varies(column: Cut, train: Sample) -> bool:
    """Whether enough rows differ from the most frequent cell to say what they go with."""
    times = joint_counts((column,), train).sum(axis=0)
    return len(train) - int(times.max()) >= OTHERS


def _differences(found: Joints, pair: Pairing) -> np.ndarray:
    """|NMI of the training rows − NMI of the others|, at the synthetic rows' number: shape (1 + replicates, pairs)."""
    return np.asarray(np.abs(found.information["train"] - found.information[pair.other.side]) * pair.shrink)
