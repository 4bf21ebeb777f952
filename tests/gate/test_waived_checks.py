"""Which waivers let a check go, and which are refused in the verdict, each with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from synth.errors import DataError
from synth.gate import terms
from synth.gate.leaving import leaving_verdict
from synth.gate.policy import Policy
from synth.gate.verdict import NEVER_LET_GO, PUBLIC_FIGURES, Finding, Verdict, never_let_go
from synth.gate.waivers import Waiver

TODAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "now", lambda: TODAY)


def waiver(
    made: SimpleNamespace, policy: Policy, check: str = "fidelity.shape", *, begins: float = -1, days: float = 30
) -> Waiver:
    """One for the made rows; begins: in days from today."""
    issued = TODAY + timedelta(days=begins)
    return Waiver(
        check=check,
        owner="Olga",
        reason="for a pilot",
        approver="Ada",
        keyid="a" * 64,
        issued=issued.isoformat(),
        expires=(issued + timedelta(days=days)).isoformat(),
        synthetic=made.rows().digest(),
        policy_digest=policy.digest(),
    )


def judged(made: SimpleNamespace, policy: Policy, waivers: Iterable[Waiver]) -> Verdict:
    """A verdict on rows whose shape fails and whose other figures are good."""
    items = (made.figure("fidelity.shape", 0.21, reference=0.01), *made.good()[1:])
    return policy.judge(made.measured(made.rows(), items), waivers=waivers)


def test_a_waiver_lets_its_check_go_and_stands_in_the_verdict(made: SimpleNamespace) -> None:
    policy = Policy.parse(made.policy)
    assert judged(made, policy, ()).decision == "rejected"
    given = waiver(made, policy)
    verdict = judged(made, policy, [given])
    assert (verdict.decision, verdict.refused_waivers) == ("approved", ())
    assert [finding.outcome for finding in verdict.waived] == ["fail"]  # it is what it was; it only no longer blocks
    assert verdict.waived[0].waiver == given.to_dict()
    assert verdict.waivers == [given.to_dict()]
    assert Verdict.from_bytes(verdict.to_bytes()) == verdict
    assert policy.persons_needed(verdict) == 1  # a waiver is never signed by the machine alone


def refused(made: SimpleNamespace, change: dict[str, Any], *, policy: str = "", **when: float) -> str:
    """The one reason why a changed waiver is refused; the rows are rejected all the same."""
    rules = Policy.parse(f"{made.policy}\n{policy}\n")
    verdict = judged(made, rules, [replace(waiver(made, rules, **when), **change)])
    assert verdict.decision == "rejected"
    assert not verdict.waived
    (line,) = verdict.refused_waivers
    return line


@pytest.mark.attack("shows a waiver that expired", "it is refused in the verdict, with its date")
def test_an_expired_waiver_does_not_count(made: SimpleNamespace) -> None:
    assert "it expired on 2026-03-01T12:00:00+00:00" in refused(made, {}, begins=-30, days=30)


@pytest.mark.attack("shows a waiver from the future", "it is refused until then")
def test_a_waiver_from_the_future_does_not_count(made: SimpleNamespace) -> None:
    assert "it does not hold before 2026-03-02" in refused(made, {}, begins=1)


@pytest.mark.attack("shows a waiver of 91 days", "it is refused: 90 are allowed at most")
def test_a_waiver_of_more_than_90_days_does_not_count(made: SimpleNamespace) -> None:
    assert "it runs for 91 days; at most 90 are allowed" in refused(made, {}, days=91)
    assert "it runs for 91 days; at most 90" in refused(made, {}, days=90.01)
    assert "it runs for 30 days; at most 7" in refused(made, {}, policy="waivers: {max_days: 7}")


@pytest.mark.attack("waives a check of other rows", "the waiver is bound to its rows, and is refused")
def test_a_waiver_for_other_rows_does_not_count(made: SimpleNamespace) -> None:
    assert "it is about other rows (SHA-256 bbbbbbbbbbbb…)" in refused(made, {"synthetic": "b" * 64})


@pytest.mark.attack(
    "uses a waiver under another policy, or another version", "it is bound to one policy's digest, and is refused"
)
def test_a_waiver_under_another_policy_does_not_count(made: SimpleNamespace) -> None:
    other = Policy.parse(made.policy.replace("version: 1.0.0", "version: 1.0.1"))
    assert "it is about another policy" in refused(made, {"policy_digest": other.digest()})


@pytest.mark.parametrize("dates", [{"issued": "yesterday"}, {"expires": "2026-04-01"}, {"expires": ""}])
@pytest.mark.attack("writes a waiver with dates that cannot be read", "it is refused")
def test_a_waiver_without_readable_dates_does_not_count(made: SimpleNamespace, dates: dict[str, str]) -> None:
    assert "its dates cannot be read" in refused(made, dates)


def test_a_policy_may_refuse_all_waivers_or_some(made: SimpleNamespace) -> None:
    assert "the policy allows no waivers" in refused(made, {}, policy="waivers: {allowed: false}")
    for never in ("fidelity.shape", "fidelity.*"):
        assert "does not let this check be waived" in refused(made, {}, policy=f"waivers: {{never: [{never}]}}")


def test_there_must_be_something_to_waive(made: SimpleNamespace) -> None:
    assert "no finding is about that check; nothing to waive" in refused(made, {"check": "fidelity.other"})
    assert "does not stand in the way; nothing to waive" in refused(made, {"check": "fidelity.trend"})
    policy = Policy.parse(made.policy)
    verdict = judged(made, policy, [waiver(made, policy), waiver(made, policy)])
    assert verdict.decision == "approved"
    assert "nothing to waive" in verdict.refused_waivers[0]  # the second time


NEVER = [
    "validity.schema",
    "privacy.exact_copies",
    "privacy.unique_copies",
    "privacy.membership_auc",
    "privacy.membership_tpr_low",
]


@pytest.mark.parametrize("measure", NEVER)
@pytest.mark.attack("waives the schema, copies or membership", "these can never be waived, whatever the policy allows")
def test_what_can_never_be_waived_is_not(made: SimpleNamespace, measure: str) -> None:
    policy = Policy.parse(made.policy.replace("privacy.exact_copies", measure))
    items = (made.good()[0], made.figure(measure, 0.9))
    for check in (measure, f"{measure}[g=a]"):
        verdict = policy.judge(made.measured(made.rows(), items), waivers=[waiver(made, policy, check)])
        assert verdict.decision == "rejected"
        assert "can never be waived" in verdict.refused_waivers[0]


@pytest.mark.parametrize("measure", NEVER)
@pytest.mark.attack("writes a waiver of membership into verdict.json by hand", "such a verdict cannot be loaded")
def test_a_verdict_that_waives_what_can_never_be_waived_cannot_be_loaded(made: SimpleNamespace, measure: str) -> None:
    policy = Policy.parse(made.policy)
    with pytest.raises(DataError, match="can be neither waived"):
        Finding(measure, "fail", "block", "", "", waiver=waiver(made, policy, measure).to_dict())
    verdict = judged(made, policy, [waiver(made, policy)])
    forged = verdict.to_bytes().replace(b'"check": "fidelity.shape"', f'"check": "{measure}"'.encode())
    with pytest.raises(DataError, match="can be neither waived"):
        Verdict.from_bytes(forged)


def test_every_name_that_can_never_be_let_go_names_a_metric() -> None:
    from synth.metrics.registry import metrics

    for known in NEVER_LET_GO:
        assert known == PUBLIC_FIGURES or any(metric.name.startswith(known) for metric in metrics()), known
    assert not never_let_go("fairness.group_membership[sex=Female]")
    assert not never_let_go("validity.schemata")


def test_a_waiver_is_about_one_group_or_all_of_a_metric(made: SimpleNamespace) -> None:
    policy = Policy.parse(made.policy.replace("fidelity.shape, excess: 0.05", "fairness.label_gap, limit: 0.1"))
    items = (*(made.figure("fairness.label_gap", 0.5, group={"town": t}) for t in ("Bonn", "Köln")), made.good()[1])
    one = waiver(made, policy, "fairness.label_gap[town=Bonn]")
    every = waiver(made, policy, "fairness.label_gap")
    figures = made.measured(made.rows(), items)
    assert policy.judge(figures, waivers=[one]).decision == "rejected"
    assert [f.check for f in policy.judge(figures, waivers=[one]).waived] == ["fairness.label_gap[town=Bonn]"]
    assert policy.judge(figures, waivers=[every]).decision == "approved"
    assert len(policy.judge(figures, waivers=[every]).waivers) == 1


def test_a_waiver_does_not_carry_a_real_groups_name_out_of_the_house(made: SimpleNamespace) -> None:
    policy = Policy.parse(made.policy.replace("fidelity.shape, excess: 0.05", "fairness.label_gap, limit: 0.1"))
    items = (made.figure("fairness.label_gap", 0.5, group={"town": "Kleinkleckersdorf"}), made.good()[1])
    check = "fairness.label_gap[town=Kleinkleckersdorf]"
    old = replace(waiver(made, policy, check), synthetic="b" * 64)
    verdict = policy.judge(made.measured(made.rows(), items), waivers=[waiver(made, policy, check), old])
    assert (verdict.decision, len(verdict.refused_waivers)) == ("approved", 1)
    assert "Kleinkleckersdorf" in verdict.to_bytes().decode()
    assert "Kleinkleckersdorf" not in leaving_verdict(verdict, made.rows()).to_bytes().decode()


def test_a_look_without_the_log_takes_no_waivers(made: SimpleNamespace) -> None:
    policy = Policy.parse(made.policy)
    items = (made.figure("fidelity.shape", 0.21, reference=0.01), *made.good()[1:])
    assert policy.assess(made.measured(made.rows(), items)).decision == "rejected"
