"""Runs side by side: what differs is shown, and what cannot be compared is said and not compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from synth.metrics.measurement import Interval, Measurement, Measurements
from synth.report.comparison import Comparison, Side, side_by_side
from tests.report.test_page import finding, judged, parsed

REAL = {"train": "a" * 64, "holdout": "b" * 64, "schema": "c" * 64}
SHAPE, TSTR = "fidelity.shape", "utility.tstr"


def side(name: str, shape: float, tstr: float = 0.9, verdict: Any = None, **context: Any) -> Side:
    """A run with two figures, whose intervals are ± .01."""
    items = (
        Measurement(SHAPE, "lower", Interval(shape, shape - 0.01, shape + 0.01, 500), Interval(0.02, 0.01, 0.03, 200)),
        Measurement(TSTR, "higher", Interval(tstr, tstr - 0.01, tstr + 0.01, 500)),
        Measurement("fidelity.density", "nearer", Interval(shape, shape, shape, 500)),
        Measurement("privacy.membership_auc", "lower", status="skipped", reason="there is no holdout"),
    )
    known = {"digests": REAL, "target": "y", "sensitive": [], "seed": 0, "synth": "1"} | context
    return Side(name, Measurements(items, known), verdict, {"name": name, "generator.name": name, "policy": "p"})


def against(found: Comparison) -> dict[str, list[str]]:
    return {line.label: [cell.against for cell in line.cells] for line in (*found.figures, *found.others)}


def test_better_and_worse_are_said_only_where_intervals_do_not_overlap() -> None:
    found = side_by_side([side("a", 0.10), side("b", 0.115), side("c", 0.05, 0.85), side("d", 0.20, 0.95)])
    assert found.warnings == ()
    told = against(found)
    assert told[SHAPE] == ["", "same", "better", "worse"]
    assert told[TSTR] == ["", "same", "worse", "better"]
    assert told["fidelity.density"] == [""] * 4, "nearer to real rows has no better end"
    assert "privacy.membership_auc" not in told, "what no run has is no line"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"digests": REAL | {"train": "d" * 64}}, "a and b are about other real rows"),
        (
            {"digests": REAL | {"holdout": None}, "data_sketch": ["0" * 15 + "1"]},
            "about the same data, split or declared otherwise",
        ),
        ({"privacy": {"dataset": "people"}}, "the noisy counts of a privacy budget"),
    ],
)
def test_figures_on_other_real_rows_are_shown_and_not_compared(change: dict[str, Any], told: str) -> None:
    found = side_by_side(
        [side("a", 0.10, data_sketch=["0" * 15 + "1"]), side("b", 0.05, **({"data_sketch": ["f" * 16]} | change))]
    )
    assert any(told in warning for warning in found.warnings), found.warnings
    assert found.comparable == (True, False)
    assert {told for line in against(found).values() for told in line} == {""}
    assert "0.050 [0.040, 0.060]" in found.to_html()


def test_another_policy_version_target_or_seed_is_said() -> None:
    first = side("a", 0.1, verdict=judged())
    edited = replace(judged(), policy_digest="1" * 64)
    others = [side("b", 0.1, verdict=edited, synth="2", seed=5), side("c", 0.1, target="z")]
    text = "\n".join(side_by_side([first, *others]).warnings)
    for told in (
        "under different policies, research 1 and research 1 (its text was changed)",
        "different versions of synth (1; 2), in which a metric may be defined otherwise",
        "different targets (y; z)",
        "under other seeds, 0 and 5",
        "c is not judged",
    ):
        assert told in text


def test_the_page_shows_verdicts_figures_over_one_scale_and_settings_and_stays_the_same() -> None:
    hostile = side("<b>b", 0.2, verdict=judged(finding(outcome="pass")))
    found = side_by_side([side("a", 0.1, verdict=judged()), hostile])
    page = found.to_html()
    assert parsed(page).drawings == 4, "two figures of two runs"
    for told in ("Rejected", "Approved", "generator.name", "limit 0.050", "&lt;b&gt;b", 'class="tag worse"'):
        assert told in page
    assert "<b>b" not in page
    assert page == found.to_html()
    assert dict(found.settings) == {"generator.name": ("a", "<b>b")}, "the same settings and the names are left out"
