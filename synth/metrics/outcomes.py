"""Whether groups keep their outcomes: each group's share of a class, and how far apart groups of one column lie."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.data.schema import Kind
from synth.metrics.evidence import SIDES, Compared, Evidence, Side
from synth.metrics.groups import LEAST, Division, divisions, judged, per_person, subjects, too_few
from synth.metrics.intervals import LEVEL, newcombe_magnitude, newcombe_stand_in, wilson
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

COMPARED: tuple[tuple[Side, float], ...] = (("synthetic", 1.0), ("holdout", -1.0))
NO_CHANGE = "by definition: the gap among the real holdout rows, which as many fresh real rows differ from by chance alone"


@metric("fairness.label_gap", better="lower")
def label_gap(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: how far the share of its rows in a target class is from the training rows'.

    Two classes: either of them. More: the class that is furthest off, its interval corrected for the choice. A number: the
    rows above the median of all training rows. Newcombe's interval.
    """
    target = named_target(evidence)
    found = outcomes(target)
    level = 1 - (1 - LEVEL) / max(1, len(found))
    known = {side: ~target.null(side) for side in SIDES}
    for group in judged(evidence, target.name):
        rows = {side: group.of(side) & known[side] for side in SIDES}
        short = group.insufficient or too_few(int(rows["synthetic"].sum()), "synthetic rows with a known target")
        if short:
            yield Reading(group=group.name, skipped=short)
            continue
        gaps = {label: _outcome_gap(hits, rows, "synthetic", level) for label, hits in found.items()}
        worst = max(gaps, key=lambda label: gaps[label].value)
        detail = {
            "class": worst,
            "share": _share(found[worst], rows, "synthetic"),
            "real_share": _share(found[worst], rows, "train"),
        }
        held = [_outcome_gap(hits, rows, "holdout", level) for hits in found.values()] if rows["holdout"].any() else []
        reference = max(held, key=lambda gap: gap.value, default=None)
        yield Reading(gaps[worst], reference, group=group.name, detail=detail)


def named_target(evidence: Evidence) -> Compared:
    """The target. Raises NothingThereError where none is named."""
    if evidence.target is None:
        raise NothingThereError("no target is named; name one with target=")
    return evidence.target


def outcomes(target: Compared) -> dict[str, dict[Side, np.ndarray]]:
    """For each outcome, the rows of each table that have it."""
    if target.levels is not None:
        codes = [code for code in range(target.levels) if (target.train == code).any()]
        codes = codes[1:] if len(codes) == 2 else codes
        return {target.label(code): {side: target.of(side) == code for side in SIDES} for code in codes}
    middle = float(np.nanmedian(target.train))
    return {f"> {middle:g}": {side: target.of(side) > middle for side in SIDES}}


def _outcome_gap(hits: dict[Side, np.ndarray], rows: dict[Side, np.ndarray], side: Side, level: float) -> Interval:
    """How far a group's share of an outcome is from the training rows'; holdout rows count as if as many as synthetic ones."""
    other = int((hits[side] & rows[side]).sum()), int(rows[side].sum())
    real = int((hits["train"] & rows["train"]).sum()), int(rows["train"].sum())
    if side == "holdout":
        return newcombe_stand_in(*other, *real, int(rows["synthetic"].sum()), level)
    return newcombe_magnitude(*other, *real, level)


def _share(hits: dict[Side, np.ndarray], rows: dict[Side, np.ndarray], side: Side) -> float:
    return float((hits[side] & rows[side]).sum() / rows[side].sum())


@dataclass(frozen=True, eq=False)
class Favoured:
    """The outcome that groups are compared by: a class by its code, or a number above `above`."""

    label: str
    code: int | None
    above: float

    def hits(self, values: np.ndarray) -> np.ndarray:
        """Which values of the target are this outcome; a null is none."""
        return np.asarray(values > self.above if self.code is None else values == self.code)


def favoured(target: Compared) -> Favoured:
    """The positive outcome: the second of two classes, the highest of ordered ones, the most frequent of more.

    Of a number: above the training rows' median.
    "Second" and "highest" are in the schema's order: "yes" after "no", True after False, ">50K" after "<=50K". Of many
    classes a rare one is hardly ever predicted, and rates of what is never predicted say nothing.
    Raises SkipMetricError where the training rows hold fewer than two classes.
    """
    if target.levels is None:
        if np.isnan(target.train).all():
            raise SkipMetricError(f"the target {target.name!r} has no known value among the training rows")
        middle = float(np.nanmedian(target.train))
        return Favoured(f"> {middle:g}", None, middle)
    tally = np.bincount(target.train[target.train >= 0], minlength=target.levels)
    seen = np.flatnonzero(tally)
    if len(seen) < 2:
        raise SkipMetricError(f"the training rows hold fewer than two classes of the target {target.name!r}")
    ordered = len(seen) == 2 or target.column.kind is Kind.ORDINAL
    code = int(seen[-1]) if ordered else int(tally.argmax())
    return Favoured(target.label(code), code, math.nan)


