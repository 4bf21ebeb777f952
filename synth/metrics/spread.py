"""How much a group's figures vary from one fit of the generator to the next: one table says little of the next."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from synth.metrics.evidence import Evidence
from synth.metrics.group_models import models, selection_rate, told_by
from synth.metrics.groups import Group, groups, too_few
from synth.metrics.intervals import LEVEL
from synth.metrics.measurement import Interval
from synth.metrics.outcomes import favoured, named_target
from synth.metrics.registry import NothingThereError, Reading, metric

FITS = 3  # synthetic tables below which nothing is said of the spread between them
BY_CHANCE = "by definition: as many fresh real rows vary by their number alone"

Rates = Callable[[Evidence, Group], tuple[float, int]]


@metric("fairness.spread_share", better="lower")
def spread_share(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: how much its share varies between fits of the generator, as a standard deviation.

    The interval is a normal sample's (χ²): three fits tell the order of magnitude. The reference is what tables of as many
    fresh real rows vary by.
    """
    _tables(evidence)
    yield from _spread(evidence, _share)


@metric("fairness.spread_labels", better="lower")
def spread_labels(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: how much its rate of the favoured outcome varies between fits, as a standard deviation."""
    _tables(evidence)
    outcome = favoured(named_target(evidence))

    def rate(fit: Evidence, group: Group) -> tuple[float, int]:
        target = named_target(fit)
        rows = group.of("synthetic") & ~target.null("synthetic")
        n = int(rows.sum())
        return (float(outcome.hits(target.of("synthetic"))[rows].mean()) if n else math.nan), n

    yield from _spread(evidence, rate, without=named_target(evidence).name)


@metric("fairness.spread_models", better="lower", cost=0.5)
def spread_models(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: how much the selection rate of a model trained on the synthetic rows varies between fits.

    On the same real test rows each time, as a standard deviation. The reference is what models trained on as many fresh real
    rows vary by: that of models trained on disjoint parts of the training rows, scaled to all of them.
    """
    _tables(evidence)
    at = models(evidence)
    told = [told_by(fit, at) for fit in evidence.fits]
    for group in _alone(evidence, at.play.target.name):
        rows = group.of("holdout")[at.play.test]
        short = group.insufficient or too_few(int(rows.sum()), "test rows")
        if short:
            yield Reading(group=group.name, skipped=short)
            continue
        rates = [at.figure(selection_rate, one, rows).value for one in told]
        parts = [at.figure(selection_rate, one, rows).value for one in at.parts]
        usual = float(np.std(parts, ddof=1)) * math.sqrt(at.smaller)
        yield Reading(
            _deviation(rates),
            _deviation(parts, math.sqrt(at.smaller)) if usual else Interval(usual, 0.0, 1.0, len(parts)),
            group=group.name,
            detail={"fits": len(rates), "rates": rates},
        )


def _tables(evidence: Evidence) -> None:
    if len(evidence.fits) < FITS:
        raise NothingThereError(
            f"the spread between fits of the generator needs {FITS} synthetic tables, each of its own fit; "
            f"{len(evidence.fits)} is given: give further fits with repeats="
        )


def _alone(evidence: Evidence, without: str = "") -> list[Group]:
    return [group for group in groups(evidence) if not group.is_crossing and without not in group.name]


def _share(fit: Evidence, group: Group) -> tuple[float, int]:
    n = fit.rows("synthetic")
    return group.sizes["synthetic"] / n, n


def _spread(evidence: Evidence, rate: Rates, without: str = "") -> Iterator[Reading]:
    found = [{tuple(g.name.items()): g for g in _alone(fit, without)} for fit in evidence.fits]
    for key, group in found[0].items():
        if group.insufficient:
            yield Reading(group=group.name, skipped=group.insufficient)
            continue
        taken = [rate(fit, groups_of[key]) for fit, groups_of in zip(evidence.fits, found) if key in groups_of]
        kept = [(value, n) for value, n in taken if n and not math.isnan(value)]
        if len(kept) < FITS:
            yield Reading(
                group=group.name, skipped=f"insufficient: the group has rows in {len(kept)} of the tables, {FITS} are needed"
            )
            continue
        values = [value for value, _ in kept]
        middle, rows = float(np.mean(values)), float(np.mean([n for _, n in kept]))
        usual = math.sqrt(middle * (1 - middle) / rows)
        yield Reading(
            _deviation(values),
            Interval(usual, usual, usual, int(rows)),
            group=group.name,
            detail={"fits": len(values), "rates": values, "reference": BY_CHANCE},
        )


def _deviation(values: list[float], scale: float = 1.0) -> Interval:
    """The standard deviation of independent normal values with its χ² interval, cut at 1."""
    from scipy.stats import chi2

    free = len(values) - 1
    deviation = scale * float(np.std(values, ddof=1))
    low, high = (math.sqrt(free / float(chi2.ppf(0.5 + way * LEVEL / 2, free))) for way in (1, -1))
    return Interval(deviation, deviation * low, min(1.0, max(deviation, deviation * high)), len(values))
