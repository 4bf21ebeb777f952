"""`Waiver`: somebody's signed word that one check of one table need not hold for a while, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

MOST_DAYS = 90


@dataclass(frozen=True)
class Waiver:
    """One check of one table, let go for at most 90 days."""

    check: str  # the finding's label, or the measure's name for all of its groups
    owner: str  # who answers for what follows
    reason: str
    approver: str  # who signed, in words
    keyid: str  # ... and with which key
    issued: str  # ISO 8601, UTC, to the second
    expires: str
    synthetic: str  # SHA-256 of the rows that it is about
    policy_digest: str  # of the policy whose check it waives

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def is_about(self, label: str) -> bool:
        """Whether it covers a finding."""
        return self.check in (label, label.split("[")[0])
