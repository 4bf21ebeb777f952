"""`synth doctor`: what is missing is named with what to type, and a problem is exit code 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synth.cli import doctor
from synth.gate.keys import default_key

CLI = Callable[..., Any]


def checks(ended: Any) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(ended.out)["checks"]}


def test_a_sound_machine_ends_with_nought_and_is_left_as_it_was(
    cli: CLI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "not there yet"
    monkeypatch.setenv("SYNTH_HOME", str(home))
    ended = cli("doctor", "--json")
    assert ended.code == 0
    found = checks(ended)
    assert {"synth", "python", "numpy", "extra demo", "cores", "memory", "disk", "GPU", "keys", "privacy ledger"} <= set(found)
    assert found["numpy"]["state"] == "ok"
    assert not home.exists()
    assert "nothing stands in the way" in cli("doctor").out


def test_an_extra_that_is_not_there_is_a_note_that_says_how_to_install_it(cli: CLI, monkeypatch: pytest.MonkeyPatch) -> None:
    there = doctor.version_of
    monkeypatch.setattr(doctor, "version_of", lambda name: None if name == "polars" else there(name))
    ended = cli("doctor", "--json")
    assert ended.code == 0
    extra = checks(ended)["extra polars"]
    assert (extra["state"], extra["found"]) == ("note", "not installed")
    assert "pip install 'synth[polars]'" in extra["next"]


@pytest.mark.parametrize(("version", "said"), [(None, "not installed"), ("1.9.3", "1.9.3")])
def test_a_core_package_that_is_missing_or_too_old_is_a_problem(
    cli: CLI, monkeypatch: pytest.MonkeyPatch, version: str | None, said: str
) -> None:
    there = doctor.version_of
    monkeypatch.setattr(doctor, "version_of", lambda name: version if name == "numpy" else there(name))
    ended = cli("doctor", "--json")
    assert ended.code == 2
    assert json.loads(ended.out)["problems"] == 1
    assert checks(ended)["numpy"]["found"] == said
    assert "numpy>=2.0" in checks(ended)["numpy"]["next"]


def test_versions_are_compared_by_number() -> None:
    assert doctor.is_older("1.9", "1.10")
    assert doctor.is_older("2", "2.1")
    assert not doctor.is_older("2.13.0+cpu", "2.6")
    assert not doctor.is_older("43", "43.0.0")


def test_keys_that_others_can_read_or_that_are_broken_are_a_problem(cli: CLI) -> None:
    default_key()
    assert checks(cli("doctor", "--json"))["keys"]["state"] == "ok"
    private = Path(json.loads(cli("keys", "--json").out)["keys"][0]["public_file"]).with_suffix(".pem")
    private.chmod(0o644)
    ended = cli("doctor", "--json")
    assert (ended.code, checks(ended)["keys"]["next"]) == (2, f"chmod 600 {private}")
    private.chmod(0o600)
    private.write_text("no key")
    ended = cli("doctor")
    assert ended.code == 2
    assert "is not a private key" in ended.out


def test_a_memory_limit_that_is_none_and_a_home_that_cannot_be_written_are_problems(
    cli: CLI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYNTH_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setenv("SYNTH_MEMORY_LIMIT", "lots")
    ended = cli("doctor", "--json")
    assert ended.code == 2
    found = checks(ended)
    assert "give a number of bytes" in found["memory"]["next"]
    assert "set SYNTH_HOME" in found["SYNTH_HOME"]["next"]
