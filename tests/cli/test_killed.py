"""Kill −9 at any moment of `synth run`: no export without a valid approval, nothing half, and the next run starts clean."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli import killer

POLICY = """
name: small
version: 1.0.0
title: For kills
description: Approves what a small run makes.
requires: {holdout: true, min_synthetic: 50}
checks:
  - {measure: fidelity.shape, limit: 0.9, why: "Single columns are looked at."}
formats: [parquet, csv]
"""

CONFIG = """
name: people
data: {source: people.csv}
generator: independent
sample: {n: 200}
evaluate: {only: [fidelity.shape]}
policy: policy.yaml
export: {formats: [parquet, csv]}
"""


@pytest.fixture
def begin(tmp_path: Path) -> Path:
    """A folder with a table, a policy and a config, in which nothing has run yet."""
    folder = tmp_path / "begin"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = [f"{age},{town}" for age, town in zip(rng.integers(18, 80, 400), rng.choice(["Aachen", "Bonn", "Celle"], 400))]
    (folder / "people.csv").write_text("\n".join(["age,town", *lines]) + "\n")
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def kill(begin: Path, how: str, first: int, second: int, fault: str = "none") -> list[dict[str, Any]]:
    arguments = [sys.executable, killer.__file__, str(begin), how, fault, str(first), str(second)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "SYNTH_HOME": str(begin / "home")}
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=500, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr[-3_000:]
    found: list[dict[str, Any]] = json.loads(ended.stdout)
    return found


@pytest.mark.attack(
    "kill −9 at any of 50 random moments of `synth run`",
    "no export without a valid approval, no half run; keys and log are sound, and the next run starts clean",
)
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_run_may_be_killed_at_any_moment(begin: Path, seed: int) -> None:
    outcomes = kill(begin, "time", seed, 10)
    assert [outcome for outcome in outcomes if outcome["faults"]] == []
    assert sum(outcome["killed"] for outcome in outcomes) == 10


@pytest.mark.attack(
    "kill −9 between any two changes to files of `synth run`: between the write and the rename, before the signature, …",
    "no export without a valid approval, no half run; keys and log are sound, and the next run starts clean",
)
@pytest.mark.slow
@pytest.mark.parametrize("earlier", [False, True], ids=["first-run", "over-an-earlier-run"])
@pytest.mark.parametrize("part", [0, 1])
def test_a_run_may_be_killed_between_any_two_changes_to_files(begin: Path, part: int, earlier: bool) -> None:
    if earlier:
        environment = os.environ | {"SYNTH_HOME": str(begin / "home"), "PYTHONPATH": str(killer.HERE)}
        command = [sys.executable, "-m", "synth", *killer.COMMAND]
        subprocess.run(command, cwd=begin, env=environment, capture_output=True, check=True, timeout=60)
    outcomes = kill(begin, "act", 2 * part + earlier, 4)  # the four together kill before each act once
    assert [outcome for outcome in outcomes if outcome["faults"]] == []
    assert all(outcome["killed"] for outcome in outcomes)
    assert len(outcomes) > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("straight into the target", ("half a run", "an export without a valid approval")),
        ("without sweeping", ("left behind",)),
    ],
)
def test_the_kills_would_notice_a_run_that_is_written_wrong(begin: Path, fault: str, seen: tuple[str, ...]) -> None:
    said = [problem for outcome in kill(begin, "act", 7, 20, fault) for problem in outcome["faults"]]
    for words in seen:
        assert any(problem.startswith(words) for problem in said), said
