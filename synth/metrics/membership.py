"""Whether an attacker who holds the synthetic rows can tell who was in the training table.

Members are training rows, controls are real rows that no generator saw. Half of the holdout is the attacker's own reference,
the other half the controls; the halves then change places, so that every holdout row is a control once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.metrics.distance import nearest, positions
from synth.metrics.evidence import Evidence
from synth.metrics.intervals import LEVEL, auc_parts, clopper_pearson, logit_interval, variance_of_mean
from synth.metrics.learners import Judge, draw, features
from synth.metrics.measurement import Interval
from synth.metrics.registry import Reading, SkipMetricError, metric

CAP = 8_000  # members, and controls, that are attacked
SEARCHED = 40_000  # synthetic rows among which neighbours are looked for
TRAINED = 16_000  # synthetic rows that the density ratio is learned from
LEAST = 200  # controls in each half
FALSE_POSITIVES = 0.01
TINY = 1e-9  # keeps the ratio of two distances finite where a row was copied


@dataclass(frozen=True, eq=False)
class Trial:
    """Who is attacked: positions of members in the training table, and of the two halves of the holdout.

    controls[k] are attacked with reference[k], the whole other half. No row of members and controls equals another one.
    """

    members: np.ndarray
    controls: tuple[np.ndarray, np.ndarray]
    reference: tuple[np.ndarray, np.ndarray]
    dropped: int  # rows left out because another row equals them: nobody can tell those apart


@dataclass(frozen=True, eq=False)
class Attack:
    """Scores of members and of controls, one pair of arrays for each half of the holdout as reference; higher: a member."""

    name: str
    members: tuple[np.ndarray, np.ndarray]
    controls: tuple[np.ndarray, np.ndarray]

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.members[0]), sum(len(half) for half in self.controls)

    def area(self, level: float = LEVEL) -> Interval:
        """Area under the ROC curve: the mean over both halves, with DeLong's interval for it."""
        parts = [auc_parts(member, control) for member, control in zip(self.members, self.controls)]
        value = sum(area for area, _, _ in parts) / 2
        spread = variance_of_mean((parts[0][1] + parts[1][1]) / 2)  # the same members in both halves
        spread += sum(variance_of_mean(v01) for _, _, v01 in parts) / 4
        return logit_interval(value, math.sqrt(spread), sum(self.sizes), level)

    def caught(self, level: float = LEVEL) -> Interval:
        """Share of the members found at one false alarm in a hundred controls.

        Clopper–Pearson at the number of members that carries as much information, since the threshold too is an estimate.
        """
        value = sum(self._found(FALSE_POSITIVES)) / 2
        members, controls = self.sizes
        rate = min(max(value, FALSE_POSITIVES), 1 - 1 / members)
        near = [sum(self._found(FALSE_POSITIVES * factor)) / 2 for factor in (0.5, 2.0)]
        slope = (near[1] - near[0]) / (1.5 * FALSE_POSITIVES)
        spread = rate * (1 - rate) / members + slope**2 * FALSE_POSITIVES * (1 - FALSE_POSITIVES) / controls
        effective = max(1.0, rate * (1 - rate) / spread)
        low, high = clopper_pearson(value * effective, effective, level)
        return Interval(value, min(low, value), max(high, value), members)

    def _found(self, alarms: float) -> list[float]:
        return [found_at(member, control, alarms) for member, control in zip(self.members, self.controls)]


def found_at(members: np.ndarray, controls: np.ndarray, alarms: float) -> float:
    """Share of members above the threshold that the share `alarms` of controls exceeds; ties are drawn by lot."""
    points = np.unique(np.concatenate([members, controls]))[::-1]
    true = 1 - np.searchsorted(np.sort(members), points, "left") / len(members)
    false = 1 - np.searchsorted(np.sort(controls), points, "left") / len(controls)
    true, false = np.concatenate([[0.0], true]), np.concatenate([[0.0], false])
    last = int(np.searchsorted(false, alarms, "right")) - 1  # the attacker takes the highest point at so many alarms
    if last == len(false) - 1:
        return float(true[last])
    part = (alarms - false[last]) / (false[last + 1] - false[last])
    return float(true[last] + part * (true[last + 1] - true[last]))


def trial(evidence: Evidence) -> Trial:
    """Draw members and controls alike, so that they differ in nothing but membership."""
    return evidence.once("trial", lambda: _trial(evidence))


