"""What a policy says of a table: approved, rejected or inconclusive, finding by finding."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from synth.errors import DataError
from synth.metrics.measurement import Measurements

Decision = Literal["approved", "rejected", "inconclusive"]
Outcome = Literal["pass", "fail", "inconclusive", "missing", "error", "skipped", "absent", "insufficient", "report"]
Severity = Literal["block", "warn", "report"]
Counted = Literal["inconclusive", "rejected", "noted"]  # what a doubt comes to
Profile = Literal["public", "partner", "internal"]  # who may see the rows

DOUBTS: tuple[Outcome, ...] = (
    "inconclusive",
    "missing",
    "error",
    "skipped",
)  # neither pass nor fail: the policy says what then
PUBLIC_FIGURES = "requires.public_figures"  # the check that stops exact figures about rows made under a privacy budget
NEVER_LET_GO = ("validity.schema", "privacy.exact_copies", "privacy.unique_copies", "privacy.membership_", PUBLIC_FIGURES)
"""Checks that no waiver and no policy's wording lets go. What breaks the schema was not checked by anything that follows, so
its waiver would waive all the others unseen; copies of training rows, and members that an attack can name, are harm to people
who never signed the waiver; and no waiver makes an exact figure part of a privacy budget."""


def never_let_go(check: str) -> bool:
    """Whether a check, given by its label or its measure's name, can be neither waived nor merely noted."""
    name = check.split("[", 1)[0]
    return any(name.startswith(known) if known.endswith("_") else name == known for known in NEVER_LET_GO)


@dataclass(frozen=True)
class Finding:
    """What one rule says of one measurement.

    value, low, high: what was compared with `limit` (for a rule on the excess over real rows, the excess and its interval).
    bound: the end of the interval that had to keep the limit, at the rule's confidence; None for an alarm, which asks that
    harm be shown. score, reference: the figure itself and what real rows score in its place.
    """

    check: str  # the measurement's label: "fairness.group_share[sex=Female]"
    outcome: Outcome
    severity: Severity
    message: str
    why: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    bound: float | None = None
    score: float | None = None
    reference: float | None = None
    over_reference: bool = False
    meaning: Counted | None = None  # of a doubt: what it comes to under this policy; None for what is no doubt
    waiver: Mapping[str, Any] | None = None  # the `Waiver` that lets it go, as plain values

    def __post_init__(self) -> None:
        if never_let_go(self.check) and (self.waiver is not None or self.meaning == "noted"):
            raise DataError(
                f"{self.check!r} can be neither waived nor merely noted; judge the measurements again with `synth gate`"
            )

    def __repr__(self) -> str:
        return f"Finding({self.check}: {self.outcome}, {self.severity}; {self.message})"

    @property
    def blocks(self) -> bool:
        """Whether it stands in the way of an approval."""
        if self.severity != "block" or self.waiver is not None:
            return False
        if self.outcome in DOUBTS and self.meaning == "noted":
            return False
        return self.outcome not in ("pass", "report", "insufficient", "absent")

    @property
    def rejects(self) -> bool:
        """Whether it blocks, and is no mere doubt."""
        return self.blocks and (self.outcome == "fail" or self.meaning == "rejected")


def decide(findings: tuple[Finding, ...]) -> Decision:
    """Any blocking fail, or doubt that the policy takes for one, rejects.

    Else anything else that blocks, or nothing that passed at all, is inconclusive.
    """
    blocking = any(finding.blocks for finding in findings)
    if any(finding.rejects for finding in findings):
        return "rejected"
    passed = any(finding.outcome == "pass" for finding in findings)
    return "approved" if passed and not blocking else "inconclusive"


@dataclass(frozen=True)
class Attempt:
    """Which try this was, in the log of attempts (`synth.gate.attempts`)."""

    number: int  # of this data under this policy's name, from 1
    total: int  # of this data under any policy


