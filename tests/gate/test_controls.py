"""Known-bad tables never pass the gate and known-good ones do. Three seeds here; all twenty are `make controls`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from benchmarks.controls import CONTROLS, Draw, decide, draw

SEEDS = (0, 1, 2)
BAD = [name for name, (_, _, wanted) in CONTROLS.items() if wanted == "rejected"]
drawn = cache(draw)


@pytest.fixture
def at(request: pytest.FixtureRequest, shared_data: Callable[[str], Path]) -> tuple[Draw, int]:
    shared_data("adult.parquet")
    return drawn(request.param), request.param


@pytest.mark.parametrize("at", SEEDS, indirect=True, ids=lambda seed: f"seed {seed}")
@pytest.mark.parametrize("control", BAD)
def test_a_known_bad_table_is_rejected(control: str, at: tuple[Draw, int]) -> None:
    decision, blocking = decide(control, *at)
    assert decision == "rejected", blocking


@pytest.mark.parametrize("at", SEEDS, indirect=True, ids=lambda seed: f"seed {seed}")
def test_fresh_real_rows_are_approved_under_research(at: tuple[Draw, int]) -> None:
    decision, blocking = decide("fresh real rows", *at)
    assert decision == "approved", blocking
