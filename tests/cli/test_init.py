"""`synth init`: a config that is written from the data says why, and runs as it is."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from synth.beginning import STRANGERS
from synth.config import RunConfig
from synth.errors import ConfigError
from synth.first_config import first_config
from tests.digits import tiny_digits

CLI = Callable[..., Any]
FEW = ("--set", "evaluate.only=[validity, fidelity.shape]")  # what else is measured is measured elsewhere


def test_the_bundled_table_gets_a_config_that_runs_as_it_is(cli: CLI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli("init", "bundled:arrests")
    assert ended.code == 0, ended.err
    assert "synth run run.yaml" in ended.out
    text = Path("run.yaml").read_text()
    assert "#   checks    integer: 7 distinct whole numbers in 5,226 rows" in text
    config = RunConfig.load("run.yaml")
    assert (config.name, config.data.target, config.data.sensitive) == ("arrests", "released", ["colour", "sex"])
    assert cli("run", "run.yaml", "--quiet", *FEW).code == 3, "judged; what was not measured is missing"
    assert (tmp_path / "reports" / "runs" / "arrests" / "verdict.json").is_file()


def test_a_csv_of_one_s_own_gets_a_config_that_runs_as_it_is(
    cli: CLI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Callable[[str], Path]
) -> None:
    rows = pq.read_table(shared_data("bank_marketing.parquet"))
    some = np.sort(np.random.default_rng(0).choice(len(rows), 4_000, replace=False))
    pc.write_csv(rows.take(some), tmp_path / "bank marketing.csv")
    monkeypatch.chdir(tmp_path)
    ended = cli("init", "bank marketing.csv", "--target", "y", "--sensitive", "marital", "--job", "audit", "--json")
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    assert (said["rows"], said["columns"], said["policy"]) == (4_000, 17, "fairness-audit")
    assert said["seconds"]["measure"] > 0
    assert cli("run", "run.yaml", "--quiet", *FEW).code == 3
    assert (tmp_path / "reports" / "runs" / "bank-marketing" / "verdict.json").is_file()


def test_nothing_is_ever_written_over(cli: CLI, people: Path, tmp_path: Path) -> None:
    to = tmp_path / "mine.yaml"
    to.write_text("mine")
    ended = cli("init", people, "--out", to)
    assert ended.code == 2
    assert "nothing is written over it" in ended.err
    assert to.read_text() == "mine"
    with pytest.raises(ConfigError, match="nothing is written over it"):  # where it came between the look and the writing
        first_config(people).write(to, "synth init")
    assert cli("init", people, "--out", tmp_path / "nowhere" / "mine.yaml").code == 2


def test_what_the_owner_alone_knows_is_proposed_and_never_assumed(cli: CLI, people: Path, tmp_path: Path) -> None:
    assert cli("init", people, "--out", tmp_path / "a.yaml").code == 0
    text = (tmp_path / "a.yaml").read_text()
    assert RunConfig.load(tmp_path / "a.yaml").data.target is None
    assert re.search(r"# target: rich  # not set: .*\n  #   \(rich: the last column, 2 values\)", text)
    assert "# sensitive: [age, sex]  # not set" in text


def test_a_job_that_needs_a_role_names_who_could_have_it(cli: CLI, people: Path, tmp_path: Path) -> None:
    ended = cli("init", people, "--job", "balance", "--out", tmp_path / "a.yaml")
    assert ended.code == 2
    assert "needs a target; name it with --target: 'rich' (the last column, 2 values)" in ended.err
    ended = cli("init", people, "--job", "audit", "--target", "rich", "--out", tmp_path / "a.yaml")
    assert "needs sensitive columns; name it with --sensitive: 'age'" in ended.err
    assert "did you mean 'town'" in cli("init", people, "--target", "twon", "--out", tmp_path / "a.yaml").err
    assert not (tmp_path / "a.yaml").exists()


def table(rows: int) -> pa.Table:
    rng = np.random.default_rng(0)
    customer = np.arange(rows) // 2 + 10_000
    rare = np.where(rng.random(rows) < 0.1, "it's so", "no")
    return pa.table({"customer": customer, "amount": rng.integers(0, 900, rows), "was it": rare})


@pytest.mark.parametrize(("rows", "holdout"), [(800, 0.5), (4_000, 0.5), (12_000, 0.42), (40_000, 0.3)])
def test_more_is_held_out_where_the_policy_needs_more_strangers(rows: int, holdout: float, tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    pq.write_table(table(rows), file)
    first = first_config(file, job="release", target="was it")
    assert first.config.split.holdout == holdout
    few = rows * holdout < STRANGERS
    assert ("inconclusive" in first.reasons["split"] or "not be decided" in first.reasons["split"]) is few
    assert first.config.policy == "privacy-release"
    assert first.config.generator.fit_to_policy


def test_a_subject_is_proposed_and_its_rows_are_kept_together(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    pq.write_table(table(400), file)
    assert "# subject: customer  # not set" in first_config(file).to_yaml("")
    assert first_config(file, subject="customer").config.data.subject == "customer"


def test_odd_names_are_quoted_and_what_a_config_would_read_otherwise_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    pq.write_table(table(400), file)
    first = first_config(file, job="balance", target="was it")
    text = first.to_yaml("")
    assert """--where '"was it" = ''it''''s so'''""" in text
    assert RunConfig.from_text(text) == first.config
    odd = table(400).rename_columns(["a: b # c", "${HOME}", "x\ny"])
    pq.write_table(odd, file)
    first = first_config(file, target="x\ny")
    assert RunConfig.from_text(first.to_yaml("")) == first.config
    with pytest.raises(ConfigError, match="reads otherwise"):
        first_config(file, target="${HOME}").write(tmp_path / "a.yaml", "")
    assert not (tmp_path / "a.yaml").exists()


def test_a_long_fit_is_avoided_with_a_reason(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.first_config.LONG_FIT", 0.0)
    first = first_config(people)
    assert first.config.generator.name == "copula"
    assert first.reasons["generator"].startswith("trees would take")


def test_it_asks_at_a_terminal_until_the_answer_names_columns_that_are_there(people: Path, tmp_path: Path) -> None:
    to = tmp_path / "asked.yaml"
    asked = at_a_terminal([sys.executable, "-m", "synth", "init", str(people), "--out", str(to)], "audit\nrihc\n1\ntown\n")
    assert "What are the rows for?" in asked
    assert "did you mean 'rich'" in asked
    config = RunConfig.load(to)
    assert (config.policy, config.data.target, config.data.sensitive) == ("fairness-audit", "rich", ["town"])


def at_a_terminal(command: list[str], answers: str) -> str:
    """What the command shows a person who types these answers."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"})
    os.close(slave)
    os.write(master, answers.encode())
    shown = b""
    while True:
        try:
            shown += os.read(master, 65_536)
        except OSError:  # the other end is closed
            break
    os.close(master)
    assert process.wait() == 0, shown.decode()
    return shown.decode()


def test_images_get_the_method_and_the_policy_of_images(tmp_path: Path) -> None:
    file = tmp_path / "digits.parquet"
    pq.write_table(tiny_digits(60).arrow, file)
    first = first_config(file, target="label")
    assert (first.config.generator.name, first.config.policy) == ("image-diffusion", "image-release")
    assert "its columns are pixels" in first.to_yaml("")
