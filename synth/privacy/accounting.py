"""What several releases cost together: ρ-zCDP and Rényi curves are added, then turned into one (ε, δ).

A mechanism bounds, at every order α > 1, the Rényi divergence between its outputs on two data sets that differ by one unit.
Bounds add up when mechanisms are composed (Mironov, "Rényi differential privacy", 2017), also where each was chosen in view of
the results before it. ρ-zCDP is the bound ρ·α (Bun and Steinke, "Concentrated differential privacy", 2016); it is kept apart
from the rest, since it holds at every α and not only at those of a grid. What is (ε, δ) by its nature, such as a threshold,
keeps its bound but for a probability δ′; those add up as well.

Everything that is kept is an integer, rounded up: a sum has no error, and does not depend on the order of its terms.
"""

from __future__ import annotations

import decimal
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from synth.errors import ConfigError, InputError, MissingExtraError

MICRO = 10**6  # ρ is counted in millionths
NANO = 10**9  # a curve's values are counted in these: a thousand spendings then round up by less than 1e-6
ATTO = 10**18  # δ′ is counted in these
ORDERS: tuple[float, ...] = (
    *(1 + tenths / 10 for tenths in range(1, 100)),
    *(halves / 2 for halves in range(22, 50)),
    *range(25, 64),
    *(round(64 * 2 ** (step / 16)) for step in range(65)),  # to 1,024; the gaps cost at most 4e-4 of an ε of .05 to 20
)
_DOUBT = 2.0**-46  # of the sum of the terms: more than the rounding of a few dozen operations


