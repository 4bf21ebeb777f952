"""What the membership attacks find: each one alone, and the strongest with its interval corrected for having tried them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from synth.metrics import attacks
from synth.metrics.evidence import Evidence
from synth.metrics.intervals import LEVEL
from synth.metrics.measurement import Interval
from synth.metrics.membership import FALSE_ALARMS, Attack, found_at, share_found, trial
from synth.metrics.registry import Reading, SkipMetricError, metric

FEW_ALARMS = 0.001
ENOUGH = 2_000  # controls from which on one false alarm in a thousand is more than an anecdote
DRAWS = 10_000  # of the normal distribution that the correction is read off


@metric("privacy.membership_knn", better="lower", cost=4.0)
def membership_knn(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of an attack by nearest synthetic against nearest reference row; 0.5 is chance."""
    yield _reading(evidence, attacks.knn(evidence).area())


@metric("privacy.membership_domias", better="lower", cost=1.5)
def membership_domias(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of an attack by the density of synthetic against reference rows; 0.5 is chance."""
    yield _reading(evidence, attacks.domias(evidence).area())


@metric("privacy.membership_local", better="lower")
def membership_local(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of an attack by how many synthetic rows lie as near as reference rows do; 0.5 is chance."""
    yield _reading(evidence, attacks.local(evidence).area())


@metric("privacy.membership_distance", better="lower")
def membership_distance(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of an attack by the distance to synthetic rows, set off by strangers'; 0.5 is chance."""
    yield _reading(evidence, attacks.distance(evidence).area())


@metric("privacy.membership_subsets", better="lower", cost=1.5)
def membership_subsets(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of an attack by the sets of columns in which only synthetic rows agree; 0.5 is chance."""
    yield _reading(evidence, attacks.subsets(evidence).area())


@metric("privacy.membership_likelihood", better="lower")
def membership_likelihood(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of an attack by how likely the generator finds a row beside its likes; 0.5 is chance."""
    yield _reading(evidence, attacks.likelihood(evidence).area())


@metric("privacy.membership_ensemble", better="lower")
def membership_ensemble(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of all attacks taken together; 0.5 is chance."""
    yield _reading(evidence, attacks.ensemble(evidence).area())


@metric("privacy.membership_auc", better="lower")
def membership_auc(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of the strongest attack, its interval corrected for having tried several.

    Its upper end is the highest of all attacks', its lower end the highest of lower ends that hold for all attacks at once
    (`simultaneous`, `strongest`).
    """
    tried = attacks.attacks(evidence)
    level = simultaneous(evidence, [attack.area_influence() for attack in tried])
    plain, corrected = ({attack.name: attack.area(each) for attack in tried} for each in (LEVEL, level))
    yield _reading(evidence, strongest(plain, corrected), plain, level)


@metric("privacy.membership_tpr", better="lower")
def membership_tpr(evidence: Evidence) -> Iterator[Reading]:
    """Share of training rows that the strongest attack finds at one false alarm in a hundred; 0.01 is chance.

    The attack is chosen on other rows than those on which it is judged (`chosen_apart`).
    """
    yield _found(evidence, FALSE_ALARMS)


@metric("privacy.membership_tpr_low", better="lower")
def membership_tpr_low(evidence: Evidence) -> Iterator[Reading]:
    """Share of training rows that the strongest attack finds at one false alarm in a thousand; 0.001 is chance.

    With 6,000 controls the threshold rests on six of them: the interval says so.
    """
    controls = sum(len(half) for half in trial(evidence).controls)
    if controls < ENOUGH:
        raise SkipMetricError(
            f"one false alarm in a thousand would rest on {controls * FEW_ALARMS:.1f} of {controls:,} controls; "
            f"{ENOUGH:,} are needed"
        )
    yield _found(evidence, FEW_ALARMS)


def _found(evidence: Evidence, alarms: float) -> Reading:
    tried = attacks.attacks(evidence)
    plain = {attack.name: attack.caught(LEVEL, alarms) for attack in tried}
    return _reading(evidence, chosen_apart(tried, alarms, evidence.rng("membership.choice")), plain, chance=alarms)


def chosen_apart(tried: Sequence[Attack], alarms: float, rng: np.random.Generator) -> Interval:
    """The share of members that the strongest attack finds, the attack chosen on other rows than those it is judged on.

    The largest of seven shares is above chance by chance alone, on real rows by a quarter. So one half of the members and the
    controls of one half of the holdout choose the attack that is judged on the others, four times over; where one attack is
    strong, every choice falls on it and nothing is lost.
    """
    first = rng.permutation(tried[0].sizes[0]) % 2 == 0

    def share(attack: Attack, half: int, part: np.ndarray) -> float:
        return found_at(attack.members[half][part], attack.controls[half], alarms)

    found, slopes = [], []
    for half, part in ((0, first), (0, ~first), (1, first), (1, ~first)):
        elsewhere = [share(attack, 1 - half, ~part) for attack in tried]
        best = tried[int(np.argmax(elsewhere))]
        found.append(share(best, half, part))
        slopes.append(best.slope(alarms))
    return share_found(float(np.mean(found)), float(np.mean(slopes)), tried[0].sizes, alarms)


def simultaneous(evidence: Evidence, influences: list[np.ndarray]) -> float:
    """The level at which intervals must be taken so that all lower ends hold at once, but for 2.5%.

    influences: of each figure, what every row adds to its error; figures that err together need less than Bonferroni's level.
    The largest of so many standardised errors is distributed as the largest of normal ones with the same correlations.
    """
    parts = np.array(influences)
    length = np.sqrt((parts**2).sum(axis=1, keepdims=True))
    parts = np.divide(parts, length, out=np.zeros_like(parts), where=length > 0)
    correlation = parts @ parts.T
    np.fill_diagonal(correlation, 1.0)
    strength, direction = np.linalg.eigh(correlation)
    root = direction * np.sqrt(np.maximum(strength, 0.0))
    errors = evidence.rng("membership.correction").standard_normal((DRAWS, len(parts))) @ root.T
    tail = (1 - LEVEL) / 2
    largest = float(np.quantile(errors.max(axis=1), 1 - tail))
    return min(2 * NormalDist().cdf(largest) - 1, 1 - 2 * tail / len(parts))


def strongest(plain: Mapping[str, Interval], corrected: Mapping[str, Interval]) -> Interval:
    """The largest value, with an interval for the largest of the true ones.

    Only its lower end needs a correction. The largest upper end lies above the strongest attack's own upper end, which holds;
    the largest lower end is one of many, any of which may be too high.
    """
    first = max(plain.values(), key=lambda interval: interval.value)
    low = max(interval.low for interval in corrected.values())
    return Interval(first.value, min(low, first.value), max(interval.high for interval in plain.values()), first.n)


def _reading(
    evidence: Evidence,
    score: Interval,
    each: Mapping[str, Interval] | None = None,
    level: float = LEVEL,
    chance: float = 0.5,
) -> Reading:
    who = trial(evidence)
    detail: dict[str, Any] = {
        "members": len(who.members),
        "controls": sum(len(half) for half in who.controls),
        "dropped": who.dropped,
        "reference": "chance: fresh real rows say nothing about who was in the training table",
    }
    if each is not None:
        detail["attacks"] = {name: interval.to_dict() for name, interval in each.items()}
        detail["strongest"] = max(each, key=lambda name: each[name].value)
        detail["level_of_lower_end"] = level
    return Reading(score, Interval(chance, chance, chance, score.n), detail=detail)
