"""Whether any column can be predicted as well from models trained on synthetic rows: every column a target in turn.

One ridge regression of each column on indicators of all others: the categories, or the quantile bins of a number, nulls among
them. All of them come from one inverse: where Ω = (ZᵀZ + λ)⁻¹, the regression of block j on the rest has the coefficients
−Ω₋ⱼⱼ Ωⱼⱼ⁻¹. A column costs no more for being a target, and a model of some of the rows no more than an inverse.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.metrics.contest import TRAINED, between_parts, both, standard_error
from synth.metrics.evidence import SIDES, Compared, Evidence, Side
from synth.metrics.histograms import cells, real_edges
from synth.metrics.intervals import normal
from synth.metrics.learners import draw
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric
from synth.metrics.utility import NOTHING_LOST

ROWS = 20_000  # training rows of either side
TESTED = 10_000
COLUMNS = 250  # a seeded selection of more
FEATURES = 1_000  # indicators in all, about: of many columns each has fewer
MOST, FEWEST = 24, 3  # indicators of a column
PENALTY = 10.0  # rows' worth of ridge: rare categories say little
PARTS = 4  # of the training rows, to see how much training runs differ
RATE = 1.5  # least squares loses what is quadratic in its coefficients’ errors: between a mean’s 1 and the 2 of many rows
LEAST_TRAIN, LEAST_TEST = 200, 100
VARIED = 10  # test rows outside a column's commonest cell below which it cannot be judged
SHOWN = 20


@dataclass(frozen=True, eq=False)
class Block:
    """One column as indicators: their places in the matrix, and the value of each where the column is a number."""

    name: str
    place: slice
    values: np.ndarray | None  # rank of the middle of each bin, in [0, 1]; None for categories


@metric("utility.columns", better="lower", bounds=(-1.0, 1.0), cost=0.2)
def columns(evidence: Evidence) -> Iterator[Reading]:
    """What is lost on average over all columns, each predicted from all others, by training on synthetic rows.

    Of the share of a column's variance that is explained: R² of a number's rank, Goodman and Kruskal's τ of a category. Ridge
    regression on one-hot categories and quantile bins; the interval covers the draw of the test and of the training rows.
    """
    if not evidence.rows("holdout"):
        raise SkipMetricError("there is no holdout to test on")
    if len(evidence.columns) < 2:
        raise NothingThereError("a single column cannot be predicted from others")
    rows = min(ROWS, evidence.rows("train"), evidence.rows("synthetic"))
    if rows < LEAST_TRAIN or evidence.rows("holdout") < LEAST_TEST:
        raise SkipMetricError(
            f"{rows} training and {evidence.rows('holdout')} test rows are too few; {LEAST_TRAIN} and {LEAST_TEST} are needed"
        )
    chosen = _chosen(evidence)
    blocks, coded = _blocks(evidence, chosen)
    tested = _indicators(blocks, coded, "holdout", draw(evidence, "holdout", TESTED, "utility.columns"))
    asked = [block for block in blocks if _varies(tested, block)]
    if not asked:
        raise SkipMetricError("no column varies enough among the test rows")
    explained, parts = {}, []
    for side in TRAINED:
        Z = _indicators(blocks, coded, side, draw(evidence, side, rows, "utility.columns"))
        order = evidence.rng(f"utility.columns.parts.{side}").permutation(rows)
        sums = [_Sums.of(Z[order[k::PARTS]]) for k in range(PARTS)]
        explained[side] = _explained(_Sums.together(sums), asked, tested)
        parts.append([_on_average(_explained(part, asked, tested)) for part in sums])
    real, fake = explained["train"], explained["synthetic"]
    (real_mean, real_influence), (fake_mean, fake_influence) = _on_average(real), _on_average(fake)
    test = standard_error(real_influence - fake_influence) ** 2
    error = both(test, 2 * between_parts(parts, RATE), len(TRAINED) * (PARTS - 1))
    n = len(real_influence)
    yield Reading(
        normal(max(-1.0, min(1.0, real_mean - fake_mean)), error, n, (-1.0, 1.0)),
        Interval(0.0, 0.0, 0.0, n),
        detail={"reference": NOTHING_LOST} | _detail(evidence, rows, asked, real, fake),
    )


def _chosen(evidence: Evidence) -> list[Compared]:
    every = list(evidence.columns)
    if len(every) <= COLUMNS:
        return every
    picked = np.sort(evidence.rng("utility.columns").permutation(len(every))[:COLUMNS])
    return [every[j] for j in picked]


def _blocks(evidence: Evidence, chosen: list[Compared]) -> tuple[list[Block], list[dict[Side, np.ndarray]]]:
    """The columns' places, and for each column the place of every row's indicator."""
    most = int(np.clip(FEATURES // len(chosen), FEWEST, MOST))
    blocks: list[Block] = []
    coded: list[dict[Side, np.ndarray]] = []
    start = 0
    for column in chosen:
        edges = np.empty(0) if column.is_category else np.unique(real_edges(column.train, most - 1))
        found = {side: cells(column, side, edges)[0] for side in SIDES}
        total = cells(column, "train", edges)[1]
        tally = np.bincount(found["train"], minlength=total)
        if column.is_category and total > most:  # the commonest have their own, all others share the last
            kept = np.argsort(-tally, kind="stable")[: most - 1]
            book = np.full(total, most - 1)
            book[kept] = np.arange(most - 1)
            found = {side: book[codes] for side, codes in found.items()}
            total, tally = most, np.bincount(found["train"], minlength=most)
        values = None
        if not column.is_category:
            shares = tally / max(1, tally.sum())
            values = np.cumsum(shares) - shares / 2
        blocks.append(Block(column.name, slice(start, start + total), values))
        coded.append({side: codes + start for side, codes in found.items()})
        start += total
    return blocks, coded


def _indicators(blocks: list[Block], coded: list[dict[Side, np.ndarray]], side: Side, rows: np.ndarray) -> Any:
    """A sparse matrix of shape (rows, indicators), a single 1 in each block."""
    from scipy import sparse

    places = np.column_stack([codes[side][rows] for codes in coded])
    ends = np.arange(0, places.size + 1, places.shape[1])
    return sparse.csr_matrix((np.ones(places.size), places.ravel(), ends), shape=(len(rows), blocks[-1].place.stop))


def _varies(tested: Any, block: Block) -> bool:
    counts = np.asarray(tested[:, block.place].sum(axis=0)).ravel()
    return bool(tested.shape[0] - counts.max() >= VARIED)


@dataclass(frozen=True, eq=False)
class _Sums:
    """What a ridge regression needs to know of its rows: how many, their sum and the sum of their products."""

    rows: int
    total: np.ndarray
    products: np.ndarray

    @classmethod
    def of(cls, Z: Any) -> _Sums:
        return cls(Z.shape[0], np.asarray(Z.sum(axis=0)).ravel(), np.asarray((Z.T @ Z).todense()))

    @classmethod
    def together(cls, parts: list[_Sums]) -> _Sums:
        return cls(sum(p.rows for p in parts), sum(p.total for p in parts), sum(p.products for p in parts))  # type: ignore[arg-type]

    def inverse(self) -> np.ndarray:
        """(ZᵀZ + λ)⁻¹ of the centred indicators."""
        from scipy.linalg import cho_factor, cho_solve

        centred = self.products - np.outer(self.total, self.total) / self.rows
        centred[np.diag_indices_from(centred)] += PENALTY
        return np.asarray(cho_solve(cho_factor(centred), np.eye(len(centred))))


def _explained(sums: _Sums, asked: list[Block], tested: Any) -> dict[str, tuple[float, np.ndarray]]:
    """For each column the share of its variance among the test rows that a model predicts, and each row's influence on it."""
    inverse, middle = sums.inverse(), sums.total / sums.rows
    found = {}
    for block in asked:
        values = np.eye(block.place.stop - block.place.start) if block.values is None else block.values[:, None]
        slopes = -inverse[:, block.place] @ np.linalg.solve(inverse[block.place, block.place], values)
        slopes[block.place] = 0.0
        said = tested @ slopes + (middle[block.place] @ values - middle @ slopes)
        found[block.name] = _share(np.asarray(tested[:, block.place] @ values), np.asarray(said))
    return found


