"""The only places where something that was counted on real rows gets its noise: counts, choices, and keys above a threshold.

    counts        the discrete Gaussian of Canonne, Kamath and Steinke ("The Discrete Gaussian for Differential Privacy", 2020)
    choose        the exponential mechanism, by the largest of scores with Gumbel noise, at ε²/8 (Cesar and Rogers, "Bounding,
                  Concentrating, and Truncating", 2021)
    thresholded   counts of keys that are not known beforehand: those whose noisy count is high enough (Rogers, "A Unifying
                  Privacy Analysis Framework for Unknown Domain Algorithms in Differential Privacy", 2023)

Each takes its cost, in whole micro-ρ of zCDP, out of the allowance before it draws. Noise is drawn by OpenDP, in integers, from
the operating system's entropy, at a scale whose own privacy map says no more than was paid. OpenDP's thresholded noise is not
used: it counts δ without the threshold itself (opendp#2922), so thresholds are set here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
from scipy.special import ndtr

from synth.errors import BudgetError, InputError, MissingExtraError
from synth.privacy._seeded_noise import SeededNoise
from synth.privacy.allowance import Allowance
from synth.seed import check_seed

Key = TypeVar("Key", str, int, float, bool)

OLDEST = (0, 16)  # before it, OpenDP's choice cost four times what it said (opendp#2911)
STEPS = (
    2**20
)  # a choice's scores are told apart to a millionth of their sensitivity: beyond that a double's own rounding begins
CHUNK = 16_384  # counts that one thread draws at a time: a quarter of a second
_MOST = 2**62  # of a count: with any noise on top it is still an int64
_MOST_STEPS = 2**48  # of a score: up to here a double, and what is computed in a few, is off by less than half a step


class Noise:
    """Draws noise against an allowance.

    allowance: the micro-ρ that may be spent. delta: of the budget's δ, what thresholds may use; the rest is what ρ is turned
    into ε with. seed: for tests alone: the same distributions by numpy, the same noise each time, and `is_secure` is False.

    Every method raises BudgetError, with nothing drawn, where its cost is more than what is left; InputError for counts,
    scores, costs and sensitivities that are none; MissingExtraError where OpenDP is not installed.
    """

    def __init__(self, allowance: Allowance, *, delta: float = 0.0, seed: int | None = None) -> None:
        if not 0 <= delta < 1:
            raise InputError(
                f"the delta for thresholds is {delta!r}; give a share of the budget's delta, from 0 to less than 1"
            )
        self.allowance = allowance
        self.delta = delta
        self.delta_spent: list[tuple[str, float]] = []
        self._seeded = None if seed is None else SeededNoise(check_seed(seed))

    @property
    def is_secure(self) -> bool:
        """Whether nobody can draw the same noise again; what was made without is for tests, and never leaves."""
        return self._seeded is None

    @property
    def delta_left(self) -> float:
        """What is left for thresholds, rounded down."""
        left = Fraction(self.delta) - sum((Fraction(delta) for _, delta in self.delta_spent), Fraction(0))
        return _down(left)

    def entropy(self, n: int) -> bytes:
        """So many random bytes, from the operating system: what lots and noise of other mechanisms are made of."""
        return os.urandom(n) if self._seeded is None else self._seeded.bytes(n)

    # the mechanisms --------------------------------------------------------------------------------------------------

    def counts(self, values: np.ndarray, micro_rho: int, *, sensitivity: float = 1, what: str) -> np.ndarray:
        """Counts with discrete Gaussian noise of scale `sigma(micro_rho, sensitivity)`: int64 of the shape of `values`.

        values: whole numbers of any shape, below 2^62. sensitivity: how far one unit moves all of them together, as the root
        of the summed squares; 1 for a row that is in one cell, k for a subject with k rows.
        """
        exact = _whole_numbers(values)
        draw = self._gaussian(micro_rho, sensitivity)
        self.allowance.spend(micro_rho, what)
        return draw(exact.ravel()).reshape(exact.shape)

    def count(self, n: int, micro_rho: int, *, sensitivity: float = 1, what: str) -> int:
        """One count with discrete Gaussian noise; it can be negative."""
        return int(self.counts(np.array([n]), micro_rho, sensitivity=sensitivity, what=what)[0])

    def choose(self, scores: np.ndarray, micro_rho: int, *, sensitivity: float, what: str) -> int:
        """The place of a high score: i with a probability in proportion to exp(ε · score_i / (2 · sensitivity)), ε = √(8ρ).

        scores: float64 of shape (candidates,). sensitivity: how far one unit moves any one of them.
        """
        steps, reach = _in_steps(scores, sensitivity)
        draw = self._largest(micro_rho, reach)
        self.allowance.spend(micro_rho, what)
        return draw(steps)

    def thresholded(
        self, counts: Mapping[Key, int], micro_rho: int, delta: float, *, rows_per_unit: int = 1, what: str
    ) -> dict[Key, int]:
        """Noisy counts of the keys that many units have, in the order of the keys; the others are not told of.

        counts: how often each key occurs in the rows. delta: the most that the probability is that any key shows of which one
        unit alone has all rows. rows_per_unit: rows that one unit has at most. The noise is that of `counts`.
        """
        keys = sorted(counts, key=_rank)
        exact = _whole_numbers(np.array([counts[key] for key in keys], dtype=np.int64))
        at_least = threshold(micro_rho, delta, rows_per_unit=rows_per_unit)
        draw = self._gaussian(micro_rho, rows_per_unit)
        if delta > self.delta_left:
            raise BudgetError(
                f"{what} costs a delta of {delta:g}, but {self.delta_left:g} of {self.delta:g} are left for thresholds;\n"
                "nothing was drawn: declare the categories, or give it a smaller share"
            )
        self.allowance.spend(micro_rho, what)
        self.delta_spent.append((what, delta))
        noisy = draw(exact)
        return {key: int(count) for key, count in zip(keys, noisy, strict=True) if count >= at_least}

    # where the noise comes from ---------------------------------------------------------------------------------------

    def _gaussian(self, micro_rho: int, sensitivity: float) -> Callable[[np.ndarray], np.ndarray]:
        """What adds the noise to counts of shape (cells,)."""
        scale = sigma(micro_rho, sensitivity)
        if self._seeded is not None:
            seeded = self._seeded
            return lambda values: seeded.gaussian(values, scale)
        dp = _opendp()
        space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
        draw = _affordable(lambda wide: dp.m.make_gaussian(*space, wide), scale, float(sensitivity), micro_rho)
        return lambda values: _in_chunks(draw, values)

    def _largest(self, micro_rho: int, sensitivity: int) -> Callable[[np.ndarray], int]:
        """What finds the place of the largest of whole scores with Gumbel noise."""
        scale = sigma(micro_rho, sensitivity)  # 2Δ/ε at ρ = ε²/8 is the Δ/√(2ρ) of a Gaussian
        if self._seeded is not None:
            seeded = self._seeded
            return lambda scores: seeded.largest(scores, scale)
        dp = _opendp()
        space = dp.vector_domain(dp.atom_domain(T="i64")), dp.linf_distance(T="i64")
        zcdp = dp.zero_concentrated_divergence()
        draw = _affordable(lambda wide: dp.m.make_noisy_max(*space, zcdp, wide), scale, sensitivity, micro_rho)
        return lambda scores: int(draw(scores.tolist()))


def sigma(micro_rho: int, sensitivity: float = 1) -> float:
    """The scale Δ/√(2ρ) of noise that costs so many micro-ρ, rounded up. Raises InputError for no cost, or no sensitivity."""
    if isinstance(micro_rho, bool) or not isinstance(micro_rho, int) or micro_rho < 1:
        raise InputError(f"a mechanism is to cost {micro_rho!r} micro-ρ; give a whole number from 1")
    if isinstance(sensitivity, bool) or not (math.isfinite(sensitivity) and sensitivity > 0):
        raise InputError(f"the sensitivity is {sensitivity!r}; give how far one unit moves the counts, above 0")
    least = Fraction(sensitivity) ** 2 / (2 * _rho(micro_rho))
    scale = math.sqrt(least)
    while Fraction(scale) ** 2 < least:
        scale = math.nextafter(scale, math.inf)
    return scale


def threshold(micro_rho: int, delta: float, *, rows_per_unit: int = 1) -> int:
    """The least noisy count at which `Noise.thresholded` shows a key.

    The keys of one unit alone, at most k with at most k rows each, all stay below it with a probability of at least 1 − δ:
    P[X ≥ t] ≤ (f(t) + ∫ f from t on) / max(1, ∫ f) for a whole t, where f(x) = exp(−x²/2σ²).
    """
    if isinstance(rows_per_unit, bool) or not isinstance(rows_per_unit, int) or rows_per_unit < 1:
        raise InputError(f"rows_per_unit is {rows_per_unit!r}; give the most rows that one unit has, from 1")
    if not 0 < delta < 1:
        raise InputError(f"the delta of a threshold is {delta!r}; give a probability above 0 and below 1")
    scale = sigma(micro_rho, rows_per_unit)
    area = scale * math.sqrt(2 * math.pi)
    above = 0
    while rows_per_unit * (math.exp(-((above / scale) ** 2) / 2) + area * ndtr(-above / scale)) > delta * max(1.0, area):
        above += max(1, int(scale / 64))
    return rows_per_unit + above


# OpenDP, asked for what it charges --------------------------------------------------------------------------------------


@cache
def _opendp() -> Any:
    """OpenDP's module of mechanisms, of a version whose noisy maximum costs what it says."""
    try:
        dp = import_module("opendp.prelude")
    except ImportError:
        raise MissingExtraError("noise for differential privacy", "opendp", "dp") from None
    if tuple(int(part) for part in version("opendp").split(".")[:2]) < OLDEST:
        raise MissingExtraError("noise for differential privacy", "opendp>=0.16", "dp")
    dp.enable_features("contrib")
    return dp


