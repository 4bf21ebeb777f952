"""Whether every group keeps its size, its outcomes and its use: judged group by group, and where groups cross.

Synthetic rows that look fair do not make models fair on real rows; each figure is about one group, and under 30 rows a group
is insufficient, never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from synth.metrics.evidence import SIDES, Compared, Evidence, Side
from synth.metrics.intervals import LEVEL, newcombe_magnitude, newcombe_stand_in, normal
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, metric
from synth.metrics.utility import NOTHING_LOST, contest, score, standard_error

LEAST = 30  # rows of a group in the training and in the holdout table
QUARTERS = (0.25, 0.5, 0.75)  # where a sensitive number is cut
MOST = 200  # groups beyond which intersections are left out, largest kept first


@dataclass(frozen=True, eq=False)
class Group:
    """Rows that share the value of a sensitive column, or of two: a boolean mask for each table."""

    name: dict[str, str]
    train: np.ndarray
    holdout: np.ndarray
    synthetic: np.ndarray

    def of(self, side: Side) -> np.ndarray:
        return {"train": self.train, "holdout": self.holdout, "synthetic": self.synthetic}[side]

    @property
    def insufficient(self) -> str:
        """Why the group is too small to judge, or ""."""
        sizes = {"training": int(self.train.sum()), "holdout": int(self.holdout.sum())}
        if not len(self.holdout):
            del sizes["holdout"]
        small = [f"{size} {side} rows" for side, size in sizes.items() if size < LEAST]
        return f"insufficient: the group has {' and '.join(small)}, {LEAST} are needed" if small else ""


def groups(evidence: Evidence) -> tuple[Group, ...]:
    """Every value of every sensitive column, nulls among them, and every crossing of two columns that occurs in training."""
    return evidence.once("groups", lambda: _groups(evidence))


def _groups(evidence: Evidence) -> tuple[Group, ...]:
    columns = [evidence.column(c.name) for c in evidence.train.schema.sensitive if c.is_learned]
    if not columns:
        raise NothingThereError("no sensitive column is named; name some with sensitive=")
    single = [[Group({column.name: label}, *masks) for label, masks in _values(column)] for column in columns]
    crossed = [
        Group(a.name | b.name, a.train & b.train, a.holdout & b.holdout, a.synthetic & b.synthetic)
        for first, second in combinations(single, 2)
        for a in first
        for b in second
    ]
    crossed = [group for group in crossed if group.train.any() or group.synthetic.any()]
    crossed.sort(key=lambda group: -int(group.train.sum()))
    alone = [group for column in single for group in column]
    return tuple(alone + crossed[: max(0, MOST - len(alone))])


def _values(column: Compared) -> Iterator[tuple[str, list[np.ndarray]]]:
    """The groups of one column: its categories, or the quarters of a number, and its nulls."""
    if column.is_category:
        for code in range(-1, column.levels or 0):
            masks = [column.of(side) == code for side in SIDES]
            if masks[0].any() or masks[2].any():
                yield column.label(code), masks
        return
    known = column.train[~np.isnan(column.train)]
    cuts = np.unique(np.quantile(known, QUARTERS, method="inverted_cdf")) if len(known) else np.empty(0)
    ends = [-np.inf, *cuts, np.inf]
    for low, high in pairwise(ends):
        masks = [(column.of(side) > low) & (column.of(side) <= high) for side in SIDES]
        if masks[0].any() or masks[2].any():
            yield _span(low, high), masks
    masks = [column.null(side) for side in SIDES]
    if masks[0].any() or masks[2].any():
        yield "null", masks


def _span(low: float, high: float) -> str:
    if np.isinf(low) and np.isinf(high):
        return "any"
    return f"≤ {high:g}" if np.isinf(low) else (f"> {low:g}" if np.isinf(high) else f"{low:g} to {high:g}")


@metric("fairness.group_share", better="lower")
def group_share(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: the difference between its synthetic and its training share."""
    for group in groups(evidence):
        if group.insufficient:
            yield Reading(group=group.name, skipped=group.insufficient)
            continue
        real, fake = _rate(group.train), _rate(group.synthetic)
        detail: dict[str, Any] = {"share": fake[0] / fake[1], "real_share": real[0] / real[1], "rows": fake[0]}
        detail["ratio"] = detail["share"] / detail["real_share"]
        yield Reading(
            newcombe_magnitude(*fake, *real),
            newcombe_stand_in(*_rate(group.holdout), *real, fake[1]) if len(group.holdout) else None,
            group=group.name,
            detail=detail,
        )


def _rate(mask: np.ndarray) -> tuple[int, int]:
    return int(mask.sum()), len(mask)


@metric("fairness.label_gap", better="lower")
def label_gap(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: how far the share of its rows in a target class is from the training rows'.

    Two classes: either of them. More: the class that is furthest off, its interval corrected for the choice. A number: the
    rows above the median of all training rows.
    """
    target = evidence.target
    if target is None:
        raise NothingThereError("no target is named; name one with target=")
    outcomes = _outcomes(target)
    level = 1 - (1 - LEVEL) / max(1, len(outcomes))
    known = {side: ~target.null(side) for side in SIDES}
    for group in groups(evidence):
        if target.name in group.name:
            continue
        rows = {side: group.of(side) & known[side] for side in SIDES}
        short = group.insufficient or _too_few(int(rows["synthetic"].sum()), "synthetic rows with a known target")
        if short:
            yield Reading(group=group.name, skipped=short)
            continue
        gaps = {label: _outcome_gap(hits, rows, "synthetic", level) for label, hits in outcomes.items()}
        worst = max(gaps, key=lambda label: gaps[label].value)
        detail = {
            "class": worst,
            "share": _share(outcomes[worst], rows, "synthetic"),
            "real_share": _share(outcomes[worst], rows, "train"),
        }
        held = [_outcome_gap(hits, rows, "holdout", level) for hits in outcomes.values()] if rows["holdout"].any() else []
        reference = max(held, key=lambda gap: gap.value, default=None)
        yield Reading(gaps[worst], reference, group=group.name, detail=detail)


def _outcomes(target: Compared) -> dict[str, dict[Side, np.ndarray]]:
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


@metric("fairness.tstr_gap", better="lower", bounds=(-1.0, 1.0))
def tstr_gap(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: what its holdout rows lose when the model is trained on synthetic instead of real rows."""
    play = contest(evidence)
    for group in groups(evidence):
        if play.target.name in group.name:
            continue
        rows = group.holdout[play.test]
        short = group.insufficient or _too_few(int(rows.sum()), "test rows")
        if short:
            yield Reading(group=group.name, skipped=short)
            continue
        fake, fake_parts = score(play, play.synthetic, rows)
        real, real_parts = score(play, play.real, rows)
        if math.isnan(fake):
            yield Reading(group=group.name, skipped="insufficient: the group's test rows hold too few rows of a second class")
            continue
        lost = max(-1.0, min(1.0, real - fake))
        detail = {"metric": play.metric, "synthetic": fake, "real": real, "reference": NOTHING_LOST}
        found = normal(lost, standard_error(real_parts - fake_parts), int(rows.sum()), (-1.0, 1.0))
        yield Reading(found, Interval(0.0, 0.0, 0.0, found.n), group=group.name, detail=detail)


def _too_few(rows: int, what: str) -> str:
    return f"insufficient: the group has {rows} {what}, {LEAST} are needed" if rows < LEAST else ""
