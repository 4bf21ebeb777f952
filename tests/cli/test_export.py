"""`synth export` to folders and databases, and `synth verify` of both."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from synth.gate.policy import Policy
from synth.run import evaluate_files
from synth.run_folder import Run

POLICY = """
name: loose
version: 1.0.0
title: A policy that lets nearly everything pass
description: For the tests of export.
approvers: {automatic: true}
checks:
  - {measure: fidelity.shape, limit: 0.9, why: "Something must pass."}
formats: [parquet, csv, arrow, sql, huggingface]
"""


@pytest.fixture
def run(people: Path, tmp_path: Path) -> Path:
    """A run folder whose verdict is an approval in every format."""
    lines = people.read_text().splitlines()
    for name, rows in {"train": lines[1:300], "holdout": lines[300:600], "fake": lines[600:]}.items():
        (tmp_path / f"{name}.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    train, holdout, fake = (tmp_path / f"{name}.csv" for name in ("train", "holdout", "fake"))
    evaluate_files(train, holdout, fake, tmp_path / "run", only=["fidelity.shape"])
    assert Run.open(tmp_path / "run").judge(Policy.parse(POLICY)).decision == "approved"
    return tmp_path / "run"


def test_a_run_s_rows_go_to_a_new_table_and_are_verified_there(cli: Callable[..., object], run: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'out.db'}"
    ended = cli("export", run, "--to", url, "--table", "people")
    assert ended.code == 0, ended.err
    assert f"exported to {url}?table=people" in ended.out
    ended = cli("verify", f"{url}?table=people", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert (told["rows"], told["path"]) == (201, f"{url}?table=people")
    assert cli("export", run, "--to", url, "--table", "people").code == 2
    with closing(sqlite3.connect(tmp_path / "out.db")) as database:
        database.execute("UPDATE people SET age = age + 1 WHERE _row = 5")
        database.commit()
    ended = cli("verify", f"{url}?table=people")
    assert ended.code == 4
    assert "data.sql was altered" in ended.err


def test_a_run_s_rows_go_to_a_folder_for_the_hub(cli: Callable[..., object], run: Path, tmp_path: Path) -> None:
    ended = cli("export", run, "--to", tmp_path / "hub", "--format", "huggingface", "--json")
    assert ended.code == 0, ended.err
    assert "data/train-00000-of-00001.parquet" in json.loads(ended.out)["files"]
    assert cli("verify", tmp_path / "hub").code == 0
    assert cli("verify", tmp_path / "hub" / "data" / "train-00000-of-00001.parquet").code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--to", "sqlite:///x.db"], "name one, with --table NAME"),
        (["--to", "sqlite:///x.db", "--table", "a", "--format", "csv"], "takes no --format csv"),
        (["--to", "out", "--table", "a"], "--table goes with a database's URL"),
        (["--to", "out", "--format", "sql"], "by a database's URL"),
        (["--to", "out", "--format", "parquet,huggingface"], "'huggingface' goes alone"),
    ],
)
def test_what_does_not_go_together_is_said(
    options: list[str], words: str, cli: Callable[..., object], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli("export", run, *options)
    assert ended.code == 2
    assert words in ended.err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "x.db").exists()