def _affordable(make: Callable[[float], Any], scale: float, sensitivity: float, micro_rho: int) -> Any:
    """The mechanism at the least scale from this one on whose privacy map says no more than was paid.

    The map rounds up, so that at the exact scale it can say an ulp too much (opendp#2789).
    """
    step = math.ulp(scale)
    while True:
        mechanism = make(scale)
        if Fraction(mechanism.map(sensitivity)) <= _rho(micro_rho):
            return mechanism
        scale, step = scale + step, 2 * step


def _in_chunks(draw: Callable[[list[int]], list[int]], values: np.ndarray) -> np.ndarray:
    """Counts of shape (cells,) with noise, a chunk to a thread: cells are drawn independently, so cutting changes nothing."""
    chunks = [values[start : start + CHUNK].tolist() for start in range(0, len(values), CHUNK)]
    if len(chunks) < 2:
        return np.array([draw(chunk) for chunk in chunks], dtype=np.int64).reshape(len(values))
    with ThreadPoolExecutor() as threads:
        return np.concatenate([np.array(drawn, dtype=np.int64) for drawn in threads.map(draw, chunks)])


# numbers ----------------------------------------------------------------------------------------------------------------


def _rho(micro_rho: int) -> Fraction:
    return Fraction(micro_rho, 10**6)


