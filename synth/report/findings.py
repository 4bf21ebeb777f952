"""What the page says of a policy's findings: which stand in the way, in which order, and what to do about each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from synth.metrics.measurement import Measurement
from synth.report import svg, words
from synth.report.exposure import Exposure

URGENCY = ("fail", "error", "missing", "skipped", "inconclusive", "insufficient")


class Finding(Protocol):
    """What the page reads of one rule's outcome."""

    @property
    def check(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def limit(self) -> float | None: ...
    @property
    def reference(self) -> float | None: ...
    @property
    def over_reference(self) -> bool: ...
    @property
    def meaning(self) -> str | None: ...
    @property
    def waiver(self) -> Mapping[str, Any] | None: ...
    @property
    def blocks(self) -> bool: ...


class Verdict(Protocol):
    """What the page reads of a verdict."""

    @property
    def decision(self) -> str: ...
    @property
    def policy(self) -> str: ...
    @property
    def policy_version(self) -> str: ...
    @property
    def findings(self) -> Sequence[Finding]: ...
    @property
    def changes(self) -> Sequence[str]: ...


def unsettled(findings: Sequence[Finding]) -> list[Finding]:
    """What did not pass, what blocks first and the surest first."""
    left = [f for f in findings if f.outcome not in ("pass", "report", "absent") and f.severity != "report"]
    return sorted(left, key=lambda f: (f.outcome == "insufficient", not f.blocks, URGENCY.index(f.outcome)))


def folded(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of one rule's groups with too few rows the first stands for all: there can be dozens, and nothing to do about each."""
    small: dict[str, list[dict[str, Any]]] = {}
    for finding in found:
        if finding["outcome"] == "insufficient":
            small.setdefault(finding["check"].split("[", 1)[0], []).append(finding)
    first = [group[0] | {"more": str(len(group) - 1) if len(group) > 1 else ""} for group in small.values()]
    return [f for f in found if f["outcome"] != "insufficient"] + first


def tally(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """How many findings there are of each outcome that occurs, with the outcome for its mark."""
    counts = ((outcome, sum(f.outcome == outcome for f in findings), said) for outcome, said in words.OUTCOMES.items())
    return [(outcome, f"{count} {said}") for outcome, count, said in counts if count]


def limit_of(finding: Finding | None) -> float | None:
    """The policy's limit on the figure's own scale."""
    if finding is None or finding.limit is None:
        return None
    if not finding.over_reference:
        return finding.limit
    return None if finding.reference is None else finding.reference + finding.limit


def drawing(m: Measurement, finding: Finding | None, name: str) -> Any:
    """A figure over what real rows score and the policy's limit; None where it could not be measured."""
    if m.score is None:
        return None
    limit = limit_of(finding)
    said = f"{name}: {words.number(m.score.value, m.name)}, 95% interval {words.interval(m.score, m.name)}; "
    said += f"{words.referee(m)} {words.reference(m.reference, m.name)}; {words.BETTER[m.better]}"
    said += "" if limit is None else f"; limit {words.number(limit, m.name)}"
    real = None if m.reference is None else (m.reference.low, m.reference.high)
    return svg.band(m.score.value, m.score.low, m.score.high, real, limit, said, m.better)


def card(finding: Finding, measured: Mapping[str, Measurement], changes: Sequence[str], hide: Exposure) -> dict[str, Any]:
    """One open finding. changes: the verdict's sentences on what would have to change, each after its check's label."""
    m, start = measured.get(finding.check), f"{finding.check}: "
    label = hide.check(finding)
    return {
        "check": label,
        "more": "",
        "outcome": finding.outcome,
        "message": hide.message(finding),
        "let_go": let_go(finding),
        "why": finding.why,
        "do": words.advice(finding.outcome, finding.check, finding.value is not None),
        "change": next((said.removeprefix(start) for said in changes if said.startswith(start)), ""),
        "drawing": None if m is None or finding.limit is None else drawing(m, finding, label),
    }


def let_go(finding: Finding) -> str:
    """Why a finding does not stand in the way although it is no pass of a rule that can block; or nothing."""
    if finding.waiver is not None:
        said = finding.waiver
        until = f"waived by {said['approver']} until {str(said['expires'])[:10]}"
        return f"{until}: {said['reason']} ({said['owner']} answers for it)"
    if finding.severity != "block":
        return "warning"
    return "only noted" if finding.meaning == "noted" else ""
