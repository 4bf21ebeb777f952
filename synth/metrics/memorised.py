"""Training rows that come back changed a little, by a test that needs no model of what "a little" is by chance.

Equally many holdout rows stand beside the training rows. To rows that nothing was memorised for, the two are exchangeable: a
synthetic row lies as often far closer to a training row than to any holdout row as the other way round. The share of the one is
the figure, the share of the other its reference. A larger training table is compared block by block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synth.metrics.combinations import prints
from synth.metrics.distance import neighbours, positions
from synth.metrics.evidence import Evidence
from synth.metrics.intervals import wilson, z_of
from synth.metrics.learners import draw
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

QUERIES = 10_000  # synthetic rows that are looked at
ROWS = 20_000  # holdout rows, and training rows of a block
BLOCKS = 4  # blocks of training rows
LEAST = 200  # holdout rows that are needed
CLOSER = 0.02  # the share of the one distance that the other must stay below
SUBSETS = 60  # sets of columns in which a row may be repeated
MOST = 0.3  # the share of the columns that may be changed in it, at least one
BY_CHANCE = 0.002  # real rows that agree with others in a set of columns which still names one
REPEATED = 0.1  # the share of these sets in which a row must agree with the one table and not with the other


@dataclass(frozen=True, eq=False)
class Sides:
    """Positions of the synthetic rows that are looked at, of the holdout rows, and of blocks of as many training rows."""

    fake: np.ndarray
    holdout: np.ndarray
    blocks: tuple[np.ndarray, ...]


def sides(evidence: Evidence) -> Sides:
    """Holdout rows and training rows, equally many. Raises SkipMetricError where there are too few."""
    if not evidence.rows("holdout"):
        raise SkipMetricError("there is no holdout to put beside the training rows")
    size = min(evidence.rows("train"), evidence.rows("holdout"), ROWS)
    if size < LEAST:
        raise SkipMetricError(f"{size} training and holdout rows are too few to compare nearness to both; {LEAST} are needed")
    order = evidence.rng("memorised.blocks").permutation(evidence.rows("train"))
    number = min(BLOCKS, len(order) // size)
    blocks = tuple(np.sort(order[i * size : (i + 1) * size]) for i in range(number))
    return Sides(draw(evidence, "synthetic", QUERIES, "memorised"), draw(evidence, "holdout", size, "memorised"), blocks)


@dataclass(frozen=True, eq=False)
class Near:
    """The two nearest rows of one table to each synthetic row: distances and positions, shape (rows, 2)."""

    distance: np.ndarray
    row: np.ndarray


def nearest_real(evidence: Evidence) -> tuple[Near, tuple[Near, ...]]:
    """From the same synthetic rows to the holdout rows, and to each block of training rows."""
    return evidence.once("nearest_real", lambda: _nearest_real(evidence))


def _nearest_real(evidence: Evidence) -> tuple[Near, tuple[Near, ...]]:
    chosen, place = sides(evidence), positions(evidence)
    fake = place["synthetic"][chosen.fake]
    blocks = tuple(Near(*neighbours(fake, place["train"][block], 2)) for block in chosen.blocks)
    return Near(*neighbours(fake, place["holdout"][chosen.holdout], 2)), blocks


@metric("privacy.memorised", better="lower", cost=1.5)
def memorised(evidence: Evidence) -> Iterator[Reading]:
    """Share of the synthetic rows fifty times nearer to a training row than to as many holdout rows; the reference swaps them.

    Copies count, and rows whose numbers were shaken a little; a row that is as near to a stranger does not. Wilson's intervals,
    at as many rows as tell something apart: several that lie by one real row are not independent.
    """
    held, blocks = nearest_real(evidence)
    found, swapped = [], []
    for i, block in enumerate(blocks):
        to_train, to_held = block.distance[:, 0], held.distance[:, 0]
        found.append((to_train < CLOSER * to_held, block.row[:, 0] + i * ROWS))
        swapped.append((to_held < CLOSER * to_train, held.row[:, 0]))
    yield _excess(found, swapped)


@metric("privacy.memorised_parts", better="lower", cost=0.5)
def memorised_parts(evidence: Evidence) -> Iterator[Reading]:
    """Share of the synthetic rows that repeat most cells of a training row and of no holdout row; the reference swaps them.

    Tried are random sets of more than two thirds of the columns in which hardly ever two real rows agree. What was changed in
    the other columns, and how much, makes no difference. Intervals as for `privacy.memorised`.
    """
    chosen = sides(evidence)
    seen = {
        "fake": prints(evidence, "synthetic", chosen.fake),
        "held": prints(evidence, "holdout", chosen.holdout),
        **{f"{i}": prints(evidence, "train", block) for i, block in enumerate(chosen.blocks)},
    }
    width = len(evidence.columns)
    rng = evidence.rng("memorised_parts.columns")
    found, swapped, telling = [], [], 0
    for i in range(len(chosen.blocks)):
        more, which, sets = np.zeros(len(chosen.fake)), {side: np.full(len(chosen.fake), -1) for side in ("train", "held")}, 0
        for _ in range(SUBSETS):
            columns = rng.permutation(width)[: rng.integers(max(1, int(width * (1 - MOST))), max(2, width))]
            fake, held, train = (seen[name][columns].sum(axis=0, dtype=np.uint64) for name in ("fake", "held", f"{i}"))
            if np.isin(held, train).mean() + np.isin(train, held).mean() > 2 * BY_CHANCE:
                continue
            sets += 1
            rows = {"train": _first_with(fake, train), "held": _first_with(fake, held)}
            more += (rows["train"] >= 0).astype(np.float64) - (rows["held"] >= 0)
            for side, row in rows.items():
                which[side] = np.where(row >= 0, row, which[side])
        telling += sets
        found.append(((more >= REPEATED * sets) & (more > 0), which["train"] + i * ROWS))
        swapped.append(((more <= -REPEATED * sets) & (more < 0), which["held"]))
    if not telling:
        raise NothingThereError("strangers agree in most columns so often that no agreement names a row")
    yield _excess(found, swapped, sets_of_columns=telling)


def _first_with(sought: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The position of a row with the same sum of prints, −1 where there is none."""
    order = np.argsort(among, kind="stable")
    place = np.minimum(np.searchsorted(among[order], sought), len(among) - 1)
    return np.where(among[order][place] == sought, order[place], -1)