@dataclass(frozen=True)
class Curve:
    """A cost: at each of `ORDERS` a Rényi divergence of at most ρ·α plus the value there, but for a probability δ′."""

    micro_rho: int = 0  # ρ in 1e-6
    nano: tuple[int, ...] = ()  # what comes to ρ·α at each order, in 1e-9; empty where nothing does
    atto_delta: int = 0  # δ′ in 1e-18

    def __post_init__(self) -> None:
        object.__setattr__(self, "nano", tuple(self.nano))
        if len(self.nano) not in (0, len(ORDERS)):
            raise InputError(f"a curve has {len(self.nano)} values; give one for each of the {len(ORDERS)} orders, or none")
        for value in (self.micro_rho, self.atto_delta, *self.nano):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise InputError(f"a cost of {value!r} is no whole number from 0; round it up with `rounded_up`")

    def __add__(self, other: Curve) -> Curve:
        """The cost of both: adaptive composition."""
        longer, shorter = (self.nano, other.nano) if self.nano else (other.nano, self.nano)
        nano = tuple(one + two for one, two in zip(longer, shorter, strict=True)) if shorter else longer
        return Curve(self.micro_rho + other.micro_rho, nano, self.atto_delta + other.atto_delta)

    def epsilon(self, delta: float) -> float:
        """The least ε, rounded up, for which what costs this is known to be (ε, δ)-private; infinite where there is none.

        At the best of all orders where all is zCDP, else at the best of `ORDERS`. Raises ConfigError for a δ outside ]0, 1[.
        """
        _check_delta(delta)
        if self == Curve():
            return 0.0
        beside = float(Fraction(delta) - Fraction(self.atto_delta, ATTO))
        if self.atto_delta:
            beside = math.nextafter(beside, -math.inf)
        if beside <= 0:
            return math.inf
        rho = self.micro_rho / MICRO
        if not any(self.nano):
            return zcdp_epsilon(rho, beside)
        return min(_epsilon_at(order, rho * order + value / NANO, beside) for order, value in zip(ORDERS, self.nano))

    def left(self, epsilon: float, delta: float) -> int:
        """How many micro-ρ may be spent on top without passing (ε, δ)."""
        return _largest(lambda more: (self + Curve(more)).epsilon(delta) <= epsilon)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `Curve(**…)` takes back."""
        return {"micro_rho": self.micro_rho, "nano": list(self.nano), "atto_delta": self.atto_delta}


# ρ-zCDP ------------------------------------------------------------------------------------------------------------------


def zcdp_epsilon(rho: float, delta: float) -> float:
    """The least ε, rounded up, for which ρ-zCDP is known to give (ε, δ).

    The bound of Canonne, Kamath and Steinke ("The discrete Gaussian for differential privacy", 2020, proposition 12) at its
    best order α, which is where ρ(α−1)² + log α + log δ, its derivative times (α−1)², is zero.
    Raises ConfigError for a negative ρ or a δ outside ]0, 1[.
    """
    _check_delta(delta)
    if isinstance(rho, bool) or not isinstance(rho, (int, float)) or not 0 <= rho < math.inf:
        raise ConfigError(f"rho is {rho!r}; give a finite number from 0")
    if rho == 0:
        return 0.0
    over_one = _root(lambda u: rho * u * u + math.log1p(u) + math.log(delta), math.sqrt(-math.log(delta) / rho))
    return _epsilon_at(1 + over_one, rho * (1 + over_one), delta, over_one)


def zcdp_rho(epsilon: float, delta: float) -> float:
    """The largest ρ, to 15 digits and rounded down, whose `zcdp_epsilon` at δ is at most ε. Raises ConfigError."""
    _check_epsilon(epsilon)
    high = 1.0
    while zcdp_epsilon(high, delta) <= epsilon:
        high *= 2
    low = 0.0
    while low < (middle := (low + high) / 2) < high and high - low > 1e-15 * high:
        low, high = (middle, high) if zcdp_epsilon(middle, delta) <= epsilon else (low, middle)
    return low


def micro_rho(epsilon: float, delta: float) -> int:
    """The largest whole number of micro-ρ whose `zcdp_epsilon` at δ is at most ε, or 0. Raises ConfigError."""
    _check_epsilon(epsilon)
    _check_delta(delta)
    return Curve().left(epsilon, delta)


def rounded_up(value: float, unit: int = MICRO) -> int:
    """The least whole number of 1/unit that is no less than a cost. Raises InputError for what is negative or not finite."""
    if not 0 <= value < math.inf:
        raise InputError(f"a cost of {value!r} cannot be written down; it has to be a finite number from 0")
    return math.ceil(Fraction(value) * unit)


# DP-SGD ------------------------------------------------------------------------------------------------------------------


def dpsgd_curve(noise_multiplier: float, sampling_rate: float, steps: int) -> Curve:
    """What so many steps of DP-SGD cost, for adding or removing one unit.

    noise_multiplier: standard deviation of the noise in multiples of the clipping norm; sampling_rate: the probability with
    which each unit is drawn into a batch, independently of the others (Poisson: shuffled batches are not covered).
    Raises ConfigError for numbers outside their range, MissingExtraError without dp-accounting.
    """
    for name, value, most in (("noise_multiplier", noise_multiplier, math.inf), ("sampling_rate", sampling_rate, 1)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most or math.isinf(value):
            to = "" if math.isinf(most) else f", at most {most}"
            raise ConfigError(f"{name} is {value!r}; give a number above 0{to}")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ConfigError(f"steps is {steps!r}; give a whole number from 0")
    try:
        from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
        from dp_accounting.rdp import RdpAccountant
    except ModuleNotFoundError as problem:
        raise MissingExtraError("the accounting of DP-SGD", "dp-accounting", "dp") from problem
    accountant = RdpAccountant(ORDERS)
    with _unheard(
        "failed to converge"
    ):  # it warns that it leaves out such an order; below, the next larger one stands in for it
        accountant.compose(PoissonSampledDpEvent(sampling_rate, GaussianDpEvent(noise_multiplier)), steps)
    values = [float(value) for value in accountant._rdp]  # which it gives out nowhere else
    for place in reversed(range(len(values) - 1)):
        if math.isinf(values[place]):
            values[place] = values[place + 1]  # a bound as well, since the divergence never falls as the order grows
    return Curve(nano=tuple(rounded_up(value, NANO) for value in values))


@contextmanager
def _unheard(words: str) -> Iterator[None]:
    """Keep what dp-accounting logs with these words off the terminal."""

    def other(record: logging.LogRecord) -> bool:
        return words not in record.getMessage()

    logger = logging.getLogger("absl")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


# numbers -----------------------------------------------------------------------------------------------------------------


def shown(epsilon: float, *, up: bool) -> str:
    """An ε in four digits for people to read, rounded up where it is spent and down where it is left."""
    context = decimal.Context(prec=4, rounding=decimal.ROUND_CEILING if up else decimal.ROUND_FLOOR)
    return "infinite" if math.isinf(epsilon) else f"{context.create_decimal_from_float(epsilon).normalize(context):f}"


def _epsilon_at(order: float, divergence: float, delta: float, over_one: float | None = None) -> float:
    """ε at one order, rounded up: D + log(1 − 1/α) − (log δ + log α)/(α − 1), and never negative."""
    over_one = order - 1 if over_one is None else over_one
    log_order = math.log1p(over_one)
    terms = (divergence, math.log(over_one), -log_order, -math.log(delta) / over_one, -log_order / over_one)
    return max(0.0, math.fsum(terms) + _DOUBT * math.fsum(map(abs, terms)))


def _root(function: Callable[[float], float], high: float) -> float:
    """Where a growing function passes zero between 0 and `high`, by bisection; any place near it gives a valid bound."""
    low = 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return high


def _largest(fits: Callable[[int], bool]) -> int:
    """The largest whole number that fits, where every smaller one does as well; 0 where none does."""
    if not fits(1):
        return 0
    low, high = 1, 2
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _check_epsilon(epsilon: float) -> None:
    if isinstance(epsilon, bool) or not isinstance(epsilon, (int, float)) or not 0 < epsilon < math.inf:
        raise ConfigError(f"epsilon is {epsilon!r}; give a number above 0, such as 1")


def _check_delta(delta: float) -> None:
    if isinstance(delta, bool) or not isinstance(delta, (int, float)) or not 0 < delta < 1:
        raise ConfigError(
            f"delta is {delta!r}; give a number between 0 and 1, far below one over the number of rows, such as 1e-6"
        )
