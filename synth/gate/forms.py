"""The bytes that rows have in each format they may leave in, and their digests, without a copy of the rows in memory.

Rows in a database have no bytes of their own. What is signed for them, as `data.sql`, is a text that is made of them again
whenever they are checked: a line of JSON with the columns and their types, then the rows as the CSV of `synth.data.files`, in
order. Texts are in quotes there and nulls are not, floats are the shortest that read back (-0.0 as 0.0, since
databases do not keep the sign), so rows that differ have texts that differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pyarrow as pa
import pyarrow.compute as pc

from synth.data.files import WRITERS, storable, write_csv
from synth.data.table import HashingSink, Table
from synth.errors import DataError
from synth.folder import new_file
from synth.gate.statement import LAYOUTS

SHARD = 1_000_000  # rows of one file in a folder for the Hugging Face hub
COLUMNS = "columns.json"  # where a database keeps the first line of the text
_PART = re.compile(r"data/train-\d{5}-of-\d{5}\.parquet")


@dataclass(frozen=True)
class Signed:
    """A file of rows: SHA-256 (hex) and size in bytes."""

    sha256: str
    size: int


_KNOWN: WeakKeyDictionary[Table, dict[str, dict[str, Signed]]] = WeakKeyDictionary()  # a table never changes


def format_of(name: str) -> str | None:
    """The format of the rows that a signed name stands for, or None where it is a document's."""
    if _PART.fullmatch(name):
        return "huggingface"
    form = name.removeprefix("data.")
    return form if form != name and form in LAYOUTS else None


def formats_of(names: Iterable[str]) -> tuple[str, ...]:
    """The formats whose rows are among these signed names, the one that an export has by default first."""
    there = {format_of(name) for name in names}
    return tuple(form for form in LAYOUTS if form in there)


def signed_files(form: str, rows: Table) -> dict[str, Signed]:
    """What each file of the rows would be in this format, by name. Raises DataError where they cannot be written in it."""
    known = _KNOWN.setdefault(rows, {})
    if form not in known:
        known[form] = {name: _signed(write) for name, write in _files(form, rows)}
    return dict(known[form])


def signed_digests(form: str, rows: Table) -> dict[str, str]:
    """The SHA-256 (hex) of each file of the rows in this format, by the name that an approval signs it under."""
    return {name: file.sha256 for name, file in signed_files(form, rows).items()}


def write_form(form: str, rows: Table, folder: Path) -> dict[str, Path]:
    """Write the files of one format into a folder; which they are, by name. Raises DataError where they cannot be written."""
    files = {}
    for name, write in _files(form, rows):
        (folder / name).parent.mkdir(exist_ok=True)
        with new_file(folder / name) as out:
            _written(write, out)
        files[name] = folder / name
    return files


def write_one(form: str, rows: Table, out: Any) -> None:
    """Write a format of one file to a file that is open. Raises DataError where the rows cannot be written in it."""
    ((_, write),) = _files(form, rows)
    _written(write, out)


Write = Callable[[Any], None]


def _files(form: str, rows: Table) -> Iterator[tuple[str, Write]]:
    """The files of a format, each with what writes it to an open file."""
    if form == "huggingface":
        stored = storable(rows.arrow)  # before it is cut, so that all parts have the same dictionaries
        count = max(1, -(-len(rows) // SHARD))
        for number in range(count):
            part = replace(rows, arrow=stored.slice(number * SHARD, SHARD))
            yield f"data/train-{number:05d}-of-{count:05d}.parquet", _writer("parquet", part)
    elif form == "sql":
        yield "data.sql", lambda out: write_text(rows, out)
    elif form in WRITERS:
        yield f"data.{form}", _writer(form, rows)
    else:
        raise DataError(f"there is no format {form!r}; name one of {', '.join(LAYOUTS)}")


def _writer(form: str, rows: Table) -> Write:
    return lambda out: WRITERS[form](rows, out)


def _signed(write: Write) -> Signed:
    sink = HashingSink()
    _written(write, sink)
    return Signed(sink.hexdigest(), sink.tell())


def _written(write: Write, out: Any) -> None:
    try:
        write(out)
    except pa.ArrowException as problem:
        reason = " ".join(str(problem).split())[:160]
        raise DataError(
            f"the rows cannot be written in this format ({reason}); drop such a column, or leave it out"
        ) from problem


# rows as text -----------------------------------------------------------------------------------------------------------


def write_text(rows: Table, out: Any) -> None:
    """Write the text that is signed for rows in a database."""
    out.write(columns_line(rows.arrow.schema))
    write_csv(replace(rows, arrow=unsigned_zeros(rows.arrow)), out)


def unsigned_zeros(rows: pa.Table) -> pa.Table:
    """The rows with 0.0 for -0.0."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_floating(field.type):
            rows = rows.set_column(place, field, pc.add(rows.column(place), pa.scalar(0.0, field.type)))
    return rows


def columns_line(schema: pa.Schema) -> bytes:
    """The first line of the text: each column's name and type, a dictionary's being that of its values."""
    columns = [[field.name, type_text(field.type)] for field in schema]
    return (json.dumps(columns, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def columns_of(line: bytes) -> dict[str, pa.DataType]:
    """The inverse of `columns_line`. Raises ValueError for what is not such a line."""
    return {str(name): type_of(kind) for name, kind in json.loads(line)}


def type_text(kind: pa.DataType) -> str:
    """A type in words that `type_of` reads. Raises DataError for one that a database does not take."""
    text = str(kind.value_type if pa.types.is_dictionary(kind) else kind)
    try:
        type_of(text)
    except ValueError:
        raise DataError(f"a column of type {kind} cannot go to a database; turn it into text or numbers, or drop it") from None
    return text


_SIMPLE: Mapping[str, pa.DataType] = {
    str(kind): kind
    for kind in (
        pa.null(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
        pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.date32(), pa.date64(),
    )
}  # fmt: skip
_MOMENT = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=([^\]]+))?\]")
_EXACT = re.compile(r"decimal(32|64|128|256)\((\d+), (-?\d+)\)")


def type_of(text: str) -> pa.DataType:
    """The Arrow type of these words. Raises ValueError where they name none that a database takes."""
    if text in _SIMPLE:
        return _SIMPLE[text]
    if moment := _MOMENT.fullmatch(text):
        return pa.timestamp(moment[1], moment[2])
    if exact := _EXACT.fullmatch(text):
        make = {"32": pa.decimal32, "64": pa.decimal64, "128": pa.decimal128, "256": pa.decimal256}[exact[1]]
        return make(int(exact[2]), int(exact[3]))
    raise ValueError(f"no type is written {text!r}")
