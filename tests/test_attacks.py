"""The table of attacks says what is true: every test that it names is there, is run, and is not skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from docs.attacks import ROOT, attacks, attacks_of


def test_every_test_in_the_table_is_collected() -> None:
    named = {f"{attack.file}::{attack.test}" for attack in attacks()}
    files = sorted({attack.file for attack in attacks()})
    arguments = [sys.executable, "-m", "pytest", "--collect-only", "-n", "0", "-m", "attack", *files]
    ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=120)
    collected = {line.split("[", 1)[0] for line in ended.stdout.splitlines() if "::" in line}
    assert collected == named, ended.stdout[-2_000:] + ended.stderr


def test_no_attack_is_listed_twice() -> None:
    assert len(attacks()) >= 150
    said = [attack.what for attack in attacks()]
    assert sorted(said) == sorted(set(said))


@pytest.mark.parametrize(
    "source",
    [
        'import pytest\nattack = pytest.mark.attack("on", "no test")\n',
        'import pytest\n@pytest.mark.attack("one text alone")\ndef test_it() -> None: ...\n',
        'import pytest\n@pytest.mark.attack(f"{1}", "not a literal")\ndef test_it() -> None: ...\n',
    ],
)
def test_a_marker_out_of_form_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"test_planted\.py:2"):
        list(attacks_of(source, ROOT / "tests" / "test_planted.py"))


SKIPPED = """
import pytest

@pytest.mark.attack("skipped by a marker", "fails")
@pytest.mark.skip(reason="planted")
def test_marked() -> None: ...

@pytest.mark.attack("skipped in its course", "fails")
def test_called() -> None:
    pytest.skip("planted")

@pytest.mark.attack("known to fail", "fails")
@pytest.mark.xfail(reason="planted")
def test_xfailed() -> None:
    raise AssertionError

def test_skipped_and_no_attack() -> None:
    pytest.skip("planted")
"""


def test_an_attack_that_is_skipped_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_planted.py").write_text(SKIPPED)
    arguments = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), "-n", "0", str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert "2 failed, 1 skipped, 1 error" in ended.stdout, ended.stdout + ended.stderr
