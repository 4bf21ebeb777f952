"""The command line as a function: arguments in, exit code and both streams out."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from synth.cli import main, screen


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ended]]:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["synth", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")  # of what is made anew, such as help
        monkeypatch.setattr(screen.out, "width", 300)  # a console keeps the width that it was made with; long paths are folded
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    yield call
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A small table with a relation worth learning."""
    rng = np.random.default_rng(0)
    n = 800
    age = rng.integers(18, 80, n)
    sex = rng.choice(["f", "m"], n)
    town = rng.choice(["Aachen", "Bonn", "Celle"], n, p=[0.6, 0.3, 0.1])
    rich = rng.random(n) < (age - 10) / 100
    lines = ["age,sex,town,rich", *(f"{a},{s},{t},{'yes' if r else 'no'}" for a, s, t, r in zip(age, sex, town, rich))]
    file = tmp_path / "people.csv"
    file.write_text("\n".join(lines) + "\n")
    return file
