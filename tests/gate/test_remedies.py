"""What would have to change: a true sentence for each finding that stands in the way."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest

from synth.config import DataConfig, EvaluateConfig, GeneratorConfig, SampleConfig, SplitConfig
from synth.gate import remedies
from synth.gate.policy import Policy
from synth.gate.verdict import Finding, Verdict, decide
from synth.generators.trees import Trees
from synth.metrics import detection, manifold, membership
from synth.metrics.measurement import Measurement
from synth.metrics.registry import metrics
from synth.report.page import render

ROWS = {"train": 8_000, "holdout": 2_090, "synthetic": 5_000}


def changes(*findings: Finding, **context: Any) -> tuple[str, ...]:
    return Verdict(decide(findings), "p", "1.0.0", "0" * 64, findings, {"rows": ROWS, **context}).changes


def crossing(check: str, value: float, bound: float, limit: float) -> Finding:
    return Finding(check, "inconclusive", "block", "m", "why", value=value, low=0.0, high=bound, limit=limit, bound=bound)


def broken(check: str, value: float, limit: float) -> Finding:
    return Finding(check, "fail", "block", "m", "why", value=value, low=0.0, high=1.0, limit=limit)


def test_nothing_has_to_change_where_nothing_blocks() -> None:
    fine = Finding("fidelity.shape", "pass", "block", "m", "why")
    assert changes(fine, Finding("fidelity.trend", "fail", "warn", "m", "why")) == ()


def test_how_many_rows_would_decide() -> None:
    """Half of .013 where .005 is left: 2,090 · (.013 / .005)² = 14,128, to two digits upwards."""
    (said,) = changes(crossing("utility.gap", 0.055, 0.068, 0.06))
    told = "about 15,000 held-out rows instead of 2,090 would decide, if the figure stays 0.005 within its limit of 0.06"
    assert said == f"utility.gap: {told}"


def test_rows_that_decide_are_enough(made: SimpleNamespace) -> None:
    """A figure with the interval of so many rows passes; with that of a tenth fewer it does not."""
    policy = Policy.parse(made.policy.replace("fidelity.shape, excess: 0.05", "utility.gap, limit: 0.06"))
    (said,) = changes(crossing("utility.gap", 0.055, 0.068, 0.06))
    needed = int(said.split("about ")[1].split(" ")[0].replace(",", ""))
    for rows, outcome in ((needed, "pass"), (int(0.9 * needed), "inconclusive")):
        half = 0.013 * (2_090 / rows) ** 0.5
        figure = made.figure("utility.gap", 0.055, half=half)
        assert policy.assess(made.measured(made.rows(), (figure,))).findings[0].outcome == outcome


def test_both_sides_are_named_where_both_matter() -> None:
    (said,) = changes(crossing("fidelity.shape", 0.02, 0.04, 0.03))
    assert "about 20,000 synthetic rows instead of 5,000 and 8,400 held-out rows instead of 2,090 would decide" in said


def test_an_attack_takes_as_many_members_as_others_and_not_more_than_it_looks_at() -> None:
    (few,) = changes(crossing("privacy.membership_auc", 0.53, 0.56, 0.55))
    assert "about 4,800 held-out rows instead of 2,090 would decide" in few
    assert "training" not in few  # there are 8,000 already
    (many,) = changes(crossing("privacy.membership_auc", 0.54, 0.57, 0.55))
    assert "3.0 times narrower" in many
    assert "the 8,000 rows looked at do not give; a lower figure would" in many


def test_a_figure_on_its_limit_is_decided_by_no_number_of_rows() -> None:
    for value in (0.06, 0.0599999):
        (said,) = changes(crossing("utility.gap", value, 0.08, 0.06))
        assert "which no number of rows decides; a lower figure would" in said


def test_no_number_is_said_where_it_is_not_known() -> None:
    (said,) = changes(crossing("privacy.singling_out_multivariate", 0.05, 0.15, 0.1))
    assert said.endswith("its interval would have to be 2.0 times narrower if the figure stays")


@pytest.mark.parametrize(
    ("check", "value", "limit", "words"),
    [
        ("fidelity.shape", 0.21, 0.05, "fall by 0.16, from 0.21 to at most 0.05; try another generator"),
        ("fidelity.coverage", -0.3, -0.1, "rise by 0.2, from -0.3 to at least -0.1"),
        ("fairness.erased_groups", 0.5, 0.0, "`synth sample --where"),
        ("privacy.linkability", 0.5, 0.05, "`data.drop` in a run config"),
        ("validity.keys", 0.5, 0.0, "`data.key` in a run config"),
    ],
)
def test_a_broken_rule_says_how_far_and_which_lever(check: str, value: float, limit: float, words: str) -> None:
    (said,) = changes(broken(check, value, limit))
    assert words in said


def test_the_lever_on_membership_depends_on_what_was_done() -> None:
    found = broken("privacy.membership_auc", 0.6, 0.55)
    assert "`synth fit --policy` looks for leaves" in changes(found)[0]
    assert "the search has looked" in changes(found, search={})[0]
    copies = broken("privacy.exact_copies", 0.6, 0.55)  # of a policy without a rule on membership: `--policy` would refuse it
    assert "`min_samples_leaf`" in changes(copies, provenance={"generator": "trees"})[0]
    assert "leaves" not in changes(copies)[0]


def test_what_was_not_measured_says_what_to_run(made: SimpleNamespace) -> None:
    policy = Policy.parse(made.policy.replace("min_synthetic: 50", "min_holdout: 5000"))
    crashed = Measurement("privacy.exact_copies", "lower", status="error", reason="it fell over")
    said = policy.assess(made.measured(made.rows(), (made.figure("fidelity.shape", 0.02), crashed))).changes
    assert said == (
        "requires.min_holdout: the holdout table has 1,000 rows; the policy wants at least 5,000; hold more real rows out "
        "(`split.holdout` in a run config, `--holdout` of `synth evaluate`)",
        "fidelity.shape: real rows were not measured in its place, so no excess is known; hold real rows out (`--holdout`, or "
        "`split.holdout` in a run config) and evaluate again",
        "privacy.exact_copies: could not be computed (it fell over); mend what the reason names, then evaluate again",
    )
    nothing = policy.assess(made.measured(made.rows(), ())).changes
    assert nothing[1] == "fidelity.shape: was not measured; evaluate again without `only`, or with this measure in it"
    skipped = Finding("fidelity.shape", "skipped", "block", "could not be measured: 3 rows", "why", meaning="inconclusive")
    assert changes(skipped) == ("fidelity.shape: 3 rows; give what is lacking, then evaluate again",)


def test_a_private_page_says_it_and_a_public_one_does_not(made: SimpleNamespace) -> None:
    items = (made.figure("fidelity.shape", 0.21, reference=0.01), *made.good()[1:])
    measured = made.measured(made.rows(), items)
    verdict = Policy.parse(made.policy).assess(measured)
    assert "What would have to change" in render(measured, verdict)
    assert "What would have to change" not in render(measured, verdict, public=True)
    fine = made.measured(made.rows(), made.good())
    assert "What would have to change" not in render(fine, Policy.parse(made.policy).assess(fine))


# what the sentences name exists -----------------------------------------------------------------------------------------


def test_the_numbers_of_rows_are_those_of_the_metrics() -> None:
    known = {metric.name for metric in metrics()}
    assert set(remedies.SAMPLES) <= known
    assert remedies.ATTACKED == membership.CAP
    assert remedies.SAMPLES["fidelity.detection"].most == detection.CAP
    assert remedies.SAMPLES["fidelity.coverage"].most == manifold.ROWS


def test_the_levers_exist() -> None:
    from typer.main import get_command

    from synth.cli import app, jobs, judging, listing

    assert all((jobs, judging, listing))
    commands = get_command(app).commands  # type: ignore[attr-defined]
    flags = {name: {flag for p in command.params for flag in p.opts} for name, command in commands.items()}
    for command, flag in [
        *(("fit", "--policy"), ("fit", "--set"), ("sample", "--where"), ("sample", "-n"), ("schema", "--out")),
        *(("evaluate", "--holdout"), ("evaluate", "--also"), ("evaluate", "--only")),
    ]:
        assert flag in flags[command], (command, flag)
    assert "min_samples_leaf" in {field.name for field in fields(Trees)}
    keys = {
        DataConfig: ("drop", "key"),
        SplitConfig: ("holdout",),
        SampleConfig: ("n",),
        EvaluateConfig: ("fits", "only"),
        GeneratorConfig: ("fit_to_policy",),
    }
    for part, names in keys.items():
        assert set(names) <= set(part.model_fields), part


def test_rounding_is_to_two_digits_and_never_down() -> None:
    assert [remedies._rounded(n) for n in (14_128, 14_000, 999.1, 8_360, 4.2)] == [15_000, 14_000, 1_000, 8_400, 5]
