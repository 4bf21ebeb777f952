"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

# Tests run side by side, and so do the threads of each network's arithmetic: two of either on two cores wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Fixtures of a whole module are made outside of any test, and must not spend or sign in the person's own name either.
_HOME = tempfile.TemporaryDirectory()
os.environ["SYNTH_HOME"] = _HOME.name
os.environ.pop("SYNTH_LEDGER", None)

DATA = Path(os.environ.get("SYNTH_DATA", Path(__file__).resolve().parents[1] / ".." / "shared" / "data"))


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and logs of a test never touch the person's own."""
    monkeypatch.setenv("SYNTH_HOME", str(tmp_path_factory.mktemp("synth-home")))
    monkeypatch.delenv("SYNTH_LEDGER", raising=False)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """The path of a real table by file name, or a skip where the tables are not on this machine."""

    def path(name: str) -> Path:
        found = DATA / name
        if not found.is_file():
            pytest.skip(f"the real table {name} is not here; point SYNTH_DATA at the folder that holds it")
        return found

    return path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """An attack that was not tried was not refused: where docs/attacks.md names a test, a skip is a failure."""
    report = yield
    if report.skipped and item.get_closest_marker("attack") is not None:
        report.outcome = "failed"
        report.longrepr = f"an attack was skipped: {report.longrepr}"
    return report
