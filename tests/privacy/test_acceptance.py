"""The eighteen checks that private methods are accepted by: each is where the page says, and two are here."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path

import pytest

import synth
from synth.data.table import Table
from synth.metrics.measurement import Interval
from tests.declared import declared, values

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "privacy-acceptance.md"
BUDGET = synth.Budget(1.0, 1e-5)


def rows(text: str) -> dict[int, str]:
    """What the table says of each check, by its number."""
    return {int(line.split("|")[1]): line for line in text.splitlines() if re.match(r"\| \d+ \|", line)}


def named(line: str) -> list[str]:
    return re.findall(r"`(tests/[\w/]+\.py::\w+)`", line)


def is_there(node: str) -> bool:
    file, test = node.split("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8")) if (ROOT / file).is_file() else ast.parse("")
    return any(isinstance(found, ast.FunctionDef) and found.name == test for found in tree.body)


def test_each_of_the_eighteen_has_a_test_and_each_named_test_is_there() -> None:
    checks = rows(PAGE.read_text(encoding="utf-8"))
    assert sorted(checks) == list(range(1, 19))
    for number, line in checks.items():
        assert named(line), f"no test is named for {number}"
        assert [node for node in named(line) if not is_there(node)] == [], number
    assert not is_there("tests/privacy/test_acceptance.py::test_that_nobody_wrote")


def test_each_page_that_is_named_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / link).is_file(), link


def found(train: Table, holdout: Table, fake: Table) -> Interval:
    """Members that the strongest attack finds at 1% false alarms."""
    score = synth.evaluate(train, holdout, fake, only="privacy.membership_tpr")["privacy.membership_tpr"].score
    assert score is not None
    return score


def test_members_of_private_rows_are_found_no_more_often_than_epsilon_allows() -> None:
    pytest.importorskip("opendp", reason="noise is OpenDP's, which the extra 'dp' brings")
    train, holdout = declared(values(2_400)).split(holdout=0.5, seed=0)
    fake = synth.Marginals().fit(train, budget=BUDGET, dataset="people").sample(len(train), seed=0)
    allowed = math.exp(BUDGET.epsilon) * 0.01 + BUDGET.delta
    assert found(train, holdout, fake).low <= allowed
    assert found(train, holdout, train).low > allowed  # the training rows themselves would be noticed


def test_rows_without_a_budget_are_held_to_the_fields_limits() -> None:
    policy = synth.Policy.load("privacy-release")
    limits = {rule.measure: rule for rule in policy.checks}
    most = {
        "privacy.membership_auc": 0.55,
        "privacy.membership_tpr": 0.02,
        "privacy.linkability": 0.09,
        "privacy.singling_out_multivariate": 0.09,
    }
    for name, limit in most.items():
        rule = limits[name]
        assert (rule.severity, rule.end) == ("block", "unfavourable"), name
        assert rule.limit is not None, name
        assert rule.limit <= limit, name
    assert min(policy.requires.min_train, policy.requires.min_holdout) >= 1_000