def _down(value: Fraction) -> float:
    """The nearest double that is no more."""
    near = float(value)
    return near if Fraction(near) <= value else math.nextafter(near, -math.inf)


def _whole_numbers(values: np.ndarray) -> np.ndarray:
    """Counts as int64. Raises InputError, which tells no value, for what is none."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise InputError(f"counts are of the type {array.dtype}; noise is added to whole numbers alone: give int64")
    if array.size and max(-int(array.min()), int(array.max())) >= _MOST:
        raise InputError("a count is 2^62 or more; noise is added to whole numbers below that")
    return array.astype(np.int64)


def _in_steps(scores: np.ndarray, sensitivity: float) -> tuple[np.ndarray, int]:
    """Scores in whole steps, and how many of these one unit moves them by, rounding and a double's own error included."""
    if isinstance(sensitivity, bool) or not (math.isfinite(sensitivity) and sensitivity > 0):
        raise InputError(f"the sensitivity of a choice is {sensitivity!r}; give how far one unit moves a score, above 0")
    exact = np.asarray(scores, dtype=np.float64)
    if exact.ndim != 1 or not exact.size:
        raise InputError(f"the scores of a choice have the shape {exact.shape}; give one for each candidate")
    steps = np.rint(exact * (STEPS / sensitivity))
    if not np.all(np.abs(steps) < _MOST_STEPS):
        raise InputError("a score is not finite, or more than 2^28 times what one unit moves it by; scores count units")
    return steps.astype(np.int64), STEPS + 2


def _rank(key: Any) -> tuple[bool, Any]:
    return (isinstance(key, str), key)
