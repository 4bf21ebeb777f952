"""Every registered metric keeps every promise, and the suite names the promise that a broken one breaks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from synth.check import METRIC_CHECKS, CheckFailed, check_metric
from synth.check.metrics import example_evidence
from synth.errors import InputError
from synth.metrics.evaluation import Plan
from synth.metrics.evidence import Evidence
from synth.metrics.measurement import Interval, Measurement
from synth.metrics.registry import Metric, Reading, chosen, metrics
from synth.progress import silent

DEAR = 20.0  # seconds on Adult above which an on-request metric is a matter for the slow tests


@cache
def evidence() -> Evidence:
    return example_evidence()


@cache
def suite() -> tuple[Measurement, ...]:
    """All default figures on the example, taken once and together."""
    return tuple(Plan(chosen(None), workers=2).carry_out(evidence(), silent))


@pytest.mark.parametrize("name", [m.name for m in metrics() if not m.on_request])
def test_every_metric_keeps_every_promise(name: str) -> None:
    report = check_metric(name, evidence(), suite())
    assert set(report.passed) | set(report.skipped) == set(METRIC_CHECKS)
    assert not set(report.skipped) - {"figures or reasons", "reference", "order"}, report.skipped


@pytest.mark.parametrize(
    "name", [pytest.param(m.name, marks=pytest.mark.slow if m.cost > DEAR else ()) for m in metrics() if m.on_request]
)
def test_every_metric_on_request_keeps_every_promise(name: str) -> None:
    check_metric(name, evidence(), [m for m in suite() if m.name != name])


def test_an_unknown_metric_gets_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"did you mean 'fidelity\.shape'"):
        check_metric("fidelity.shap")


# planted faults ------------------------------------------------------------------------------------------------------

HALF = Interval(0.5, 0.4, 0.6, 10)
COUNT = itertools.count()


def sound(given: Evidence) -> Iterator[Reading]:
    """A metric that keeps every promise: the mean of a column's codes."""
    value = float(given.column("sex").synthetic.mean())
    yield Reading(Interval(value, max(0.0, value - 0.1), min(1.0, value + 0.1), given.rows("synthetic")), HALF)


def no_reference(given: Evidence) -> Iterator[Reading]:
    """A metric that says nothing of real rows."""
    yield Reading(HALF)


def out_of_bounds(given: Evidence) -> Iterator[Reading]:
    """A metric whose value is more than all."""
    yield Reading(Interval(1.5, 1.4, 1.6, 10), HALF)


def out_of_its_interval(given: Evidence) -> Iterator[Reading]:
    """A metric whose interval lies beside its value."""
    yield Reading(Interval(0.3, 0.4, 0.6, 10), HALF)


def of_nothing(given: Evidence) -> Iterator[Reading]:
    """A metric that rests on no row."""
    yield Reading(Interval(0.5, 0.4, 0.6, 0), HALF)


def crashes(given: Evidence) -> Iterator[Reading]:
    """A metric that divides by nothing."""
    yield Reading(Interval(1 // 0, 0.0, 1.0, 10), HALF)


def warns(given: Evidence) -> Iterator[Reading]:
    """A metric that takes the mean of nothing."""
    np.array([]).mean()
    yield Reading(HALF, HALF)


def twice(given: Evidence) -> Iterator[Reading]:
    """A metric of two figures that nobody can tell apart."""
    yield Reading(HALF, HALF)
    yield Reading(HALF, HALF)


def of_no_seed(given: Evidence) -> Iterator[Reading]:
    """A metric that is another one each time."""
    value = 0.5 + next(COUNT) / 1e6
    yield Reading(Interval(value, 0.0, 1.0, 10), HALF)


def spoils(given: Evidence) -> Iterator[Reading]:
    """A metric that sorts the column all others read."""
    given.column("age").synthetic[::-1].sort()
    yield Reading(HALF, HALF)


def by_order(given: Evidence) -> Iterator[Reading]:
    """A metric of the first rows only."""
    value = float((given.column("age").train[:20] > 60).mean())
    yield Reading(Interval(value, value, value, 20), HALF)


def needs_a_holdout(given: Evidence) -> Iterator[Reading]:
    """A metric that takes a holdout for granted."""
    assert given.holdout is not None
    yield Reading(HALF, HALF)


def needs_rows(given: Evidence) -> Iterator[Reading]:
    """A metric that takes ten rows for granted."""
    given.column("age").train[9]
    yield Reading(HALF, HALF)


def needs_variety(given: Evidence) -> Iterator[Reading]:
    """A metric that takes two values for granted."""
    np.unique(given.column("age").synthetic)[1]
    yield Reading(HALF, HALF)


def without_a_sentence(given: Evidence) -> Iterator[Reading]:
    """A metric whose first line
    goes on."""
    yield Reading(HALF, HALF)


FAULTS = {
    no_reference: "reference",
    out_of_bounds: "figures or reasons",
    out_of_its_interval: "figures or reasons",
    of_nothing: "figures or reasons",
    crashes: "figures or reasons",
    warns: "figures or reasons",
    twice: "figures or reasons",
    of_no_seed: "same again",
    spoils: "nothing changed",
    by_order: "order",
    needs_a_holdout: "without holdout",
    needs_rows: "three rows",
    needs_variety: "one row again and again",
    without_a_sentence: "declaration",
}


def unregistered(function: object) -> Metric:
    summary = str(function.__doc__).splitlines()[0]
    return Metric("fidelity.mine", "lower", (0.0, 1.0), function, summary, 0.1, False)  # type: ignore[arg-type]


def test_a_sound_metric_passes_every_check() -> None:
    mine = unregistered(sound)
    among = Plan((mine,), workers=1).carry_out(evidence(), silent)
    assert check_metric(mine, evidence(), among).passed == tuple(METRIC_CHECKS)


@pytest.mark.parametrize("function", FAULTS, ids=lambda function: function.__name__)
def test_a_broken_promise_is_named(function: object) -> None:
    mine = unregistered(function)
    among = Plan((mine,), workers=1).carry_out(example_evidence() if function is spoils else evidence(), silent)
    with pytest.raises(CheckFailed, match=r"fidelity\.mine fails check") as failed:
        check_metric(mine, evidence(), among)
    assert failed.value.check == FAULTS[function]


def test_the_figures_of_the_suite_are_taken_where_none_are_given() -> None:
    assert "same again" in check_metric("fidelity.class_share").passed
