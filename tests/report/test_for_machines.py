"""The verdict as SARIF and JUnit: the structure that the formats prescribe, and nothing undecided that looks passed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args
from xml.etree import ElementTree as Xml

import pytest
from jsonschema import Draft202012Validator

from synth.gate.verdict import Finding, Outcome, Severity, Verdict, decide
from synth.report.junit import to_junit
from synth.report.sarif import to_sarif

OUTCOMES, SEVERITIES = get_args(Outcome), get_args(Severity)

# What SARIF 2.1.0 (OASIS standard, 27 March 2020) requires of the parts that are used here, by section of the standard.
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}  # §3.11
LEVEL = {"enum": ["none", "note", "warning", "error"]}  # §3.27.10
RULE = {  # §3.49
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string"},
        "shortDescription": TEXT,
        "fullDescription": TEXT,
        "defaultConfiguration": {"type": "object", "properties": {"level": LEVEL}, "additionalProperties": False},
    },
    "additionalProperties": False,
}
LOCATION = {  # §3.28, §3.29, §3.33
    "type": "object",
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation"],
            "properties": {"artifactLocation": {"type": "object", "required": ["uri"]}},
        },
        "logicalLocations": {
            "type": "array",
            "items": {"type": "object", "required": ["fullyQualifiedName"], "properties": {"kind": {"type": "string"}}},
        },
    },
    "additionalProperties": False,
}
SUPPRESSION = {  # §3.35
    "type": "object",
    "required": ["kind"],
    "properties": {
        "kind": {"enum": ["inSource", "external"]},
        "status": {"enum": ["accepted", "underReview", "rejected"]},
        "justification": {"type": "string"},
    },
    "additionalProperties": False,
}
RESULT = {  # §3.27
    "type": "object",
    "required": ["message", "ruleId"],
    "properties": {
        "ruleId": {"type": "string"},
        "ruleIndex": {"type": "integer", "minimum": 0},
        "kind": {"enum": ["pass", "open", "informational", "notApplicable", "review", "fail"]},
        "level": LEVEL,
        "message": TEXT,
        "locations": {"type": "array", "items": LOCATION},
        "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
        "suppressions": {"type": "array", "items": SUPPRESSION},
        "properties": {"type": "object"},
    },
    "additionalProperties": False,
    "if": {"properties": {"kind": {"const": "fail"}}},
    "else": {"properties": {"level": {"const": "none"}}},  # §3.27.10: a level other than none is for failures only
}
DRIVER = {  # §3.19
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "version": {"type": "string"}, "rules": {"type": "array", "items": RULE}},
    "additionalProperties": False,
}
INVOCATION = {  # §3.20
    "type": "object",
    "required": ["executionSuccessful"],
    "properties": {
        "executionSuccessful": {"type": "boolean"},
        "exitCode": {"type": "integer"},
        "exitCodeDescription": {"type": "string"},
    },
    "additionalProperties": False,
}
SARIF = {  # §3.13, §3.14
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "additionalProperties": False,
                "properties": {
                    "tool": {"type": "object", "required": ["driver"], "properties": {"driver": DRIVER}},
                    "invocations": {"type": "array", "items": INVOCATION},
                    "results": {"type": "array", "items": RESULT},
                    "properties": {"type": "object"},
                },
            },
        },
    },
}

# What the XML Schema that Jenkins publishes allows: attributes by element, and the elements inside it.
JUNIT: dict[str, tuple[set[str], set[str], set[str]]] = {  # required attributes, others, children
    "testsuites": (set(), {"name", "time", "tests", "failures", "disabled", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests"},
        {"failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": (
        {"name"},
        {"assertions", "time", "classname", "status"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
}


def finding(check: str, outcome: Outcome, severity: Severity = "block", message: str = "0.2 is above 0.1") -> Finding:
    figures = {} if outcome in ("missing", "error", "absent", "insufficient") else {"value": 0.2, "low": 0.1, "high": 0.3}
    return Finding(check, outcome, severity, message, "Columns must look like real rows do.", **figures)  # type: ignore[arg-type]


def judged(*findings: Finding) -> Verdict:
    return Verdict(decide(findings), "research", "1.0.0", "0" * 64, findings, {})


EVERY = judged(
    *(
        finding(f"fairness.group_share[sex={outcome} {severity}]", outcome, severity)
        for outcome in OUTCOMES
        for severity in SEVERITIES
    )
)
HOSTILE = judged(finding('fidelity.shape[<a> & "b"\x00\x1b]', "fail", message="]]> & \x0b <script>\ud800"))


def sarif(verdict: Verdict) -> Any:
    document = json.loads(to_sarif(verdict))
    Draft202012Validator(SARIF).validate(document)
    run = document["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    return run


def junit(verdict: Verdict) -> Xml.Element:
    """The document, after everything that holds for every one has been checked."""
    root = Xml.fromstring(to_junit(verdict).encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        required, others, children = JUNIT[element.tag]
        assert required <= set(element.attrib) <= required | others, element.tag
        assert {child.tag for child in element} <= children, element.tag
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases)
        for tag, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(suite.attrib[count]) == sum(case.find(tag) is not None for case in cases)
    for count in ("tests", "failures", "errors"):
        assert int(root.attrib[count]) == sum(int(suite.attrib[count]) for suite in root)
    return root


def test_every_outcome_is_a_result_with_its_rule_once() -> None:
    run = sarif(EVERY)
    assert len(run["results"]) == len(OUTCOMES) * len(SEVERITIES)
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["fairness.group_share"]
    assert "sensitive group" in run["tool"]["driver"]["rules"][0]["shortDescription"]["text"]
    assert len({result["partialFingerprints"]["check/v1"] for result in run["results"]}) == len(run["results"])


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_what_stands_in_the_way_is_a_failure_everywhere_and_nothing_else_is(outcome: Outcome, severity: Severity) -> None:
    one = finding("fidelity.shape", outcome, severity)
    result = sarif(judged(one))["results"][0]
    case = junit(judged(one)).find("testsuite/testcase")
    assert case is not None
    assert (result["kind"] == "fail" and result["level"] == "error") == one.blocks
    assert any(case.find(tag) is not None for tag in ("failure", "error")) == one.blocks
    if outcome != "pass":
        assert result["kind"] != "pass", "what was not shown to be met never looks passed"
        assert len(case) == 1


def test_junit_tells_broken_from_undecided_and_from_what_cannot_be_asked() -> None:
    said = {case.attrib["name"]: case[0].tag if len(case) else "" for case in junit(EVERY).iter("testcase")}
    blocking = {outcome: said[f"fairness.group_share[sex={outcome} block]"] for outcome in OUTCOMES}
    assert blocking == {
        "pass": "",
        "fail": "failure",
        **dict.fromkeys(("inconclusive", "missing", "error", "skipped"), "error"),
        **dict.fromkeys(("absent", "insufficient", "report"), "skipped"),
    }
    assert all(said[f"fairness.group_share[sex={outcome} warn]"] in ("skipped", "") for outcome in OUTCOMES)


def test_the_decision_is_the_exit_code() -> None:
    for verdict, code in ((EVERY, 1), (judged(finding("fidelity.shape", "pass")), 0), (judged(), 3)):
        assert sarif(verdict)["invocations"][0]["exitCode"] == code
        assert sarif(verdict)["properties"]["decision"] == verdict.decision
        junit(verdict)


def test_hostile_names_and_control_characters_stay_text() -> None:
    case = junit(HOSTILE).find("testsuite/testcase")
    assert case is not None
    assert case.attrib["name"] == 'fidelity.shape[<a> & "b"\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}]'
    assert sarif(judged(finding("fidelity.shape[<a>\x00]", "fail")))["results"][0]["message"]["text"].startswith("fidelity.")


def test_the_same_verdict_gives_the_same_bytes() -> None:
    assert to_sarif(EVERY) == to_sarif(EVERY)
    assert to_junit(EVERY) == to_junit(EVERY)


WAIVER = {
    "check": "fidelity.shape",
    "owner": "Olga",
    "reason": "a pilot",
    "approver": "Ada",
    "expires": "2026-04-01T00:00:00+00:00",
}


def test_a_waived_or_noted_finding_fails_no_build_and_says_so() -> None:
    broken = replace(finding("fidelity.shape", "fail"), waiver=WAIVER)
    noted = replace(finding("fidelity.trend", "skipped"), meaning="noted")
    verdict = judged(broken, noted, finding("fidelity.pairs", "pass"))
    assert verdict.decision == "approved"
    said = {case.attrib["name"]: case[0] for case in junit(verdict).iter("testcase") if len(case)}
    assert {name: element.tag for name, element in said.items()} == {"fidelity.shape": "skipped", "fidelity.trend": "skipped"}
    assert said["fidelity.shape"].attrib["message"].startswith("fail, waived until 2026-04-01")
    assert "only notes" in said["fidelity.trend"].attrib["message"]
    results = sarif(verdict)["results"]
    assert [result["level"] for result in results] == ["warning", "warning", "none"]
    (suppressed,) = results[0]["suppressions"]
    assert suppressed["status"] == "accepted"
    for words in ("a pilot", "Olga", "Ada", "2026-04-01"):
        assert words in suppressed["justification"]
