"""Correlations of standard normals of which only the stretches are seen that their values stand for.

The scores of two columns (the means of their stretches) have a mean product g(r) that rises with the correlation r of the
normals and is smaller than it: it is solved for r, which is consistent however coarse a column is, as the polychoric
correlation is (Olsson 1979) and a correlation of normal scores is not. So are the bridge functions of Fan, Liu, Ning and Zou
("High dimensional semiparametric latent graphical model for mixed data", J. Royal Statistical Society B 2017); here g is the
series of Mehler (1866) in the Hermite coefficients of each column by itself, which is one small table for any number of levels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from synth.generators._margins import density

TERMS = 80  # of the series
HIGHEST = 0.9995  # no correlation is beyond it
FINEST = 256  # stretches of a column, at most about, whose Hermite coefficients are told from
HALVINGS = 26  # until the correlation is known to the last digit that matters
CHUNK = 20_000  # rows whose scores are held at once
PAIRS = 4_096  # of columns, that are solved for at once
LEAST = 1e-5  # no eigenvalue of a correlation matrix is below it
ALTERNATIONS = 30  # between matrices without negative eigenvalues and those with a diagonal of 1


def correlations(
    scores: Callable[[slice], tuple[np.ndarray, np.ndarray]], hermite: np.ndarray, rows: int, shrinkage: float | None
) -> np.ndarray:
    """The latent correlation matrix, shape (columns, columns), positive definite.

    scores: of some of the rows, float64 of shape (rows, columns), 0 where null, and whether they are there. hermite: of shape
    (columns, TERMS). shrinkage: by which share correlations are drawn toward 0; None for what their errors ask for.
    """
    columns = len(hermite)
    product, pairs = np.zeros((columns, columns)), np.zeros((columns, columns))
    for start in range(0, rows, CHUNK):
        score, there = scores(slice(start, start + CHUNK))
        product += score.T @ score
        pairs += there.T.astype(np.float64) @ there
    mean = np.divide(product, pairs, out=np.zeros_like(product), where=pairs > 0)
    latent = _solved(mean, hermite)
    if shrinkage is None:
        shrinkage = _shrinkage(latent, pairs)
    latent *= 1 - shrinkage
    np.fill_diagonal(latent, 1.0)
    return nearest_correlation(latent)


def hermite_of(ends: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The coefficients of a column's scores in normalised Hermite polynomials of degree 1, 2, …, of shape (TERMS,).

    ends: the share of rows up to and with each level, ascending to 1; scores: of each level in that order.
    """
    width = np.diff(ends, prepend=0.0)
    if len(ends) > FINEST:
        group = np.cumsum(np.diff(np.floor(ends * FINEST), prepend=0) > 0)
        last = np.flatnonzero(np.append(np.diff(group) > 0, True))
        scores = np.add.reduceat(scores * width, np.append(0, last[:-1] + 1))
        ends = ends[last]
        width = np.diff(ends, prepend=0.0)
        scores = np.divide(scores, width, out=np.zeros_like(width), where=width > 0)
    step = np.diff(scores)  # at each cut between two levels
    cut = ndtri(ends[:-1])
    ok = np.isfinite(cut)
    cut, step = cut[ok], step[ok]
    # ∫ over z > c of φ He_m is φ(c) He_{m-1}(c); h is He_{m-1} over √((m-1)!), so that the coefficient has one more √m.
    found = np.zeros(TERMS)
    before, h = np.zeros_like(cut), np.ones_like(cut)
    height = step * density(cut)
    for m in range(1, TERMS + 1):
        found[m - 1] = (height * h).sum() / np.sqrt(m)
        before, h = h, (cut * h - np.sqrt(m - 1) * before) / np.sqrt(m)
    return found


def _solved(mean: np.ndarray, hermite: np.ndarray) -> np.ndarray:
    """The r for which the mean product of scores is the one that was seen, for each pair of columns, by halving."""
    first, second = np.triu_indices(len(mean), 1)
    found = np.zeros_like(mean)
    for start in range(0, len(first), PAIRS):
        i, j = first[start : start + PAIRS], second[start : start + PAIRS]
        terms = np.ascontiguousarray((hermite[i] * hermite[j]).T)
        low, high = np.full(len(i), -HIGHEST), np.full(len(i), HIGHEST)
        for _ in range(HALVINGS):
            r = (low + high) / 2
            expected = np.zeros_like(r)
            for term in terms[::-1]:  # Horner
                expected += term
                expected *= r
            more = expected < mean[i, j]
            low, high = np.where(more, r, low), np.where(more, high, r)
        found[i, j] = found[j, i] = (low + high) / 2
    return found


def _shrinkage(latent: np.ndarray, pairs: np.ndarray) -> float:
    """The share that costs the least in squares (Schäfer and Strimmer 2005), with the errors of normal correlations."""
    signal = float((latent**2).sum())
    noise = float(((1 - latent**2) ** 2 / np.maximum(pairs, 1))[~np.eye(len(latent), dtype=bool)].sum())
    return min(1.0, noise / signal) if signal > 0 else 1.0


def nearest_correlation(matrix: np.ndarray) -> np.ndarray:
    """The nearest correlation matrix with no eigenvalue below LEAST (Higham, "Computing the nearest correlation matrix", IMA
    J. Numerical Analysis 2002), or nearly: what is left after ALTERNATIONS is scaled to a diagonal of 1."""
    found, correction = matrix, np.zeros_like(matrix)
    for _ in range(ALTERNATIONS):
        value, vector = np.linalg.eigh(found - correction)
        if value[0] >= LEAST:
            break
        positive = (vector * np.maximum(value, LEAST)) @ vector.T
        correction = positive - (found - correction)
        found = positive.copy()
        np.fill_diagonal(found, 1.0)
    value, vector = np.linalg.eigh(found)
    if value[0] < LEAST:
        found = (vector * np.maximum(value, LEAST)) @ vector.T
        scale = np.sqrt(np.diag(found))
        found = found / np.multiply.outer(scale, scale)
    found = (found + found.T) / 2
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)
