"""From how often an attacker is right to how much privacy was lost at least, with exact confidence.

An attacker is told what was released, and says whether one unit was in the data. Two rates tell how well: `alarms`, of the runs
without the unit those in which it says "in", and `misses`, of the runs with it those in which it says "out". A claim of privacy
keeps both from being small at once, so upper bounds of both (Clopper and Pearson, 1934; half of the error each) give a lower
bound of the parameter for which the claim could hold:

    ε        (ε, δ)-privacy       Jagielski, Ullman and Oprea, "Auditing differentially private machine learning", 2020
    μ        Gaussian privacy     Nasr et al., "Tight auditing of differentially private machine learning", 2023
    one run  (ε, δ), m canaries   Steinke, Nasr and Jagielski, "Privacy auditing with one (1) training run", 2023
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, expit, ndtri
from scipy.stats import binom

from synth.errors import ConfigError, InputError

PRECISION = 2.0**-20  # of an ε that is searched for


@dataclass(frozen=True)
class Errors:
    """How often an attacker was wrong: `alarms` of the `without` runs in which the unit was not in, `misses` of the `with_`."""

    alarms: int
    without: int
    misses: int
    with_: int

    def __post_init__(self) -> None:
        for count, runs in ((self.alarms, self.without), (self.misses, self.with_)):
            if not 0 <= count <= runs or runs < 1:
                raise InputError(f"{count} errors in {runs} runs; give counts from 0 to the number of runs, and runs from 1")

    def at_most(self, confidence: float) -> tuple[float, float]:
        """Both error rates, (false alarms, misses), that are not passed with this confidence together."""
        each = 1 - (1 - checked(confidence)) / 2
        return highest_rate(self.alarms, self.without, each), highest_rate(self.misses, self.with_, each)


def highest_rate(count: int, runs: int, confidence: float) -> float:
    """The upper end of a rate that was seen `count` times in so many runs: Clopper and Pearson's, one-sided."""
    return 1.0 if count >= runs else float(betaincinv(count + 1, runs - count, checked(confidence)))


def lowest_rate(count: int, runs: int, confidence: float) -> float:
    """The lower end."""
    return 1 - highest_rate(runs - count, runs, confidence)


def least_mu(errors: Errors, confidence: float) -> float:
    """The least μ for which μ-Gaussian privacy is still possible, with this confidence; 0 where nothing was learned.

    Its errors α and β obey Φ⁻¹(1 − α) − Φ⁻¹(β) ≤ μ: it is as hard as telling N(0, 1) from N(μ, 1).
    """
    alpha, beta = errors.at_most(confidence)
    return max(0.0, -float(ndtri(alpha)) - float(ndtri(beta)))


def least_epsilon(errors: Errors, delta: float, confidence: float) -> float:
    """The least ε for which (ε, δ)-privacy is still possible, with this confidence; 0 where nothing was learned.

    Its errors obey 1 − β ≤ e^ε α + δ, and the same with α and β exchanged.
    """
    alpha, beta = errors.at_most(confidence)
    ratios = (right / wrong for right, wrong in ((1 - beta - delta, alpha), (1 - alpha - delta, beta)))
    return max(0.0, math.log(max(*ratios, 1.0)))


# one run, many canaries --------------------------------------------------------------------------------------------------


def chance_of_guesses(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """The most that the probability is of so many correct guesses or more, under (ε, δ)-privacy.

    canaries: m units, each put in by a coin of its own; guesses: r of them that the attacker says "in" or "out" of, the others
    are passed over. With δ = 0 a guess is right with e^ε/(1 + e^ε) at most, whatever the others are. δ adds to the
    probability of v correct guesses 2mδ · max_i P[v − i ≤ X < v]/i for X ~ Binomial(r, e^ε/(1 + e^ε)) (theorem 5.2).
    """
    if not 0 <= correct <= guesses <= canaries or guesses < 1:
        raise InputError(
            f"{correct} of {guesses} guesses on {canaries} canaries are right; give no more of one than of the next"
        )
    right = float(expit(epsilon))
    at_least = float(binom.sf(correct - 1, guesses, right))
    if delta == 0 or correct == 0:
        return at_least
    below = np.cumsum(binom.pmf(np.arange(correct - 1, -1, -1), guesses, right))  # P[v − i ≤ X < v] for i = 1, 2, …
    return min(1.0, at_least + 2 * canaries * delta * float((below / np.arange(1, correct + 1)).max()))


def least_epsilon_of_guesses(canaries: int, guesses: int, correct: int, delta: float, confidence: float) -> float:
    """The least ε for which (ε, δ)-privacy is still possible after so many correct guesses; 0 where nothing was learned."""
    error = 1 - checked(confidence)

    def impossible(epsilon: float) -> bool:
        return chance_of_guesses(canaries, guesses, correct, epsilon, delta) <= error

    if not impossible(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while impossible(high):
        low, high = high, 2 * high
    while high - low > PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if impossible(middle) else (low, middle)
    return low


def checked(confidence: float) -> float:
    """The confidence. Raises ConfigError where it is none."""
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"a confidence of {confidence!r}; give a probability from 0.5 to below 1, such as 0.99")
    return confidence
