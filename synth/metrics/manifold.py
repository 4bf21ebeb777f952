"""Whether synthetic rows lie where real rows lie, and whether they reach everywhere that real rows do, by neighbours.

α-precision and β-recall after Alaa et al., "How faithful is your synthetic data?" (ICML 2022), in the form without a learned
embedding; density and coverage after Naeem et al., "Reliable fidelity and diversity metrics for generative models" (ICML 2020).
Rows are the points of `positions`. All four rest on the same draw of equally many training, synthetic and holdout rows, since
distances to neighbours shrink as rows are added. Precision and density say nothing about copies: a table of training rows
excels in all four.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.metrics.distance import around, neighbours, points
from synth.metrics.evidence import Evidence, Side
from synth.metrics.intervals import LEVEL, normal, wilson, z_of
from synth.metrics.learners import draw
from synth.metrics.measurement import Interval
from synth.metrics.registry import Reading, SkipMetricError, metric

ROWS = 10_000  # rows per table: the search costs their square, and errors are below half a point
NEIGHBOURS = 5  # k of density and coverage, as in the paper
MOST_DENSE = ROWS / NEIGHBOURS  # density where every synthetic row lies in every neighbourhood
ALPHAS = np.linspace(0, 1, 30)  # levels of α-precision and β-recall, as in the authors' code
FEWEST_PARTS, MOST_PARTS = 5, 20  # disjoint parts of the rows that the spread is estimated from
IN_PART = 100  # rows that each of them should have
LEAST = 250  # rows of each table below which a part has too few neighbours to scatter as the whole does
LEAST_IN_CATEGORY = 50  # training rows of a category before its own coverage is told
WORST = 20  # categories named in the detail


@dataclass(frozen=True, eq=False)
class Cloud:
    """The training rows' neighbourhoods, shape (n,) each: how far the nearest other one is, the k-th, and the centre."""

    points: np.ndarray  # shape (n, dimensions)
    first: np.ndarray
    kth: np.ndarray
    centre: np.ndarray  # shape (dimensions,)
    radius: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray) -> Cloud:
        """The neighbourhoods of points among themselves."""
        far, _ = neighbours(points, points, NEIGHBOURS, exclude_self=True)
        centre = points.mean(axis=0, dtype=np.float64)
        return cls(points, far[:, 0], far[:, -1], centre, _from(centre, points))


@dataclass(frozen=True, eq=False)
class Support:
    """What n other rows look like from n training rows."""

    figures: dict[str, float]
    precision: np.ndarray  # P(α): share of the others within the ball that holds the share α of the training rows
    recall: np.ndarray  # R(β): share of the training rows reached by the others' innermost share β
    covered: np.ndarray  # shape (n,): which training rows have one of the others in their neighbourhood


def support(cloud: Cloud, other: np.ndarray) -> Support:
    """All four figures of other rows, shape (n, dimensions) with n as in the cloud."""
    precision = alpha_curve(cloud.radius, _from(cloud.centre, other))
    far, who, inside, _ = around(cloud.points, other, cloud.kth)
    recall = beta_curve(far <= cloud.first, _from(other.mean(axis=0, dtype=np.float64), other)[who])
    figures = {
        "alpha_precision": closeness(precision),
        "beta_recall": closeness(recall),
        "density": float(inside.sum()) / (NEIGHBOURS * len(other)),
        "coverage": float((inside > 0).mean()),
    }
    return Support(figures, precision, recall, inside > 0)


def alpha_curve(real: np.ndarray, other: np.ndarray) -> np.ndarray:
    """P(α) for each of ALPHAS from distances to the real rows' centre: the others' share within the real α-quantile."""
    edges = np.quantile(real, ALPHAS)
    return np.asarray(np.searchsorted(np.sort(other), edges, "right") / len(other))


def beta_curve(reached: np.ndarray, outward: np.ndarray) -> np.ndarray:
    """R(β) for each of ALPHAS: the share of the real rows that are reached, by a row no farther out than the β-quantile.

    reached: which real rows have a synthetic row as near as another real row; outward: how far that row lies from the synthetic
    rows' centre. Both of shape (real rows,).
    """
    edges = np.quantile(outward, ALPHAS)
    return np.asarray(np.searchsorted(np.sort(outward[reached]), edges, "right") / len(reached))


