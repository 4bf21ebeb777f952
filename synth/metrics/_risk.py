"""Residual risks in the line of Anonymeter (Giomi et al., PoPETs 2023, arXiv 2211.10459), written from the paper.

An attack is tried on training rows and on equally many controls, real rows that no generator saw. What succeeds on controls
is what the population gives away; what succeeds beyond that, as a share of what was left to find, is the residual risk
R = (r_train − r_control) / (1 − r_control): one less the ratio of the two rates of failure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.metrics.evidence import Evidence, Side, on_grid
from synth.metrics.intervals import LEVEL, wilson
from synth.metrics.measurement import Interval
from synth.metrics.registry import Reading, SkipMetricError

TARGETS = 12_000  # training rows, and controls, that are attacked
SEARCHED = 40_000  # synthetic rows that the attacker looks through
LEAST = 200  # targets on either side
LEAST_FAILURES = 10  # controls on which the attack must fail, or nothing is left to measure a residual risk by
NO_RISK = "by definition: strangers whose rows no generator saw are at no residual risk"


@dataclass(frozen=True, eq=False)
class Targets:
    """Who is attacked: positions in the training table and in the holdout. No row of either equals another one."""

    train: np.ndarray
    control: np.ndarray
    dropped: int  # rows left out because another row equals them: what is found out about those names nobody


@dataclass(frozen=True, eq=False)
class Attack:
    """How an attack went: for each training target and each control whether it succeeded, shapes (n,) and (c,)."""

    name: str
    train: np.ndarray
    control: np.ndarray
    chosen: float = 1.0  # how much the variance of its residual risk was raised by choosing it among several

    @property
    def rates(self) -> dict[str, float]:
        return {"train": float(self.train.mean()), "control": float(self.control.mean())}


@dataclass(frozen=True)
class Rate:
    """A rate of success, and the number of independent attacks that would tell it as precisely."""

    value: float
    n: float

    @classmethod
    def of(cls, hits: np.ndarray) -> Rate:
        return cls(float(hits.mean()), len(hits))


def targets(evidence: Evidence) -> Targets:
    """Training rows and controls, drawn alike so that they differ in nothing but that a generator saw the former.

    Raises SkipMetricError where there is no holdout or too few rows are left.
    """
    return evidence.once("risk.targets", lambda: _targets(evidence))


def _targets(evidence: Evidence) -> Targets:
    size = min(evidence.rows("train"), evidence.rows("holdout"))
    if not evidence.rows("holdout"):
        raise SkipMetricError("there is no holdout to attack beside the training rows")
    rng = evidence.rng("risk.targets")
    train = rng.permutation(evidence.rows("train"))[:size]
    control = rng.permutation(evidence.rows("holdout"))[:size]
    # equally many of both before equal rows are left out: of a larger table, commoner rows would be left
    identity = np.concatenate([evidence.identities["train"][train], evidence.identities["holdout"][control]])
    _, code, times = np.unique(identity, return_inverse=True, return_counts=True)
    alone = times[code] == 1
    train, control = train[alone[:size]], control[alone[size:]]
    dropped = 2 * size - len(train) - len(control)
    if min(len(train), len(control)) < LEAST:
        raise SkipMetricError(
            f"{len(train)} training and {len(control)} holdout rows are left without equal rows; {LEAST} of each are needed"
        )
    return Targets(train[:TARGETS], control[:TARGETS], dropped)


def ranks(evidence: Evidence, rows: dict[Side, np.ndarray]) -> dict[Side, np.ndarray]:
    """Some rows of each table as whole numbers that keep their order, −1 for null: int32 of shape (rows, columns).

    A number is its place among those that occur in any of the rows, a category its rank by frequency in the synthetic ones.
    Equal ones are equal to the digits that the column is written with.
    """
    out = {side: np.empty((len(chosen), len(evidence.columns)), dtype=np.int32, order="F") for side, chosen in rows.items()}
    for j, column in enumerate(evidence.columns):
        values = {side: column.of(side)[chosen] for side, chosen in rows.items()}
        if column.levels is None:
            values = {side: on_grid(column.column, value) for side, value in values.items()}
            book = np.unique(np.concatenate(list(values.values())))
            for side, value in values.items():
                out[side][:, j] = np.where(np.isnan(value), -1, np.searchsorted(book, value))
            continue
        seen = np.bincount(values["synthetic"] + 1, minlength=column.levels + 1)[1:]
        rank = np.empty(column.levels + 1, dtype=np.int32)
        rank[np.argsort(-seen, kind="stable")] = np.arange(column.levels)
        rank[-1] = -1  # the code of null is −1
        for side, value in values.items():
            out[side][:, j] = rank[value]
    return out


def residual(train: Rate, control: Rate, n: int, level: float = LEVEL) -> Interval:
    """R with the interval of a ratio of two independent rates from their Wilson intervals (MOVER-R, Donner and Zou 2012)."""
    fail, miss = (_failures(rate, level) for rate in (train, control))
    if miss.value <= 0.0:
        return Interval(0.0, -1.0, 1.0, n)
    product = fail.value * miss.value
    high_spread = product**2 - fail.low * miss.high * (2 * fail.value - fail.low) * (2 * miss.value - miss.high)
    low_spread = product**2 - fail.high * miss.low * (2 * fail.value - fail.high) * (2 * miss.value - miss.low)
    least = (product - math.sqrt(max(0.0, high_spread))) / (miss.high * (2 * miss.value - miss.high))
    most = (product + math.sqrt(max(0.0, low_spread))) / (miss.low * (2 * miss.value - miss.low))
    value, low, high = (max(-1.0, min(1.0, 1 - ratio)) for ratio in (fail.value / miss.value, most, least))
    return Interval(value, min(low, value), max(high, value), n)


def _failures(rate: Rate, level: float) -> Interval:
    whole = max(1, round(rate.n))
    return wilson((1 - rate.value) * whole, whole, level)


def strongest(attacks: tuple[Attack, Attack]) -> Attack:
    """For each half of the targets the one of two attacks that does best on the other half: the choice cannot flatter it.

    Where it hangs on an accident, though, what favours an attack in one half picks it for the other, and both accidents add
    up: for attacks that do equally well and whose successes correlate by ρ, the variance is 1 + (1 − ρ)/π times as large.
    """
    best = choices(attacks)
    train, control = best[0].train.copy(), best[0].control.copy()
    train[1::2], control[1::2] = best[1].train[1::2], best[1].control[1::2]
    sides = zip(*((attack.train, attack.control) for attack in attacks))
    alike = float(np.mean([_correlation(first, second) for first, second in sides]))
    return Attack(" and ".join(dict.fromkeys(a.name for a in best)), train, control, 1 + (1 - alike) / math.pi)


def choices(attacks: Sequence[Attack]) -> tuple[Attack, Attack]:
    """The attack for every even target, which does best on the odd ones, and that for every odd one, the other way round.

    Best: with the highest lower end of the residual risk.
    """
    even, odd = (max(attacks, key=lambda a: _low(a.train[other::2], a.control[other::2])) for other in (1, 0))
    return even, odd


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    spread = float(first.std() * second.std())
    return float(((first - first.mean()) * (second - second.mean())).mean()) / spread if spread > 0 else 0.0


def _low(train: np.ndarray, control: np.ndarray) -> float:
    return residual(Rate.of(train), Rate.of(control), len(train)).low


def leaned(hits: np.ndarray, ease: np.ndarray, mean: float) -> Rate:
    """A rate of success, adjusted for how easy the targets of this side happen to be (Lin 2013).

    ease: what of the success is known of each target whatever the synthetic rows are, shape (n,). mean: of both sides' ease.
    """
    gap = ease - ease.mean()
    spread = float((gap * gap).sum())
    slope = float((gap * hits).sum()) / spread if spread > 0 else 0.0
    value = min(1.0, max(0.0, float(hits.mean()) - slope * (float(ease.mean()) - mean)))
    left = float((hits - slope * gap).var())
    n = len(hits)
    return Rate(value, n if left <= 0 or not 0 < value < 1 else max(n, n * value * (1 - value) / left))


def reading(
    train: Rate, control: Rate, attack: Attack, each: Sequence[Attack], detail: dict[str, Any], columns: tuple[str, ...] = ()
) -> Reading:
    """The figure of a residual risk, with what it rests on.

    Its detail: attacks, successes in each sample, and power: the smallest residual risk that so many attacks would exclude
    where there is none.
    """
    n = len(attack.train)
    failures = len(attack.control) - int(attack.control.sum())
    if failures < LEAST_FAILURES:
        why = f"the attack succeeds on all but {failures} of {len(attack.control)} strangers; nothing is left that it could add"
        return Reading(columns=columns, skipped=why)
    detail = {
        "attacks": n,
        "controls": len(attack.control),
        "successes": int(attack.train.sum()),
        "control_successes": int(attack.control.sum()),
        "power": residual(control, Rate(control.value, train.n), n).high,
        "rates": {a.name: a.rates for a in each},
        "strongest": attack.name,
        "reference": NO_RISK,
        **detail,
    }
    return Reading(residual(train, control, n), Interval(0.0, 0.0, 0.0, n), columns=columns, detail=detail)
