"""What a policy says beside its rules: requirements, doubts, smallest groups, who signs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from synth.errors import ConfigError, DataError
from synth.gate.policy import Policy
from synth.gate.verdict import Finding, Verdict
from synth.metrics.measurement import Measurement


def policy_of(made: SimpleNamespace, more: str) -> Policy:
    return Policy.parse(f"{made.policy}\n{more}\n")


def one_rule(rule: str, more: str = "") -> Policy:
    return Policy.parse(
        "name: p\nversion: 1.0.0\ntitle: t\ndescription: d\nrequires: {holdout: true}\n"
        f"checks:\n  - {{{rule}, why: A reason for the rule.}}\n{more}"
    )


def verdict_of(made: SimpleNamespace, policy: Policy, *items: Measurement, **context: Any) -> Verdict:
    figures = made.measured(made.rows(), items or made.good())
    return policy.assess(replace(figures, context={**figures.context, **context}))


# which end counts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "value", "half", "outcome"),
    [
        ("estimate", 0.09, 0.05, "pass"),  # the interval does not matter,
        ("estimate", 0.11, 0.05, "fail"),  # on either side
        ("unfavourable", 0.09, 0.05, "inconclusive"),
        ("favourable", 0.11, 0.05, "pass"),
    ],
)
def test_the_end_that_counts_is_the_policys_choice(
    made: SimpleNamespace, end: str, value: float, half: float, outcome: str
) -> None:
    found = verdict_of(made, one_rule(f"measure: m.x, limit: 0.1, end: {end}"), made.figure("m.x", value, half=half)).findings[
        0
    ]
    assert found.outcome == outcome
    bound = {"estimate": value, "unfavourable": round(value + half, 4), "favourable": None}[end]
    assert found.bound == bound


def test_a_figure_on_too_few_rows_is_neither_judged_nor_passed(made: SimpleNamespace) -> None:
    """made.figure rests on 1,000 rows: the second group's figure would fail."""
    groups = [made.figure("m.x", value, group={"g": str(value)}) for value in (0.01, 0.5)]
    judged = {few: verdict_of(made, one_rule(f"measure: m.x, limit: 0.1, {few}"), *groups) for few in ("min_rows: 1000",)}
    assert judged["min_rows: 1000"].decision == "rejected"
    noted = verdict_of(made, one_rule("measure: m.x, limit: 0.1, min_rows: 1001, insufficient: note"), *groups)
    assert {finding.outcome for finding in noted.findings} == {"insufficient"}
    assert noted.decision == "inconclusive"  # nothing passed
    doubted = verdict_of(made, one_rule("measure: m.x, limit: 0.1, min_rows: 1001"), *groups)
    assert {finding.outcome for finding in doubted.findings} == {"inconclusive"}
    assert all("rests on 1,000, and the policy judges from 1,001 on" in finding.message for finding in doubted.findings)


# what doubts come to -----------------------------------------------------------------------------------------------------

DOUBTS: dict[str, tuple[Any, ...]] = {
    "missing": (),
    "error": (Measurement("m.x", "lower", status="error", reason="planted"),),
    "skipped": (Measurement("m.x", "lower", status="skipped", reason="planted"),),
    "inconclusive": (),  # made below
}


@pytest.mark.parametrize("kind", DOUBTS)
@pytest.mark.parametrize(
    ("meaning", "decision"), [("inconclusive", "inconclusive"), ("rejected", "rejected"), ("noted", "approved")]
)
def test_a_doubt_comes_to_what_the_policy_says(made: SimpleNamespace, kind: str, meaning: str, decision: str) -> None:
    rules = "measure: m.y, limit: 0.1, why: A reason for the rule.}\n  - {measure: m.x, limit: 0.1"
    policy = one_rule(rules, f"meaning: {{{kind}: {meaning}}}")
    doubtful = (made.figure("m.x", 0.09, half=0.05),) if kind == "inconclusive" else DOUBTS[kind]
    verdict = verdict_of(made, policy, made.figure("m.y", 0.01), *doubtful)
    finding = verdict.findings[-1]
    assert (verdict.decision, finding.outcome, finding.meaning) == (decision, kind, meaning)
    again = Verdict.from_bytes(verdict.to_bytes())
    assert again == verdict
    others = [doubt for doubt in DOUBTS if doubt != kind]
    plain = one_rule(rules, f"meaning: {{{', '.join(f'{doubt}: {meaning}' for doubt in others)}}}")
    assert verdict_of(made, plain, made.figure("m.y", 0.01), *doubtful).decision == "inconclusive"