# for each block: which synthetic rows hit, and the number of the real row that each of them would hit
Hits = list[tuple[np.ndarray, np.ndarray]]


def _excess(found: Hits, swapped: Hits, **detail: Any) -> Reading:
    """Both shares. Rows that hit one real row count as that row's one observation: by how much, both sides together say."""
    rows = len(found[0][0])
    groups = [np.bincount(np.concatenate([real[hit] for hit, real in hits])).astype(np.float64) for hits in (found, swapped)]
    count = [float(sizes.sum()) for sizes in groups]
    together = sum(float((sizes**2).sum()) for sizes in groups) / (sum(count) or 1.0) or 1.0  # rows that hit with a hit
    shares = [wilson(min(1.0, hits / rows) * rows / together, rows / together) for hits in count]
    return Reading(
        replace(shares[0], n=rows),
        replace(shares[1], n=rows),
        detail={"rows": rows, "found": int(count[0]), "swapped": int(count[1]), **detail}
        | {"reference": "as many holdout rows in the training rows' place"},
    )


@metric("privacy.dcr", better="lower", cost=0.1)
def dcr(evidence: Evidence) -> Iterator[Reading]:
    """Share of the synthetic rows nearer to a training row than to one of as many holdout rows; 0.5 is chance.

    An alarm that can only fail a table: tables that pass it are attacked with success (Yao et al. 2025, arXiv 2505.01524). Ties
    count half. The interval counts rows next to one real row together.
    """
    held, blocks = nearest_real(evidence)
    nearer, spread = [], []
    for block in blocks:
        to_train, to_held = block.distance[:, 0], held.distance[:, 0]
        won = np.where(to_train == to_held, 0.5, to_train < to_held)
        nearer.append(float(won.mean()))
        beside = np.where(to_train <= to_held, block.row[:, 0], held.row[:, 0] + block.row.max() + 1)
        sums = np.bincount(beside, weights=won - won.mean())
        spread.append(float((sums**2).sum()) / len(won) ** 2)
    fifth = [float(np.quantile(near.distance[:, 0], 0.05)) for near in (held, *blocks)]
    value, half = float(np.mean(nearer)), z_of() * float(np.sqrt(np.mean(spread)))
    score = Interval(value, max(0.0, value - half), min(1.0, value + half), len(held.distance))
    detail: dict[str, Any] = {"fifth_percentile": {"train": float(np.mean(fifth[1:])), "holdout": fifth[0]}}
    detail["reference"] = "chance: to rows that were not copied, training and holdout rows are the same"
    yield Reading(score, Interval(0.5, 0.5, 0.5, score.n), detail=detail)


@metric("privacy.nndr", better="higher", cost=0.1)
def nndr(evidence: Evidence) -> Iterator[Reading]:
    """Fifth percentile of nearest over second nearest distance to training rows; the reference is that to as many holdout rows.

    An alarm that can only fail a table, as `privacy.dcr` is. Two equal nearest rows give 1: neither is singled out. The
    interval is that of the percentile by order statistics.
    """
    held, blocks = nearest_real(evidence)
    pooled = [_percentile(block) for block in blocks]
    value, low, high = (float(np.mean([getattr(one, end) for one in pooled])) for end in ("value", "low", "high"))
    yield Reading(Interval(value, low, high, pooled[0].n), _percentile(held))


def _percentile(near: Near) -> Interval:
    ratio = np.ones(len(near.distance))
    np.divide(near.distance[:, 0], near.distance[:, 1], out=ratio, where=near.distance[:, 1] > 0)
    share = wilson(0.05 * len(ratio), len(ratio))
    value, low, high = (float(np.quantile(ratio, part)) for part in (0.05, share.low, share.high))
    return Interval(value, low, high, len(ratio))
