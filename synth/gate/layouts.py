"""The shapes that an export may have: which files hold the rows, and which documents stand beside them.

An approval signs every file that some export may hold, under one name each. Rows are `data.parquet`, `data.csv`, `data.arrow`,
`data.sql` (a table's rows as text, see `synth.gate.forms`) or `data/train-00000-of-00003.parquet`. A document that differs with
the layout is signed once for each: `csv/README.md` is what stands as README.md where the first format is CSV. Needs only the
standard library, so that whoever verifies needs no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

FORMATS = ("parquet", "csv", "arrow", "sql", "huggingface")  # the layout of an export is its first format in this order
FLAT = ("parquet", "csv", "arrow")  # one file each, which may stand together; the others go alone
T = TypeVar("T")
_PART = re.compile(r"data/train-\d{5}-of-\d{5}\.parquet")


def format_of(name: str) -> str | None:
    """The format of the rows that a signed name stands for, or None where it is a document's."""
    if _PART.fullmatch(name):
        return "huggingface"
    form = name.removeprefix("data.")
    return form if name.startswith("data.") and form in FORMATS else None


def formats_of(names: Iterable[str]) -> tuple[str, ...]:
    """The formats whose rows are among these names, in the order of FORMATS."""
    there = {format_of(name) for name in names}
    return tuple(form for form in FORMATS if form in there)


def layout_of(formats: Iterable[str]) -> str:
    """Whose documents stand beside rows in these formats. Raises ValueError where none is known."""
    return min(formats, key=FORMATS.index)


def documents_of(signed: Mapping[str, T], layout: str) -> dict[str, T]:
    """The documents of one layout by the names that they have there: its own, and those that all layouts share."""
    shared = {name: one for name, one in signed.items() if "/" not in name and format_of(name) is None}
    own = {name.removeprefix(f"{layout}/"): one for name, one in signed.items() if name.startswith(f"{layout}/")}
    return shared | own
