"""A verdict as SARIF 2.1.0 (OASIS, 2020), for the code-scanning pages of CI systems.

An internal document: labels and messages name groups and reasons as the private report does. It does not leave with the rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from synth import __version__
from synth.metrics.registry import metrics
from synth.report.findings import Finding, Verdict

EXIT = {"approved": 0, "rejected": 1, "inconclusive": 3}
ROWS = "synthetic.parquet"  # what every result is about, beside the verdict in the run folder

# Readers show results of the kind "fail" and drop most others. What could not be decided is therefore a failed result as well:
# never may it look passed. `properties.outcome` says which it is.
KINDS = {"pass": "pass", "report": "informational", "absent": "notApplicable", "insufficient": "review"}


def to_sarif(verdict: Verdict) -> str:
    """The verdict's findings as one SARIF run; the same verdict gives the same bytes."""
    rules = _rules(verdict)
    place = {rule["id"]: index for index, rule in enumerate(rules)}
    run = {
        "tool": {"driver": {"name": "synth", "version": __version__, "rules": rules}},
        "invocations": [
            {
                "executionSuccessful": True,
                "exitCode": EXIT[verdict.decision],
                "exitCodeDescription": verdict.decision,
            }
        ],
        "results": [_result(finding, place) for finding in verdict.findings],
        "properties": {
            "decision": verdict.decision,
            "policy": verdict.policy,
            "policyVersion": verdict.policy_version,
            "audience": "internal",
        },
    }
    return json.dumps({"version": "2.1.0", "runs": [run]}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _rules(verdict: Verdict) -> list[dict[str, Any]]:
    """Each rule of the policy once, however many groups it judged."""
    summaries = {metric.name: metric.summary for metric in metrics()}
    rules: dict[str, dict[str, Any]] = {}
    for finding in verdict.findings:
        name = measure(finding)
        rules.setdefault(
            name,
            {
                "id": name,
                "shortDescription": {"text": summaries.get(name, finding.why)},
                "fullDescription": {"text": finding.why},
                "defaultConfiguration": {"level": _level(finding.severity)},
            },
        )
    return list(rules.values())


def measure(finding: Finding) -> str:
    """The metric, or the requirement, that a finding is about."""
    return finding.check.split("[", 1)[0]


def _result(finding: Finding, place: dict[str, int]) -> dict[str, Any]:
    name, kind = measure(finding), KINDS.get(finding.outcome, "fail")
    figures = ("value", "low", "high", "limit", "reference")
    return {
        "ruleId": name,
        "ruleIndex": place[name],
        "kind": kind,
        "level": _level(finding.severity if finding.blocks or finding.severity != "block" else "warn")
        if kind == "fail"
        else "none",
        "message": {"text": f"{finding.check}: {finding.message}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": ROWS}},
                "logicalLocations": [{"fullyQualifiedName": finding.check, "kind": "member"}],
            }
        ],
        **({} if finding.waiver is None else {"suppressions": [_suppressed(finding.waiver)]}),
        "partialFingerprints": {"check/v1": hashlib.sha256(finding.check.encode()).hexdigest()},
        "properties": {
            "outcome": finding.outcome,
            "severity": finding.severity,
            **{key: value for key in figures if (value := getattr(finding, key)) is not None},
        },
    }


def _suppressed(waiver: Mapping[str, Any]) -> dict[str, Any]:
    """A waiver, as SARIF has it."""
    said = f"{waiver['reason']} ({waiver['owner']} answers for it; waived by {waiver['approver']} until {waiver['expires']})"
    return {"kind": "external", "status": "accepted", "justification": said}


def _level(severity: str) -> str:
    return {"block": "error", "warn": "warning"}.get(severity, "note")
