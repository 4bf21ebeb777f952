"""Figures of rows made under a privacy budget, against the noisy counts that the model released: no real row is looked at.

Exact figures on real rows are outside any budget, so that none of them may leave with such rows. What was measured with noise
was paid for, and whatever is computed from it and from synthetic rows costs nothing (post-processing). The reference is what
noise alone explains: how far the noisy counts lie from rows of the very distribution that was counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.data.table import Table
from synth.metrics.evaluation import Plan
from synth.metrics.evidence import Evidence
from synth.metrics.intervals import z_of
from synth.metrics.measurement import Interval, Measurements
from synth.metrics.registry import Reading, SkipMetricError, chosen, metric
from synth.metrics.validity import fact
from synth.progress import Progress, silent
from synth.seed import check_seed

PUBLIC = (  # what may be said of rows made under a budget; each is computed without a real row
    "validity.schema",
    "validity.constraints",
    "validity.keys",
    "fidelity.noisy_marginals",
    "fidelity.worst_noisy_marginal",
)
LEAST = 1e-9  # a spread below it is none
_MEAN, _LEFT = math.sqrt(2 / math.pi), 1 - 2 / math.pi  # of |x| for a standard normal x: mean and variance


@dataclass(frozen=True)
class Held:
    """One measured marginal beside the synthetic rows' own: total variation, and what noise alone explains of it."""

    columns: tuple[str, ...]
    distance: float
    expected: float
    spread: float  # standard deviation of what noise alone gives

    @classmethod
    def of(cls, columns: tuple[str, ...], noisy: np.ndarray, sigma: float, made: np.ndarray, total: float) -> Held:
        """noisy, made: counts of the same shape, of σ in rows and without noise; total: rows behind the noisy ones."""
        rows = max(float(made.sum()), 1.0)
        share = made / rows
        variance = (sigma / total) ** 2 + share * (1 - share) / rows  # of a cell's difference, if both follow one distribution
        return cls(
            columns=columns,
            distance=float(np.abs(share - noisy / total).sum() / 2),
            expected=float(_MEAN * np.sqrt(variance).sum() / 2),
            spread=float(math.sqrt(_LEFT * variance.sum()) / 2),
        )


def evaluate_released(
    model: Any, synthetic: Table, *, context: Mapping[str, Any], seed: int = 0, progress: Progress = silent
) -> Measurements:
    """The figures that may leave with rows made under a budget: legality, and distance from the noisy counts.

    model: the fitted generator behind the rows. context: what they were taken on, as in `Measurements`.
    """
    evidence = Evidence(synthetic, None, synthetic, check_seed(seed), model=model)  # in place of the rows that nobody looks at
    return Measurements(tuple(Plan(chosen(PUBLIC), 1).carry_out(evidence, progress)), context, synthetic)


def keeps_counts(model: Any) -> bool:
    """Whether a fitted model has noisy counts that rows can be held against: those it learned from, or bought to judge by."""
    return hasattr(model, "measurements") or getattr(model, "judging", None) is not None


def released_counts(model: Any) -> list[tuple[tuple[str, ...], np.ndarray, float]]:
    """All noisy counts of a model: names of columns, counts, and the noise's standard deviation in rows."""
    own = list(model.measurements) if hasattr(model, "measurements") else []
    return own if model.judging is None else [*own, *model.judging.released]


def released_rows(model: Any) -> float:
    """About how many rows a model learned from, by its noisy counts alone: the totals of all, the surest counting most."""
    released = released_counts(model)
    totals = np.array([counts.sum() for _, counts, _ in released], dtype=float)
    weights = np.array([1 / (counts.size * sigma**2) for _, counts, sigma in released])
    return max(1.0, float((totals * weights).sum() / weights.sum()))


def _counted(model: Any, rows: Table) -> list[np.ndarray]:
    """How many rows lie in each place of the `released_counts`."""
    own = list(model.counted(rows)) if hasattr(model, "measurements") else []
    return own if model.judging is None else [*own, *model.judging.counted(rows, model.fitted)]


def _held(evidence: Evidence) -> list[Held]:
    model = evidence.model
    if not keeps_counts(model):
        raise SkipMetricError("no model that releases noisy counts is behind the rows")
    released, made = released_counts(model), _counted(model, evidence.synthetic)
    if not released:
        raise SkipMetricError("the model measured nothing")
    total = released_rows(model)
    return [Held.of(names, noisy, sigma, m, total) for (names, noisy, sigma), m in zip(released, made, strict=True)]


@metric("fidelity.noisy_marginals", better="lower", on_request=True)
def noisy_marginals(evidence: Evidence) -> Iterator[Reading]:
    """Total variation from the noisy counts that were released under a budget, mean over these; beside what noise explains."""
    held = evidence.once("released.held", lambda: _held(evidence))
    expected = sum(h.expected for h in held) / len(held)
    spread = z_of() * math.sqrt(sum(h.spread**2 for h in held)) / len(held)
    yield Reading(
        fact(sum(h.distance for h in held), len(held)),
        Interval(expected, max(0.0, expected - spread), expected + spread, len(held)),
        detail={"reference": REFERENCE, "marginals": len(held)},
    )


@metric("fidelity.worst_noisy_marginal", better="lower", on_request=True)
def worst_noisy_marginal(evidence: Evidence) -> Iterator[Reading]:
    """Total variation from the released noisy counts where it is most surely beyond what noise explains."""
    held = evidence.once("released.held", lambda: _held(evidence))
    worst = max(held, key=lambda h: (h.distance - h.expected) / max(h.spread, LEAST))
    half = z_of() * worst.spread
    yield Reading(
        fact(worst.distance * evidence.rows("synthetic"), evidence.rows("synthetic")),
        Interval(worst.expected, max(0.0, worst.expected - half), worst.expected + half, evidence.rows("synthetic")),
        detail={"reference": REFERENCE, "columns": list(worst.columns)},
    )


REFERENCE = "noise alone: the expected distance, were the rows drawn from the distribution that was counted"
