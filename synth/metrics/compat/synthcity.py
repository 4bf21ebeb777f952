"""AlphaPrecision of synthcity in its naive variant, on the columns that TabSyn and TabDiff give it.

Alaa, van Breugel, Saveliev and van der Schaar, "How Faithful is your Synthetic Data?", ICML 2022, as synthcity 0.2.12 computes
it (`metrics/eval_statistical.py`) from within TabSyn's `eval/eval_quality.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.histograms import GROUPS
from synth.metrics.intervals import jackknife_error, normal
from synth.metrics.learners import draw
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

ALPHAS = np.linspace(0, 1, 30)
LEAST = 3  # rows of each table
MOST = 35_000  # likewise, since every distance between two rows is taken: all of Adult's training rows


@dataclass(frozen=True, eq=False)
class Clouds:
    """Real and synthetic points, equally many, by their distances: each of shape (rows,).

    real_out, synthetic_out: to the mean of the real points. near_real: of a real point to its nearest other real one.
    near_synthetic: of a real point to its nearest synthetic one, number `nearest`, which lies `nearest_out` from the mean of
    the synthetic points.
    """

    real_out: np.ndarray
    synthetic_out: np.ndarray
    near_real: np.ndarray
    near_synthetic: np.ndarray
    nearest: np.ndarray
    nearest_out: np.ndarray

    def __len__(self) -> int:
        return len(self.real_out)

    @property
    def authenticity(self) -> float:
        """As in the original, which takes the number of a synthetic point for that of a real one."""
        return float(np.mean(self.near_real[self.nearest] < self.near_synthetic))


Figure = Callable[[Clouds, np.ndarray, np.ndarray], float]  # of the real and the synthetic points that are not left out


@metric("fidelity.alpha_precision@synthcity", better="higher", cost=40.0, on_request=True)
def alpha_precision(evidence: Evidence) -> Iterator[Reading]:
    """α-precision of synthcity's naive variant: how closely synthetic rows fill the balls that hold a share α of the real ones.

    1 − Σ|α − P(α)| / Σα over 30 α from 0 to 1, in [0, 1]; papers print it in percent. P(α) is the share of synthetic points
    within the α-quantile of the real points' distances to their mean. Points are numbers scaled to [0, 1] by the real range,
    then a 0/1 column for each category. Quirks:

    - synthcity's loader takes the last column for a target and drops it: the last category of the target, or of the last
      column of categories where the target is a number or there is none; the last number of a table without categories.
    - A target that is a number comes last among the numbers, one of classes last among the categories.
    - An uneven number of rows is an error there; here the larger table is drawn down to the smaller, and both to 35,000.
    - Missing numbers, and categories that no real row has, are errors there and skipped here; a missing category is a category.
    - Its detail has the original's "authenticity", whose bug is kept: it looks up a real point's neighbour under the number of
      a synthetic point.
    - A scaled number counts no more than one category, so that categories make most of a distance.

    Interval: the delete-a-group jackknife over the rows of both tables, neighbours kept. Reference: holdout rows in the
    synthetic ones' place, against equally many training rows; where they are fewer, it rests on fewer and is a little lower.
    """
    judged, real, why = _both(evidence)
    detail = {"rows": len(judged), "authenticity": judged.authenticity, "no_reference": why}
    yield Reading(_interval(judged, _precision), None if real is None else _interval(real, _precision), detail=detail)


@metric("fidelity.beta_recall@synthcity", better="higher", cost=0.1, on_request=True)
def beta_recall(evidence: Evidence) -> Iterator[Reading]:
    """β-recall of synthcity's naive variant: how much of the real rows has a synthetic row nearer than another real one.

    1 − Σ|β − R(β)| / Σβ over 30 β, in [0, 1]. R(β) is the share of real points whose nearest synthetic point is no farther than
    their nearest real one, and lies within the β-quantile of such points' distances to the synthetic mean. Real rows reach only
    about a half, and copies of the training rows 1: more is not always better. Quirks, interval and reference as for
    `fidelity.alpha_precision@synthcity`.
    """
    judged, real, why = _both(evidence)
    detail = {"rows": len(judged), "no_reference": why}
    yield Reading(_interval(judged, _recall), None if real is None else _interval(real, _recall), detail=detail)


def _both(evidence: Evidence) -> tuple[Clouds, Clouds | None, str]:
    def make() -> tuple[Clouds, Clouds | None, str]:
        judged = _clouds(evidence, "synthetic")
        try:
            return judged, _clouds(evidence, "holdout"), ""
        except SkipMetricError as reason:
            return judged, None, str(reason)

    return evidence.once("synthcity.clouds", make)


def _clouds(evidence: Evidence, side: Side) -> Clouds:
    rows = min(MOST, evidence.rows("train"), evidence.rows(side), evidence.rows("synthetic"))
    if rows < LEAST:
        raise SkipMetricError(f"{rows} rows of each table are too few; {LEAST} are needed")
    points = [_points(evidence, s, draw(evidence, s, rows, "synthcity")) for s in ("train", side)]
    if points[0].shape[1] < 2:
        raise NothingThereError("a single column, which the original's loader takes for the target")
    low, high = points[0].min(axis=0), points[0].max(axis=0)
    scale = np.where(high > low, high - low, 1.0)
    real, other = ((p / scale - low / scale)[:, :-1] for p in points)
    near_real = evidence.once(f"synthcity.real.{rows}", lambda: _neighbours(real, real, 2)[0][:, 1])
    return clouds(real, other, near_real)


def clouds(real: np.ndarray, synthetic: np.ndarray, near_real: np.ndarray) -> Clouds:
    """The distances between points of shape (rows, features), those of real ones to the nearest other one being known."""
    middle, other_middle = real.mean(axis=0), synthetic.mean(axis=0)
    near_synthetic, nearest = (found[:, 0] for found in _neighbours(synthetic, real, 1))
    real_out, out, nearest_out = (
        np.sqrt(((p - c) ** 2).sum(axis=1))
        for p, c in ((real, middle), (synthetic, middle), (synthetic[nearest], other_middle))
    )
    return Clouds(real_out, out, near_real, near_synthetic, nearest, nearest_out)


def _neighbours(rows: np.ndarray, queries: np.ndarray, many: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances to, and numbers of, the nearest rows: scikit-learn's search, whose rounding decides between equal ones."""
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="openmp"):
        distances, found = NearestNeighbors(n_neighbors=many, p=2).fit(rows).kneighbors(queries)
    return np.asarray(distances), np.asarray(found)