@metric("fairness.label_amplification", better="nearer", bounds=(-2.0, 2.0))
def label_amplification(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive column: how much further apart its groups' positive rates lie than among real rows; below 0: closer.

    The gap between the two groups whose rates differ most among the training rows, in the synthetic less in the holdout rows:
    chosen on other rows than it is measured on, so that the choice favours neither. The interval combines Wilson's of the four
    rates, as Newcombe does for two (MOVER, Zou & Donner 2008). The positive outcome is that of `favoured`.
    """
    target = named_target(evidence)
    outcome = favoured(target)
    if not evidence.rows("holdout"):
        raise SkipMetricError("there is no holdout to take the real gap from")
    hits = {side: outcome.hits(target.of(side)) for side in SIDES}
    known = {side: ~target.null(side) for side in SIDES}
    parts = [division for division in divisions(evidence) if division.name != target.name]
    if not parts:
        raise NothingThereError("the only sensitive column is the target itself")
    for division in parts:
        yield _amplified(evidence, division, outcome, hits, known)


def _amplified(
    evidence: Evidence, division: Division, outcome: Favoured, hits: dict[Side, np.ndarray], known: dict[Side, np.ndarray]
) -> Reading:
    many = len(division.labels)
    rows = {side: np.bincount(division.codes[side][known[side]], minlength=many) for side in SIDES}
    positive = {side: np.bincount(division.codes[side][known[side] & hits[side]], minlength=many) for side in SIDES}
    enough = np.flatnonzero((rows["train"] >= LEAST) & (rows["holdout"] >= LEAST))
    if len(enough) < 2:
        return Reading(columns=(division.name,), skipped="insufficient: fewer than two groups have the rows that are needed")
    rates = {side: positive[side] / np.maximum(rows[side], 1) for side in SIDES}
    top, bottom = int(enough[rates["train"][enough].argmax()]), int(enough[rates["train"][enough].argmin()])
    short = too_few(int(min(rows["synthetic"][[top, bottom]])), "synthetic rows with a known target")
    if short:
        return Reading(columns=(division.name,), skipped=short)
    terms = [
        (sign, _rate(hits[side], known[side] & (division.codes[side] == group), subjects(evidence, side)))
        for side, way in COMPARED
        for group, sign in ((top, way), (bottom, -way))
    ]
    detail: dict[str, Any] = {
        "outcome": outcome.label,
        "groups": [division.labels[top], division.labels[bottom]],
        **{f"{side}_gap": float(rates[side][top] - rates[side][bottom]) for side in SIDES},
        "rates": {
            division.labels[g]: {side: float(rates[side][g]) if rows[side][g] else None for side in SIDES} for g in enough[:20]
        },
        "reference": NO_CHANGE,
    }
    found = combined(terms)
    return Reading(found, Interval(0.0, 0.0, 0.0, found.n), columns=(division.name,), detail=detail)


def _rate(hits: np.ndarray, among: np.ndarray, who: np.ndarray | None) -> Interval:
    """Wilson's interval; where rows of one person are alike, at the number of rows that carries as much information."""
    count, n = int((hits & among).sum()), int(among.sum())
    if who is None:
        return wilson(count, n)
    p = count / n
    alone = p * (1 - p) / n
    times = max(1.0, per_person(hits[among] - p, who[among]) / alone) if alone > 0 else 1.0
    found = wilson(count / times, n / times)
    return Interval(p, min(p, found.low), max(p, found.high), n)


def combined(terms: list[tuple[float, Interval]]) -> Interval:
    """Σ cⱼ pⱼ of independent rates from their intervals: the method of variance estimates recovery (Zou & Donner 2008)."""
    value = sum(sign * rate.value for sign, rate in terms)
    low = high = 0.0
    for sign, rate in terms:
        below, above = rate.value - rate.low, rate.high - rate.value
        low += (sign * (below if sign > 0 else above)) ** 2
        high += (sign * (above if sign > 0 else below)) ** 2
    return Interval(value, value - math.sqrt(low), value + math.sqrt(high), min(rate.n for _, rate in terms))
