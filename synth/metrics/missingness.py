"""Whether cells are missing together as they are among the real rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.histograms import DENSE, Pairing, counts, pairings, replicates, subsampled, total_variation
from synth.metrics.registry import NothingThereError, Reading, metric

ROWS = 500_000  # rows per table whose patterns are counted
WORST = 20  # patterns and columns named in the detail
NAMED = 12  # columns of one pattern that are named


@metric("fidelity.missingness", better="lower")
def missingness(evidence: Evidence) -> Iterator[Reading]:
    """Total variation of the patterns of which cells of a row are null together.

    Patterns with fewer than five training rows, and those that training never saw, are one. The interval is a delete-a-group
    jackknife's. The rate of nulls of each column stands in the detail.
    """
    sides: tuple[Side, ...] = ("train", "synthetic", *(("holdout",) if evidence.rows("holdout") else ()))
    columns = [c for c in evidence.columns if any(c.null(side).any() for side in sides)]
    if not columns:
        raise NothingThereError("no cell of any table is null")
    judged, real = pairings(evidence, "fidelity.missingness", ROWS)
    pattern, masks = _patterns(evidence, columns, sides)
    errors = _errors(judged, pattern, len(masks) + 1)
    held = None if real is None else _errors(real, pattern, len(masks) + 1)
    share = {side: np.bincount(pattern[side], minlength=len(masks) + 1) / len(pattern[side]) for side in sides}
    yield Reading(
        subsampled(errors, judged),
        None if held is None or real is None else subsampled(held, real),
        detail={
            "columns": _rates(columns, sides),
            "worst": _worst(columns, masks, share),
            "patterns": len(masks),
        },
    )


def _patterns(
    evidence: Evidence, columns: list[Compared], sides: tuple[Side, ...]
) -> tuple[dict[Side, np.ndarray], np.ndarray]:
    """For each row the number of its pattern, and which columns are null in each pattern: shape (patterns, columns).

    Patterns are told apart by sums of random 64-bit numbers, one for each null column. The number after the last pattern is
    that of all that are too rare.
    """
    word = evidence.rng("fidelity.missingness.words").integers(0, 2**64, len(columns), dtype=np.uint64)
    told: dict[Side, np.ndarray] = {}
    for side in sides:
        told[side] = np.zeros(evidence.rows(side), dtype=np.uint64)
        for column, number in zip(columns, word):
            told[side][column.null(side)] += number
    known, first, times = np.unique(told["train"], return_index=True, return_counts=True)
    frequent = times >= DENSE
    known, first = known[frequent], first[frequent]
    out: dict[Side, np.ndarray] = {}
    for side in sides:
        place = np.searchsorted(known, told[side])
        found = (
            known[np.minimum(place, max(len(known) - 1, 0))] == told[side] if len(known) else np.zeros(len(place), dtype=bool)
        )
        out[side] = np.where(found, place, len(known))
    masks = (
        np.column_stack([column.null("train")[first] for column in columns])
        if len(known)
        else np.zeros((0, len(columns)), bool)
    )
    return out, masks


def _errors(pair: Pairing, pattern: dict[Side, np.ndarray], total: int) -> np.ndarray:
    train, other = (replicates(counts(pattern[s.side][s.rows], total, s)) for s in (pair.train, pair.other))
    return total_variation(train, other, pair.shrink)


def _rates(columns: list[Compared], sides: tuple[Side, ...]) -> dict[str, Any]:
    """The share of nulls of the columns where it is most different, on each side."""
    rate = {column.name: {side: float(column.null(side).mean()) for side in sides} for column in columns}
    order = sorted(rate, key=lambda name: -abs(rate[name]["train"] - rate[name]["synthetic"]))
    return {name: rate[name] for name in order[:WORST]}


def _worst(columns: list[Compared], masks: np.ndarray, share: dict[Side, np.ndarray]) -> list[dict[str, Any]]:
    """The patterns whose shares differ most."""
    gap = np.abs(share["train"] - share["synthetic"])
    out: list[dict[str, Any]] = []
    for place in np.argsort(-gap, kind="stable")[:WORST]:
        rare = place == len(masks)
        names = ["(rare patterns)"] if rare else [columns[i].name for i in np.flatnonzero(masks[place])]
        more = len(names) - NAMED
        shown = names if more <= 0 else [*names[:NAMED], f"(and {more} more)"]
        out.append({"null": shown, **{side: float(of[place]) for side, of in share.items()}})
    return out
