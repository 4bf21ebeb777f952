"""Noise for tests: the distributions of `synth.privacy.mechanisms`, by numpy and from a seed.

Who knows the seed can take this noise off again, so what was made with it is marked, and never leaves. The only file of
this room that may draw by numpy.
"""

from __future__ import annotations

import numpy as np


class SeededNoise:
    """The same noise for the same seed and the same calls."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def gaussian(self, values: np.ndarray, scale: float) -> np.ndarray:
        """Counts of shape (cells,), int64, with discrete Gaussian noise: a discrete Laplace draw that is kept now and then."""
        noise = np.zeros(len(values), dtype=np.int64)
        open_ = np.arange(len(values))
        wide = int(scale) + 1  # of the Laplace
        while len(open_):
            one, other = self._rng.geometric(-np.expm1(-1 / wide), (2, len(open_)))
            drawn = one - other
            kept = self._rng.random(len(open_)) < np.exp(-((np.abs(drawn) - scale**2 / wide) ** 2) / (2 * scale**2))
            noise[open_[kept]] = drawn[kept]
            open_ = open_[~kept]
        return values + noise

    def largest(self, scores: np.ndarray, scale: float) -> int:
        """The place of the largest of scores of shape (candidates,) with Gumbel noise."""
        return int(np.argmax(scores + self._rng.gumbel(0.0, scale, len(scores))))

    def bytes(self, n: int) -> bytes:
        """So many bytes."""
        return self._rng.bytes(n)
