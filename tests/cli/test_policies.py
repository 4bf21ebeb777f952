"""The commands that show, check and compare policies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synth.gate.differences import differences
from synth.gate.policy import Policy, packaged, text_of

Cli = Callable[..., Any]


def changed(folder: Path, old: str, new: str, name: str = "research") -> Path:
    """A packaged policy as a file of another name, with one thing changed."""
    text = text_of(name).replace(f"name: {name}", "name: mine")
    assert old in text
    file = folder / "mine.yaml"
    file.write_text(text.replace(old, new, 1))
    return file


def test_a_policy_is_shown_by_its_name_alone(cli: Cli) -> None:
    listed = cli("policies")
    assert listed.code == 0
    assert all(name in listed.out for name in packaged())
    for command in (("policies", "research"), ("policies", "show", "research"), ("policies", "show", "research@3.0.0")):
        shown = cli(*command)
        assert shown.code == 0, shown.err
        for words in ("research 3.0.0", "the machine alone; for 365 days", "a person signs after 10", "membership_auc", "0.62"):
            assert words in shown.out, words
        assert f"research@sha256:{Policy.load('research').digest()[:16]}" in shown.out


def test_machines_get_the_same_whichever_way_they_ask(cli: Cli) -> None:
    told = [
        cli(*command).out
        for command in (
            ("policies", "research", "--json"),
            ("policies", "--json", "research"),
            ("policies", "show", "research", "--json"),
        )
    ]
    assert told[0] == told[1] == told[2]
    assert json.loads(told[0])["research"]["profile"] == "partner"
    assert set(json.loads(cli("policies", "--json").out)) == set(packaged())


def test_a_policy_that_is_not_there_gets_the_nearest_name(cli: Cli) -> None:
    ended = cli("policies", "reserch")
    assert ended.code == 2
    assert "did you mean 'research'" in ended.err


# validate ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", packaged())
def test_every_packaged_policy_is_sound(name: str, cli: Cli) -> None:
    ended = cli("policies", "validate", name)
    assert ended.code == 0, ended.out
    assert "is sound" in ended.out


WRONG = """
name: mine
version: 1.0.0
title: t
description: d
requires: {min_syntetic: 5}
checks:
  - {measure: fidelity.shape, excess: 0.1, alarm: true, why: A reason for the rule.}
  - {measure: fidelity.trend, why: A reason for the rule.}
  - {measure: fidelity.trend, limit: 0.1, severity: shout, why: A reason for the rule.}
