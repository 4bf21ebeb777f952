"""Making rows again until some pass: each attempt counts, narrows what passes, and after some a person must sign."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from synth.data.sketch import SKETCH
from synth.errors import InputError
from synth.gate.attempts import AttemptLog
from synth.gate.policy import Policy
from synth.gate.verdict import Verdict
from synth.metrics.intervals import z_of
from synth.metrics.measurement import Measurements


def policy_of(made: SimpleNamespace, attempts: str = "{widen: true, person_after: 5}", more: str = "") -> Policy:
    return Policy.parse(f"{made.policy}\nattempts: {attempts}\n{more}\n")


def figures(made: SimpleNamespace, seed: int, shape: float = 0.05) -> Measurements:
    """A table made with another seed, whose shape is 0.042 ± 0.0064 beyond real rows where 0.05 is allowed."""
    items = (made.figure("fidelity.shape", shape, half=0.0045, reference=0.008), *made.good()[1:])
    found = made.measured(made.rows(seed), items)
    return replace(found, context={**found.context, "seed": seed})


def rolled(made: SimpleNamespace, policy: Policy, times: int) -> list[Verdict]:
    return [policy.judge(figures(made, seed)) for seed in range(times)]


@pytest.mark.attack("makes rows again and again until some pass", "each attempt narrows what passes, and a person must sign")
def test_what_passes_at_once_does_not_pass_after_many_attempts(made: SimpleNamespace) -> None:
    policy = policy_of(made)
    verdicts = rolled(made, policy, 6)
    assert [verdict.attempt.number for verdict in verdicts if verdict.attempt] == [1, 2, 3, 4, 5, 6]
    assert verdicts[0].decision == "approved"
    assert verdicts[5].decision == "inconclusive"
    assert "its 99.58% bound (attempt 6: 2.5% shared among 6)" in verdicts[5].blocking[0].message
    assert [policy.persons_needed(verdict) for verdict in verdicts] == [0, 0, 0, 0, 0, 1]


def test_the_level_is_shared_among_the_attempts(made: SimpleNamespace) -> None:
    """Bonferroni: the bound of attempt k is that of a one-sided level of 2.5% / k."""
    first, *others = rolled(made, policy_of(made), 4)
    shape = first.findings[0]
    assert shape.value is not None
    assert shape.high is not None
    assert shape.bound == shape.high
    for k, verdict in enumerate(others, 2):
        wider = (shape.high - shape.value) * z_of(1 - 2 * 0.025 / k) / z_of(0.95)
        assert verdict.findings[0].bound == pytest.approx(shape.value + wider, abs=2e-4)
        assert (verdict.findings[0].low, verdict.findings[0].high) == (shape.low, shape.high)  # the interval is what it was


def test_only_blocking_rules_on_the_unfavourable_end_widen(made: SimpleNamespace) -> None:
    for rule, bound in (("severity: warn", 0.0484), ("end: estimate", 0.042), ("end: favourable", None)):
        policy = Policy.parse(made.policy.replace("excess: 0.05,", f"excess: 0.05, {rule},") + "attempts: {widen: true}")
        last = rolled(made, policy, 6)[-1].findings[0]
        assert (last.outcome, last.bound) == ("pass", bound)


def test_where_a_policy_does_not_widen_a_person_signs_after_its_count(made: SimpleNamespace) -> None:
    policy = policy_of(made, "{widen: false, person_after: 2}")
    verdicts = rolled(made, policy, 3)
    assert {verdict.decision for verdict in verdicts} == {"approved"}
    assert [policy.persons_needed(verdict) for verdict in verdicts] == [0, 0, 1]


def test_judging_the_same_measurements_again_is_the_same_attempt(made: SimpleNamespace) -> None:
    policy = policy_of(made)
    first, _ = rolled(made, policy, 2)
    again = policy.judge(figures(made, 0))
    assert again == first
    assert again.entry == first.entry


@pytest.mark.attack("edits a policy and judges again under its name", "attempts are counted by the policy's name, and go on")
def test_an_edited_policy_of_the_same_name_does_not_start_again(made: SimpleNamespace) -> None:
    rolled(made, policy_of(made), 2)
    edited = Policy.parse(made.policy.replace("excess: 0.05", "excess: 0.051"))
    renamed = Policy.parse(made.policy.replace("name: small", "name: other"))
    for policy, number, total in ((edited, 3, 3), (renamed, 1, 4)):
        attempt = policy.judge(figures(made, 0)).attempt
        assert attempt is not None
        assert (attempt.number, attempt.total) == (number, total)


def test_rejected_attempts_count_too(made: SimpleNamespace) -> None:
    policy = policy_of(made)
    assert policy.judge(figures(made, 0, shape=0.5)).decision == "rejected"
    second = policy.judge(figures(made, 1))
    assert second.attempt is not None
    assert second.attempt.number == 2
    decisions = [entry.facts["decision"] for entry in AttemptLog.of_machine().entries() if entry.kind == "decision"]
    assert decisions == ["rejected", "approved"]


def test_a_look_is_no_attempt_and_needs_people(made: SimpleNamespace) -> None:
    policy = policy_of(made)
    verdict = policy.assess(figures(made, 0))
    assert (verdict.decision, verdict.attempt, verdict.entry) == ("approved", None, None)
    assert policy.persons_needed(verdict) == 1
    assert not AttemptLog.of_machine().entries()
    assert policy.judge(figures(made, 0)).attempt is not None


def test_another_log_can_be_given(made: SimpleNamespace, tmp_path: Path) -> None:
    log = AttemptLog(tmp_path)
    policy_of(made).judge(figures(made, 0), log=log)
    assert len(log.entries()) == 2
    assert not AttemptLog.of_machine().entries()


@pytest.mark.attack(
    "takes out of the figures which real rows they are about", "they cannot be judged, since nothing could be counted"
)
def test_measurements_that_do_not_say_their_rows_are_not_judged(made: SimpleNamespace) -> None:
    found = figures(made, 0)
    bare = replace(found, context={key: value for key, value in found.context.items() if key != SKETCH})
    with pytest.raises(InputError, match="the attempt cannot be counted"):
        policy_of(made).judge(bare)
    assert policy_of(made).assess(bare).decision == "approved"


def test_what_names_real_rows_is_not_in_the_verdict(made: SimpleNamespace) -> None:
    verdict = policy_of(made).judge(figures(made, 0))
    assert SKETCH not in verdict.context
    assert "0000000000000007" not in verdict.to_bytes().decode()


def test_how_many_people_sign_is_what_the_policy_says(made: SimpleNamespace) -> None:
    for given, needed in (("2", 2), ("{count: 3}", 3), ("1", 1), ("{automatic: true}", 0)):
        policy = policy_of(made, more=f"approvers: {given}")
        assert policy.persons_needed(policy.judge(figures(made, 0))) == needed
