"""How far apart a model's groups lie: demographic parity and equalised odds, trained on synthetic and on real rows.

A synthetic table on which groups are at parity does not make models fair on real rows: both models are judged on real ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from synth.metrics.evidence import Evidence
from synth.metrics.group_models import (
    SAME_MODEL,
    Contrast,
    Measure,
    contrasts,
    false_positive_rate,
    models,
    selection_rate,
    true_positive_rate,
)
from synth.metrics.groups import DEPTH
from synth.metrics.intervals import normal
from synth.metrics.measurement import Interval
from synth.metrics.registry import Reading, metric

FOUR_FIFTHS = 0.8  # the ratio of selection rates below which US agencies look closer (29 CFR 1607.4 D): a screen, no verdict


@dataclass(frozen=True, eq=False)
class Ends:
    """The groups of one set of columns with the highest and the lowest rate under a model."""

    top: Contrast
    bottom: Contrast
    synthetic: bool  # whose model

    @property
    def apart(self) -> float:
        return self.value(self.top) - self.value(self.bottom)

    @property
    def ratio(self) -> float | None:
        """The lowest over the highest rate; None where all are 0."""
        return self.value(self.bottom) / self.value(self.top) if self.value(self.top) > 0 else None

    def value(self, at: Contrast) -> float:
        return at.synthetic.value if self.synthetic else at.real.value

    def weight(self, at: Contrast) -> float:
        """With which sign a group's rate goes into the difference."""
        return float(at is self.top) - float(at is self.bottom)

    def interval(self) -> Interval:
        """What is known of the difference: chance in the test rows and in the training rows."""
        on = (1.0, 0.0) if self.synthetic else (0.0, 1.0)
        error = math.sqrt(self.top.variance(*on) + self.bottom.variance(*on))
        return normal(self.apart, error, min(self.top.real.base, self.bottom.real.base), (0.0, 1.0))


def _ends(found: list[Contrast], synthetic: bool) -> Ends:
    probe = Ends(found[0], found[0], synthetic)
    return Ends(max(found, key=probe.value), min(found, key=probe.value), synthetic)


def _sets(evidence: Evidence, measures: tuple[Measure, ...]) -> Iterator[tuple[tuple[str, ...], list[list[Contrast]]]]:
    """For each sensitive column, and each crossing of several, its groups' figures; fewer than two make no difference."""
    names: dict[tuple[str, ...], list[list[Contrast]]] = {}
    for place, measure in enumerate(measures):
        for group, _, at in contrasts(evidence, measure):
            lists = names.setdefault(tuple(group.name), [[] for _ in measures])
            if at is not None:
                lists[place].append(at)
    yield from ((columns, lists) for columns, lists in names.items() if len(columns) <= DEPTH)


def _widest(lists: list[list[Contrast]], synthetic: bool) -> Ends | None:
    """The largest difference in any of the measures."""
    ends = [_ends(found, synthetic) for found in lists if len(found) > 1]
    return max(ends, key=lambda end: end.apart, default=None)


TOO_FEW = "insufficient: fewer than two of its groups have the test rows that are needed"


def _apart(evidence: Evidence, measures: tuple[Measure, ...]) -> Iterator[Reading]:
    outcome = models(evidence).outcome.label
    for columns, lists in _sets(evidence, measures):
        fake, real = _widest(lists, True), _widest(lists, False)
        if fake is None or real is None:
            yield Reading(columns=columns, skipped=TOO_FEW)
            continue
        yield Reading(fake.interval(), real.interval(), columns=columns, detail=_detail(outcome, fake, real, lists))


def _gap(evidence: Evidence, measures: tuple[Measure, ...]) -> Iterator[Reading]:
    outcome = models(evidence).outcome.label
    for columns, lists in _sets(evidence, measures):
        fake, real = _widest(lists, True), _widest(lists, False)
        if fake is None or real is None:
            yield Reading(columns=columns, skipped=TOO_FEW)
            continue
        # the two models are judged on the same rows: where they have the same groups at their ends, much of the chance cancels
        touched = {id(at): at for at in (fake.top, fake.bottom, real.top, real.bottom)}.values()
        error = math.sqrt(sum(at.variance(fake.weight(at), real.weight(at)) for at in touched))
        n = min(at.real.base for at in touched)
        yield Reading(
            normal(fake.apart - real.apart, error, n, (-1.0, 1.0)),
            Interval(0.0, 0.0, 0.0, n),
            columns=columns,
            detail=_detail(outcome, fake, real, lists) | {"reference": SAME_MODEL},
        )


def _detail(outcome: str, fake: Ends, real: Ends, lists: list[list[Contrast]]) -> dict[str, Any]:
    detail: dict[str, Any] = {"outcome": outcome, "groups": max(len(found) for found in lists)}
    for name, ends in (("synthetic", fake), ("real", real)):
        detail[name] = {
            "difference": ends.apart,
            "highest": {"group": ends.top.group.name, "rate": ends.value(ends.top)},
            "lowest": {"group": ends.bottom.group.name, "rate": ends.value(ends.bottom)},
            "ratio": ends.ratio,
        }
    if len(lists) == 1:
        detail["four_fifths"] = {
            name: None if ends.ratio is None else ends.ratio >= FOUR_FIFTHS
            for name, ends in (("synthetic", fake), ("real", real))
        }
    return detail


@metric("fairness.demographic_parity", better="lower")
def demographic_parity(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive column and crossing: the largest difference of selection rates, trained on synthetic rows.

    Judged on real test rows, groups under 30 left out; the reference is the model trained on real rows. Its excess is better
    read off `demographic_parity_gap`, whose interval knows that both are judged on the same rows.
    """
    yield from _apart(evidence, (selection_rate,))


@metric("fairness.equalized_odds", better="lower")
def equalized_odds(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive column and crossing: the largest difference of true or of false positive rates between groups.

    Under a model trained on synthetic rows, judged on real test rows; the reference is the model trained on real rows.
    """
    yield from _apart(evidence, (true_positive_rate, false_positive_rate))


@metric("fairness.demographic_parity_gap", better="nearer", bounds=(-1.0, 1.0))
def demographic_parity_gap(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive column and crossing: how much further apart selection rates lie for training on synthetic rows.

    Below 0: closer together than under a model trained on real rows, which flatters just as much.
    """
    yield from _gap(evidence, (selection_rate,))


@metric("fairness.equalized_odds_gap", better="nearer", bounds=(-1.0, 1.0))
def equalized_odds_gap(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive column and crossing: how much further apart error rates lie for training on synthetic rows."""
    yield from _gap(evidence, (true_positive_rate, false_positive_rate))
