"""The commands by which people decide, on a real run: approve, reject, waive, revoke, keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from synth.folder import home
from synth.gate.keys import new_key

POLICY = """
name: two-people
version: 1.0.0
title: Two people sign
description: For the tests of the command line.
profile: partner
requires: {holdout: true, min_synthetic: 50}
approvers: 2
checks:
  - {measure: validity.schema, limit: 0, why: "Cells must be what the schema says."}
  - {measure: fidelity.shape, limit: 0.9, why: "Columns must look like real ones."}
  - {measure: fidelity.trend, limit: 0.9, why: "Relations must look like real ones."}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three small tables, a policy and a config, in the working directory."""
    for name, shift in (("real", 0), ("held", 1), ("fake", 2)):
        lines = [
            f"{18 + (7 * i + shift) % 50},{20 + (11 * i * i + shift) % 70},{'fm'[(i * i + shift) % 2]}" for i in range(160)
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join(["age,hours,sex", *lines]) + "\n")
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "strict.yaml").write_text(
        POLICY.replace("two-people", "strict").replace("trend, limit: 0.9", "trend, limit: 0")
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_two_people_approve_on_the_command_line(files: Path, cli: Callable[..., object]) -> None:
    (files / "job.yaml").write_text(
        "name: small\ndata: {source: real.csv, holdout: held.csv}\ngenerator: independent\npolicy: policy.yaml\n"
        "evaluate: {only: [validity.schema, fidelity.shape, fidelity.trend]}\n"
    )
    ran = cli("run", "job.yaml", "--out", "run")
    assert ran.code == 3
    assert "2 people have to sign" in ran.out
    assert not (files / "run" / "export").exists()
    for name in ("ada", "bo"):
        made = cli("keys", "new", name)
        assert made.code == 0
        assert f"{name}.pub" in made.out
    first = cli("approve", "run", "--key", home() / "keys" / "ada.pem")
    assert (first.code, "1 of 2 signatures" in first.out) == (0, True)
    early = cli("export", "run", "--to", "out")
    assert early.code == 1
    assert "1 of 2 signatures" in early.err
    second = cli("approve", "run", "--key", home() / "keys" / "bo.pem", "--json")
    assert json.loads(second.out)["missing"] == 0
    assert cli("export", "run", "--to", "out").code == 0
    verified = cli("verify", "out")
    assert verified.code == 0
    assert "ada" in verified.out
    assert "bo" in verified.out

    revoked = cli("revoke", "out", "--key", home() / "keys" / "ada.pem", "--by", "Ada", "--reason", "a copy was found")
    assert revoked.code == 0
    after = cli("verify", "out")
    assert after.code == 4
    assert "a copy was found" in after.err


def test_a_waiver_and_a_rejection_on_the_command_line(files: Path, cli: Callable[..., object]) -> None:
    only = "validity.schema,fidelity.shape,fidelity.trend"
    assert (
        cli(
            "evaluate", "--real", "real.csv", "--holdout", "held.csv", "--synthetic", "fake.csv", "--only", only, "--out", "run"
        ).code
        == 0
    )
    judged = cli("gate", "run", "--policy", "strict.yaml")
    assert judged.code == 1
    new_key("ada")
    key = home() / "keys" / "ada.pem"
    words = ("--by", "Ada", "--owner", "Bo", "--reason", "a pilot")
    refused = cli("waive", "run", "--check", "validity.schema", "--key", key, *words)
    assert refused.code == 1
    assert "never be waived" in refused.err
    assert cli("waive", "run", "--check", "fidelity.trend", "--key", key, *words).code == 0
    again = cli("gate", "run", "--policy", "strict.yaml")
    assert again.code == 3
    assert "2 people have to sign" in again.out
    assert "a pilot" in again.out
    rejected = cli("reject", "run", "--key", key, "--by", "Ada", "--reason", "not now")
    assert rejected.code == 0
    approved = cli("approve", "run", "--key", key)
    assert approved.code == 1
    assert "rejected by a person" in approved.err


def test_keys_are_listed_made_and_trusted(files: Path, cli: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "synth.pub" in cli("keys").out
    assert cli("keys", "new", "ada").code == 0
    again = cli("keys", "new", "ada")
    assert again.code == 2
    assert "there is a key named 'ada'" in again.err
    (files / "cy.pub").write_bytes((home() / "keys" / "ada.pub").read_bytes())
    assert cli("keys", "trust", "cy.pub").code == 0
    assert [key["name"] for key in json.loads(cli("keys", "--json").out)["keys"]] == ["ada", "cy", "synth"]
    nothing = cli("revoke", "cy.pub", "--key", "none.pem", "--by", "Ada", "--reason", "lost")
    assert nothing.code == 2
    assert "none.pem cannot be read" in nothing.err
