"""Many figures stay readable: by family, the worst first, the rest folded, what is missing apart."""

from __future__ import annotations

import re

from synth.gate.verdict import Finding, Verdict, decide
from synth.metrics.measurement import Interval, Measurement, Measurements
from synth.report.families import by_family, gaps
from synth.report.page import render

NAMES = [f"a_rather_long_name_of_column_{i}" for i in range(100)]


def figure(name: str, value: float, *columns: str, better: str = "lower", real: float = 0.1) -> Measurement:
    score, reference = Interval(value, value - 0.01, value + 0.01, 100), Interval(real, real, real, 100)
    return Measurement(name, better, score, reference, columns=columns)  # type: ignore[arg-type]


def many() -> Measurements:
    """Sixty metrics, six of them with a figure for each of a hundred columns."""
    items = [figure(f"fidelity.metric_{i}", 0.1) for i in range(54)]
    items += [figure(f"privacy.metric_{i}", 0.1 + j / 1000, name) for i in range(6) for j, name in enumerate(NAMES)]
    reason = "insufficient: the group has 3 training rows, 30 are needed"
    items += [Measurement("fairness.small", "lower", status="skipped", reason=reason, group={"sex": str(i)}) for i in range(40)]
    items.append(Measurement("validity.constraints", "lower", status="absent", reason="the schema has no constraints"))
    items.append(Measurement("utility.broken", "higher", status="error", reason="ValueError: no"))
    return Measurements(tuple(items), {})


def test_the_worst_of_a_metric_comes_first_whichever_way_is_good() -> None:
    found = Measurements(
        (
            figure("fidelity.a", 0.2, "x"),
            figure("fidelity.a", 0.3, "y"),
            figure("utility.b", 0.9, "x", better="higher", real=0.9),
            figure("utility.b", 0.7, "y", better="higher", real=0.9),
            figure("fairness.c", 0.1, "x", better="nearer", real=0.1),
            figure("fairness.c", -0.2, "y", better="nearer", real=0.1),
        ),
        {},
    )
    families = by_family(found, most=1)
    assert [family.name for family in families] == ["fidelity", "utility", "fairness"]
    assert [family.metrics[0].shown[0].columns for family in families] == [("y",)] * 3
    assert all(len(family.metrics[0].folded) == 1 for family in families)


def test_what_a_policy_calls_broken_stands_above_what_is_further_from_real_rows() -> None:
    found = Measurements((figure("fidelity.a", 0.5, "x"), figure("fidelity.a", 0.2, "y")), {})
    broken = Finding("fidelity.a[y]", "fail", "block", "it is", "A reason that is long enough.")
    assert by_family(found, most=1, findings={"fidelity.a[y]": broken})[0].metrics[0].shown[0].columns == ("y",)


def test_what_has_no_figure_is_named_once_for_each_reason_errors_first() -> None:
    assert [(gap.status, len(gap.figures)) for gap in gaps(many())] == [("error", 1), ("skipped", 40), ("absent", 1)]


def test_the_page_folds_what_is_not_the_worst_and_stays_under_a_megabyte() -> None:
    found = many()
    verdict = Verdict(decide(()), "research", "1", "0" * 64, (), {})
    page = render(found, verdict)
    assert len(page.encode()) < 1_000_000
    everything = page[page.index('id="all"') :]
    open_rows = re.sub(r"<details>.*?</details>", "", everything, flags=re.S)
    assert open_rows.count("and 97 more below") == 6
    assert f"privacy.metric_0[{NAMES[99]}]" in open_rows
    assert f"privacy.metric_0[{NAMES[0]}]" not in open_rows
    assert all(m.label in page for m in found if m.score is not None), "folded, not lost"
    missing = page[page.index('id="missing"') :]
    for told in ("ValueError: no", "the schema has no constraints", "3 training rows", "and 36 more"):
        assert told in missing


def test_a_page_with_more_figures_than_anyone_reads_says_where_the_others_are() -> None:
    items = tuple(figure("privacy.metric", 0.1, f"{name}_{i}") for i in range(30) for name in NAMES)
    page = render(Measurements(items, {}))
    assert len(page.encode()) < 1_000_000
    assert f"{3_000 - 3 - 600:} more are in report.json" in page.replace(",", "")


def test_groups_with_too_few_rows_are_one_line_among_the_open_rules() -> None:
    told = "could not be measured: insufficient: the group has 3 training rows, 30 are needed"
    findings = tuple(
        Finding(f"fairness.small[sex={i}]", "insufficient", "block", told, "A reason that is long enough.") for i in range(40)
    )
    page = render(many(), Verdict(decide(findings), "research", "1", "0" * 64, findings, {}))
    rules = page[page.index('id="open"') : page.index('id="against"')]
    assert rules.count("<li") == 1
    assert "and 39 more groups" in rules
