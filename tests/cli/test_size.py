"""Large jobs at the command line: what they will cost, who does them, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synth.cli import jobs
from synth.generators._effort import Effort
from synth.generators.base import Generator

Cli = Callable[..., Any]


def test_workers_change_no_byte_of_a_sample(cli: Cli, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Generator, "_shard_rows", 200)
    assert cli("fit", people, "--out", tmp_path / "model", "--generator", "independent").code == 0
    for workers in (1, 2):
        ended = cli("sample", tmp_path / "model", "-n", 900, "--workers", workers, "--out", tmp_path / f"{workers}.parquet")
        assert ended.code == 0, ended.err
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
    assert cli("sample", tmp_path / "model", "-n", 9, "--workers", 0, "--out", tmp_path / "x.parquet").code == 2


def test_a_long_fit_says_beforehand_what_it_will_cost(
    cli: Cli, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("fit", people, "--generator", "independent", "--out", tmp_path / "model")
    assert "of memory" not in cli(*command).err
    monkeypatch.setattr(jobs, "WORTH_SAYING", 0.0)
    ended = cli(*command)
    assert "independent on 800 rows × 4 columns: about 1 s and" in ended.err
    assert "of memory" not in ended.out
    assert "of memory" not in cli(*command, "--quiet").err


def test_a_fit_that_memory_cannot_hold_is_refused_with_one_that_it_can(
    cli: Cli, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTH_MEMORY_LIMIT", "1MB")
    ended = cli("fit", people, "--out", tmp_path / "model")
    assert ended.code == 2
    assert ended.err.startswith("synth: a fit on 800 rows × 4 columns needs about")
    assert len(ended.err.splitlines()) <= 3
    assert not (tmp_path / "model").exists()
    monkeypatch.setenv("SYNTH_MEMORY_LIMIT", "lots")
    assert "give a number of bytes, such as 4GiB" in cli("fit", people, "--out", tmp_path / "model").err


def test_a_sample_says_what_its_condition_cost(cli: Cli, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Generator, "_shard_rows", 200)
    model, fake = tmp_path / "model", tmp_path / "fake.parquet"
    assert cli("fit", people, "--out", model).code == 0
    command = ("sample", model, "-n", 500, "--out", fake, "--where", "age between 30 and 33 and rich = 'yes'")
    told = [json.loads(cli(*command, "--json", "--workers", workers).out) for workers in (1, 2)]
    assert told[0] == told[1]
    assert 0 < told[0]["acceptance"] <= 1
    assert told[0]["effective_rows"] == pytest.approx(500)
    assert "independent" not in cli(*command).err
    monkeypatch.setattr(Effort, "worth", lambda effort, rows: rows / 4)  # as if each shard had copied its rows fourfold
    for workers in (1, 2):
        ended = cli(*command, "--workers", workers)
        assert "these 500 rows are worth 125 independent ones" in ended.err
        assert "independent" not in ended.out
    assert "independent" not in cli(*command, "--quiet").err
    assert json.loads(cli(*command, "--json").out)["effective_rows"] == 125
    free = json.loads(cli("sample", model, "-n", 5, "--out", fake, "--json").out)
    assert free["acceptance"] is free["effective_rows"] is None


def test_the_cost_of_a_search_is_said_beforehand(
    cli: Cli, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "WORTH_SAYING", 0.0)
    ended = cli("fit", people, "--out", tmp_path / "model", "--policy", "privacy-release", "--budget-seconds", 0)
    assert "trees on 800 rows × 4 columns: about" in ended.err
    assert "the search before it fits and judges several settings" in ended.err
