"""The terms of an approval: on whose request, by how many signers, from when and until when.

They are fixed before anything is signed, since the documents that leave with the rows state them, and stand in the signed
statement; so whoever signs second signs the very same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

CLOCK_SKEW = timedelta(minutes=10)  # by how much two machines' clocks may differ before one of them is called wrong


@dataclass(frozen=True)
class Terms:
    """What an approval says beside the files that it covers."""

    requested_by: str  # who asked for the approval, in words
    requester: str  # the key id of the machine or person that judged
    at: str  # when it was asked for: ISO 8601, UTC, to the second
    expires: str  # from when on it no longer holds: ISO 8601, UTC, to the second
    signers: int = 1  # how many different people's keys must sign
    automatic: bool = True  # whether the requester's own signature is enough

    @property
    def begins(self) -> datetime:
        return datetime.fromisoformat(self.at)

    @property
    def ends(self) -> datetime:
        return datetime.fromisoformat(self.expires)


def now() -> datetime:
    """This machine's clock, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def until(waiver: Mapping[str, Any]) -> datetime:
    """When a waiver ends."""
    return datetime.fromisoformat(waiver["expires"])
