"""What the ledger's entries say: the cap of each data set, what was spent on it, and what is left."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from synth.errors import BudgetError, InputError, did_you_mean
from synth.privacy.accounting import MICRO, Curve, shown, zcdp_epsilon
from synth.privacy.budget import Budget, Unit

_HASHED = b"synth privacy ledger entry v1\n"  # what is hashed says what it is


@dataclass(frozen=True)
class Entry:
    """One thing that happened to a data set's account.

    kind: "account", when it was opened (facts: cap, by); "cap", when that was changed (facts: cap, by, reason); or "spending"
    (facts: cost, unit, rows_per_subject, what, by).
    """

    number: int  # from 1, over all data sets
    at: str  # ISO 8601, UTC, to the second
    dataset: str
    kind: str
    previous: str  # the digest of the entry before
    facts: Mapping[str, Any]

    @property
    def line(self) -> str:
        """The entry as it is written."""
        return json.dumps(vars(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the entry: what the next one names it by, and what an artefact keeps of it."""
        return hashlib.sha256(_HASHED + self.line.encode()).hexdigest()

    @property
    def cost(self) -> Curve:
        """What was spent: nothing, in an entry of another kind."""
        return Curve(**self.facts["cost"]) if self.kind == "spending" else Curve()

    @classmethod
    def of_line(cls, line: Any) -> Entry | None:
        """The inverse of `line`, to the letter; None where it is no entry."""
        try:
            entry = cls(**json.loads(line))
            return entry if entry.line == line else None
        except (ValueError, TypeError, RecursionError):
            return None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the digest."""
        return {"number": self.number, "at": self.at, "kind": self.kind, "entry": self.digest, **self.facts}


@dataclass(frozen=True)
class Account:
    """What may be spent on a data set, and what was."""

    dataset: str
    entries: tuple[Entry, ...]  # its own, oldest first

    @cached_property
    def cap(self) -> Budget:
        """What may be spent in all, as it was set last."""
        return Budget(**[entry.facts["cap"] for entry in self.entries if entry.kind != "spending"][-1])

    @cached_property
    def spent(self) -> Curve:
        """All that was spent, as one cost."""
        return sum((entry.cost for entry in self.entries), Curve())

    @cached_property
    def epsilon(self) -> float:
        """The ε of all that was spent together, at the cap's δ, rounded up; infinite where that δ is spent as well."""
        return self.spent.epsilon(self.cap.delta)

    @cached_property
    def left_micro_rho(self) -> int:
        """How many micro-ρ are left."""
        return self.spent.left(self.cap.epsilon, self.cap.delta)

    @property
    def left_epsilon(self) -> float:
        """The largest ε, at the cap's δ, that one release of zCDP may still ask for: more than the cap's less what is spent,
        since costs add up as ρ and not as ε.
        """
        if self.left_micro_rho == 0:
            return 0.0
        too_much = zcdp_epsilon((self.left_micro_rho + 1) / MICRO, self.cap.delta)
        return min(self.cap.epsilon, math.nextafter(too_much, 0.0))

    def after(self, cost: Curve) -> float:
        """The ε of all together, at the cap's δ, if this were spent as well."""
        return (self.spent + cost).epsilon(self.cap.delta)

    def hides(self, unit: Unit, rows_per_subject: int | None) -> bool:
        """Whether noise that hides this unit hides the account's: a subject's many rows hide fewer, and any one of them."""
        if self.cap.rows_per_subject is None:
            return True
        return unit == "subject" and rows_per_subject is not None and rows_per_subject >= self.cap.rows_per_subject

    def check(self, cost: Curve, unit: Unit, rows_per_subject: int | None, *, what: str) -> None:
        """Raise BudgetError for what may not be spent: past the cap, or on noise that hides less than the account's unit."""
        if not self.hides(unit, rows_per_subject):
            of = "" if rows_per_subject is None else f" with at most {rows_per_subject} rows"
            raise BudgetError(
                f"{what} hides a {unit}{of}, but the cap of {self.dataset!r} is for a {self.cap.about}; nothing was read.\n"
                f"give the job unit 'subject' and rows_per_subject {self.cap.rows_per_subject}"
            )
        if self.after(cost) > self.cap.epsilon:
            raise BudgetError(self._refusal(cost, what))

    def _refusal(self, cost: Curve, what: str) -> str:
        """Why this may not be spent, what is left, and what can be done."""
        left = (
            f"{self.left_micro_rho:,} micro-ρ are left, one release of epsilon {shown(self.left_epsilon, up=False)}"
            if self.left_micro_rho
            else "nothing is left"
        )
        return (
            f"{what} would bring {self.dataset!r} to epsilon {shown(self.after(cost), up=True)}, past its cap of "
            f"{self.cap.in_words}; nothing was read.\n{left}: ask for less, use what was released already (sampling is free),\n"
            f"or raise the cap on record: synth ledger {self.dataset} --cap-epsilon E --by NAME --reason TEXT"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; an infinite ε is null, and `left.epsilon` is what one release may ask for."""
        epsilon = self.epsilon if math.isfinite(self.epsilon) else None
        return {
            "dataset": self.dataset,
            "cap": self.cap.to_dict(),
            "spent": {"epsilon": epsilon, **self.spent.to_dict()},
            "left": {"epsilon": self.left_epsilon, "micro_rho": self.left_micro_rho},
            "entries": [entry.to_dict() for entry in self.entries],
        }


def accounts_in(entries: Sequence[Entry]) -> tuple[Account, ...]:
    """Every data set's account, in the order in which they were opened."""
    names = dict.fromkeys(entry.dataset for entry in entries)
    return tuple(Account(name, tuple(entry for entry in entries if entry.dataset == name)) for name in names)


def account_in(entries: Sequence[Entry], dataset: str) -> Account:
    """One data set's account. Raises InputError where it has none."""
    own = tuple(entry for entry in entries if entry.dataset == dataset)
    if not own:
        known = dict.fromkeys(entry.dataset for entry in entries)
        raise InputError(
            f"the data set {dataset!r} has no account in the ledger{did_you_mean(dataset, known)}; nothing was read.\n"
            "set its cap first: synth ledger NAME --cap-epsilon E --cap-delta D --by NAME"
        )
    return Account(dataset, own)