def _share(truth: np.ndarray, said: np.ndarray) -> tuple[float, np.ndarray]:
    spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=1)
    missed = ((truth - said) ** 2).sum(axis=1)
    ratio, total = float(missed.mean() / spread.mean()), float(spread.mean())
    if ratio > 2:  # cut at −1
        return -1.0, np.zeros(len(truth))
    return 1 - ratio, -(missed - ratio * spread) / total


def _on_average(found: dict[str, tuple[float, np.ndarray]]) -> tuple[float, np.ndarray]:
    """The mean over columns; the test rows are the same, so that their influences add up."""
    return float(np.mean([value for value, _ in found.values()])), np.mean(
        [influence for _, influence in found.values()], axis=0
    )


def _detail(
    evidence: Evidence,
    rows: int,
    asked: list[Block],
    real: dict[str, tuple[float, np.ndarray]],
    fake: dict[str, tuple[float, np.ndarray]],
) -> dict[str, Any]:
    worst = sorted(asked, key=lambda block: fake[block.name][0] - real[block.name][0])[:SHOWN]
    told: dict[str, Any] = {
        "columns": {
            block.name: {
                "lost": real[block.name][0] - fake[block.name][0],
                "synthetic": fake[block.name][0],
                "real": real[block.name][0],
            }
            for block in worst
        },
        "training_rows": rows,
        "judged": len(asked),
        "synthetic": float(np.mean([value for value, _ in fake.values()])),
        "real": float(np.mean([value for value, _ in real.values()])),
    }
    if len(evidence.columns) > COLUMNS:
        told["selected"] = f"{COLUMNS} of {len(evidence.columns)} columns, by the seed"
    return told
