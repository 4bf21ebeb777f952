"""Whether the other columns give a sensitive one away, as they do among real rows: no more, no less."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.groups import Division, divisions, per_person, shuffled, subjects
from synth.metrics.intervals import auc_parts, logit_interval
from synth.metrics.learners import Judge, features
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, metric

CAP = 6_000  # rows of each table, half of them to learn from and half to test on, in turns
TREES = 15  # boosting rounds: enough to see a proxy, and an eighth of what the judges take
MOST = 6  # sensitive columns that are looked at, in the schema's order
CLASSES = 3  # groups of a column that are told apart, the largest ones; all others are one more
LEAST = 30  # rows of a group in each half of a table
SPREAD = 0.5  # the variance by the training rows as a share of that by the test rows: measured on Adult and Diabetes130


@metric("fairness.proxy_leakage", better="nearer", cost=0.9)
def proxy_leakage(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive column: how well the other columns predict it within the synthetic rows, beside within real rows.

    Area under the ROC curve (its mean over the three largest groups and the rest, each against the others) of small boosted
    trees, learned on one half of a table and tested on the other, in turns; equally many rows of both tables. Above the
    reference, proxies were strengthened; below it, a model on these rows sees less of the sensitive column than on real ones.
    """
    parts = divisions(evidence)
    if len(evidence.columns) < 2:
        raise NothingThereError("there is no other column to predict the sensitive one from")
    held = evidence.rows("holdout")
    rows = min(CAP, evidence.rows("synthetic"), held or CAP)
    for division in parts[:MOST]:
        fake = _halves(evidence, division, "synthetic", rows)
        real = _halves(evidence, division, "holdout", rows) if held else None
        known = np.minimum(fake.sizes, fake.sizes if real is None else real.sizes) >= LEAST
        if known.sum() < 2:
            why = f"insufficient: fewer than two groups have {LEAST} rows in each half of the rows"
            yield Reading(columns=(division.name,), skipped=why)
            continue
        score, shown = _area(evidence, fake, np.flatnonzero(known))
        beside, real_shown = (None, None) if real is None else _area(evidence, real, np.flatnonzero(known))
        yield Reading(
            score,
            beside,
            columns=(division.name,),
            detail={"groups": shown, "reference_groups": real_shown, "rows": rows},
        )


@dataclass(frozen=True, eq=False)
class Halves:
    """Rows of one table in two halves, with the class of each that is to be predicted."""

    inputs: tuple[Compared, ...]
    X: np.ndarray
    y: np.ndarray
    first: np.ndarray
    labels: tuple[str, ...]
    who: np.ndarray | None  # whom each row is about, where the schema says

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each class in the half that has fewer."""
        return np.minimum(*(np.bincount(self.y[half], minlength=len(self.labels)) for half in (self.first, ~self.first)))


def _halves(evidence: Evidence, division: Division, side: Side, rows: int) -> Halves:
    inputs = tuple(column for column in evidence.columns if column.name != division.name)
    drawn = shuffled(evidence, side, np.arange(evidence.rows(side)), evidence.rng(f"proxies.{side}"))[:rows]
    who = subjects(evidence, side)
    labels = (*(division.labels[code] for code in _largest(division)), "others")
    y = _classes(division)[division.codes[side][drawn]]
    first = np.arange(rows) < rows // 2  # one person's rows lie in one half, but for one person
    return Halves(inputs, features(inputs, side, drawn), y, first, labels, None if who is None else who[drawn])


def _area(evidence: Evidence, at: Halves, classes: np.ndarray) -> tuple[Interval, dict[str, float]]:
    """The mean area of these classes, learned on one half and tested on the other, then the other way round."""
    areas, spread, each = [], 0.0, np.zeros((2, len(classes)))
    wanted = np.isin(at.y, classes)
    for turn, half in enumerate((at.first, ~at.first)):
        known, asked = half & wanted, ~half & wanted
        judge = Judge.of_classes(at.inputs, at.X[known], at.y[known], evidence.seed, trees=TREES)
        value, influence = _mean_area(at.y[asked], judge.chances(at.X[asked]), classes, each[turn])
        areas.append(value)
        spread += per_person(influence, None if at.who is None else at.who[asked]) / 4
    error = math.sqrt(spread * (1 + SPREAD))
    shown = {at.labels[code]: float(area) for code, area in zip(classes, each.mean(axis=0))}
    return logit_interval(float(np.mean(areas)), error, len(at.y)), shown


def _largest(division: Division) -> list[int]:
    """The largest groups among the training rows, in the column's order."""
    sizes = np.bincount(division.codes["train"], minlength=len(division.labels))
    return [int(code) for code in np.sort(np.argsort(-sizes, kind="stable")[: min(CLASSES, int((sizes > 0).sum()))])]


def _classes(division: Division) -> np.ndarray:
    """For each group the class that it is learned as: shape (groups,)."""
    largest = _largest(division)
    book = np.full(len(division.labels), len(largest), dtype=np.int64)
    book[largest] = np.arange(len(largest))
    return book


def _mean_area(truth: np.ndarray, said: np.ndarray, classes: np.ndarray, each: Any) -> tuple[float, np.ndarray]:
    """The mean area of the classes, each against the others, its rows' influences, and each class's area into `each`."""
    influence = np.zeros(len(truth))
    wanted = range(len(classes)) if len(classes) > 2 else (1,)
    for place in wanted:
        inside = truth == classes[place]
        area, v10, v01 = auc_parts(said[inside, place], said[~inside, place])
        influence[inside] += (v10 - area) * len(truth) / inside.sum() / len(wanted)
        influence[~inside] += (v01 - area) * len(truth) / (~inside).sum() / len(wanted)
        each[place] = area
    if len(classes) == 2:
        each[0] = each[1]
    return float(np.mean(each)), influence
