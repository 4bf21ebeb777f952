"""Whether rare categories, alone and two together, survive: generators lose first what they saw least."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.histograms import Cut, Pairing, counts, joint_counts, joint_cuts, leave_out, pairings
from synth.metrics.intervals import jackknife_error, normal
from synth.metrics.joint_tables import joints
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

RARE = 0.001, 0.05  # shares of the training rows between which a category is called rare
ROWS = 500_000  # rows per table whose categories are counted
EXPECTED = 10  # rows of a category that every table must have been expected to hold
WORST = 30  # categories named in the detail


@metric("fidelity.rare_categories", better="lower")
def rare_categories(evidence: Evidence) -> Iterator[Reading]:
    """Mean share that rare categories lost, of those with 0.1% to 5% of the training rows: 1 where all vanished.

    A category counts where ten rows of it are to be expected of every table; what one gained does not make up for what another
    lost. Chance takes from half of them, from the reference's as well. The interval is a delete-a-group jackknife's.
    """
    columns = [column for column in evidence.columns if column.is_category]
    if not columns:
        raise NothingThereError("no column holds categories")
    judged, real = pairings(evidence, "fidelity.rare_categories", ROWS)
    least = _least(judged, real)
    names: list[str] = []
    lost: dict[Side, list[np.ndarray]] = {pair.other.side: [] for pair in (judged, real) if pair is not None}
    for column in columns:
        rare = _rare(_times(column, judged), len(judged.train), least)
        names += [f"{column.name}={column.label(int(code))}" for code in rare]
        place = np.full((column.levels or 0) + 1, len(rare))
        place[rare] = np.arange(len(rare))  # all others, and the code of null, which is -1, come last
        for pair in (judged, real):
            if pair is not None and len(rare):
                tables = [
                    leave_out(counts(place[column.of(s.side)[s.rows]], len(rare) + 1, s)) for s in (pair.train, pair.other)
                ]
                lost[pair.other.side].append(_lost(tables[0], tables[1], np.arange(len(rare)), pair.shrink))
    if not names:
        raise SkipMetricError(
            f"no category has {RARE[0]:.1%} to {RARE[1]:.0%} of the training rows and {EXPECTED} rows to be expected"
        )
    yield _reading(lost, names, judged, real)


@metric("fidelity.rare_combinations", better="lower")
def rare_combinations(evidence: Evidence) -> Iterator[Reading]:
    """Mean share that rare combinations of two categories lost, of those with 0.1% to 5% of the training rows.

    As `fidelity.rare_categories`, for the cells of the joint tables of all pairs of columns that hold categories.
    """
    if sum(column.is_category for column in evidence.columns) < 2:
        raise NothingThereError("no two columns hold categories")
    cuts, pairs = joint_cuts(evidence), joints(evidence).pairs
    least = _least(cuts.judged, cuts.real)
    names: list[str] = []
    lost: dict[Side, list[np.ndarray]] = {pair.other.side: [] for pair in (cuts.judged, cuts.real) if pair is not None}
    for i, j in pairs:
        if not (evidence.columns[i].is_category and evidence.columns[j].is_category):
            continue
        both = cuts.columns[i], cuts.columns[j]
        train = leave_out(joint_counts(both, cuts.judged.train))
        rare = _rare(np.where(_named(both), train[0], 0), len(cuts.judged.train), least)
        names += [_combination(evidence, (i, j), both, int(cell)) for cell in rare]
        for pair in (cuts.judged, cuts.real):
            if pair is not None and len(rare):
                other = leave_out(joint_counts(both, pair.other))
                lost[pair.other.side].append(_lost(train, other, rare, pair.shrink))
    if not names:
        raise SkipMetricError(
            f"no combination has {RARE[0]:.1%} to {RARE[1]:.0%} of the training rows and {EXPECTED} to be expected"
        )
    yield _reading(lost, names, cuts.judged, cuts.real)


def _least(judged: Pairing, real: Pairing | None) -> int:
    """The fewest rows that a table has."""
    return min(len(judged.train), len(judged.other), *(() if real is None else (len(real.other),)))


def _times(column: Compared, judged: Pairing) -> np.ndarray:
    """How many training rows each category has: shape (levels,)."""
    codes = column.train[judged.train.rows]
    return np.bincount(codes[codes >= 0], minlength=column.levels or 0)


def _rare(times: np.ndarray, rows: int, least: int) -> np.ndarray:
    share = times / rows
    return np.flatnonzero((share >= RARE[0]) & (share <= RARE[1]) & (share * least >= EXPECTED))


def _named(columns: tuple[Cut, Cut]) -> np.ndarray:
    """Which cells are of two categories that have a name, and neither null nor the rest: shape (cells,)."""
    first, second = (np.arange(column.total) < column.total - 2 for column in columns)
    return np.asarray((first[:, None] & second).ravel())


def _combination(evidence: Evidence, pair: tuple[int, int], columns: tuple[Cut, Cut], cell: int) -> str:
    cells = divmod(cell, columns[1].total)
    return ", ".join(f"{cut.name}={evidence.columns[i].label(int(cut.kept[at]))}" for i, cut, at in zip(pair, columns, cells))


def _lost(train: np.ndarray, other: np.ndarray, cells: np.ndarray, shrink: float) -> np.ndarray:
    """The share of its expected rows that each of these cells lost: counts of shape (k, all cells) → (k, cells)."""
    expected = train[:, cells] / np.maximum(train.sum(axis=1, keepdims=True), 1)
    found = other[:, cells] / np.maximum(other.sum(axis=1, keepdims=True), 1)
    kept = found / np.where(expected > 0, expected, 1.0)
    return np.asarray(np.where(expected > 0, np.maximum(0.0, 1 - kept), 0.0) * shrink)


def _reading(lost: dict[Side, list[np.ndarray]], names: list[str], judged: Pairing, real: Pairing | None) -> Reading:
    whole = {side: np.concatenate(parts, axis=1) for side, parts in lost.items()}
    held = whole.get("holdout")
    beyond = whole["synthetic"][0] - (0.0 if held is None else held[0])
    worst: list[dict[str, Any]] = [
        {
            "category": names[place],
            "lost": float(whole["synthetic"][0, place]),
            "reference": None if held is None else float(held[0, place]),
        }
        for place in np.argsort(-beyond, kind="stable")[:WORST]
    ]
    return Reading(
        _mean(whole["synthetic"], judged),
        None if held is None or real is None else _mean(held, real),
        detail={"worst": worst, "considered": len(names)},
    )


def _mean(lost: np.ndarray, pair: Pairing) -> Interval:
    mean = lost.mean(axis=1)
    return normal(float(mean[0]), jackknife_error(mean[1:]), len(pair.other), (0.0, 1.0))
