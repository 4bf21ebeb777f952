"""The accuracy of mostlyai-qa's report, version 1.10.11, for a flat table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from synth.data.schema import Kind
from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.histograms import GROUPS, Sample, counts, leave_out, total_variation
from synth.metrics.intervals import jackknife_error, normal
from synth.metrics.learners import draw
from synth.metrics.measurement import Interval
from synth.metrics.registry import Reading, SkipMetricError, metric

BINS = 10
SEARCHED = 1_000  # quantiles up to which more distinct edges are looked for
RARE = 5  # rows that a category needs to be kept
COLUMNS = 300  # the first ones by name
TRIPLES = 10_000
TEXT = 0.05  # share of values that occur once, beyond which a column of categories is taken for text
DIGITS = 5  # of each column's, pair's and triple's accuracy
LEAST = 100  # rows, of each table
MOST = 100_000  # likewise: the original's `max_sample_size_accuracy`, which is unlimited there by default
PRECISIONS = range(20)


@metric("fidelity.accuracy@mostlyai", better="higher", cost=0.6, on_request=True)
def accuracy(evidence: Evidence) -> Iterator[Reading]:
    """Accuracy of mostlyai-qa 1.10: mean of 1 − total variation over columns, over pairs and over triples of binned columns.

    In [0, 1]; the detail has its three parts and each one's `…_max`, what sampling noise alone would leave by the normal
    approximation. Quirks:

    - The original is the training *and* the holdout rows; the report's figures on real rows, `…_max`, come from a formula.
    - Numbers and moments are cut at about ten quantiles of the original, the largest value with what is below it; ten values or
      fewer keep a cell each (not moments: their two largest share one). Cuts are rounded down to as few digits as keep them
      apart. A synthetic value beyond the range counts as its end; booleans are numbers.
    - Of the categories the ten most frequent that have five rows are kept, null among them, and all others become one: rare
      ones cannot be missed. Which of equally frequent ones is tenth is chance there; the first in the schema's order here.
    - A column of categories with more than 5% of its values occurring once is taken for text there, and a random token of each
      value compared: such columns are left out here, and named in the detail.
    - Each accuracy is rounded to five digits. Of more than 10,000 triples so many are drawn, without a seed there.
    - Of more than 100,000 rows of a table as many are drawn here, none there by default (`max_sample_size_accuracy`).
    - Columns are taken by name, at most 300. Sequences, whose `coherence` is a fourth part, are not covered.

    Interval: the delete-a-group jackknife over the rows of all tables, the cells kept. Reference: the holdout rows in the
    synthetic ones' place, as many at most, against the training rows alone, their noise scaled to that of the figure's rows.
    """
    if min(evidence.rows("train"), evidence.rows("synthetic")) < LEAST:
        raise SkipMetricError(f"fewer than {LEAST} training or synthetic rows, for which the original has no report")
    columns = sorted(evidence.columns, key=lambda column: column.name)[:COLUMNS]
    real: tuple[Side, ...] = ("train", "holdout")
    text = [column.name for column in columns if any(_is_text(column, side) for side in ("train", "holdout", "synthetic"))]
    columns = [column for column in columns if column.name not in text]
    if not columns:
        raise SkipMetricError("the original takes every column for text")
    everything = {s: draw(evidence, s, MOST, "fidelity.accuracy@mostlyai") for s in (*real, "synthetic")}
    score, detail = _compare(evidence, columns, [(s, everything[s]) for s in real], ("synthetic", everything["synthetic"]))
    reference: Interval | None = None
    told: dict[str, Any] = {}
    if evidence.rows("holdout") >= LEAST:
        n, h, m = (len(everything[side]) for side in ("train", "holdout", "synthetic"))
        shrink = min(1.0, math.sqrt((1 / m + 1 / (n + h)) / (1 / min(h, m) + 1 / n)))
        held = draw(evidence, "holdout", min(MOST, evidence.rows("synthetic")), "fidelity.accuracy@mostlyai")
        reference, told = _compare(evidence, columns, [("train", everything["train"])], ("holdout", held), shrink)
    yield Reading(score, reference, detail={**detail, "reference_parts": told, "left_out": text})


Rows = tuple[Side, np.ndarray]


def _compare(
    evidence: Evidence, columns: list[Compared], real: list[Rows], other: Rows, shrink: float = 1.0
) -> tuple[Interval, dict[str, Any]]:
    """The accuracy of some rows against real ones, and its parts."""
    rng = evidence.rng("fidelity.accuracy@mostlyai.groups")
    cut = [_cut(column, real, other) for column in columns]
    samples = [_groups(sum(len(rows) for _, rows in tables), rng) for tables in (real, [other])]
    sizes = len(samples[0]), len(samples[1])
    parts, detail = [], {}
    for name, order, most in (("univariate", 1, None), ("bivariate", 2, None), ("trivariate", 3, TRIPLES)):
        chosen = list(combinations(range(len(columns)), order))
        if most is not None and len(chosen) > most:
            drawn = evidence.rng("fidelity.accuracy@mostlyai.triples").permutation(len(chosen))[:most]
            chosen = [chosen[i] for i in np.sort(drawn)]
        if not chosen:
            continue
        total, ceiling = np.zeros(1 + samples[0].groups), 0.0
        for which in chosen:
            found, best = _accuracy([cut[i] for i in which], samples, sizes, shrink)
            total, ceiling = total + found, ceiling + best
        parts.append(total / len(chosen))
        detail[name], detail[f"{name}_max"] = float(parts[-1][0]), ceiling / len(chosen)
    overall = np.mean(parts, axis=0)
    detail["overall_max"] = float(np.mean([v for k, v in detail.items() if k.endswith("_max")]))
    return normal(float(overall[0]), jackknife_error(overall[1:]), sizes[1], (0.0, 1.0)), detail


def _groups(rows: int, rng: np.random.Generator) -> Sample:
    return Sample("train", np.arange(rows), rng.permutation(rows) % GROUPS, GROUPS)


def _accuracy(cut: list[Cut], samples: list[Sample], sizes: tuple[int, int], shrink: float) -> tuple[np.ndarray, float]:
    """1 − total variation of a joint table, of all rows (rounded) and without each group; and what noise alone would leave."""
    total = int(np.prod([levels for _, _, levels in cut]))
    cell = [np.ravel_multi_index([c[which] for c in cut], [c[2] for c in cut]) for which in (0, 1)]
    real, other = (leave_out(counts(codes, total, sample)) for codes, sample in zip(cell, samples))
    found = 1 - total_variation(real, other, shrink)
    found[0] = np.round(found[0], DIGITS)
    p = real[0] / sizes[0]
    noise = np.sqrt(2 / np.pi * p * (1 - p) * (1 / sizes[0] + 1 / sizes[1])).sum()
    return found, float(np.round(1 - noise / 2, DIGITS))


Cut = tuple[np.ndarray, np.ndarray, int]  # the cells of the real rows, of the others, and their number


def _cut(column: Compared, real: list[Rows], other: Rows) -> Cut:
    """The cell of each row; nulls have one of their own."""
    known = np.concatenate([column.of(side)[rows] for side, rows in real])
    judged = column.of(other[0])[other[1]]
    if column.column.kind is Kind.BOOLEAN:
        known, judged = (np.where(v < 0, np.nan, v.astype(np.float64)) for v in (known, judged))
    elif column.is_category:
        return _frequent(known, judged, column)
    breaks = _breaks(known[~np.isnan(known)], column.column.kind is Kind.DATETIME)
    cells = []
    for values in (known, judged):
        place = np.clip(np.searchsorted(breaks[:-1], values, "right") - 1, 0, len(breaks) - 2)
        cells.append(np.where(np.isnan(values), len(breaks) - 1, place))
    return cells[0], cells[1], len(breaks)


def _breaks(values: np.ndarray, moments: bool) -> np.ndarray:
    """The edges of the cells, in order, with the largest value last."""
    distinct = np.unique(values)
    if len(distinct) == 0 or (moments and len(distinct) == 1):
        return np.array([-np.inf, np.inf])
    if moments:
        return _searched(np.sort(values))
    edges = np.append(distinct, distinct[-1] + 1) if len(distinct) <= BINS else _searched(np.sort(values))
    for digits in PRECISIONS:
        rounded = np.floor(edges * 10.0**digits) / 10.0**digits
        if len(np.unique(rounded)) == len(edges):
            return np.append(rounded[:-1], edges[-1])
    return edges


def _searched(ordered: np.ndarray) -> np.ndarray:
    """Distinct values at evenly spaced places among ordered ones: of so many places that there are more than ten of them."""
    edges = ordered[:0]
    for places in range(BINS, max(BINS + 1, min(SEARCHED, len(ordered) + 1))):
        edges = np.unique(ordered[np.linspace(0, len(ordered) - 1, places).astype(int)])
        if len(edges) > BINS:
            break
    return edges


def _frequent(known: np.ndarray, judged: np.ndarray, column: Compared) -> Cut:
    """The ten most frequent categories of the real rows, null among them; then all others; null has a cell in any case."""
    levels = column.levels or 0
    tally = np.bincount(np.where(known < 0, levels, known), minlength=levels + 1)
    kept = np.argsort(-tally, kind="stable")[:BINS]
    kept = kept[tally[kept] >= RARE]
    place = np.full(levels + 1, len(kept))
    place[kept] = np.arange(len(kept))
    place[levels] = place[levels] if levels in kept else len(kept) + 1
    return place[known], place[judged], len(kept) + 2


def _is_text(column: Compared, side: Side) -> bool:
    if not column.is_category or column.column.kind is Kind.BOOLEAN:
        return False
    values = column.of(side)
    tally = np.bincount(values[values >= 0], minlength=column.levels or 0)
    return len(values) > 0 and float((tally == 1).sum()) / len(values) > TEXT
