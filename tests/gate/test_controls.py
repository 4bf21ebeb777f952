"""Known-bad tables never pass the gate and fresh real rows do. Three seeds here; twenty are `make controls`, and two hundred
resplits of fresh rows `make calibrate`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import synth
from benchmarks.controls import BELOW_POWER, CONTROLS, Control, Draw, caught_by, draw

SEEDS = (0, 1, 2)
SURE = [control for control in CONTROLS if control.fault not in BELOW_POWER]
drawn = cache(draw)


@pytest.fixture
def at(request: pytest.FixtureRequest, shared_data: Callable[[str], Path]) -> Draw:
    shared_data("adult.parquet")
    return drawn(request.param)


@pytest.mark.parametrize("at", SEEDS, indirect=True, ids=lambda seed: f"seed {seed}")
@pytest.mark.parametrize("control", SURE, ids=lambda control: control.name)
def test_a_known_bad_table_is_caught(control: Control, at: Draw) -> None:
    caught = caught_by(control, at)
    assert caught
    assert "privacy.dcr" not in caught  # where it is measured, it is to show that it sees nothing


@pytest.mark.parametrize("at", SEEDS[:1], indirect=True, ids=lambda seed: f"seed {seed}")
def test_fresh_real_rows_are_approved_under_every_policy(at: Draw) -> None:
    measured = synth.evaluate(at.train, at.holdout, at.fresh, seed=at.seed)
    for name in ("privacy-release", "research", "fairness-audit", "class-balance"):
        verdict = synth.Policy.load(name).assess(measured)
        assert verdict.decision == "approved", verdict
