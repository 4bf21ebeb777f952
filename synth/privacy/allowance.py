"""What one fit may spend, and has spent: the ledger was debited for the whole before the data was touched."""

from __future__ import annotations

from synth.errors import BudgetError, InputError


class Allowance:
    """So many micro-ρ (1e-6 ρ of zCDP), which a mechanism takes its cost from before it draws any noise.

    Raises InputError for what is not a whole number from 1.
    """

    def __init__(self, micro_rho: int) -> None:
        self.total = _whole(micro_rho, "an allowance")
        self._spent: list[tuple[str, int]] = []

    @property
    def spent(self) -> list[tuple[str, int]]:
        """What it went on, in order: (what, micro-ρ)."""
        return list(self._spent)

    @property
    def left(self) -> int:
        """Micro-ρ that are not spent."""
        return self.total - sum(cost for _, cost in self._spent)

    def spend(self, micro_rho: int, what: str) -> None:
        """Take a cost out of it. Raises BudgetError, with nothing taken, where it is more than what is left; InputError."""
        cost = _whole(micro_rho, "the cost of " + (what if isinstance(what, str) and what else "a mechanism"))
        if not isinstance(what, str) or not what.strip():
            raise InputError(f"what {cost} micro-ρ are spent on is {what!r}; say it in words")
        if cost > self.left:
            raise BudgetError(
                f"{what} costs {cost:,} micro-ρ, but {self.left:,} of {self.total:,} are left; nothing was drawn: "
                "plan the parts so that they add up to the whole, each rounded up"
            )
        self._spent.append((what, cost))


def _whole(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} is {value!r} micro-ρ; give a whole number from 1, rounded up")
    return value
