"""`synth attempts`: what was judged on this machine, and whether the log of it is sound."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synth.gate.attempts import SKETCH, AttemptLog
from synth.run import Run, evaluate_files

Cli = Callable[..., Any]


@pytest.fixture
def run(people: Path, tmp_path: Path) -> Run:
    """Rows measured against themselves, judged twice; and an attempt on other rows."""
    done = evaluate_files(people, None, people, tmp_path / "run", only=["fidelity.shape"])
    log = AttemptLog.of_machine()
    facts = {"policy_version": "1.0.0", "policy_digest": "aa", "measurements": "1", "synthetic": "feed" * 16}
    with log.attempt(data=done.measurements.context[SKETCH], policy="strict", **facts) as attempt:
        attempt.decided("rejected")
    log.note("approval", attempt.entry, keyid="ab")
    with log.attempt(data=[f"{number:016x}" for number in range(9)], policy="other", **(facts | {"measurements": "2"})):
        pass
    return done


def test_every_attempt_is_listed_with_what_came_of_it(cli: Cli, run: Run) -> None:
    shown = cli("attempts")
    assert shown.code == 0
    first, second = (line.split() for line in shown.out.splitlines()[1:3])
    assert first[1:6] == ["strict", "1.0.0", "1", "rejected,", "approval"]
    assert first[-1] == "feedfeedfeed"
    assert second[1:6] == ["other", "1.0.0", "1", "not", "decided"]


def test_a_run_has_those_on_its_own_rows(cli: Cli, run: Run) -> None:
    told = json.loads(cli("attempts", run.path, "--json").out)
    assert [attempt["facts"]["policy"] for attempt in told["attempts"]] == ["strict"]
    assert [later["kind"] for later in told["attempts"][0]["then"]] == ["decision", "approval"]
    assert not any(number in json.dumps(told) for number in run.measurements.context[SKETCH])


def test_the_log_is_checked_when_asked(cli: Cli, run: Run) -> None:
    checked = cli("attempts", "--check")
    assert checked.code == 0
    assert "checked 4 lines of" in checked.out
    assert json.loads(cli("attempts", "--check", "--json").out)["checked"] is True


@pytest.mark.parametrize("options", [(), ("--check",), ("--json",)])
def test_an_altered_log_ends_with_exit_code_4(cli: Cli, run: Run, options: tuple[str, ...]) -> None:
    log = AttemptLog.of_machine()
    log.path.write_bytes(log.path.read_bytes().replace(b'"rejected"', b'"approved"'))
    ended = cli("attempts", *options)
    assert ended.code == 4
    assert "line 2 of" in ended.err
    assert not ended.out


def test_without_a_log_there_is_none_and_nothing_is_made(cli: Cli, people: Path) -> None:
    assert cli("attempts").out == "no attempt is logged\n"
    assert "0 lines of" in cli("attempts", "--check").out
    log = AttemptLog.of_machine()
    assert not any(log.path.parent.iterdir())
    assert cli("attempts", people.parent).code == 2
