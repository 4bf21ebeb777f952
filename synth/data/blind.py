"""Reading a table under a privacy budget, where no error may tell of a row: not its value, its place, nor how many there are.

Who runs the fit sees its errors, and so does whoever reads the log. An error is passed on only where made-up rows, of the same
columns and types, give the very same words: then it is about the declaration, or the path. Any other is replaced by one that
says where to look, outside the budget.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth.data.files import format_of, read_file
from synth.data.frames import to_arrow
from synth.data.sources import read
from synth.data.table import Table
from synth.errors import DataError, SynthError

_FAULTS = (SynthError, pa.ArrowException, ValueError, TypeError, OverflowError)


def read_blind(source: Any, **reading: Any) -> Table:
    """`read` for a fit under a privacy budget: rows that a declaration excludes are no error, and no error quotes a row.

    reading: what `synth.read` takes beside the source. Raises as `read` does for a path or a declaration that cannot be used,
    DataError, without a reason, for rows that cannot be.
    """
    try:
        return read(source, check=False, **reading)
    except _FAULTS as problem:
        fault: Exception = problem
    if not isinstance(fault, SynthError) or not _is_about_no_row(source, str(fault), reading):
        raise _unsaid(source)  # outside of the handler, so that nothing hangs on it
    raise fault.with_traceback(None)


def _is_about_no_row(source: Any, said: str, reading: dict[str, Any]) -> bool:
    """Whether the same is said of a path that leads nowhere, or of rows that were made up."""
    try:
        if isinstance(source, (str, os.PathLike)):
            file = Path(source)
            if not file.exists() or (file.is_file() and file.stat().st_size == 0):
                return True
            arrow = read_file(file)
        else:
            arrow, _ = to_arrow(source.arrow if isinstance(source, Table) else source)
    except (SynthError, OSError, pa.ArrowException):
        return isinstance(source, (str, os.PathLike)) and not _has_known_form(Path(source))
    try:
        read(_made_up(arrow.schema), check=False, **reading)
    except _FAULTS as problem:
        return str(problem) == said
    return False


def _has_known_form(file: Path) -> bool:
    """Whether a file is read at all: what is said of another is about its name."""
    try:
        return bool(format_of(file))
    except DataError:
        return False


def _made_up(schema: pa.Schema) -> pa.Table:
    """Two rows of these columns and types."""
    columns = {field.name: pa.array([_value(field.type), None], field.type) for field in schema}
    return pa.table(columns)


def _value(kind: pa.DataType) -> Any:
    if pa.types.is_dictionary(kind):
        return _value(kind.value_type)
    if pa.types.is_boolean(kind):
        return True
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return 1
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return datetime.datetime(2000, 1, 1) if pa.types.is_timestamp(kind) else datetime.date(2000, 1, 1)
    return "a" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else None


def _unsaid(source: Any) -> DataError:
    what = str(source) if isinstance(source, (str, os.PathLike)) else "the table"
    return DataError(
        f"{what} cannot be read under this declaration, and why would tell of its rows, which no error may under a privacy "
        f"budget;\nlook outside of one: synth schema {what} --schema DECLARATION, or synth.read"
    )
