"""Which waivers count for a verdict, and why the others do not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from synth.gate import terms
from synth.gate.rules import WaiverRules
from synth.gate.verdict import Finding, never_let_go
from synth.gate.waivers import Waiver


def waive(
    findings: tuple[Finding, ...], waivers: Iterable[Waiver], rules: WaiverRules, *, synthetic: str | None, policy_digest: str
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """The findings, of which some no longer block, and a line for each waiver that does not count.

    Whose signature a waiver bears was checked before. synthetic: SHA-256 of the rows that are judged.
    """
    refused = []
    for waiver in waivers:
        why = _refusal(waiver, findings, rules, {"synthetic": synthetic, "policy": policy_digest})
        if why:
            refused.append(f"{_named(waiver.check)} by {waiver.approver}: {why}")
        else:
            findings = tuple(
                replace(finding, waiver=waiver.to_dict()) if finding.blocks and waiver.is_about(finding.check) else finding
                for finding in findings
            )
    return findings, tuple(refused)


def _refusal(waiver: Waiver, findings: tuple[Finding, ...], rules: WaiverRules, digests: Mapping[str, Any]) -> str:
    """Why a waiver does not count, or nothing."""
    measure = waiver.check.split("[", 1)[0]
    if waiver.synthetic != digests["synthetic"]:
        return f"it is about other rows (SHA-256 {waiver.synthetic[:12]}…)"
    if waiver.policy_digest != digests["policy"]:
        return f"it is about another policy, or another version of this one (SHA-256 {waiver.policy_digest[:12]}…)"
    if never_let_go(measure):
        return "this check can never be waived"
    if not rules.allowed:
        return "the policy allows no waivers"
    if rules.forbid(measure):
        return "the policy does not let this check be waived"
    if why := _untimely(waiver, rules.max_days):
        return why
    if not any(waiver.is_about(finding.check) for finding in findings):
        return "no finding is about that check; nothing to waive"
    if not any(finding.blocks and waiver.is_about(finding.check) for finding in findings):
        return "that check does not stand in the way; nothing to waive"
    return ""


def _untimely(waiver: Waiver, most_days: int) -> str:
    """Why its dates do not let it count now, or nothing."""
    try:
        begins, ends = datetime.fromisoformat(waiver.issued), datetime.fromisoformat(waiver.expires)
        if begins.tzinfo is None or ends.tzinfo is None:
            raise ValueError("a date without its zone")
    except ValueError:
        return f"its dates cannot be read ({waiver.issued[:40]!r} to {waiver.expires[:40]!r})"
    now = terms.now()
    if ends - begins > timedelta(days=most_days):
        return f"it runs for {math.ceil((ends - begins) / timedelta(days=1))} days; at most {most_days} are allowed"
    if begins > now + terms.CLOCK_SKEW:
        return f"it does not hold before {waiver.issued}"
    if ends <= now:
        return f"it expired on {waiver.expires}"
    return ""


def _named(check: str) -> str:
    """A check for the verdict, which may leave: a group's value may be one that only real rows have."""
    measure, bracket, _ = check.partition("[")
    return f"{measure}[…]" if bracket else measure