def closeness(curve: np.ndarray) -> float:
    """Δ = 1 − Σ|α − P(α)| / Σα: 1 where the curve is the diagonal."""
    return float(1 - np.abs(ALPHAS - curve).sum() / ALPHAS.sum())


def _from(centre: np.ndarray, points: np.ndarray) -> np.ndarray:
    gap = points - centre
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", gap, gap)))


@dataclass(frozen=True, eq=False)
class Judged:
    """The figures of one table's rows with their intervals."""

    support: Support
    intervals: dict[str, Interval]


@dataclass(frozen=True, eq=False)
class Manifold:
    """The synthetic rows, and holdout rows in their place, from the same training rows."""

    rows: np.ndarray  # positions of those training rows, shape (n,)
    synthetic: Judged
    holdout: Judged | None


def manifold(evidence: Evidence) -> Manifold:
    """Neighbourhoods of equally many rows of each table, shared by the four metrics. Raises SkipMetricError."""
    return evidence.once("manifold", lambda: _manifold(evidence))


def _manifold(evidence: Evidence) -> Manifold:
    sides: list[Side] = ["synthetic"] if not evidence.rows("holdout") else ["synthetic", "holdout"]
    n = min(ROWS, evidence.rows("train"), *(evidence.rows(side) for side in sides))
    if n < LEAST:
        raise SkipMetricError(f"{n} rows are too few to tell neighbourhoods by; {LEAST} are needed in each table")
    rows = draw(evidence, "train", n, "manifold")
    other = {side: points(evidence, side, draw(evidence, side, n, "manifold")) for side in sides}
    cloud = Cloud.of(points(evidence, "train", rows))
    small = [Cloud.of(cloud.points[part]) for part in _parts(n, evidence.rng("manifold.train"))]
    judged = [_judge(cloud, small, other[side], _parts(n, evidence.rng(f"manifold.{side}"))) for side in sides]
    return Manifold(rows, judged[0], judged[1] if len(judged) > 1 else None)


