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
Outcome = Literal["pass", "fail", "inconclusive", "missing", "error", "absent", "insufficient", "report"]
Severity = Literal["block", "warn", "report"]


@dataclass(frozen=True)
class Finding:
    """What one rule says of one measurement.

    value, low, high: what was compared with `limit` (for a rule on the excess over real rows, the excess and its interval).
    score, reference: the figure itself and what real rows score in its place.
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
    score: float | None = None
    reference: float | None = None
    over_reference: bool = False
    waiver: Mapping[str, Any] | None = None  # the `Waiver` that lets it go, as plain values

    def __repr__(self) -> str:
        return f"Finding({self.check}: {self.outcome}, {self.severity}; {self.message})"

    @property
    def blocks(self) -> bool:
        """Whether it stands in the way of an approval."""
        if self.waiver is not None:
            return False
        return self.severity == "block" and self.outcome not in ("pass", "report", "insufficient", "absent")


def decide(findings: tuple[Finding, ...]) -> Decision:
    """Any blocking fail rejects; else anything blocking that is not a pass, or nothing judged at all, is inconclusive."""
    blocking = [finding.outcome for finding in findings if finding.blocks]
    if "fail" in blocking:
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
            "policy": {"name": self.policy, "version": self.policy_version, "digest": self.policy_digest},
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
                formats=tuple(document["formats"]),
                attempt=None if document["attempt"] is None else Attempt(**document["attempt"]),
                refused_waivers=tuple(document["refused_waivers"]),
                measurements=measurements,
                entry=entry,
                rules=rules,
            )
        except (ValueError, KeyError, TypeError) as problem:
            raise DataError(f"the verdict cannot be read ({problem}); judge the run again with `synth gate`") from problem
