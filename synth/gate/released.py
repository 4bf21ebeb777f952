"""`Release`: what the documents of an export state, gathered once. They hold no clock but the terms', and no real value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from synth import __version__
from synth.data.table import Provenance, Table
from synth.gate.forms import Signed, signed_files
from synth.gate.terms import Terms
from synth.gate.verdict import Verdict


@dataclass(frozen=True)
class Release:
    """Approved rows that leave in one layout.

    verdict, rows: as they leave (`synth.gate.leaving`). by: who approves, in words.
    """

    verdict: Verdict
    rows: Table
    terms: Terms
    by: str
    layout: str

    @cached_property
    def files(self) -> dict[str, Signed]:
        """The files of rows in the format of the layout, by name."""
        return signed_files(self.layout, self.rows)

    @property
    def privacy(self) -> dict[str, Any] | None:
        """What was spent of a privacy budget, and on what; None where the rows were made without one."""
        return self.verdict.context.get("privacy")

    @property
    def title(self) -> str:
        return f"Synthetic table, approved under {self.verdict.policy}"

    @property
    def origin(self) -> Provenance | None:
        """Which model the rows came from; None where synth did not make them."""
        return self.rows.provenance

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 (hex) of training rows, holdout rows, the rows as judged, schema and measurements; None for no holdout."""
        found: dict[str, str] = self.verdict.context["digests"]
        return found

    @cached_property
    def policy(self) -> dict[str, Any]:
        """The policy's own words."""
        found: dict[str, Any] = json.loads(self.verdict.rules or b"{}")
        return found

    @property
    def profile(self) -> str | None:
        """Whom the policy is for, where it says so."""
        return self.policy.get("profile")

    @property
    def made_by(self) -> str:
        return f"synth {__version__}"

    @property
    def uuid(self) -> UUID:
        """A name for this release that depends on the measurements and the time of the request alone."""
        return uuid5(NAMESPACE_URL, f"urn:synth:release:{self.digests['measurements']}:{self.terms.at}")

    @property
    def attempt(self) -> str:
        """Which attempt it was, in words."""
        attempt = self.verdict.attempt
        if attempt is None:
            return "not logged"
        return f"attempt {attempt.number} on this data under this policy, {attempt.total} under any"

    @property
    def policy_words(self) -> str:
        profile = f", profile {self.profile}" if self.profile else ""
        return f"{self.verdict.policy} {self.verdict.policy_version}{profile}"

    @property
    def words(self) -> dict[str, str]:
        """What the approval says of itself, each by its name."""
        return {
            "policy": self.policy_words,
            "requested by": self.terms.requested_by,
            "approved by": self.by,
            "signatures": self.signatures,
            "holds": self.validity,
            "attempt": self.attempt,
        }

    @property
    def validity(self) -> str:
        return f"from {self.terms.at} until {self.terms.expires}"

    @property
    def signatures(self) -> str:
        """Who must have signed, in words."""
        if self.terms.automatic:
            return "the judging machine's key alone, as the policy allows"
        people = "one person's key" if self.terms.signers == 1 else f"{self.terms.signers} people's keys"
        return f"{people}, none of them the requester's" if self.terms.requester else people
