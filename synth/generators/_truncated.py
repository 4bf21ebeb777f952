"""A normal vector given that each coordinate lies in a union of intervals, drawn exactly.

By minimax tilting (Botev, "The normal law under linear restrictions: simulation and estimation via minimax tilting", J. Royal
Statistical Society B 2017): coordinates are drawn one after another, each shifted and truncated, and a row is kept with the
ratio of the two densities over its largest value, which is the saddle point of a function that is concave in the row. Unions
become boxes: a box is chosen in proportion to its bound, so that what is kept has the law of all of them together.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, root
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from synth.errors import GenerationError
from synth.generators._effort import Effort

MOST_BOXES = 200  # combinations of intervals; beyond, the gaps that hold least are drawn too, and turned down by the caller
MOST_BATCH = 200_000  # rows proposed at once
ENOUGH = 100_000  # rows proposed before the share that is kept is judged
RAREST = 1e-3  # share of the rows proposed that must be kept; below, rows are copied by their weight instead
FEWEST_EFFECTIVE = 0.1  # share of the rows wanted that must then be independent ones
FAR = -5.0  # from where on a tail's probabilities are kept as logarithms
FLAT = 1e-9  # a gradient this small is none
SLACK = 1e-6  # by which the log of a bound is raised, since its maximum is found to a finite number of digits


def log_mass(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The log-probability of a standard normal between two bounds, also far out in a tail; -inf where it is none."""
    low, high = _in_lower_tail(low, high)
    least, most = log_ndtr(low), log_ndtr(high)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(low < high, most + np.log(-np.expm1(least - most)), -np.inf)