def _precision(at: Clouds, real: np.ndarray, synthetic: np.ndarray) -> float:
    radii = np.quantile(at.real_out[real], ALPHAS)
    within = np.searchsorted(np.sort(at.synthetic_out[synthetic]), radii, "right") / max(int(synthetic.sum()), 1)
    return float(1 - np.abs(ALPHAS - within).sum() / ALPHAS.sum())


def _recall(at: Clouds, real: np.ndarray, _: np.ndarray) -> float:
    out = at.nearest_out[real]
    radii = np.quantile(out, ALPHAS)
    reached = np.sort(out[at.near_synthetic[real] <= at.near_real[real]])
    return float(1 - np.abs(ALPHAS - np.searchsorted(reached, radii, "right") / len(out)).sum() / ALPHAS.sum())


def _interval(at: Clouds, figure: Figure) -> Interval:
    everything = np.ones(len(at), dtype=bool)
    group = np.arange(len(at)) % min(GROUPS, len(at))
    without = [figure(at, group != g, group != g) for g in range(int(group.max()) + 1)]
    return normal(figure(at, everything, everything), jackknife_error(np.array(without)), len(at), (0.0, 1.0))


def _points(evidence: Evidence, side: Side, rows: np.ndarray) -> np.ndarray:
    """Numbers, then a column for each category that real rows have; the target last of its kind. Shape (rows, features)."""
    target = evidence.target
    ordered = sorted(evidence.columns, key=lambda column: column is target)
    numbers = [_known(column, column.of(side)[rows]) for column in ordered if not column.is_category]
    return np.hstack([*numbers, *(_indicators(column, column.of(side)[rows]) for column in ordered if column.is_category)])


def _known(column: Compared, values: np.ndarray) -> np.ndarray:
    if np.isnan(values).any():
        raise SkipMetricError(f"{column.name!r} has missing numbers: an error in the original")
    return values[:, None]


def _indicators(column: Compared, values: np.ndarray) -> np.ndarray:
    levels = column.levels or 0
    known = np.bincount(np.where(column.train < 0, levels, column.train), minlength=levels + 1) > 0
    coded = np.where(values < 0, levels, values)
    if not known[coded].all():
        raise SkipMetricError(f"{column.name!r} has a value that no real row has: an error in the original")
    named = [*column.labels, "None"]  # the original sorts the texts, and a null is one of them
    ordered = sorted(np.flatnonzero(known), key=lambda code: named[code])
    return np.asarray(coded[:, None] == np.array(ordered)[None, :], dtype=np.float64)
