"""Whether an attacker who holds the synthetic rows can tell who was in the training table.

Members are training rows, controls are real rows that no generator saw. Half of the holdout is the attacker's own reference,
the other half the controls; the halves then change places, so that every holdout row is a control once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from synth.metrics.evidence import Evidence
from synth.metrics.intervals import LEVEL, auc_parts, clopper_pearson, logit_interval, variance_of_mean
from synth.metrics.measurement import Interval
from synth.metrics.registry import SkipMetricError

CAP = 8_000  # members, and controls, that are attacked
LEAST = 200  # controls in each half
FALSE_ALARMS = 0.01


@dataclass(frozen=True, eq=False)
class Trial:
    """Who is attacked: positions of members in the training table, and of the two halves of the holdout.

    controls[k] are attacked with reference[k], the whole other half. No row of members and controls equals another one.
    """

    members: np.ndarray
    controls: tuple[np.ndarray, np.ndarray]
    reference: tuple[np.ndarray, np.ndarray]
    dropped: int  # rows left out because another one equals them, or is of the same subject: those cannot be told apart


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

    def area_influence(self) -> np.ndarray:
        """What each row adds to the error of the area, members first, then the controls: shape (members + controls,)."""
        parts = [auc_parts(member, control) for member, control in zip(self.members, self.controls)]
        members = (parts[0][1] + parts[1][1]) / 2
        return np.concatenate([_centred(members), *(_centred(v01) / 2 for _, _, v01 in parts)])

    def caught(self, level: float = LEVEL, alarms: float = FALSE_ALARMS) -> Interval:
        """Share of the members found at a share of false alarms among the controls, one in a hundred by default."""
        return share_found(sum(self._found(alarms)) / 2, self.slope(alarms), self.sizes, alarms, level)

    def slope(self, alarms: float) -> float:
        """How many more members are found for each further false alarm."""
        near = [sum(self._found(alarms * factor)) / 2 for factor in (0.5, 2.0)]
        return (near[1] - near[0]) / (1.5 * alarms)

    def _found(self, alarms: float) -> list[float]:
        return [found_at(member, control, alarms) for member, control in zip(self.members, self.controls)]


def _centred(parts: np.ndarray) -> np.ndarray:
    return np.asarray((parts - parts.mean()) / len(parts))


def share_found(value: float, slope: float, sizes: tuple[int, int], alarms: float, level: float = LEVEL) -> Interval:
    """A share of members that was found at a share of false alarms, with its interval.

    Clopper–Pearson at the number of members that carries as much information, since the threshold too is an estimate.
    slope: how many more members are found for each further false alarm; sizes: of members and controls.
    """
    members, controls = sizes
    rate = min(max(value, alarms), 1 - 1 / members)
    spread = rate * (1 - rate) / members + slope**2 * alarms * (1 - alarms) / controls
    effective = max(1.0, rate * (1 - rate) / spread)
    low, high = clopper_pearson(value * effective, effective, level)
    return Interval(value, min(low, value), max(high, value), members)


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
    alone &= np.concatenate([_firsts(evidence.clusters("train")[members]), _firsts(evidence.clusters("holdout")[controls])])
    first = evidence.parts("holdout", 2, rng) == 0
    halves = np.flatnonzero(first), np.flatnonzero(~first)
    members = members[alone[:size]]
    controls = controls[alone[size:]]
    dropped = 2 * size - len(members) - len(controls)
    split = controls[first[controls]], controls[~first[controls]]
    if min(len(members), *(len(half) for half in split)) < LEAST:
        raise SkipMetricError(
            f"{len(members)} members and {len(split[0])} + {len(split[1])} controls are left, one row a person and none that "
            f"another equals; an attack needs {LEAST} in each"
        )
    members = np.sort(rng.permutation(members)[:CAP])
    kept = tuple(np.sort(rng.permutation(half)[: CAP // 2]) for half in split)
    return Trial(members, (kept[0], kept[1]), (halves[1], halves[0]), dropped)


def _firsts(subject: np.ndarray) -> np.ndarray:
    """Which rows are the first of their subject: rows of one person are one observation. Boolean array of shape (rows,)."""
    first = np.zeros(len(subject), dtype=bool)
    first[np.unique(subject, return_index=True)[1]] = True
    return first
