"""What conditioned rows cost, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass

from synth.data.encoding import Encoded


@dataclass(frozen=True)
class Effort:
    """begun: rows that were begun. found: those that came of them. effective: as many independent rows as these are worth
    (Kish's effective sample size), fewer where some are copies of one beginning."""

    begun: float = 0.0
    found: float = 0.0
    effective: float = 0.0

    def __add__(self, other: Effort) -> Effort:
        return Effort(self.begun + other.begun, self.found + other.found, self.effective + other.effective)

    def less(self, share: float) -> Effort:
        """The same, where only this share of what was found could be kept."""
        return Effort(self.begun, self.found * share, self.effective * share)

    @property
    def acceptance(self) -> float:
        """Rows found per row begun."""
        return min(1.0, self.found / max(1.0, self.begun))

    def worth(self, rows: int) -> float:
        """The effective size of so many of the rows found."""
        return rows * self.effective / max(1.0, self.found)


@dataclass(frozen=True, eq=False)
class Drawn(Encoded):
    """Encoded rows that say what they cost and what they are worth."""

    effort: Effort
