"""Every command on a real file, and its exit code."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.main import get_command

from synth.cli import app, load_commands

load_commands()
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str, cli: Callable[..., object]) -> None:
    ended = cli(command, "--help")
    assert ended.code == 0
    assert "Example: synth " + command in re.sub(r"\s+", " ", ended.out)


def test_bad_usage_is_an_error(cli: Callable[..., object]) -> None:
    assert cli("fit").code == 2
    assert cli("fitt").code == 2


def test_fit_sample_and_condition(cli: Callable[..., object], people: Path, tmp_path: Path) -> None:
    model, fake = tmp_path / "model", tmp_path / "fake.parquet"
    assert cli("fit", people, "--out", model, "--target", "rich", "--sensitive", "sex,town").code == 0
    ended = cli("sample", model, "-n", 200, "--out", fake, "--where", "rich = 'yes' and town = 'Bonn'", "--seed", 3)
    assert ended.code == 0, ended.err
    table = pq.read_table(fake)
    assert table.num_rows == 200
    assert set(table.column("rich").to_pylist()) == {"yes"}
    assert set(table.column("town").to_pylist()) == {"Bonn"}
    assert b"not approved" in b" ".join((table.schema.metadata or {}).values())


def test_unapproved_rows_are_not_written_in_a_format_that_cannot_say_so(
    cli: Callable[..., object], people: Path, tmp_path: Path
) -> None:
    assert cli("fit", people, "--out", tmp_path / "model").code == 0
    ended = cli("sample", tmp_path / "model", "-n", 5, "--out", tmp_path / "fake.csv")
    assert ended.code == 2
    assert "cannot carry the mark" in ended.err
    assert not (tmp_path / "fake.csv").exists()


def test_evaluate_gate_and_export_any_pair(cli: Callable[..., object], people: Path, tmp_path: Path) -> None:
    lines = people.read_text().splitlines()
    parts = {"train": lines[1:400], "holdout": lines[400:700], "fake": lines[700:]}
    for name, rows in parts.items():
        (tmp_path / f"{name}.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    out = tmp_path / "measured"
    ended = cli(
        "evaluate", "--real", tmp_path / "train.csv", "--holdout", tmp_path / "holdout.csv",
        "--synthetic", tmp_path / "fake.csv", "--target", "rich", "--sensitive", "sex", "--out", out, "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    names = {measurement["name"] for measurement in json.loads(ended.out)["measurements"]}
    assert {"fidelity.shape", "privacy.exact_copies", "fairness.group_share", "utility.tstr"} <= names
    ended = cli("gate", out, "--policy", "privacy-release")
    assert ended.code in (1, 3), "400 rows are too few to exclude harm"
    ended = cli("export", out, "--to", tmp_path / "export")
    assert ended.code == 1
    assert not (tmp_path / "export").exists()


def test_schema_says_why_and_is_taken_back(cli: Callable[..., object], people: Path, tmp_path: Path) -> None:
    ended = cli("schema", people, "--target", "rich", "--out", tmp_path / "schema.yaml")
    assert ended.code == 0, ended.err
    assert "categorical" in ended.out
    assert "target" in ended.out
    again = cli("schema", people, "--schema", tmp_path / "schema.yaml", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["columns"][3]["role"] == "target"


@pytest.mark.parametrize("command", ["generators", "metrics", "policies", "keys", "doctor"])
def test_every_list_is_there_for_people_and_for_machines(command: str, cli: Callable[..., object]) -> None:
    assert cli(command).out.strip()
    assert json.loads(cli(command, "--json").out)


def test_progress_is_drawn_on_a_terminal_only_and_quiet_silences_it(people: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "synth", "fit", str(people), "--out", str(tmp_path / "model")]
    assert "elapsed" in on_a_terminal(command)
    assert on_a_terminal([*command, "--quiet"]) == ""
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""


def on_a_terminal(command: list[str]) -> str:
    """What the command draws where its stderr is a terminal."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=slave, env=environment)
    os.close(slave)
    drawn = b""
    while True:
        try:
            drawn += os.read(master, 65_536)
        except OSError:  # the other end is closed
            break
    os.close(master)
    assert process.wait() == 0
    return drawn.decode()


def test_shell_completion_is_offered(cli: Callable[..., object]) -> None:
    assert "--install-completion" in cli("--help").out


def test_filled_in_rows_are_real_and_cannot_pass_for_synthetic(
    cli: Callable[..., object], people: Path, tmp_path: Path
) -> None:
    lines = people.read_text().splitlines()
    holes = [line if place % 3 else "," + line.split(",", 1)[1] for place, line in enumerate(lines[1:])]
    data, model, filled = tmp_path / "holes.csv", tmp_path / "model", tmp_path / "filled.parquet"
    data.write_text("\n".join([lines[0], *holes]) + "\n")
    assert cli("fit", people, "--out", model).code == 0
    ended = cli("impute", model, data, "--out", filled)
    assert ended.code == 0, ended.err
    assert "267 cells of 800 real rows" in ended.out
    table = pq.read_table(filled)
    assert table.column("age").null_count == 0
    assert b"holds real cells" in b" ".join((table.schema.metadata or {}).values())
    ended = cli("evaluate", "--real", people, "--synthetic", filled, "--out", tmp_path / "judged")
    assert ended.code == 2
    assert "holds real cells" in ended.err
    assert not (tmp_path / "judged").exists()
    assert cli("impute", model, data, "--out", tmp_path / "filled.csv").code == 2


def test_schema_is_written_as_sdv_metadata_and_taken_back(cli: Callable[..., object], people: Path, tmp_path: Path) -> None:
    ended = cli("schema", people, "--target", "rich", "--sdv", tmp_path / "metadata.json")
    assert ended.code == 0, ended.err
    document = json.loads((tmp_path / "metadata.json").read_text())
    assert document["METADATA_SPEC_VERSION"] == "V2"
    assert list(document["tables"]) == [people.stem]
    again = cli("schema", people, "--schema", tmp_path / "metadata.json", "--json")
    assert again.code == 0, again.err
