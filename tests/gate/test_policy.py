"""What is approved, rejected or left open, and what a policy file may say."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from synth.errors import ConfigError, DataError
from synth.gate.policy import Policy, packaged
from synth.gate.verdict import Finding, Verdict
from synth.metrics.measurement import Interval, Measurement
from synth.metrics.registry import metrics


def one_rule(rule: str) -> Policy:
    return Policy.parse(
        "name: p\nversion: 1.0.0\ntitle: t\ndescription: d\nrequires: {holdout: true}\n"
        f"checks:\n  - {{{rule}, why: A reason for the rule.}}\n"
    )


def says(made: SimpleNamespace, rule: str, *items: Measurement) -> tuple[str, tuple[str, ...]]:
    """The decision and the outcomes of one rule on some figures."""
    verdict = one_rule(rule).assess(made.measured(made.rows(), items))
    return verdict.decision, tuple(finding.outcome for finding in verdict.findings)


LIMIT = "measure: m.x, limit: 0.1"
EXCESS = "measure: m.x, excess: 0.1"


@pytest.mark.parametrize(
    ("rule", "value", "half", "facts", "decision"),
    [
        (LIMIT, 0.05, 0.02, {}, "approved"),
        (LIMIT, 0.1, 0.0, {}, "approved"),  # at the limit is within it
        (LIMIT, 0.09, 0.02, {}, "inconclusive"),  # the unfavourable end is beyond
        (LIMIT, 0.11, 0.05, {}, "rejected"),
        (LIMIT, 0.2, 0.02, {"better": "higher"}, "approved"),
        (LIMIT, 0.11, 0.02, {"better": "higher"}, "inconclusive"),
        (LIMIT, 0.09, 0.02, {"better": "higher"}, "rejected"),
        (EXCESS, 0.25, 0.01, {"reference": 0.2}, "approved"),
        (EXCESS, 0.29, 0.02, {"reference": 0.2}, "inconclusive"),  # the noise of both counts: .09 + √2 · .02 > .1
        (EXCESS, 0.29, 0.005, {"reference": 0.2}, "approved"),  # .09 + √2 · .005 < .1
        (EXCESS, 0.35, 0.01, {"reference": 0.2}, "rejected"),
        (EXCESS, 0.0, 0.01, {}, "inconclusive"),  # no reference, so no excess
        (EXCESS, 0.05, 0.01, {"reference": 0.2, "better": "nearer"}, "rejected"),  # as far below as above
        (EXCESS, 0.25, 0.01, {"reference": 0.2, "better": "nearer"}, "approved"),
        ("measure: m.x, excess: 0.1, relative: 0.5", 0.35, 0.01, {"reference": 0.2}, "approved"),
        ("measure: m.x, limit: 0.1, severity: warn", 0.9, 0.01, {}, "inconclusive"),  # nothing that was asked passed
    ],
)
def test_one_figure(
    made: SimpleNamespace, rule: str, value: float, half: float, facts: dict[str, object], decision: str
) -> None:
    assert says(made, rule, made.figure("m.x", value, half=half, **facts))[0] == decision


NEVER_A_PASS = {
    "crashed": Measurement("m.x", "lower", status="error", reason="division by zero"),
    "absent": Measurement("m.x", "lower", status="absent", reason="there is no target"),
    "skipped": Measurement("m.x", "lower", status="skipped", reason="there are too few rows"),
    "few": Measurement("m.x", "lower", status="skipped", reason="insufficient: 12 rows"),
    "nan": Measurement("m.x", "lower", Interval(math.nan, 0.0, 0.0, 9)),
    "nan interval": Measurement("m.x", "lower", Interval(0.0, 0.0, math.nan, 9)),
    "infinite": Measurement("m.x", "lower", Interval(0.0, -math.inf, 0.0, 9)),
    "nothing": Measurement("m.x", "lower"),
    "another metric": Measurement("m.y", "lower", Interval(0.0, 0.0, 0.0, 9)),
    "reference is NaN": Measurement("m.x", "lower", Interval(0.0, 0.0, 0.0, 9), Interval(math.nan, 0.0, 0.0, 9)),
}


@pytest.mark.parametrize(
    ("rule", "case"),
    [
        (rule, case)
        for rule in (LIMIT, EXCESS, LIMIT + ", insufficient: note")
        for case in NEVER_A_PASS
        if rule == EXCESS or case != "reference is NaN"  # a limit on the figure itself does not look at the reference
    ],
)
@pytest.mark.attack("brings figures that are NaN, missing, skipped or crashed", "never approved, under any rule")
def test_what_was_not_measured_is_never_approved(made: SimpleNamespace, rule: str, case: str) -> None:
    decision, outcomes = says(made, rule, NEVER_A_PASS[case])
    assert decision != "approved"
    assert "pass" not in outcomes


@pytest.mark.parametrize("case", NEVER_A_PASS)
@pytest.mark.parametrize("policy", packaged())
def test_a_packaged_policy_never_approves_without_a_figure_it_blocks_on(made: SimpleNamespace, policy: str, case: str) -> None:
    """Every other figure perfect, one not measured: approved only where the policy says that there may be nothing to check."""
    rules = Policy.load(policy)
    perfect = [
        made.figure(
            c.measure,
            float(_better(c.measure) == "higher"),
            half=0.0,
            reference=float(_better(c.measure) == "higher"),
            better=_better(c.measure),
        )
        for c in rules.checks
    ]
    big = {"train": 10_000, "holdout": 10_000, "synthetic": 10_000}
    base = made.measured(made.rows(), tuple(perfect))
    spent = {"epsilon": 1.0, "delta": 1e-6, "unit": "row", "secure": True}
    base = replace(base, context={**base.context, "rows": big, "target": "town", "sensitive": ["town"], "privacy": spent})
    assert rules.assess(base).decision == "approved"
    for position, check in enumerate(rules.checks):
        if check.severity != "block":
            continue
        if case == "reference is NaN" and check.excess is None:
            continue
        unmeasured = replace(NEVER_A_PASS[case], name="m.y" if case == "another metric" else check.measure)
        items = (*perfect[:position], unmeasured, *perfect[position + 1 :])
        verdict = rules.assess(replace(base, items=items))
        excused = case == "absent" or (case == "few" and check.insufficient == "note")
        assert (verdict.decision == "approved") == excused, (check.measure, case)


def _better(name: str) -> str:
    return next((spec.better for spec in metrics() if spec.name == name), "lower")


def test_every_packaged_rule_is_about_a_metric_that_exists() -> None:
    known = {spec.name for spec in metrics()}
    for name in packaged():
        assert {check.measure for check in Policy.load(name).checks} <= known, name


def test_one_bad_group_rejects_however_many_are_good(made: SimpleNamespace) -> None:
    groups = [made.figure("m.x", 0.01, group={"sex": f"g{i}"}) for i in range(20)]
    assert says(made, LIMIT, *groups)[0] == "approved"
    assert says(made, LIMIT, *groups, made.figure("m.x", 0.5, group={"sex": "last"}))[0] == "rejected"


def test_what_the_policy_requires_is_asked_for(made: SimpleNamespace) -> None:
    table, items = made.rows(), made.good()
    for rule, named in [
        ("holdout: true", "requires.holdout"),
        ("min_train: 5000", "requires.min_train"),
        ("min_synthetic: 5000", "requires.min_synthetic"),
        ("target: true", "requires.target"),
        ("sensitive: true", "requires.sensitive"),
    ]:
        policy = Policy.parse(made.policy.replace("holdout: true, min_synthetic: 50", rule))
        figures = made.measured(table, items)
        if named == "requires.holdout":
            figures = replace(figures, context={**figures.context, "rows": {"train": 9, "holdout": None, "synthetic": 60}})
        verdict = policy.judge(figures)
        assert verdict.decision == "inconclusive"
        assert named in [finding.check for finding in verdict.blocking]


def test_a_warning_is_shown_and_does_not_block(made: SimpleNamespace) -> None:
    items = (*made.good()[:2], made.figure("fidelity.trend", 0.9))
    verdict = Policy.parse(made.policy).judge(made.measured(made.rows(), items))
    assert verdict.decision == "approved"
    assert [finding.outcome for finding in verdict.findings][-1] == "fail"


def test_a_finding_says_the_figures_and_the_reason(made: SimpleNamespace) -> None:
    policy = Policy.parse(made.policy)
    items = (made.figure("fidelity.shape", 0.21, reference=0.01), *made.good()[1:])
    finding = policy.judge(made.measured(made.rows(), items)).blocking[0]
    assert (finding.value, finding.reference, finding.limit) == (0.2, 0.01, 0.05)
    assert "0.2000" in finding.message
    assert "must be at most 0.05" in finding.message
    assert finding.why == "Columns must look like real ones."


def test_a_verdict_keeps_no_more_than_four_decimals(made: SimpleNamespace) -> None:
    items = (made.figure("fidelity.shape", 0.0123456789, reference=0.0123456789), *made.good()[1:])
    text = Policy.parse(made.policy).judge(made.measured(made.rows(), items)).to_bytes().decode()
    assert "0.0123" in text
    assert "0.01234" not in text


def test_a_verdict_comes_back_from_its_bytes(made: SimpleNamespace) -> None:
    verdict = Policy.parse(made.policy).judge(made.measured(made.rows(), made.good()))
    again = Verdict.from_bytes(verdict.to_bytes())
    assert again == verdict
    assert again.to_bytes() == verdict.to_bytes()


def test_a_verdict_cannot_say_what_its_findings_do_not(made: SimpleNamespace) -> None:
    items = (made.figure("fidelity.shape", 0.9, reference=0.01), *made.good()[1:])
    verdict = Policy.parse(made.policy).judge(made.measured(made.rows(), items))
    assert verdict.decision == "rejected"
    with pytest.raises(DataError, match="'rejected' is what follows"):
        replace(verdict, decision="approved")
    with pytest.raises(DataError, match="'inconclusive' is what follows"):
        replace(verdict, decision="approved", findings=())
    forged = verdict.to_bytes().replace(b'"decision": "rejected"', b'"decision": "approved"')
    with pytest.raises(DataError, match="judge the measurements again"):
        Verdict.from_bytes(forged)
    for garbage in (b"", b"[]", b'{"decision": "approved"}', b"\xff"):
        with pytest.raises(DataError, match="cannot be read"):
            Verdict.from_bytes(garbage)


def test_only_blocking_outcomes_block() -> None:
    for outcome in ("fail", "inconclusive", "missing", "error"):
        assert Finding("m.x", outcome, "block", "", "").blocks  # type: ignore[arg-type]
        assert not Finding("m.x", outcome, "warn", "", "").blocks  # type: ignore[arg-type]


# policy files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", packaged())
def test_every_rule_of_a_packaged_policy_gives_its_reason(name: str) -> None:
    policy = Policy.load(name)
    assert policy.name == name
    for check in policy.checks:
        assert check.why.endswith("."), f"{check.measure}: a reason is a sentence"
        assert len(check.why.split()) >= 5


def test_the_six_policies_are_packaged() -> None:
    assert packaged() == (
        "class-balance", "fairness-audit", "image-release", "privacy-release", "private-release", "research"
    )  # fmt: skip


def test_the_json_schema_describes_a_policy() -> None:
    schema = Policy.model_json_schema()
    json.dumps(schema)
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]) == {"Approvers", "Attempts", "Check", "Meaning", "PrivacyBudget", "Requirements", "WaiverRules"}
    assert set(schema["required"]) == {"name", "version", "title", "description", "checks"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("limit: 0.01", "limt: 0.01", "unknown key 'checks.1.limt'; did you mean 'limit'?"),
        ("checks:", "cheks:", "unknown key 'cheks'; did you mean 'checks'?"),
        ("min_synthetic", "min_syntetic", "did you mean 'min_synthetic'?"),
        ("limit: 0.01", "limit: 0.01, excess: 0.2", "either `limit` or `excess`"),
        ("limit: 0.01, ", "", "either `limit` or `excess`"),
        ("limit: 0.01", "limit: 0.01, relative: 0.2", "`relative` goes with `excess`"),
        ("severity: warn", "severity: shout", "checks.2.severity"),
        ("version: 1.0.0", "version: one", "version"),
        (', why: "Copies are not synthetic."', "", "checks.1.why"),
        ("privacy.exact_copies", "fidelity.shape", "two rules are about 'fidelity.shape'"),
        ("formats: [parquet, csv]", "formats: [xlsx]", "formats.0"),
        ("formats: [parquet, csv]", "formats: []", "formats"),
        ("checks:", "checks: [", "is not YAML"),
    ],
)
def test_a_wrong_policy_is_refused_in_words(made: SimpleNamespace, tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in made.policy
    file = tmp_path / "mine.yaml"
    file.write_text(made.policy.replace(old, new, 1))
    with pytest.raises(ConfigError) as refused:
        Policy.load(file)
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) <= 3


def test_a_policy_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'research'"):
        Policy.load("reserch")
    with pytest.raises(ConfigError, match="cannot be read"):
        Policy.load(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(ConfigError, match="the policy"):
        Policy.load(tmp_path / "empty.yaml")


def test_another_tools_definition_never_blocks() -> None:
    theirs = "measure: fidelity.trend@sdmetrics-0.27"
    assert one_rule(f"{theirs}, severity: report").checks[0].severity == "report"
    assert one_rule(f"{theirs}, limit: 0.9, severity: warn").checks[0].severity == "warn"
    with pytest.raises(ConfigError, match=r"never block; give the rule the severity `report`, or name 'fidelity\.trend'"):
        one_rule(f"{theirs}, limit: 0.9")


def test_the_digest_names_the_content_not_the_layout(made: SimpleNamespace) -> None:
    policy = Policy.parse(made.policy)
    same = yaml.safe_dump(yaml.safe_load(made.policy), sort_keys=True)
    assert Policy.parse(same).digest() == policy.digest()
    assert Policy.parse(made.policy.replace("0.01", "0.02", 1)).digest() != policy.digest()


# alarms and groups -----------------------------------------------------------------------------------------------------

ALARM = "measure: m.x, limit: 0.1, end: favourable"
NOTED = "measure: m.x, limit: 0.1, insufficient: note"


@pytest.mark.parametrize(
    ("value", "half", "decision"),
    [
        (0.05, 0.2, "approved"),  # an alarm does not ask that harm be excluded,
        (0.15, 0.1, "approved"),  # nor believes a figure that chance may have made,
        (0.2, 0.05, "rejected"),  # but goes off where harm is shown
    ],
)
def test_an_alarm_goes_off_only_where_harm_is_shown(made: SimpleNamespace, value: float, half: float, decision: str) -> None:
    assert says(made, ALARM, made.figure("m.x", value, half=half))[0] == decision


def test_an_alarm_that_was_not_measured_is_no_pass(made: SimpleNamespace) -> None:
    assert says(made, ALARM, Measurement("m.x", "lower", status="skipped", reason="too few rows"))[0] == "inconclusive"


def test_many_groups_raise_no_more_false_alarms_than_one(made: SimpleNamespace) -> None:
    """Holm: a figure that shows harm in the only group may be chance in the worst of forty."""
    surprising = made.figure("m.x", 0.16, half=0.04, group={"g": "0"})  # three standard errors beyond the limit
    calm = [made.figure("m.x", 0.05, half=0.04, group={"g": str(i)}) for i in range(1, 40)]
    assert says(made, NOTED, surprising)[1] == ("fail",)
    decision, outcomes = says(made, NOTED, surprising, *calm)
    assert (decision, outcomes[0], set(outcomes[1:])) == ("approved", "insufficient", {"pass"})


def test_a_group_too_small_to_decide_is_named_and_never_a_pass(made: SimpleNamespace) -> None:
    sure, unsure = (
        made.figure("m.x", 0.02, half=0.01, group={"g": "large"}),
        made.figure("m.x", 0.02, half=0.3, group={"g": "small"}),
    )
    assert says(made, NOTED, sure, unsure) == ("approved", ("pass", "insufficient"))
    assert says(made, NOTED, unsure) == ("inconclusive", ("insufficient",))
    assert says(made, "measure: m.x, limit: 0.1", sure, unsure) == ("inconclusive", ("pass", "inconclusive"))


def test_a_rule_may_ask_for_a_one_sided_bound(made: SimpleNamespace) -> None:
    figure = made.figure("m.x", 0.09, half=0.011)
    assert says(made, "measure: m.x, limit: 0.1", figure)[1] == ("inconclusive",)
    assert says(made, "measure: m.x, limit: 0.1, confidence: 0.95", figure)[1] == ("pass",)  # .09 + .011 · 1.645 / 1.96
    wide = made.figure("m.x", 0.09, half=0.013)
    assert says(made, "measure: m.x, limit: 0.1, confidence: 0.95", wide)[1] == ("inconclusive",)