def _parts(n: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Disjoint parts of n rows, equally large but for one row."""
    order = rng.permutation(n)
    return [np.sort(part) for part in np.array_split(order, min(MOST_PARTS, max(FEWEST_PARTS, n // IN_PART)))]


def _judge(cloud: Cloud, small: list[Cloud], other: np.ndarray, parts: list[np.ndarray]) -> Judged:
    """The figures of all rows, with intervals from how much those of disjoint parts scatter.

    The variance of such figures falls with the number of rows, whatever they are: that of the whole is that of one part over
    the number of parts. (Leaving out rows in turn would overstate it, since each row's neighbours then change as well.)
    """
    whole = support(cloud, other)
    each = [support(part, other[rows]).figures for part, rows in zip(small, parts)]
    n, value = len(other), whole.figures
    scatter = {name: np.array([figures[name] for figures in each]) for name in value}
    error = {name: float(of.std(ddof=1)) * _few(len(each)) / math.sqrt(len(each)) for name, of in scatter.items()}
    intervals = {
        "alpha_precision": normal(value["alpha_precision"], error["alpha_precision"], n, (0.0, 1.0)),
        "beta_recall": _rate(value["beta_recall"], error["beta_recall"], scatter["beta_recall"], n),
        "density": normal(value["density"], error["density"], n, (0.0, MOST_DENSE)),
        "coverage": _rate(value["coverage"], error["coverage"], scatter["coverage"], n),
    }
    return Judged(whole, intervals)


def _rate(value: float, error: float, parts: np.ndarray, n: int) -> Interval:
    """A share of n dependent rows: Wilson's interval at the number of independent rows that would scatter as the parts do.

    Near 0 and 1 parts scatter little by chance; n independent rows are the most that the interval grants.
    """
    mean = (parts.mean() * n + 2) / (n + 4)
    independent = n / max(1.0, error**2 * n / (mean * (1 - mean)))
    found = wilson(value * independent, independent)
    return Interval(value, found.low, found.high, n)


def _few(parts: int) -> float:
    """What widens a normal interval to Student's where the spread comes from few parts."""
    from scipy.special import stdtrit

    return float(stdtrit(parts - 1, 0.5 + LEVEL / 2)) / z_of()


@metric("fidelity.alpha_precision", better="higher", cost=2.0)
def alpha_precision(evidence: Evidence) -> Iterator[Reading]:
    """How nearly the balls that hold a share α of the training rows hold the same share of the synthetic rows; 1 is exactly.

    Δ over 30 levels, about the training rows' centre. It sees how far out rows lie and nothing else: relations need not hold.
    """
    found = manifold(evidence)
    yield _reading(found, "alpha_precision", {"alphas": _rounded(ALPHAS)}, "precision")


@metric("fidelity.beta_recall", better="higher", cost=0.1)
def beta_recall(evidence: Evidence) -> Iterator[Reading]:
    """How much of the training rows the synthetic rows reach, as near as another training row is; fresh rows score about ½.

    Δ over 30 levels β of the synthetic rows' innermost share. More than fresh rows reach is no virtue: copies reach everything.
    """
    found = manifold(evidence)
    yield _reading(found, "beta_recall", {"betas": _rounded(ALPHAS)}, "recall")


@metric("fidelity.density", better="nearer", bounds=(0.0, MOST_DENSE), cost=0.1)
def density(evidence: Evidence) -> Iterator[Reading]:
    """How many training rows' neighbourhoods a synthetic row lies in, over the five expected; fresh rows score about 1.

    Less: rows lie where no real rows are; more: they crowd where real rows are dense. In a table that repeats itself many rows
    are equally far away, and fresh rows score far more than 1.
    """
    yield _reading(manifold(evidence), "density", {"neighbours": NEIGHBOURS})


@metric("fidelity.coverage", better="higher", cost=0.1)
def coverage(evidence: Evidence) -> Iterator[Reading]:
    """Share of the training rows with a synthetic row among their five nearest neighbours' reach; fresh rows cover about .97.

    The detail names the categories whose rows are covered the least, against fresh rows.
    """
    found = manifold(evidence)
    yield _reading(found, "coverage", {"neighbours": NEIGHBOURS, "worst": _least_covered(evidence, found)})


def _reading(found: Manifold, name: str, detail: dict[str, Any], curve: str | None = None) -> Reading:
    score = found.synthetic.intervals[name]
    if curve is not None:
        detail["curve"] = _rounded(getattr(found.synthetic.support, curve))
    if found.holdout is None:
        return Reading(score, detail=detail)
    if curve is not None:
        detail["reference_curve"] = _rounded(getattr(found.holdout.support, curve))
    return Reading(score, found.holdout.intervals[name], detail=detail)


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]


def _least_covered(evidence: Evidence, found: Manifold) -> list[dict[str, Any]]:
    """The categories with enough training rows, by how much less of them is covered than by fresh rows, or at all."""
    covered = found.synthetic.support.covered
    by_real = np.ones(len(covered), dtype=bool) if found.holdout is None else found.holdout.support.covered
    told = []
    for column in evidence.columns:
        if not column.is_category:
            continue
        code, levels = column.train[found.rows], column.levels or 0
        cell = np.where(code < 0, levels, code)
        rows, mine, theirs = (
            np.bincount(cell, weights=w, minlength=levels + 1) for w in (np.ones(len(cell)), covered, by_real)
        )
        for level in np.flatnonzero((rows >= LEAST_IN_CATEGORY) & (mine < theirs)):
            name = column.label(int(level) if level < levels else -1)
            told.append((mine[level] / rows[level], theirs[level] / rows[level], int(rows[level]), column.name, name))
    told.sort(key=lambda one: one[0] - one[1])
    return [
        {
            "column": column,
            "category": name,
            "coverage": round(float(mine), 4),
            "reference": None if found.holdout is None else round(float(theirs), 4),
            "rows": rows,
        }
        for mine, theirs, rows, column, name in told[:WORST]
    ]