@pytest.mark.attack("edits what a doubt comes to in verdict.json", "the verdict cannot be loaded: its decision does not follow")
def test_a_verdicts_doubts_cannot_be_edited_away(made: SimpleNamespace) -> None:
    verdict = verdict_of(made, Policy.parse(made.policy), made.good()[0], made.good()[2])
    assert verdict.decision == "inconclusive"
    edited = verdict.to_bytes().replace(b'"decision": "inconclusive"', b'"decision": "approved"')
    with pytest.raises(DataError, match="'inconclusive' is what follows"):
        Verdict.from_bytes(edited)
    noted = edited.replace(b'"meaning": "inconclusive"', b'"meaning": "noted"')
    with pytest.raises(DataError, match=r"'privacy\.exact_copies' can be neither waived nor merely noted"):
        Verdict.from_bytes(noted)


@pytest.mark.parametrize(
    "measure",
    ["validity.schema", "privacy.exact_copies", "privacy.unique_copies", "privacy.membership_auc", "privacy.membership_tpr"],
)
@pytest.mark.attack("writes a policy that merely notes a missing membership figure", "it is a blocking doubt all the same")
def test_what_can_never_be_let_go_is_never_noted(made: SimpleNamespace, measure: str) -> None:
    everything = "meaning: {missing: noted, error: noted, skipped: noted, inconclusive: noted}"
    policy = one_rule(
        f"measure: m.y, limit: 0.1, why: A reason for the rule.}}\n  - {{measure: {measure}, limit: 0.1", everything
    )
    fine = made.figure("m.y", 0.01)
    for doubt in (
        (),
        (Measurement(measure, "lower", status="error", reason="planted"),),
        (Measurement(measure, "lower", status="skipped", reason="insufficient: planted"),),
        (made.figure(measure, 0.09, half=0.05),),
    ):
        verdict = verdict_of(made, policy, fine, *doubt)
        assert verdict.decision == "inconclusive"
        assert verdict.findings[-1].meaning == "inconclusive"
    with pytest.raises(ConfigError, match="is never let go: leave out `insufficient: note`"):
        one_rule(f"measure: {measure}, limit: 0.1, insufficient: note")


def test_an_outcome_that_nobody_knows_blocks() -> None:
    assert Finding("m.x", "splendid", "block", "", "").blocks  # type: ignore[arg-type]


# requirements ------------------------------------------------------------------------------------------------------------


def test_fits_are_counted_by_their_rows(made: SimpleNamespace) -> None:
    policy = Policy.parse(made.policy.replace("min_synthetic: 50", "seeds: 3"))
    own = made.measured(made.rows(), ()).context["digests"]["synthetic"]
    for repeats, enough in [(None, False), (["a"], False), (["a", "a"], False), (["a", own], False), (["a", "b"], True)]:
        verdict = verdict_of(made, policy, **({} if repeats is None else {"repeats": repeats}))
        assert (verdict.decision == "approved") == enough, repeats
    assert "2 fits of the generator" in verdict_of(made, policy, repeats=["a"]).blocking[0].message


DP = "dp: {required: true, max_epsilon: 1.0, max_delta: 0.00001, unit: subject}"
KEPT = {"epsilon": 1.0, "delta": 1e-5, "unit": "subject"}


@pytest.mark.parametrize(
    ("spent", "decision", "words"),
    [
        (KEPT, "approved", ""),
        ({**KEPT, "epsilon": 0}, "approved", ""),
        (None, "inconclusive", "no budget of differential privacy was kept"),
        ("ε = 1", "inconclusive", "no budget of differential privacy was kept"),
        ({**KEPT, "epsilon": 1.01}, "rejected", "ε = 1.01 was spent; at most 1 is allowed"),
        ({**KEPT, "delta": 0.1}, "rejected", "δ = 0.1 was spent; at most 1e-05 is allowed"),
        ({**KEPT, "unit": "row"}, "inconclusive", "single rows are protected"),
        ({**KEPT, "unit": "cell"}, "inconclusive", "is none; fit again"),
        ({**KEPT, "epsilon": float("nan")}, "inconclusive", "is none; fit again"),
        ({**KEPT, "epsilon": float("inf")}, "inconclusive", "is none; fit again"),
        ({**KEPT, "epsilon": -1}, "inconclusive", "is none; fit again"),
        ({**KEPT, "epsilon": True}, "inconclusive", "is none; fit again"),
        ({"epsilon": 1.0, "unit": "subject"}, "inconclusive", "is none; fit again"),
    ],
)
@pytest.mark.attack("states a privacy budget of NaN, infinity, or none", "it is no budget, and blocks")
def test_a_privacy_budget_is_asked_for(made: SimpleNamespace, spent: Any, decision: str, words: str) -> None:
    policy = Policy.parse(made.policy.replace("min_synthetic: 50", f"min_synthetic: 50, {DP}"))
    figures = made.measured(made.rows(), made.good())
    context = {**figures.context, **({} if spent is None else {"privacy": spent})}
    judged = policy.assess(replace(figures, context=context))
    assert judged.decision == decision
    assert words in " ".join(finding.message for finding in judged.blocking)


