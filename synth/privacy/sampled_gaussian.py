"""What training with noisy gradients costs, and how much noise a budget asks for. The training itself is in `dpsgd`.

Each step draws every row with the same probability, independently of the others, adds up one bounded gradient for each row
drawn, and adds Gaussian noise (Abadi et al., "Deep learning with differential privacy", 2016). How often, how likely and how
noisy is settled before any row is seen, by numbers that no row had a part in: no count of rows, exact or noisy, is among them.

A unit of k rows. Let one data set have k rows that the other lacks, each with a gradient of at most C. Given which of the other
rows are drawn, which is as likely in both, the sum is N(s, σ²C²) without them, and with them a mixture: N(s, σ²C²) with
probability (1 − q)^k, where none of the k is drawn, else N(s + v, σ²C²) for vectors v no longer than kC. Divergences of such
mixtures are no more than those of their worst part (joint quasi-convexity), and that grows with the length of v. So a step
costs no more than one whose unit is a single row, drawn with probability 1 − (1 − q)^k, with noise of σ/k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import count

from synth.errors import BudgetError, ConfigError
from synth.privacy.accounting import Curve, dpsgd_curve
from synth.privacy.budget import Budget

LEAST_NOISE = 0.3  # in multiples of the clipping norm: below it a single step tells nearly all of a row
MOST_NOISE = 1e4
NEARLY = 0.998  # share of ε that is used, at least


@dataclass(frozen=True)
class NoisySteps:
    """So many steps of the Gaussian mechanism on a sample of the rows. All three numbers are public.

    sampling_rate: probability with which a row is drawn into a step. noise_multiplier: standard deviation of the noise, in
    multiples of the longest gradient of a row. rows_per_unit: rows that one unit has at most.
    Raises ConfigError for what is out of range.
    """

    steps: int
    sampling_rate: float
    noise_multiplier: float
    rows_per_unit: int = 1

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("rows_per_unit", self.rows_per_unit)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} is {value!r}; give a whole number from 1")
        if not 0 < self.sampling_rate <= 1:
            raise ConfigError(f"sampling_rate is {self.sampling_rate!r}; give a probability above 0, at most 1")
        if not 0 < self.noise_multiplier < math.inf:
            raise ConfigError(f"noise_multiplier is {self.noise_multiplier!r}; give a number above 0")

    @cached_property
    def curve(self) -> Curve:
        """What all steps cost: for a unit of several rows that of the single row which is no better hidden (see above)."""
        k = self.rows_per_unit
        rate = self.sampling_rate if k == 1 else min(1.0, math.nextafter(-math.expm1(k * _log_missed(self.sampling_rate)), 2))
        return dpsgd_curve(self.noise_multiplier / k, rate, self.steps)

    @classmethod
    def within(cls, budget: Budget, steps: int, sampling_rate: float, *, beside: Curve) -> NoisySteps:
        """The steps with nearly the least noise that a budget allows on top of what is spent beside them.

        Raises BudgetError where no noise is enough, as little is left.
        """
        return _within(budget, steps, sampling_rate, beside)


@cache
def _within(budget: Budget, steps: int, sampling_rate: float, beside: Curve) -> NoisySteps:
    k = budget.rows_per_subject or 1
    least, most = LEAST_NOISE * k, MOST_NOISE * k
    noise = float(k)
    over: tuple[float, float] | None = None  # a noise that is too little, and the ε that it comes to
    under: tuple[float, float] | None = None
    for tried in count() if beside.epsilon(budget.delta) < NEARLY * budget.epsilon else ():
        made = NoisySteps(steps, sampling_rate, noise, k)
        epsilon = (beside + made.curve).epsilon(budget.delta)
        if epsilon <= budget.epsilon:
            if epsilon >= NEARLY * budget.epsilon or noise <= least:
                return made
            under = noise, epsilon
        else:
            if noise >= most:
                break
            over = noise, epsilon
        if over is None or under is None:
            noise = max(noise / 2, least) if over is None else min(noise * 2, most)
        else:
            share = 0.5
            if math.isfinite(over[1]) and under[1] > 0 and tried < 12:  # along a line in logarithms, which the two nearly have
                wanted = math.log(over[1] / (budget.epsilon * (1 + NEARLY) / 2))
                share = min(0.95, max(0.05, wanted / math.log(over[1] / under[1])))
            noise = over[0] * (under[0] / over[0]) ** share
    raise BudgetError(
        f"{budget.in_words} leaves nothing for {steps:,} steps beside what counts cost; nothing was read: "
        "set a smaller share aside for counts, or give a larger epsilon"
    )


def _log_missed(rate: float) -> float:
    """Logarithm of the probability that a row is not drawn."""
    return -math.inf if rate >= 1 else math.log1p(-rate)
