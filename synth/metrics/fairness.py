"""Whether every group keeps its size: judged group by group, and where groups cross.

Synthetic rows that look fair do not make models fair on real rows; each figure is about one group, and under 30 rows a group
is insufficient, never a pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from synth.metrics.evidence import Evidence, Side
from synth.metrics.groups import Crossing, crossings, groups
from synth.metrics.intervals import newcombe_magnitude, newcombe_stand_in
from synth.metrics.measurement import Interval
from synth.metrics.registry import Reading, SkipMetricError, metric

SURE = 0.001  # how rarely as many fresh real rows may give any one of the groups that are called erased or shrunk
HALF = 0.5  # of the rows that were to be expected: below it a group is called shrunk, above its inverse swollen
NAMED = 30  # groups in a detail


@metric("fairness.group_share", better="lower")
def group_share(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: the difference between its synthetic and its training share."""
    for group in groups(evidence):
        if group.insufficient:
            yield Reading(group=group.name, skipped=group.insufficient)
            continue
        real = group.sizes["train"], evidence.rows("train")
        fake = group.sizes["synthetic"], evidence.rows("synthetic")
        held = group.sizes["holdout"], evidence.rows("holdout")
        detail: dict[str, Any] = {"share": fake[0] / fake[1], "real_share": real[0] / real[1], "rows": fake[0]}
        detail["ratio"] = detail["share"] / detail["real_share"]
        yield Reading(
            newcombe_magnitude(*fake, *real),
            newcombe_stand_in(*held, *real, fake[1]) if held[1] else None,
            group=group.name,
            detail=detail,
        )


@metric("fairness.erased_groups", better="lower")
def erased_groups(evidence: Evidence) -> Iterator[Reading]:
    """Share of the sensitive groups and crossings of up to three, of which rows were to be expected, that have not one.

    To be expected: as many fresh real rows would lack any of them once in a thousand tables. A fact about this table: the
    interval has no width.
    """
    yield _counted(evidence, _erased, "erased")


@metric("fairness.shrunk_groups", better="lower")
def shrunk_groups(evidence: Evidence) -> Iterator[Reading]:
    """Share of the sensitive groups and crossings that have significantly fewer than half of the rows to be expected.

    Erased ones are among them. Exact binomial tests, corrected (Bonferroni) so that as many fresh real rows give any once in a
    thousand tables; `swollen` names those with significantly more than twice as many rows.
    """
    yield _counted(evidence, _shrunk, "shrunk")


def _counted(evidence: Evidence, which: Any, word: str) -> Reading:
    every = crossings(evidence)
    considered, found, swollen = _found(every, evidence, "synthetic", which)
    if not considered:
        raise SkipMetricError(
            "no sensitive group has so many training rows that the absence of synthetic ones would say anything"
        )
    value = len(found) / considered
    detail: dict[str, Any] = {word: found[:NAMED], word + "_groups": len(found), "considered": considered}
    detail["groups"] = {"in_all": sum(len(crossing) for crossing in every), "judged_one_by_one": len(groups(evidence))}
    if which is _shrunk:
        detail["swollen"] = swollen[:NAMED]
    reference = None
    if evidence.rows("holdout"):
        held, real, _ = _found(every, evidence, "holdout", which)
        share = len(real) / held if held else 0.0
        reference = Interval(share, share, share, max(held, 1))
    return Reading(Interval(value, value, value, considered), reference, detail=detail)


def _found(
    every: tuple[Crossing, ...], evidence: Evidence, side: Side, which: Any
) -> tuple[int, list[dict[str, Any]], list[dict[str, Any]]]:
    """How many groups could be found wanting, and those that are, with the rows that they have; then those that swelled."""
    rows, trained = evidence.rows(side), evidence.rows("train")
    tests = sum(int((crossing.counts["train"] > 0).sum()) for crossing in every)
    level = SURE / max(tests, 1)
    considered = 0
    wanting: list[dict[str, Any]] = []
    swollen: list[dict[str, Any]] = []
    for crossing in every:
        real, other = crossing.counts["train"], crossing.counts[side]
        could, did = which(real, other, trained, rows, level)
        considered += int(could.sum())
        expected = real / trained * rows
        grown = _at_least(real, other, trained, rows, 1 / HALF, level)
        for place, into in ((np.flatnonzero(did), wanting), (np.flatnonzero(grown), swollen)):
            into += [
                {"group": crossing.group(int(i)).name, "rows": int(other[i]), "expected": round(float(expected[i]), 1)}
                for i in place
            ]
    for found in (wanting, swollen):
        found.sort(key=lambda entry: -entry["expected"])
    return considered, wanting, swollen


def _erased(real: np.ndarray, other: np.ndarray, trained: int, rows: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    could = _at_most(real, np.zeros_like(other), trained, rows, 1.0, level)
    return could, could & (other == 0)


def _shrunk(real: np.ndarray, other: np.ndarray, trained: int, rows: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    could = _at_most(real, np.zeros_like(other), trained, rows, HALF, level)
    return could, _at_most(real, other, trained, rows, HALF, level)


def _at_most(real: np.ndarray, other: np.ndarray, trained: int, rows: int, ratio: float, level: float) -> np.ndarray:
    """Whether so few rows, or fewer, have a probability of at most `level` at `ratio` times the real rate.

    Of all rows of the group in both tables together, those in the second are binomial: exact, the real rate being unknown.
    """
    from scipy.stats import binom

    return np.asarray((binom.cdf(other, real + other, _part(trained, rows, ratio)) <= level) & (real > 0))


def _at_least(real: np.ndarray, other: np.ndarray, trained: int, rows: int, ratio: float, level: float) -> np.ndarray:
    """The same of so many rows or more."""
    from scipy.stats import binom

    return np.asarray((binom.sf(other - 1, real + other, _part(trained, rows, ratio)) <= level) & (real > 0))


def _part(trained: int, rows: int, ratio: float) -> float:
    return rows * ratio / (trained + rows * ratio)
