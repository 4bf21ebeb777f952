"""A verdict as JUnit XML, for the test pages of CI systems: a rule is a test, a family of metrics is a suite.

    failure   a rule that can block is broken
    error     a rule that can block could not be decided: its figure is missing, in error, or too uncertain
    skipped   nothing that blocks: too few rows of a group, not applicable, reported only, waived, or a broken rule that only
              warns

An internal document: labels and messages name groups and reasons as the private report does. It does not leave with the rows.
"""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree as Xml

from synth.report.findings import Finding, Verdict

UNDECIDED = ("inconclusive", "missing", "error", "skipped")
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in any XML 1.0 document


def to_junit(verdict: Verdict) -> str:
    """The verdict's findings as one document of suites; the same verdict gives the same bytes."""
    families: dict[str, list[Finding]] = {}
    for finding in verdict.findings:
        families.setdefault(finding.check.split(".", 1)[0], []).append(finding)
    suites = [_suite(family, findings, verdict) for family, findings in families.items()]
    total = {key: str(sum(int(suite.get(key, "0")) for suite in suites)) for key in ("tests", "failures", "errors")}
    document = Xml.Element("testsuites", {"name": f"synth gate: {_clean(verdict.policy)}", **total})
    document.extend(suites)
    Xml.indent(document, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{Xml.tostring(document, encoding="unicode")}\n'


def _suite(family: str, findings: list[Finding], verdict: Verdict) -> Xml.Element:
    said = [_said(finding) for finding in findings]
    counts = Counter(tag for tag, _ in said)
    numbers = {"tests": len(findings), "failures": counts["failure"], "errors": counts["error"], "skipped": counts["skipped"]}
    suite = Xml.Element("testsuite", {"name": _clean(family), **{key: str(number) for key, number in numbers.items()}})
    properties = Xml.SubElement(suite, "properties")
    for key, value in (
        ("decision", verdict.decision),
        ("policy", f"{verdict.policy} {verdict.policy_version}"),
        ("audience", "internal"),
    ):
        Xml.SubElement(properties, "property", {"name": key, "value": _clean(value)})
    for finding, (tag, message) in zip(findings, said):
        name = {"name": _clean(finding.check), "classname": f"{_clean(verdict.policy)}.{_clean(family)}"}
        case = Xml.SubElement(suite, "testcase", name)
        if not tag:
            continue
        told = Xml.SubElement(case, tag, {"type": finding.outcome, "message": _clean(message)})
        if tag != "skipped":
            told.text = _clean(f"{message}\nWhy it is asked: {finding.why}")
    return suite


def _said(finding: Finding) -> tuple[str, str]:
    """The element that a finding is, "" for a passed test, with its message."""
    if finding.outcome == "pass":
        return "", ""
    if finding.waiver is not None:
        return "skipped", f"{finding.outcome}, waived until {finding.waiver['expires']}: {finding.message}"
    if finding.meaning == "noted" and finding.severity == "block":
        return "skipped", f"{finding.outcome}, which the policy only notes: {finding.message}"
    if finding.severity != "block" and finding.outcome in ("fail", *UNDECIDED):
        how = "only warns" if finding.severity == "warn" else "is only reported"
        return "skipped", f"{finding.outcome}, in a rule that {how}: {finding.message}"
    if finding.outcome == "fail":
        return "failure", finding.message
    return ("error" if finding.outcome in UNDECIDED else "skipped"), finding.message


def _clean(text: str) -> str:
    """Text without the characters that no XML document may hold; a category can have any."""
    return FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