def draw_between(low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A standard normal between each pair of bounds, by the inverse of its distribution: on the log scale far out."""
    with np.errstate(invalid="ignore"):
        flipped = low + high > 0
    under, over = _in_lower_tail(low, high)
    u = rng.random(np.shape(low))
    least, most = ndtr(under), ndtr(over)
    drawn = ndtri(least + u * (most - least))
    far = np.flatnonzero(over < FAR)
    if len(far):
        least, most, u = log_ndtr(under[far]), log_ndtr(over[far]), u[far]
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn[far] = ndtri_exp(most + np.log(u + (1 - u) * np.exp(least - most)))
    drawn = np.clip(np.where(np.isnan(drawn), over, drawn), under, over)
    return np.where(flipped, -drawn, drawn)


def _in_lower_tail(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The interval, or its mirror image where most of it lies above 0: there probabilities keep their digits."""
    with np.errstate(invalid="ignore"):
        flipped = low + high > 0  # false for NaN: from -inf to inf
    return np.where(flipped, -high, low), np.where(flipped, -low, high)


def draw_truncated(
    n: int, correlation: np.ndarray, unions: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, Effort]:
    """n rows of a normal vector, of shape (n, dimensions), each coordinate in its union, and what they cost.

    unions: for each coordinate, intervals that do not overlap, of shape (intervals, 2). Raises GenerationError where the union
    of a coordinate has no probability, or too few rows are found.
    """
    mass = [log_mass(union[:, 0], union[:, 1]) for union in unions]
    if not all(np.isfinite(each).any() for each in mass):
        raise GenerationError("the model gives no row with this condition: no training row was near it;\nwiden the condition")
    unions = [union[np.isfinite(each)] for union, each in zip(unions, mass, strict=True)]
    if len(unions) == 1:  # however many intervals
        share = np.exp(log_mass(unions[0][:, 0], unions[0][:, 1]) - max(mass[0]))
        low, high = unions[0][rng.choice(len(share), size=n, p=share / share.sum())].T
        return draw_between(low, high, rng)[:, None], Effort(n, n, n)
    order = np.argsort([np.logaddexp.reduce(each) for each in mass], kind="stable")  # the narrowest first, as Botev advises
    unions = _few([unions[place] for place in order])
    boxes = [_Box.of(correlation[np.ix_(order, order)], np.array(box)) for box in itertools.product(*unions)]
    rows, effort = _Search(boxes, rng).find(n)
    out = np.empty_like(rows)
    out[:, order] = rows
    return out, effort


def _few(unions: list[np.ndarray]) -> list[np.ndarray]:
    """Unions whose combinations are few: the gaps that hold the least are closed, and left to the caller to turn down."""
    unions = [union[np.argsort(union[:, 0])] for union in unions]
    while np.prod([float(len(union)) for union in unions]) > MOST_BOXES:
        widest = max(range(len(unions)), key=lambda place: len(unions[place]))
        union = unions[widest]
        gaps = log_mass(union[:-1, 1], union[1:, 0])
        kept = np.sort(np.argsort(-gaps, kind="stable")[: max(0, len(union) // 2 - 1)])
        low, high = np.append(union[0, 0], union[kept + 1, 0]), np.append(union[kept, 1], union[-1, 1])
        unions[widest] = np.column_stack([low, high])
    return unions


@dataclass(frozen=True, eq=False)
class _Box:
    """One interval per coordinate. Names as in the paper: L is the Cholesky factor with its diagonal taken out, l and u the
    bounds over that diagonal, mu the tilt, psi the log of the ratio of the densities at its largest."""

    L: np.ndarray
    diagonal: np.ndarray
    l: np.ndarray  # noqa: E741 - the paper's name
    u: np.ndarray
    mu: np.ndarray
    psi: float

    @classmethod
    def of(cls, correlation: np.ndarray, bounds: np.ndarray) -> _Box:
        factor = np.linalg.cholesky(correlation)
        diagonal = np.diag(factor).copy()
        L = factor / diagonal[:, None] - np.eye(len(diagonal))
        box = cls(L, diagonal, bounds[:, 0] / diagonal, bounds[:, 1] / diagonal, np.zeros(len(diagonal)), 0.0)
        return box._tilted()

    def _tilted(self) -> _Box:
        d = len(self.l)
        start = np.zeros(2 * (d - 1))
        with np.errstate(all="ignore"):
            found = root(lambda at: self._slopes(at), start, jac=True)
        mu = np.append(found.x[d - 1 :], 0.0)
        if not found.success or not np.isfinite(found.x).all():
            mu = np.zeros(d)
        psi = self._largest(found.x[: d - 1] if mu.any() else np.zeros(d - 1), mu)
        if not np.isfinite(psi):
            mu = np.zeros(d)
            psi = self._largest(np.zeros(d - 1), mu)
        return _Box(self.L, self.diagonal, self.l, self.u, mu, psi + SLACK)

    def _largest(self, x: np.ndarray, mu: np.ndarray) -> float:
        """The largest psi for this tilt: it is concave in x, so that what is found bounds every row, whatever the tilt."""

        def negative(at: np.ndarray) -> tuple[float, np.ndarray]:
            slopes = self._slopes(np.append(at, mu[:-1]))[0]
            return -self._psi(np.append(at, 0.0), mu), -slopes[: len(at)]

        with np.errstate(all="ignore"):
            slope = negative(x)[1]
            if np.abs(slope).max() > FLAT:
                x = minimize(negative, x, jac=True, method="BFGS", options={"gtol": 1e-10}).x
        return self._psi(np.append(x, 0.0), mu)

    def _psi(self, x: np.ndarray, mu: np.ndarray) -> float:
        shift = mu + self.L @ x
        return float(np.sum(mu**2 / 2 - x * mu + log_mass(self.l - shift, self.u - shift)))

    def _slopes(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The gradient of psi by x and mu, and its Jacobian, each without the last coordinate, whose tilt is 0."""
        d = len(self.l)
        x, mu = np.append(at[: d - 1], 0.0), np.append(at[d - 1 :], 0.0)
        low, high = self.l - mu - self.L @ x, self.u - mu - self.L @ x
        log = log_mass(low, high)
        below, above = (np.exp(-(edge**2) / 2 - log) / np.sqrt(2 * np.pi) for edge in (low, high))
        moved = below - above  # by how much the mean of each truncated coordinate lies off
        slope = np.append((-mu + self.L.T @ moved)[:-1], (mu - x + moved)[:-1])
        edges = np.where(np.isinf(low), 0.0, low) * below - np.where(np.isinf(high), 0.0, high) * above
        bend = -(moved**2) + edges
        scaled = bend[:, None] * self.L
        by_both = (scaled - np.eye(d))[:-1, :-1]
        by_x = (self.L.T @ scaled)[:-1, :-1]
        return slope, np.block([[by_x, by_both.T], [by_both, np.diag(1 + bend[:-1])]])

    def propose(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows of shape (n, dimensions), and the log of what each is kept with, 0 at most."""
        z = np.zeros((n, len(self.l)))
        log = np.full(n, -self.psi)
        for k, mu in enumerate(self.mu):
            shift = mu + np.einsum("rc,c->r", z[:, :k], self.L[k, :k])
            low, high = self.l[k] - shift, self.u[k] - shift
            z[:, k] = mu + draw_between(low, high, rng)
            log += mu**2 / 2 - mu * z[:, k] + log_mass(low, high)
        return np.einsum("rc,kc->rk", z, (self.L + np.eye(len(self.l))) * self.diagonal[:, None]), log


class _Search:
    """Rows out of several boxes, each proposed in proportion to its bound."""

    def __init__(self, boxes: list[_Box], rng: np.random.Generator) -> None:
        self.boxes, self.rng = boxes, rng
        bound = np.array([box.psi for box in boxes])
        self.share = np.exp(bound - bound.max())
        self.share /= self.share.sum()

    def find(self, n: int) -> tuple[np.ndarray, Effort]:
        kept: list[np.ndarray] = []
        have, begun, ask = 0, 0, max(n, 1)
        while have < n or not kept:
            rows, log = self.propose(min(ask, MOST_BATCH))
            begun += len(rows)
            rows = rows[np.log(self.rng.random(len(rows))) < log]
            kept.append(rows)
            have += len(rows)
            if begun >= ENOUGH and have < RAREST * begun and have < n:
                return self.weighed(n, begun)
            ask = int(1.1 * (n - have) * (begun + 1) / (have + 1)) + 10
        return np.concatenate(kept)[:n], Effort(begun, have, have)

    def propose(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        counts = self.rng.multinomial(n, self.share)
        drawn = [box.propose(int(count), self.rng) for box, count in zip(self.boxes, counts, strict=True) if count]
        rows, log = (np.concatenate(part) for part in zip(*drawn, strict=True))
        mixed = self.rng.permutation(n)  # boxes lie one after another, and only the last would be cut off
        return rows[mixed], log[mixed]

    def weighed(self, n: int, begun: int) -> tuple[np.ndarray, Effort]:
        """Rows copied in proportion to their weight (sampling-importance-resampling, Rubin 1987)."""
        rows, log = self.propose(int(min(2 * MOST_BATCH, max(ENOUGH, 20 * n))))
        weight = np.exp(log - log.max())
        effective = weight.sum() ** 2 / (weight**2).sum()  # Kish
        if not effective >= FEWEST_EFFECTIVE * n:
            raise GenerationError(
                f"the condition is so rare that {begun + len(rows):,} rows hold about {max(0, int(effective)):,} independent "
                f"ones; {n:,} were asked for.\nAsk for fewer, or widen the condition."
            )
        chosen = self.rng.choice(len(rows), size=n, p=weight / weight.sum())
        worth = n**2 / max(1, (np.bincount(chosen) ** 2).sum())
        return rows[chosen], Effort(begun + len(rows), n, float(worth))
