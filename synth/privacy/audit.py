"""Whether what is released gives away more of one unit than is claimed: run often on two data sets that differ by it.

    tries = attempts(release, likelihood_ratio, new_noise, runs=2_000)     an attacker's scores, without the unit and with it
    audit = audit_mu("MST", claimed_mu(micro_rho), tries)                  the μ that was lost at least, beside the claim
    audit.holds                                                            whether the claim can be true

White box: the attacker knows both data sets and the noise, and scores the released counts by how much likelier they are with
the unit (Nasr et al., "Tight auditing of differentially private machine learning", 2023). For one Gaussian release that is the
best attack there is, so a blind audit shows: `gaussian_control` must come near its claim. Black box: any number computed
from what was released (Jagielski, Ullman and Oprea, "Auditing differentially private machine learning", 2020).

An audit can only ever show a loss. One that holds proves nothing beyond the attack that was tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from scipy.special import expit, ndtri

from synth.errors import ConfigError, InputError
from synth.privacy.allowance import Allowance
from synth.privacy.audit_bounds import Errors, least_epsilon, least_mu, lowest_rate
from synth.privacy.mechanisms import Noise, sigma
from synth.progress import Progress, silent

SEES = 0.8  # of its claim that a pure Gaussian release must be caught giving away, else the audit is blind
THRESHOLDS = 400  # of a score that are tried on the first half of the runs
Direction = Literal[1, -1]


class Measured(Protocol):
    """Noisy counts of some columns: an axis of `counts` for each, and the standard deviation of every count's noise."""

    @property
    def columns(self) -> tuple[int, ...]: ...
    @property
    def counts(self) -> np.ndarray: ...
    @property
    def sigma(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Pair:
    """Two data sets that differ by one unit: codes, int32 of shape (rows, columns)."""

    without: np.ndarray
    with_: np.ndarray


# Whatever is counted differs by one in a cell that is empty without the unit, and the other rows say nothing.
WORST = Pair(np.zeros((4, 3), dtype=np.int32), np.array([*[(0, 0, 0)] * 4, (1, 1, 1)], dtype=np.int32))
WORST_SIZES = (2, 2, 2)

Release = Callable[[np.ndarray, Noise], Any]  # codes of one of the two data sets, and the noise to release it through
Score = Callable[[Any, Pair], float]  # the higher, the likelier it is that the unit was in


@dataclass(frozen=True, eq=False)
class Attempts:
    """An attacker's scores of what was released: one for each run without the unit, and one for each run with it."""

    without: np.ndarray
    with_: np.ndarray

    def __post_init__(self) -> None:
        for name in ("without", "with_"):
            scores = np.asarray(getattr(self, name), dtype=np.float64)
            if scores.ndim != 1 or len(scores) < 2 or np.isnan(scores).any():
                raise InputError(f"scores of shape {scores.shape} for an audit; give a number for each of two runs or more")
            object.__setattr__(self, name, scores)

    def halves(self) -> tuple[Attempts, Attempts]:
        """The first half of the runs, which the attack is tuned on, and the other, which it is judged on."""
        cuts = len(self.without) // 2, len(self.with_) // 2
        tuning = Attempts(self.without[: cuts[0]], self.with_[: cuts[1]])
        return tuning, Attempts(self.without[cuts[0] :], self.with_[cuts[1] :])

    def errors(self, threshold: float, direction: Direction) -> Errors:
        """How often it is wrong to say "in" from this score on; in the direction −1, up to it."""
        alarms = int((direction * self.without >= direction * threshold).sum())
        misses = int((direction * self.with_ < direction * threshold).sum())
        return Errors(alarms, len(self.without), misses, len(self.with_))


@dataclass(frozen=True)
class Audit:
    """What was claimed of a mechanism, and what it was caught giving away.

    of: "μ" of Gaussian privacy, "ε", or "rate", how often something happened. bound: its least value that what was seen allows,
    with this confidence. runs: a side, of which half were held out.
    """

    what: str
    of: Literal["μ", "ε", "rate"]
    claim: float
    bound: float
    confidence: float
    runs: int

    @property
    def holds(self) -> bool:
        """Whether the claim can be true."""
        return self.bound <= self.claim

    @property
    def reached(self) -> float:
        """The bound as a share of the claim."""
        return self.bound / self.claim if self.claim > 0 else math.inf if self.bound > 0 else 0.0

    @property
    def sees(self) -> bool:
        """Of a release that gives away all it may: whether the audit notices most of it."""
        return self.reached >= SEES

    @property
    def in_words(self) -> str:
        """The whole of it."""
        judged = "can be true" if self.holds else "is not true"
        return f"{self.what}: {self.of} ≥ {self.bound:.4g} ({self.confidence:.6g}), and the claim of {self.claim:.4g} {judged}"


# the audits --------------------------------------------------------------------------------------------------------------


def audit_mu(what: str, claim: float, tries: Attempts, *, confidence: float = 0.99) -> Audit:
    """Whether a mechanism can be μ-Gaussian private: its least μ, by an attack tuned on half of the runs, judged on the rest.

    claim: of noisy counts that share a cost, `claimed_mu`; of one cell or marginal with little noise, `gaussian_mu`.
    """
    errors = _held_out(tries, lambda errors: least_mu(errors, confidence))
    return Audit(what, "μ", claim, least_mu(errors, confidence), confidence, len(tries.without))


def audit_epsilon(what: str, claim: float, delta: float, tries: Attempts, *, confidence: float = 0.95) -> Audit:
    """Whether a mechanism can be (ε, δ)-private: its least ε, likewise. 2,000 runs a side cannot show more than ε = 5.6."""
    errors = _held_out(tries, lambda errors: least_epsilon(errors, delta, confidence))
    return Audit(what, "ε", claim, least_epsilon(errors, delta, confidence), confidence, len(tries.without))


def audit_rate(what: str, claim: float, happened: int, runs: int, *, confidence: float = 0.99) -> Audit:
    """Whether something that happened so often can have no more than the claimed probability."""
    return Audit(what, "rate", claim, lowest_rate(happened, runs, confidence), confidence, runs)


def claimed_mu(micro_rho: int) -> float:
    """√(2ρ): the μ of Gaussian noise that costs so many micro-ρ, however many counts share them.

    ρ-zCDP alone promises no μ: one count on whole numbers and a choice pass √(2ρ) by what `gaussian_mu` and `choice_mu` say. Of
    many counts that share a cost the first is less, and choices are not scored by `likelihood_ratio`.
    """
    return math.sqrt(2 * micro_rho / 1e6)


def gaussian_mu(micro_rho: int) -> float:
    """The exact μ of one count with discrete Gaussian noise that costs so many micro-ρ: √(2ρ) and a little.

    Its errors lie on the line between those of two thresholds, which are whole numbers; that is worst where both are alike,
    at P[X ≥ 1]. It is 1% above √(2ρ) at σ = 2, 5% at 1, 21% at 0.53, where ε is 10.
    """
    scale = sigma(micro_rho)
    reach = np.arange(1, math.ceil(40 * scale) + 1)
    above = float(np.exp(-((reach / scale) ** 2) / 2).sum())
    return -2 * float(ndtri(above / (1 + 2 * above)))


def choice_mu(micro_rho: int) -> float:
    """The exact μ of an exponential mechanism that costs so many micro-ρ, ε²/8: up to 25% more than √(2ρ).

    One unit moves the logarithm of the odds of any set of candidates by ε at most (Dong, Durfee and Rogers, "Optimal
    differential privacy composition for exponential mechanisms", 2020), which shows best from −ε/2 to ε/2.
    """
    return 2 * float(ndtri(expit(math.sqrt(8 * micro_rho / 1e6) / 2)))


# the runs ----------------------------------------------------------------------------------------------------------------


def attempts(
    release: Release,
    score: Score,
    new_noise: Callable[[], Noise],
    *,
    runs: int,
    pair: Pair = WORST,
    progress: Progress = silent,
) -> Attempts:
    """Release both data sets so many times, each with a noise of its own, and score what comes out."""
    scores = np.empty((2, runs))
    for run in range(runs):
        scores[0, run] = score(release(pair.without, new_noise()), pair)
        scores[1, run] = score(release(pair.with_, new_noise()), pair)
        progress("audit", run + 1, runs)
    return Attempts(*scores)


def likelihood_ratio(measured: Sequence[Measured], pair: Pair) -> float:
    """How much likelier noisy counts are with the unit than without it, as a logarithm.

    Exact for discrete as for continuous Gaussian noise. Which columns were chosen to be counted is not looked at, so of
    an adaptive mechanism this sees what its counts give away, not its choices.
    """
    total = 0.0
    for one in measured:
        without, with_ = (exact_counts(codes, one.columns, np.shape(one.counts)) for codes in (pair.without, pair.with_))
        total += float(_ratios(np.asarray(one.counts)[np.newaxis], without, with_, one.sigma)[0])
    return total


def _ratios(noisy: np.ndarray, without: np.ndarray, with_: np.ndarray, deviation: float) -> np.ndarray:
    """The logarithm for each of many noisy tables of counts, shape (tables, …): float64 of shape (tables,)."""
    change = (with_ - without).ravel()
    middle = (with_ + without).ravel() / 2
    return np.asarray((noisy.reshape(len(noisy), -1) - middle) @ change / deviation**2)


def exact_counts(codes: np.ndarray, columns: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Rows of codes in each cell of some columns, int64 of this shape."""
    cell = np.ravel_multi_index(tuple(codes[:, column] for column in columns), tuple(shape))
    return np.bincount(cell, minlength=math.prod(shape)).reshape(shape)


# whether the audit sees --------------------------------------------------------------------------------------------------


def gaussian_control(micro_rho: int, *, runs: int | None = None, confidence: float = 0.99, seed: int | None = None) -> Audit:
    """The white-box audit of a pure Gaussian release, which gives away all of its claim: what does not see it is blind.

    runs: a side; by default as many as it takes at this cost (`runs_to_see`). All are drawn together, as counts that are alike.
    seed: for tests, as `Noise` has it.
    """
    runs = runs_to_see(micro_rho, confidence) if runs is None else runs
    noise = Noise(Allowance(2 * micro_rho), seed=seed)
    without, with_ = (exact_counts(codes, (0,), WORST_SIZES[:1]) for codes in (WORST.without, WORST.with_))
    scores = []
    for exact in (without, with_):
        noisy = noise.counts(np.tile(exact, (runs, 1)), micro_rho, what="a Gaussian release, many times")
        scores.append(_ratios(noisy, without, with_, sigma(micro_rho)))
    return audit_mu("one Gaussian release", gaussian_mu(micro_rho), Attempts(*scores), confidence=confidence)


def runs_to_see(micro_rho: int, confidence: float = 0.99) -> int:
    """Runs a side after which the bound for a Gaussian release surely lies above `SEES` of its claim, and 2,000 at least."""
    mu = gaussian_mu(micro_rho)
    runs = 2_000
    while runs < 10**8:
        held_out = runs // 2
        rate = 0.5 * math.erfc(mu / 2 / math.sqrt(2))  # of either error, where the threshold lies in the middle
        unlucky = rate + 4 * math.sqrt(rate * (1 - rate) / held_out / 2)  # both, four standard deviations of their sum
        errors = Errors(*(math.ceil(unlucky * held_out), held_out) * 2)
        if least_mu(errors, confidence) >= SEES * mu:
            return runs
        runs = math.ceil(1.25 * runs)
    raise ConfigError(f"{micro_rho} micro-ρ are too little for an audit to see; audit it at 1,000 or more")


# parts -------------------------------------------------------------------------------------------------------------------


def _held_out(tries: Attempts, bound: Callable[[Errors], float]) -> Errors:
    """The errors on the second half of the runs of the threshold that does best on the first."""
    tuning, judged = tries.halves()
    pooled = np.unique(np.concatenate([tuning.without, tuning.with_]))
    candidates = pooled[np.unique(np.linspace(0, len(pooled) - 1, THRESHOLDS).astype(int))]
    directions: tuple[Direction, ...] = (1, -1)
    best = max(
        ((threshold, direction) for direction in directions for threshold in candidates.tolist()),
        key=lambda choice: bound(tuning.errors(*choice)),
    )
    return judged.errors(*best)
