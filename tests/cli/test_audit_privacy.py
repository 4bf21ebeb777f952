"""`synth audit-privacy`: a private model's method is tried on made-up rows, and what claims nothing is not audited."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synth
from benchmarks.mutations import less_noise
from synth.generators._auditing import SCHEMA, audits_of
from synth.generators.marginals import Marginals
from synth.privacy.audit import WORST
from synth.privacy.budget import Budget
from synth.privacy.ledger import Ledger

pytest.importorskip("opendp", reason="private methods draw their noise by OpenDP, which the extra 'dp' brings")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model under a budget of ε = 10."""
    from synth.generators._auditing import _table

    rows = _table(np.repeat(WORST.with_, 20, axis=0))
    fitted = Marginals(method="mst", iterations=2).fit(rows, budget=Budget(10.0, 1e-5), dataset="people")
    fitted.save(tmp_path / "model")
    return tmp_path / "model"


def test_a_private_model_is_tried_and_nothing_is_spent(cli: Callable[..., Any], model: Path) -> None:
    before = Ledger().entries()
    ended = cli("audit-privacy", model, "--runs", 8, "--json")
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    assert said["sees"]
    assert said["holds"]
    assert [audit["of"] for audit in said["audits"]] == ["μ", "μ", "ε"]
    assert said["audits"][2]["claim"] == 10
    assert Ledger().entries() == before


def test_more_lost_than_is_claimed_ends_with_1(cli: Callable[..., Any], tmp_path: Path) -> None:
    """A model that says ε = 0.5 of noise that is not there."""
    from synth.generators._auditing import _table

    rows = _table(np.repeat(WORST.with_, 20, axis=0))
    Marginals(method="mst", iterations=2).fit(rows, budget=Budget(0.5, 1e-5), dataset="people").save(tmp_path / "model")
    with less_noise(100):
        ended = cli("audit-privacy", tmp_path / "model", "--runs", 24)
    assert ended.code == 1, ended.out + ended.err
    assert "is not true" in ended.out


def test_a_config_is_tried_before_anything_is_read_or_spent(cli: Callable[..., Any], tmp_path: Path) -> None:
    job = tmp_path / "run.yaml"
    privacy = {"epsilon": 10, "delta": 1e-5, "dataset": "people", "judging_share": 0.1}
    params = {"method": "mst", "iterations": 2}
    document = {"name": "people", "data": "nowhere.parquet", "generator": {"name": "marginals", "params": params}}
    job.write_text(json.dumps(document | {"policy": "private-release", "privacy": privacy}))
    ended = cli("audit-privacy", job, "--runs", 8, "--json")
    assert ended.code == 0, ended.err
    assert [audit["of"] for audit in json.loads(ended.out)["audits"]] == ["μ", "μ", "ε"]
    assert Ledger().accounts() == ()

    job.write_text(json.dumps(document | {"generator": "trees", "privacy": privacy}))
    assert "takes no privacy budget" in cli("audit-privacy", job).err
    job.write_text(json.dumps(document))
    without = cli("audit-privacy", job)
    assert without.code == 2
    assert "names no privacy budget" in without.err


def test_a_model_without_a_budget_claims_nothing(cli: Callable[..., Any], people: Path, tmp_path: Path) -> None:
    synth.Trees().fit(synth.read(people)).save(tmp_path / "trees")
    ended = cli("audit-privacy", tmp_path / "trees")
    assert ended.code == 2
    assert "claims nothing that could be audited" in ended.err


def test_what_is_audited_is_declared_in_full(model: Path) -> None:
    assert all(column.declared for column in SCHEMA.columns)
    (control, white, black) = audits_of(synth.load(model), runs=4)
    assert (control.runs, white.runs, black.runs) == (control.runs, 4, 4)
