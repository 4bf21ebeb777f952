"""The table that comes with synth is the one that is described."""

from __future__ import annotations

import subprocess
import sys

import pytest

from synth.data.bundled import BUNDLED, load_arrests, load_bundled
from synth.data.schema import Kind
from synth.data.sources import read
from synth.errors import DataError


def test_the_arrests_are_all_there() -> None:
    pytest.importorskip("sklego", reason="the bundled table needs the extra `demo`: pip install 'synth[demo]'")
    table = load_arrests()
    assert (len(table), len(table.columns)) == (5226, 8)
    assert table.schema.target is not None
    assert table.schema.target.name == "released"
    assert {column.name for column in table.schema.sensitive} == {"colour", "sex"}
    assert table.schema.column("age").kind is Kind.INTEGER
    assert read("bundled:arrests").digest() == load_bundled("arrests").digest() == table.digest()


def test_an_unknown_bundled_table_names_the_nearest() -> None:
    assert "arrests" in BUNDLED
    with pytest.raises(DataError, match="'arests'; did you mean 'arrests'"):
        read("bundled:arests")


def test_without_the_extra_the_error_says_which_to_install() -> None:
    code = (
        "import sys; sys.modules['sklego'] = None\n"
        "from synth.data.bundled import load_arrests\n"
        "from synth.errors import MissingExtraError\n"
        "try: load_arrests()\n"
        "except MissingExtraError as problem: print(problem)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "scikit-lego" in ended.stdout
    assert "synth[demo]" in ended.stdout
