"""Whether an attacker who holds the synthetic rows can tell who was in the training table.

Members are training rows, controls are real rows that no generator saw. Half of the holdout is the attacker's own reference,
the other half the controls; the halves then change places, so that every holdout row is a control once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.metrics.evidence import Evidence, Side
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
        """Share of the members found at a share of false alarms among the controls, one in a hundred by default.

        Clopper–Pearson at the number of members that carries as much information, since the threshold too is an estimate.
        """
        value = sum(self._found(alarms)) / 2
        members, controls = self.sizes
        rate = min(max(value, alarms), 1 - 1 / members)
        spread = rate * (1 - rate) / members + self._slope(alarms) ** 2 * alarms * (1 - alarms) / controls
        effective = max(1.0, rate * (1 - rate) / spread)
        low, high = clopper_pearson(value * effective, effective, level)
        return Interval(value, min(low, value), max(high, value), members)

    def caught_influence(self, alarms: float = FALSE_ALARMS) -> np.ndarray:
        """What each row adds to the error of the share found, in the order of `area_influence`."""
        slope, above = self._slope(alarms), []
        for member, control in zip(self.members, self.controls):
            threshold = np.quantile(control, 1 - alarms, method="inverted_cdf")
            above.append([(scores > threshold).astype(np.float64) for scores in (member, control)])
        members = (above[0][0] + above[1][0]) / 2
        return np.concatenate([_centred(members), *(-slope * _centred(control) / 2 for _, control in above)])

    def _slope(self, alarms: float) -> float:
        """How many more members are found for each further false alarm."""
        near = [sum(self._found(alarms * factor)) / 2 for factor in (0.5, 2.0)]
        return (near[1] - near[0]) / (1.5 * alarms)

    def _found(self, alarms: float) -> list[float]:
        return [found_at(member, control, alarms) for member, control in zip(self.members, self.controls)]


def _centred(parts: np.ndarray) -> np.ndarray:
    return np.asarray((parts - parts.mean()) / len(parts))


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
    first = _first_half(evidence, rng)
    alone &= np.concatenate([_one_per_subject(evidence, "train", members), _one_per_subject(evidence, "holdout", controls)])
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


def _first_half(evidence: Evidence, rng: np.random.Generator) -> np.ndarray:
    """Boolean array of shape (holdout rows,), with all rows of a subject in one half.

    Were others of a control's rows in the reference, it would speak for controls and never for members, and an attack would
    seem to work.
    """
    subject = _subjects(evidence, "holdout")
    if subject is None:
        return np.asarray(rng.permutation(evidence.rows("holdout")) % 2 == 0)
    return np.asarray((rng.permutation(int(subject.max()) + 1) % 2 == 0)[subject])


def _one_per_subject(evidence: Evidence, side: Side, rows: np.ndarray) -> np.ndarray:
    """Which of these rows are the first of their subject: rows of one person are one observation."""
    subject, alone = _subjects(evidence, side), np.ones(len(rows), dtype=bool)
    if subject is not None:
        alone[:] = False
        alone[np.unique(subject[rows], return_index=True)[1]] = True
    return alone


def _subjects(evidence: Evidence, side: Side) -> np.ndarray | None:
    """A number per subject for each row, a null being nobody else's; None where no column names the subjects."""
    table = evidence.table(side)
    column = None if table is None else table.schema.subject
    if table is None or column is None:
        return None
    values = table.arrow.column(column.name).combine_chunks()
    plain = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    codes = pc.fill_null(pc.cast(plain.dictionary_encode().indices, pa.int64()), -1).to_numpy(zero_copy_only=False)
    nobody = codes < 0
    return np.asarray(np.where(nobody, codes.max(initial=-1) + np.cumsum(nobody), codes))