@dataclass(frozen=True)
class Verdict:
    """A decision, the findings behind it, and the digests of everything that it is about.

    context: as in `Measurements.context` (rows, digests, target, sensitive, seed, provenance), with the digest of the
    measurements themselves. `measurements` is there while it is in memory; it is not written.
    """

    decision: Decision
    policy: str
    policy_version: str
    policy_digest: str
    findings: tuple[Finding, ...]
    context: Mapping[str, Any]
    profile: Profile = "internal"  # who may see the rows, as the policy says
    formats: tuple[str, ...] = ("parquet",)  # what the policy lets an approved table leave in
    attempt: Attempt | None = None  # None for a verdict that was not logged, which cannot be approved
    refused_waivers: tuple[str, ...] = ()  # in words: what was waived, and why that does not count
    measurements: Measurements | None = field(default=None, compare=False, repr=False)
    entry: str | None = field(default=None, compare=False, repr=False)  # SHA-256 of the attempt's line in the log
    rules: bytes | None = field(
        default=None, compare=False, repr=False
    )  # the policy's canonical JSON; its SHA-256 is the digest

    def __post_init__(self) -> None:
        follows = decide(self.findings)
        if self.decision != follows:
            raise DataError(
                f"a verdict says {self.decision!r}, but {follows!r} is what follows from its findings; "
                "judge the measurements again with `synth gate`"
            )

    def __repr__(self) -> str:
        """The decision, how many findings of each outcome, and a line for each one that stands in the way."""
        counts = Counter(finding.outcome for finding in self.findings)
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
        lines = [f"  {finding.outcome:<12} {finding.check}: {finding.message}" for finding in self.blocking]
        return "\n".join([f"Verdict({self.decision} under {self.policy} {self.policy_version}: {said})", *lines])

    @property
    def changes(self) -> tuple[str, ...]:
        """What would have to change: a sentence for each finding that stands in the way of an approval."""
        from synth.gate.remedies import changes  # only here: a verdict is read where no metric is installed

        return changes(self)

    @property
    def waived(self) -> tuple[Finding, ...]:
        """The findings that would stand in the way of an approval, had nobody let them go."""
        return tuple(finding for finding in self.findings if finding.waiver is not None)

    @property
    def waivers(self) -> list[dict[str, Any]]:
        """The waivers that were needed, each once, however many groups it covers."""
        found = [dict(finding.waiver) for finding in self.findings if finding.waiver is not None]
        return [waiver for place, waiver in enumerate(found) if waiver not in found[:place]]

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """The findings that stand in the way of an approval."""
        return tuple(finding for finding in self.findings if finding.blocks)

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain JSON values, without the measurements in memory."""
        return {
            "decision": self.decision,
            "policy": {
                "name": self.policy,
                "version": self.policy_version,
                "digest": self.policy_digest,
                "profile": self.profile,
            },
            "formats": list(self.formats),
            "attempt": None if self.attempt is None else asdict(self.attempt),
            "refused_waivers": list(self.refused_waivers),
            "findings": [asdict(finding) for finding in self.findings],
            "context": dict(self.context),
        }

    def to_bytes(self) -> bytes:
        """Canonical JSON: the bytes that are signed and exported."""
        return (json.dumps(self.to_dict(), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @classmethod
    def from_bytes(
        cls,
        content: bytes,
        *,
        measurements: Measurements | None = None,
        rules: bytes | None = None,
        entry: str | None = None,
    ) -> Verdict:
        """The inverse of `to_bytes`. Raises DataError where the bytes are not a verdict."""
        try:
            document = json.loads(content)
            policy = document["policy"]
            return cls(
                decision=document["decision"],
                policy=policy["name"],
                policy_version=policy["version"],
                policy_digest=policy["digest"],
                findings=tuple(Finding(**finding) for finding in document["findings"]),
                context=document["context"],
                profile=policy["profile"],
                formats=tuple(document["formats"]),
                attempt=None if document["attempt"] is None else Attempt(**document["attempt"]),
                refused_waivers=tuple(document["refused_waivers"]),
                measurements=measurements,
                entry=entry,
                rules=rules,
            )
        except (ValueError, KeyError, TypeError) as problem:
            raise DataError(f"the verdict cannot be read ({problem}); judge the run again with `synth gate`") from problem
