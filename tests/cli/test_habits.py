"""What users of a command line expect of every one of its commands, whichever there are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import typer

from synth.cli import completing
from synth.data.sources import read
from tests.cli.test_commands import on_a_terminal
from tests.command_lines import commands, lines_in, parse

CLI = Callable[..., Any]
COMMANDS = dict(commands())
LEAVES = {words: command for words, command in COMMANDS.items() if not hasattr(command, "commands")}
COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9]+)*m")


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_speaks_json(words: str) -> None:
    command = COMMANDS[words]
    if hasattr(command, "commands") and not command.invoke_without_command:
        return  # nothing is shown by a group that only holds others
    assert any("--json" in parameter.opts for parameter in command.params), f"synth {words} has no --json"


def test_what_needs_no_argument_prints_one_json_document(cli: CLI) -> None:
    for words, command in COMMANDS.items():
        makes = any({"--out", "--to"} & set(parameter.opts) for parameter in command.params)
        if makes or any(parameter.required for parameter in command.params):
            continue
        ended = cli(*words.split(), "--json")
        assert ended.code == 0, (words, ended.err)
        assert isinstance(json.loads(ended.out), dict), words


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_argument_and_option_is_explained(words: str) -> None:
    command = COMMANDS[words]
    assert command.help, f"synth {words} says nothing of itself"
    assert command.hidden is False
    for parameter in command.params:
        assert parameter.help, f"synth {words}: {parameter.name} is not explained"


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_an_example_that_is_understood(words: str) -> None:
    command = COMMANDS[words]
    assert command.epilog, f"synth {words} has no example"
    said = " ".join(command.epilog.split()).removeprefix("Example: ")
    assert said.startswith(f"synth {words}")
    for line in said.split(" && "):
        parse(line)


def test_a_line_that_is_not_understood_is_found() -> None:
    for line in ("synth fitt a.csv", "synth fit a.csv --out m --genrator trees", "synth gate", "synth keys lose ada"):
        with pytest.raises(Exception, match=r"No such|Missing|no such"):
            parse(line)
    assert list(lines_in("```text\n$ synth fit a.csv \\\n  --out m   said beside it\nsynth: an error\n```")) == [
        "synth fit a.csv --out m"
    ]


# the first minutes ----------------------------------------------------------------------------------------------------


def test_synth_alone_says_what_to_type_next(cli: CLI) -> None:
    ended = cli()
    assert ended.code == 0
    for line in re.findall(r"^  (synth .*?)\s{2}", ended.out, flags=re.M):
        if not line.endswith("--help"):
            parse(line)
    assert "synth demo" in ended.out
    assert len(ended.out.splitlines()) < 12
    assert cli("--version").out.strip() in ended.out


def test_a_mistyped_command_is_answered_with_the_nearest_one(cli: CLI) -> None:
    assert "did you mean" in cli("evalute").err.lower()


def test_the_first_key_is_announced_once(cli: CLI, people: Path, tmp_path: Path) -> None:
    pair = ("evaluate", "--real", people, "--synthetic", people, "--only", "validity.schema")
    first = cli(*pair, "--out", tmp_path / "a")
    assert "A first key pair was made" in first.err
    assert str(Path(os.environ["SYNTH_HOME"]) / "keys" / "synth.pem") in first.err
    assert "key pair" not in cli(*pair, "--out", tmp_path / "b").err


def test_python_m_synth_is_synth() -> None:
    ended = subprocess.run([sys.executable, "-m", "synth", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", ended.stdout)


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "from synth.cli.screen import err; err.print('[bold red]REJECTED[/]'); from synth.cli import main; main()"
    command = [sys.executable, "-c", shown, "--help"]
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert COLOUR.search(on_a_terminal(command))
    monkeypatch.setenv("NO_COLOR", "1")
    plain = on_a_terminal(command)
    assert "REJECTED" in plain
    assert not COLOUR.search(plain)


# completion -----------------------------------------------------------------------------------------------------------


def offered(words: list[str]) -> list[str]:
    """What bash is offered for the last of the words."""
    code = "import sys; sys.argv = ['synth']; from synth.cli import main; main()"
    asked = {"_SYNTH_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **asked}
    )
    return ended.stdout.split()


def test_tab_completes_a_column_of_the_file_on_the_line(people: Path) -> None:
    assert offered(["synth", "fit", str(people), "--target", ""]) == ["age", "sex", "town", "rich"]


def test_tab_completes_names() -> None:
    assert {name for name, _ in completing.generators("")} >= {"trees", "copula", "smote"}
    assert [name for name, _ in completing.policies("privacy")] == ["privacy-release"]
    assert [name for name, _ in completing.metrics("fidelity,utility.ts")] == ["fidelity,utility.tstr"]
    assert completing.datasets("") == []


def test_tab_completes_columns_of_every_kind_of_file_and_nothing_of_a_broken_one(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read(people).arrow
    pq.write_table(rows, tmp_path / "p.parquet")
    pyarrow.feather.write_feather(rows, tmp_path / "p.arrow")
    for name in ("people.csv", "p.parquet", "p.arrow"):
        monkeypatch.setenv("COMP_WORDS", f"synth fit {tmp_path / name} --sensitive age,s")
        assert [name for name, _ in completing.columns("age,s")] == ["age,sex"]
    (tmp_path / "p.parquet").write_bytes(b"PAR1 broken")
    for name in ("p.parquet", "nowhere.csv", "people.xls"):
        monkeypatch.setenv("COMP_WORDS", f"synth fit {tmp_path / name} --target ")
        assert completing.column("") == []


def test_tab_completes_the_hyperparameters_of_the_method_on_the_line() -> None:
    assert completing.hyperparameters(context_of(generator="tree"), "") == []
    assert "min_samples_leaf=" in [name for name, _ in completing.hyperparameters(context_of(), "min")]


def context_of(**params: object) -> typer.Context:
    context = typer.Context(COMMANDS["fit"])
    context.params = params
    return context