approvers: {count: 2, separate: false}
attempts: {person_after: many}
"""


def test_every_mistake_is_named_not_just_the_first(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(WRONG)
    ended = cli("policies", "validate", file)
    assert ended.code == 2
    expected = (
        "unknown key 'requires.min_syntetic'; did you mean 'min_synthetic'?",
        "`alarm: true` is called `end: favourable` now",
        "checks.1: a rule has either `limit` or `excess`",
        "checks.2.severity",
        "approvers: `separate: false` is for a single approver",
        "attempts.person_after",
        "two rules are about 'fidelity.trend'",
    )
    for words in expected:
        assert words in ended.out, words
    told = json.loads(cli("policies", "validate", file, "--json").out)
    assert told["policy"] is None
    assert len(told["mistakes"]) == len(expected) == len(ended.out.splitlines())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("fidelity.shape", "fidelity.shpae", "no metric 'fidelity.shpae'; did you mean 'fidelity.shape'?"),
        ("limit: 0.85", "limit: 85", "lies from 0 to 1, so a limit of 85 says nothing; give a fraction"),
        ("excess: 0.06", "excess: 6", "an excess of 6 says nothing"),
        ("max_days: 90", "max_days: 90, never: [utility.gab]", "no rule is about 'utility.gab'; did you mean 'utility.gap'?"),
        ("max_days: 90", "max_days: 90, never: [safety.*]", "no rule is about 'safety.*'"),
        ("name: mine", "name: research", "is not the packaged policy of that name"),
        ("checks:", "checks: [", "is not YAML"),
    ],
)
def test_mistakes_that_the_form_does_not_show_are_named_too(cli: Cli, tmp_path: Path, old: str, new: str, words: str) -> None:
    file = changed(tmp_path, old, new)
    if new == "name: research":
        file.write_text(file.read_text().replace("limit: 0.85", "limit: 0.86"))
    ended = cli("policies", "validate", file)
    assert ended.code == 2
    assert words in ended.out


def test_requirements_may_be_among_what_is_never_waived(cli: Cli, tmp_path: Path) -> None:
    for never in ("requires.*", "requires.holdout"):
        assert cli("policies", "validate", changed(tmp_path, "max_days: 90", f"max_days: 90, never: [{never}]")).code == 0


# diff --------------------------------------------------------------------------------------------------------------------


def test_a_policy_does_not_differ_from_itself(cli: Cli) -> None:
    ended = cli("policies", "diff", "research", "research@3.0.0")
    assert (ended.code, ended.out.strip()) == (0, "no difference")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("excess: 0.05, why", "excess: 0.06, why", "~ fidelity.shape: excess: 0.05 → 0.06 (looser)"),
        ("excess: 0.05, why", "excess: 0.04, why", "~ fidelity.shape: excess: 0.05 → 0.04 (tighter)"),
        ("excess: 0.05, why", "limit: 0.05, why", "~ fidelity.shape: limit: none → 0.05"),
        ("excess: -0.1", "excess: -0.2", "~ fidelity.coverage: excess: -0.1 → -0.2 (looser)"),  # higher is better
        ("limit: 0.85", "limit: 0.85, severity: warn", "~ fidelity.detection: severity: block → warn (looser)"),
        ("limit: 0.85", "limit: 0.85, confidence: 0.95", "~ fidelity.detection: confidence: 0.975 → 0.95 (looser)"),
        ("limit: 0.85", "limit: 0.85, end: estimate", "~ fidelity.detection: end: unfavourable → estimate (looser)"),
        ("relative: 0.25", "relative: 0.5", "~ privacy.exact_copies: relative: 0.25 → 0.5 (looser)"),
        ("min_train: 500", "min_train: 600", "~ requires.min_train: 500 → 600 (tighter)"),
        ("max_days: 90", "max_days: 9", "~ waivers.max_days: 90 → 9 (tighter)"),
        ("error: inconclusive", "error: noted", "~ meaning.error: inconclusive → noted (looser)"),
        ("error: inconclusive", "error: rejected", "~ meaning.error: inconclusive → rejected (tighter)"),
        ("automatic: true", "automatic: false", "~ approvers.automatic: yes → no (tighter)"),
        ("person_after: 10", "person_after: 20", "~ attempts.person_after: 10 → 20 (looser)"),
        ("widen: false", "widen: true", "~ attempts.widen: no → yes (tighter)"),
        ("profile: partner", "profile: public", "~ profile: partner → public"),
        (", sql, huggingface]", "]", "~ formats: parquet, csv, arrow, sql, huggingface → parquet, csv, arrow"),
    ],
)
def test_a_change_is_named_and_said_to_be_looser_or_tighter(cli: Cli, tmp_path: Path, old: str, new: str, line: str) -> None:
    ended = cli("policies", "diff", "research", changed(tmp_path, old, new))
    assert ended.code == 1
    assert line in ended.out.splitlines()


def test_rules_that_were_added_or_left_out_are_named() -> None:
    research = Policy.load("research")
    fewer = research.model_copy(update={"checks": research.checks[1:]})
    (left,) = differences(research, fewer)
    assert (left.what, left.after, left.way) == ("validity.schema", None, "looser")
    assert str(left) == "- validity.schema: limit 0.0 (looser)"
    (added,) = differences(fewer, research)
    assert (added.before, added.way) == (None, "tighter")
    turned = research.model_copy(update={"checks": research.checks[::-1]})
    assert [difference.what for difference in differences(research, turned)] == ["order of the rules"]


def test_two_policies_differ_if_and_only_if_their_digests_do() -> None:
    policies = [Policy.load(name) for name in packaged()]
    for one in policies:
        for other in policies:
            assert bool(differences(one, other)) == (one.digest() != other.digest())


def test_differences_are_plain_values_for_machines(cli: Cli) -> None:
    told = json.loads(cli("policies", "diff", "research", "privacy-release", "--json").out)
    assert {"what": "utility.gap: limit", "before": 0.08, "after": 0.06, "way": "tighter"} in told["differences"]


# what a verdict says on the screen ---------------------------------------------------------------------------------------


def test_a_rejected_run_says_what_would_have_to_change(cli: Cli, people: Path, tmp_path: Path) -> None:
    rules = tmp_path / "strict.yaml"
    text = "{measure: fidelity.shape, limit: 0, why: A reason for the rule.}"
    head = "name: strict\nversion: 1.0.0\ntitle: t\ndescription: d\nrequires: {holdout: false}\n"
    rules.write_text(f"{head}checks: [{text}]\n")
    other = tmp_path / "other.csv"
    lines = people.read_text().splitlines()
    other.write_text("\n".join([lines[0], *lines[1:400]]) + "\n")
    run = tmp_path / "run"
    measured = cli("evaluate", "--real", people, "--synthetic", other, "--only", "fidelity.shape", "--out", run)
    assert measured.code == 0, measured.err
    ended = cli("gate", run, "--policy", rules)
    assert ended.code == 1
    assert "REJECTED under strict 1.0.0; the rows stay in the house" in ended.out
    assert "What would have to change\n- fidelity.shape: the figure would have to fall by " in ended.out
    assert "What would have to change" in (run / "report.html").read_text()
    again = cli("gate", run, "--policy", rules)
    assert "attempt" not in again.out  # the same measurements under the same policy are the same attempt