def _trial(evidence: Evidence) -> Trial:
    held = evidence.rows("holdout")
    if not held:
        raise SkipMetricError("there is no holdout to attack beside the members")
    rng = evidence.rng("membership")
    size = min(evidence.rows("train"), held)
    members = np.sort(rng.permutation(evidence.rows("train"))[:size])
    controls = np.sort(rng.permutation(held)[:size])
    # Equally many of both before equal rows are left out: were members drawn from more rows, the rows left of them would be
    # commoner ones, and an attack would seem to work on that alone.
    identity = np.concatenate([evidence.identities["train"][members], evidence.identities["holdout"][controls]])
    _, code, times = np.unique(identity, return_inverse=True, return_counts=True)
    alone = times[code] == 1
    first = evidence.parts("holdout", 2, rng) == 0
    halves = np.flatnonzero(first), np.flatnonzero(~first)
    members = members[alone[:size]]
    controls = controls[alone[size:]]
    dropped = 2 * size - len(members) - len(controls)
    split = controls[first[controls]], controls[~first[controls]]
    if min(len(members), *(len(half) for half in split)) < LEAST:
        raise SkipMetricError(
            f"{len(members)} members and {len(split[0])} + {len(split[1])} controls are left without equal rows; "
            f"an attack needs {LEAST} in each"
        )
    members = np.sort(rng.permutation(members)[:CAP])
    kept = tuple(np.sort(rng.permutation(half)[: CAP // 2]) for half in split)
    return Trial(members, (kept[0], kept[1]), (halves[1], halves[0]), dropped)


def knn(evidence: Evidence) -> Attack:
    """The distance to the attacker's own nearest row over that to the nearest synthetic row."""
    return evidence.once("membership_knn", lambda: _knn(evidence))


def _knn(evidence: Evidence) -> Attack:
    who, place = trial(evidence), positions(evidence)
    fake = place["synthetic"][draw(evidence, "synthetic", SEARCHED, "membership_knn")]
    to_fake = nearest(place["train"][who.members], fake)
    members, controls = [], []
    for half, reference in zip(who.controls, who.reference):
        own = place["holdout"][reference]
        members.append(_ratio(nearest(place["train"][who.members], own), to_fake))
        controls.append(_ratio(nearest(place["holdout"][half], own), nearest(place["holdout"][half], fake)))
    return Attack("knn", (members[0], members[1]), (controls[0], controls[1]))


def _ratio(own: np.ndarray, fake: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(own + TINY) - np.log(fake + TINY))


def domias(evidence: Evidence) -> Attack:
    """How much denser the synthetic rows lie than the attacker's own (DOMIAS, van Breugel et al. 2023), by boosted trees."""
    return evidence.once("membership_domias", lambda: _domias(evidence))


def _domias(evidence: Evidence) -> Attack:
    who, columns = trial(evidence), evidence.columns
    fake = features(columns, "synthetic", draw(evidence, "synthetic", TRAINED, "membership_domias"))
    members, controls = [], []
    for half, reference in zip(who.controls, who.reference):
        own = features(columns, "holdout", reference)
        y = np.repeat([1, 0], [len(fake), len(own)])
        # the log-odds of synthetic against reference are the log of the ratio of their densities, up to a constant
        judge = Judge.of_classes(columns, np.vstack([fake, own]), y, evidence.seed)
        members.append(judge.log_odds(features(columns, "train", who.members)))
        controls.append(judge.log_odds(features(columns, "holdout", half)))
    return Attack("domias", (members[0], members[1]), (controls[0], controls[1]))


ATTACKS = (knn, domias)


@metric("privacy.membership_knn", better="lower")
def membership_knn(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of an attack by nearest synthetic against nearest reference row; 0.5 is chance."""
    yield _reading(evidence, knn(evidence).area())


@metric("privacy.membership_domias", better="lower")
def membership_domias(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of an attack by the density of synthetic against reference rows; 0.5 is chance."""
    yield _reading(evidence, domias(evidence).area())


@metric("privacy.membership_auc", better="lower")
def membership_auc(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of the strongest attack, its interval corrected for having tried several."""
    areas = {attack(evidence).name: attack(evidence).area(_corrected()) for attack in ATTACKS}
    yield _reading(evidence, _strongest(areas), areas)


@metric("privacy.membership_tpr", better="lower")
def membership_tpr(evidence: Evidence) -> Iterator[Reading]:
    """Share of training rows that the strongest attack finds at one false alarm in a hundred; 0.01 is chance."""
    rates = {attack(evidence).name: attack(evidence).caught(_corrected()) for attack in ATTACKS}
    yield _reading(evidence, _strongest(rates), rates, chance=FALSE_POSITIVES)


def _corrected() -> float:
    """Bonferroni's level, so that all attacks' intervals hold at once."""
    return 1 - (1 - LEVEL) / len(ATTACKS)


def _strongest(found: dict[str, Interval]) -> Interval:
    """The interval of the attack with the largest value, reaching as high as that of any attack."""
    first = max(found.values(), key=lambda interval: interval.value)
    return Interval(first.value, first.low, max(interval.high for interval in found.values()), first.n)


def _reading(evidence: Evidence, score: Interval, each: Mapping[str, Interval] | None = None, chance: float = 0.5) -> Reading:
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
    return Reading(score, Interval(chance, chance, chance, score.n), detail=detail)