def test_who_protects_subjects_protects_their_rows(made: SimpleNamespace) -> None:
    by_row = DP.replace("subject", "row")
    policy = Policy.parse(made.policy.replace("min_synthetic: 50", f"min_synthetic: 50, {by_row}"))
    for unit in ("row", "subject"):
        assert verdict_of(made, policy, privacy={**KEPT, "unit": unit}).decision == "approved"


def test_a_requirement_is_never_merely_noted(made: SimpleNamespace) -> None:
    policy = Policy.parse(made.policy.replace("min_synthetic: 50", "min_synthetic: 5000") + "meaning: {missing: noted}")
    assert verdict_of(made, policy).decision == "inconclusive"
    strict = Policy.parse(made.policy.replace("min_synthetic: 50", "min_synthetic: 5000") + "meaning: {missing: rejected}")
    assert verdict_of(made, strict).decision == "rejected"


# files -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("approvers: {count: 2, separate: false}", "where two sign, neither is the requester"),
        ("approvers: {count: 2, automatic: true}", "is one signature, the machine's"),
        ("approvers: 0", "approvers"),
        ("approvers: yes", "approvers"),
        ("approvers: {count: 1, days: 3651}", "approvers.days"),
        ("waivers: {max_days: 91}", "waivers.max_days"),
        ("waivers: {max_dais: 9}", "unknown key 'waivers.max_dais'; did you mean 'max_days'?"),
        ("meaning: {skipped: fine}", "meaning.skipped"),
        ("meaning: {failed: noted}", "unknown key 'meaning.failed'"),
        ("attempts: {person_after: -1}", "attempts.person_after"),
        ("profile: everybody", "profile"),
    ],
)
def test_a_wrong_setting_is_refused_in_words(made: SimpleNamespace, more: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        policy_of(made, more)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("limit: 0.01", "limit: .nan", "checks.1.limit"),
        ("limit: 0.01", "limit: .inf", "checks.1.limit"),
        ("limit: 0.01", "limit: 0.01, end: worst", "checks.1.end"),
        ("limit: 0.01", "limit: 0.01, end: favourable, confidence: 0.95", "`end: favourable` has none"),
        ("limit: 0.01", "limit: 0.01, min_rows: -1", "checks.1.min_rows"),
        ("limit: 0.01", "limit: 0.01, alarm: true", "`alarm: true` is called `end: favourable` now"),
        ("min_synthetic: 50", "dp: {max_epsilon: 1}", "go with `required: true`"),
        ("min_synthetic: 50", "dp: {required: true}", "needs `max_epsilon` and `max_delta`"),
        ("min_synthetic: 50", "dp: {epsilon: 1}", "unknown key 'requires.dp.epsilon'; did you mean 'max_epsilon'?"),
        ("min_synthetic: 50", "seeds: 0", "requires.seeds"),
    ],
)
@pytest.mark.attack("writes a limit of NaN or infinity, under which nothing fails", "the policy is refused")
def test_a_wrong_rule_is_refused_in_words(made: SimpleNamespace, old: str, new: str, words: str) -> None:
    assert old in made.policy
    with pytest.raises(ConfigError) as refused:
        Policy.parse(made.policy.replace(old, new, 1))
    assert words in str(refused.value)


def test_a_number_of_approvers_is_short_for_persons(made: SimpleNamespace) -> None:
    two = policy_of(made, "approvers: 2").approvers
    assert (two.count, two.automatic, two.separate, two.days) == (2, False, True, 365)
    assert policy_of(made, "approvers: {count: 2}").approvers == two
    assert policy_of(made, "approvers: 1").approvers.automatic is False
    assert policy_of(made, "").approvers.automatic is True
