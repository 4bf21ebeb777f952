"""Figures of every kind, planted around each rule's limit; what policies of version 2 said of them is in version2.json.

Made with the code of version 2 by `python -m tests.gate.planted_figures`, which printed it.
"""

from __future__ import annotations

import json
from typing import Any

from synth.metrics.measurement import Interval, Measurement, Measurements

STEP, REAL = 0.02, 0.3  # between a figure and the limit, in these units; what real rows score
OFFSETS, HALVES = (-2.0, -0.6, -0.1, 0.0, 0.1, 0.6, 2.0), (0.0, 0.1, 0.62, 0.7, 2.5)
DOUBTS = ("inconclusive", "missing", "error", "skipped")
LETTERS = {"pass": "p", "fail": "f", "absent": "a", "insufficient": "n", "report": "r", **dict.fromkeys(DOUBTS, "d")}


def kinds(
    measure: str, better: Any, limit: float | None, excess: float | None, relative: float
) -> list[tuple[Measurement, ...]]:
    """The cases: what was measured of one metric, a figure or several groups of them."""
    over = excess + relative * REAL if excess is not None else limit or 0.0
    edge = over + (REAL if excess is not None else 0.0)
    sign = -1 if better == "higher" else 1

    def figure(offset: float, half: float, **more: Any) -> Measurement:
        value, wide = edge + sign * offset * STEP, half * STEP
        real = Interval(REAL, REAL - wide / 2, REAL + wide / 2, 900)
        given = {"reference": real, "bounds": (-9.0, 9.0)} | more
        return Measurement(measure, better, Interval(value, value - wide, value + wide, 1_000), **given)

    def nothing(status: Any, reason: str) -> Measurement:
        return Measurement(measure, better, status=status, reason=reason)

    groups = [{"group": {"g": str(number)}} for number in range(3)]
    return [
        *((figure(offset, half),) for offset in OFFSETS for half in HALVES),
        (),
        (nothing("error", "planted"),),
        (nothing("skipped", "planted"),),
        (nothing("skipped", "insufficient: planted"),),
        (nothing("absent", "planted"),),
        (figure(-2.0, 0.1, reference=None),),
        (figure(float("nan"), 0.1),),
        (figure(-2.0, float("inf")),),
        tuple(figure(offset, 0.7, **group) for offset, group in zip((-2.0, -0.6, 2.0), groups)),
        tuple(figure(offset, 0.7, **group) for offset, group in zip((-2.0, -2.0, 1.0), groups)),
        tuple(figure(offset, 2.5, **group) for offset, group in zip((-2.0, 0.1, 0.6), groups)),
    ]


def said(policy: Any, check: Any, better: str) -> str:
    """What the policy says of each case: a letter for each finding, a space between cases."""
    words = []
    for items in kinds(check.measure, better, check.limit, check.excess, check.relative):
        context = {"rows": {"train": 9_999, "holdout": 9_999, "synthetic": 9_999}, "target": "t", "sensitive": ["s"]}
        judged = getattr(policy, "assess", getattr(policy, "judge", None))(Measurements(items, context))
        about = [f for f in judged.findings if f.check.split("[")[0] == check.measure]
        words.append("".join(LETTERS[f.outcome] for f in about))
    return " ".join(words)


def every() -> dict[str, dict[str, str]]:
    """What each packaged policy says of each of its rules' cases."""
    from synth.gate.policy import Policy, packaged
    from synth.metrics.registry import metrics

    better = {metric.name: metric.better for metric in metrics()}
    policies = [Policy.load(name) for name in packaged()]
    return {p.name: {check.measure: said(p, check, better[check.measure]) for check in p.checks} for p in policies}


if __name__ == "__main__":
    print(json.dumps(every(), indent=1))
