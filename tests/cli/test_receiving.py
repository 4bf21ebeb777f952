"""What the commands of a recipient say: `synth verify` of exports and single files, `synth replay` of rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

import synth
from synth.data.example import example_table
from synth.data.table import Table
from synth.generators.independent import Independent
from tests.gate.conftest import POLICY, approved
from tests.gate.handmade import Export, key_of, public_file, waiver

Cli = Callable[..., object]


@pytest.fixture(scope="module")
def model() -> Independent:
    return Independent().fit(example_table(), seed=0)


def exported(table: Table, folder: Path) -> Path:
    return synth.export(*approved(table=table, policy=POLICY), folder)


def test_verify_shows_signers_dates_and_waivers(cli: Cli, tmp_path: Path) -> None:
    folder = Export(signers=("ada", "bob"), waivers=[waiver()]).write(tmp_path / "export")
    keys = [argument for name in ("ada", "bob") for argument in ("--key", public_file(name, tmp_path))]
    ended = cli("verify", folder, *keys)
    assert ended.code == 0
    for words in ("verified", "(ada)", "(bob)", "holds until", "Olga answers for it", "attempt 1 of this data"):
        assert words in ended.out
    assert cli("verify", folder, *keys[:2]).code == 4
    told = json.loads(cli("verify", folder, *keys, "--json").out)
    assert {one["name"] for one in told["signers"]} == {"ada", "bob"}
    assert told["whole"]


def test_verify_takes_one_file_and_a_policy(cli: Cli, tmp_path: Path) -> None:
    folder = Export().write(tmp_path / "export")
    key = ("--key", public_file("ada", tmp_path))
    assert "were not checked" in cli("verify", folder / "README.md", *key).out
    assert cli("verify", folder, *key, "--policy", folder / "policy.json").code == 0
    ended = cli("verify", folder, *key, "--policy", "research")
    assert (ended.code, "approved under another policy" in ended.err) == (4, True)
    assert cli("verify", folder, *key, "--attestation", folder / "attestation.json").code == 2


def test_verify_takes_revocation_lists(cli: Cli, tmp_path: Path) -> None:
    from synth.gate.revocation import revoke

    folder, key = Export().write(tmp_path / "export"), ("--key", public_file("ada", tmp_path))
    revoke("key", key_of("ada").keyid, reason="stolen", by="Ada", key=key_of("ada"), path=tmp_path / "list")
    ended = cli("verify", folder, *key, "--revocations", tmp_path / "list")
    assert (ended.code, "was revoked by Ada" in ended.err) == (4, True)
    assert cli("verify", folder, *key, "--revocations", tmp_path / "none").code == 2


def test_replay_shows_the_row_and_says_equal(cli: Cli, model: Independent, tmp_path: Path) -> None:
    export = exported(model.sample_table(50, seed=5), tmp_path / "export")
    model.save(tmp_path / "model")
    ended = cli("replay", export, "--row", 17, "--row", 18)
    assert ended.code == 0
    assert "row 17: shard 0, place 17" in ended.out
    assert "equal: 2 rows" in ended.out
    assert "equal: 50 rows" in cli("replay", export, "--rows", "0-49", "--model", tmp_path / "model").out
    told = json.loads(cli("replay", export, "--row", 17, "--json").out)
    assert told["equal"]
    assert set(told["rows"][0]["values"]) == set(model.fitted.schema.names)


def test_replay_ends_with_4_where_a_row_differs(cli: Cli, model: Independent, tmp_path: Path) -> None:
    table = model.sample_table(50, seed=5)
    place = table.schema.names.index("left")
    other = pa.array(["no" if cell == "yes" else "yes" for cell in table.arrow.column("left").to_pylist()])
    export = exported(replace(table, arrow=table.arrow.set_column(place, "left", other)), tmp_path / "export")
    model.save(tmp_path / "model")
    ended = cli("replay", export, "--row", 17)
    assert (ended.code, ended.out) == (4, "")
    assert "row 17 differs in column 'left'" in ended.err


@pytest.mark.parametrize("options", [("--rows", "5"), ("--rows", "9-5"), ("--rows", "a-b"), ("--row", "60"), ()])
def test_replay_refuses_rows_that_are_none(cli: Cli, model: Independent, tmp_path: Path, options: tuple[str, ...]) -> None:
    export = exported(model.sample_table(50, seed=5), tmp_path / "export")
    model.save(tmp_path / "model")
    ended = cli("replay", export, *options)
    assert ended.code == 2
    assert len(ended.err.splitlines()) <= 3
