"""Facts about the package as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import synth

HEAVY = ("torch", "pandas", "polars", "matplotlib", "sklearn", "scipy", "imblearn", "faker", "ray")


def test_import_is_light() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import synth; took = time.perf_counter() - start; "
        f"print(took, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    fastest = 60.0
    for _ in range(3):  # the other times, the machine may be busy
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        took, loaded = ended.stdout.split(maxsplit=1)
        assert loaded.strip() == "[]"
        fastest = min(fastest, float(took))
    assert fastest < 0.5


@pytest.mark.parametrize("name", synth.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(synth, name)
    assert name.startswith("__") or value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Treez"):
        _ = synth.Treez


def test_the_command_line_starts_without_heavy_imports() -> None:
    code = f"import sys, synth.cli, synth.cli.jobs; print([name for name in {HEAVY!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_no_file_of_the_package_is_longer_than_four_hundred_lines() -> None:
    package = Path(synth.__file__).parent
    long = {
        str(file.relative_to(package)): n for file in package.rglob("*.py") if (n := len(file.read_text().splitlines())) > 400
    }
    assert long == {}
