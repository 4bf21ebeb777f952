"""Whether the other columns give a sensitive one away, as they do among real rows: no more, no less."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from synth.metrics.evidence import Evidence, Side
from synth.metrics.groups import Division, divisions
from synth.metrics.intervals import auc_parts, logit_interval
from synth.metrics.learners import Judge, features
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

CAP = 6_000  # rows of each table, half of them to learn from and half to test on, in turns
TREES = 25  # boosting rounds: enough to see a proxy, and a fifth of what the judges take
MOST = 6  # sensitive columns that are looked at, in the schema's order
CLASSES = 3  # groups of a column that are told apart, the largest ones; all others are one more
LEAST = 30  # rows of a group in each half of a table
SPREAD = 0.5  # the variance by the training rows as a share of that by the test rows: measured on Adult and Diabetes130


@metric("fairness.proxy_leakage", better="nearer", cost=2.5)
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
        try:
            score, shown = _area(evidence, division, "synthetic", rows)
            real, real_shown = _area(evidence, division, "holdout", rows) if held else (None, None)
        except SkipMetricError as reason:
            yield Reading(columns=(division.name,), skipped=str(reason))
            continue
        yield Reading(
            score,
            real,
            columns=(division.name,),
            detail={"groups": shown, "reference_groups": real_shown, "rows": rows},
        )


def _area(evidence: Evidence, division: Division, side: Side, rows: int) -> tuple[Interval, dict[str, float]]:
    inputs = tuple(column for column in evidence.columns if column.name != division.name)
    drawn = evidence.rng(f"proxies.{side}").permutation(evidence.rows(side))[:rows]
    X, y = features(inputs, side, drawn), _classes(division)[division.codes[side][drawn]]
    first = np.arange(rows) < rows // 2
    labels = [division.labels[code] for code in _largest(division)] + ["others"]
    sizes = [np.bincount(y[half], minlength=len(labels)) for half in (first, ~first)]
    there = np.flatnonzero(np.minimum(*sizes) >= LEAST)
    if len(there) < 2:
        raise SkipMetricError(f"insufficient: fewer than two groups have {LEAST} rows in each half of the {side} rows")
    areas, spread, each = [], 0.0, np.zeros((2, len(there)))
    for turn, half in enumerate((first, ~first)):
        known = half & np.isin(y, there)
        asked = ~half & np.isin(y, there)
        judge = Judge.of_classes(inputs, X[known], y[known], evidence.seed, TREES)
        said = judge.chances(X[asked])
        value, influence = _mean_area(y[asked], said, there, each[turn])
        areas.append(value)
        spread += float((influence**2).sum()) / len(influence) ** 2 / 4
    error = math.sqrt(spread * (1 + SPREAD))
    shown = {labels[code]: float(area) for code, area in zip(there, each.mean(axis=0))}
    return logit_interval(float(np.mean(areas)), error, rows), shown


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
