"""How much may become known about one unit: an (ε, δ), and what a unit is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from synth.errors import ConfigError, did_you_mean
from synth.privacy.accounting import micro_rho

Unit = Literal["row", "subject"]
UNITS: tuple[Unit, ...] = get_args(Unit)


@dataclass(frozen=True)
class Budget:
    """At most (ε, δ) for adding or removing one unit: a row, or a subject with all its rows, at most so many.

    Raises ConfigError for an ε that is not above 0 or too small to be counted, a δ outside ]0, 1[, an unknown unit, and for
    `rows_per_subject` where it is missing or has no meaning.
    """

    epsilon: float
    delta: float
    unit: Unit = "row"
    rows_per_subject: int | None = None  # the declared most rows that one subject has; for the unit "subject" alone

    def __post_init__(self) -> None:
        check_unit(self.unit, self.rows_per_subject)
        if self.micro_rho == 0:
            raise ConfigError(
                f"epsilon {self.epsilon!r} at delta {self.delta!r} is less than the smallest cost that is counted, a millionth "
                "of ρ; give a larger epsilon or delta"
            )

    @cached_property
    def micro_rho(self) -> int:
        """What it buys where everything is zCDP: the largest whole number of 1e-6 ρ that is known to stay within (ε, δ)."""
        return micro_rho(self.epsilon, self.delta)

    @property
    def rows_per_unit(self) -> int:
        """How many rows one unit has at most: what counts of rows have to hide."""
        return 1 if self.rows_per_subject is None else self.rows_per_subject

    @property
    def about(self) -> str:
        """What a unit is, in words."""
        return "row" if self.unit == "row" else f"subject with at most {self.rows_per_subject} rows"

    @property
    def in_words(self) -> str:
        """The whole of it."""
        return f"epsilon {self.epsilon:g} at delta {self.delta:g} for a {self.about}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `Budget(**…)` takes back."""
        return {field: getattr(self, field) for field in ("epsilon", "delta", "unit", "rows_per_subject")}


def check_unit(unit: str, rows_per_subject: int | None) -> None:
    """Raise ConfigError unless this is a row, or a subject with a declared number of rows."""
    rows = rows_per_subject
    if unit not in UNITS:
        raise ConfigError(f"the unit of a budget is {unit!r}{did_you_mean(unit, UNITS)}")
    if unit == "row" and rows is not None:
        raise ConfigError(f"rows_per_subject is {rows!r}, but the unit is a row; leave it out, or give the unit 'subject'")
    if unit == "subject" and (isinstance(rows, bool) or not isinstance(rows, int) or rows < 1):
        raise ConfigError(f"rows_per_subject is {rows!r}; declare the most rows that one subject has, from 1")
