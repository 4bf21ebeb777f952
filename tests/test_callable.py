"""What is public stays callable under its name, whatever else was imported before."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["run", "replay"])
def test_a_function_is_not_hidden_by_the_module_of_its_name(name: str) -> None:
    code = f"""
import synth, synth.{name}
from synth.{name} import {name}
assert synth.{name} is not {name}  # the module
try:
    synth.{name}("no such thing")
except synth.errors.SynthError as error:
    print("refused:", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("refused: ")
    assert "no such thing" in done.stdout
