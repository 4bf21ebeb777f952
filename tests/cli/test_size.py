"""Large jobs at the command line: what they will cost, who does them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synth.cli import jobs
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
