"""Approved rows as a table of a database (SQLAlchemy), and the check of such a table.

Beside the table NAME stands NAME_synth with two columns, name and content: the attestation and every document. The key column
`_row` keeps the order. Both are written under temporary names, read back in full, compared with what was signed and renamed in
one transaction; so other connections see both or neither, and a failure leaves nothing. Needs the extra `sql`.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from synth.data.table import Table
from synth.errors import DataError, SynthError, VerificationError
from synth.gate import sql_values
from synth.gate.database import Address, address, begun, in_words
from synth.gate.forms import COLUMNS, columns_line, columns_of, unsigned_zeros
from synth.gate.keys import PublicKey
from synth.gate.revocation import Revocations
from synth.gate.verify import Verified, check

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy import Table as SqlTable

ROW = "_row"  # the key column: the place of a row, from 0
BATCH = 10_000  # rows that are sent or fetched at a time


def write_table(
    rows: Table, url: str, table: str | None, files: Mapping[str, bytes], check_whole: Callable[[Path], None]
) -> str:
    """Write rows and the files that go with them as a new table and its companion; whole or not at all. Returns where they are.

    files: the attestation and the documents, by name. check_whole: is given the tables as a folder, read back from the database
    within the transaction, and raises where they are not what was signed.
    Raises DataError where a table of either name is there (it is never overwritten), and where the rows cannot be held.
    """
    place = address(url, table)
    line = columns_line(rows.arrow.schema)
    _check_columns(rows.columns)
    temporary = f"{place.table}_{secrets.token_hex(4)}"
    try:
        with begun(place, write=True, create=True) as connection, in_words(place):
            _refuse_taken(connection, place)
            data, beside = _tables(connection, temporary, columns_of(line))
            data.metadata.create_all(connection)
            _insert(connection, data, rows)
            connection.execute(beside.insert(), [{"c0": name, "c1": one} for name, one in {**files, COLUMNS: line}.items()])
            with _restored(connection, data.name, beside.name) as folder:
                check_whole(folder)
            _refuse_taken(connection, place)
            for made, name in ((data, place.table), (beside, place.companion)):
                _rename(connection, made.name, name)
    except BaseException:
        _remove(place, temporary)
        raise
    return str(place)


def verify_sql(
    url: str,
    table: str | None,
    known: Collection[PublicKey],
    *,
    policy: str | Path | None = None,
    where: str = "",
    revocations: Revocations = Revocations(),  # noqa: B008 - it is frozen, and empty
    names: Mapping[str, str] | None = None,
) -> Verified:
    """Check a table as `synth.gate.verify.check` checks a folder. The table may also be named in the url, as ?table=NAME.

    Raises VerificationError that says what differs, MissingExtraError without SQLAlchemy.
    """
    with restored(url, table) as (place, folder):
        found = check(folder, known, policy=policy, where=where, revocations=revocations, names=names)
        return replace(found, path=place)


@contextmanager
def restored(url: str, table: str | None = None) -> Iterator[tuple[str, Path]]:
    """Where an exported table is, and the export as a folder: its documents, and the text of its rows as `data.sql`.

    The folder is gone when the block ends. Raises VerificationError where the tables do not have the form of an export.
    """
    place = address(url, table)
    with begun(place) as connection, in_words(place):
        found = _names(connection)
        for name in (place.table, place.companion):
            if name not in found:
                raise VerificationError(f"{place} is not an export: there is no table {name!r}; name it with ?table=NAME")
        with _restored(connection, place.table, place.companion) as folder:
            yield str(place), folder


# writing ----------------------------------------------------------------------------------------------------------------


def _check_columns(names: tuple[str, ...]) -> None:
    for name in names:
        if name.lower() == ROW:
            raise DataError(f"the column {name!r} has the name of the key that keeps the rows' order; rename the column")


def _tables(connection: Connection, name: str, columns: Mapping[str, pa.DataType]) -> tuple[SqlTable, SqlTable]:
    """The two tables under temporary names; their columns' keys are c0, c1, …, whatever the columns are called."""
    import sqlalchemy as sql

    metadata = sql.MetaData()
    typed = [
        sql.Column(column, sql_values.type_for(kind, connection.dialect.name), key=f"c{place}")
        for place, (column, kind) in enumerate(columns.items())
    ]
    key = sql.Column(ROW, sql.BigInteger, primary_key=True, autoincrement=False)
    data = sql.Table(name, metadata, key, *typed)
    beside = sql.Table(
        f"{name}_s", metadata,
        sql.Column("name", sql.String(200), key="c0", primary_key=True), sql.Column("content", sql.LargeBinary, key="c1"),
    )  # fmt: skip
    return data, beside


def _insert(connection: Connection, data: SqlTable, rows: Table) -> None:
    for start in range(0, len(rows), BATCH):
        piece = rows.arrow.slice(start, BATCH)
        columns = [sql_values.to_python(name, piece.column(name), connection.dialect.name) for name in piece.column_names]
        lines = zip(*columns, strict=True)
        cells = [{f"c{at}": cell for at, cell in enumerate(line)} for line in lines]
        connection.execute(data.insert(), [{ROW: place} | line for place, line in enumerate(cells, start)])


def _refuse_taken(connection: Connection, place: Address) -> None:
    for name in (place.table, place.companion):
        if name in _names(connection):
            raise DataError(f"{place} holds {name!r} already, and an export overwrites nothing; choose another with --table")


def _rename(connection: Connection, old: str, new: str) -> None:
    quote = connection.dialect.identifier_preparer.quote_identifier
    connection.exec_driver_sql(f"ALTER TABLE {quote(old)} RENAME TO {quote(new)}")


def _remove(place: Address, temporary: str) -> None:
    """Drop what a failure left, in a database whose tables are not a part of the transaction."""
    import sqlalchemy as sql

    if place.url.get_backend_name() in ("sqlite", "postgresql"):
        return
    with suppress(SynthError), begun(place, write=True) as connection, in_words(place):
        for name in _names(connection):
            if name.startswith(temporary):
                sql.Table(name, sql.MetaData()).drop(connection)


def _names(connection: Connection) -> set[str]:
    """Every name in the database that a table cannot take."""
    import sqlalchemy as sql

    look = sql.inspect(connection)
    return {*look.get_table_names(), *look.get_view_names()}


# reading ----------------------------------------------------------------------------------------------------------------


@contextmanager
def _restored(connection: Connection, name: str, companion: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="synth-") as temporary:
        folder = Path(temporary)
        files = _companion(connection, companion)
        line = files.pop(COLUMNS, b"")
        try:
            columns = columns_of(line)
        except (ValueError, TypeError) as problem:
            raise VerificationError(f"{companion} holds no {COLUMNS} that says what the rows are") from problem
        for file, content in files.items():
            (folder / file).write_bytes(content)
        with (folder / "data.sql").open("wb") as out:
            out.write(line)
            _write_rows(connection, name, columns, out)
        yield folder


def _companion(connection: Connection, name: str) -> dict[str, bytes]:
    """The files beside the rows. Raises VerificationError for a name that would not be a file of a folder."""
    import sqlalchemy as sql

    _check_found(connection, name, ["name", "content"])
    beside = _raw(name, ["name", "content"])
    files: dict[str, bytes] = {}
    for file, content in connection.execute(sql.select(*beside.columns)):
        if not isinstance(file, str) or not isinstance(content, (bytes, memoryview)) or file in files:
            raise VerificationError(f"{name} was altered: it holds something that is not one named file")
        if file in ("", ".", "..") or "/" in file or "\\" in file or file.startswith("data."):
            raise VerificationError(f"{name} was altered: {file[:80]!r} is not the name of a document")
        files[file] = bytes(content)
    return files


def _write_rows(connection: Connection, name: str, columns: Mapping[str, pa.DataType], out: Any) -> None:
    """The rows as CSV, in the order of their key. Raises VerificationError where they cannot be what was signed."""
    import pyarrow.csv as csv
    import sqlalchemy as sql

    _check_found(connection, name, [ROW, *columns])
    table = _raw(name, [ROW, *columns])
    schema = pa.schema(list(columns.items()))
    wanted = sql.select(*table.columns).order_by(table.columns[0])
    with (
        connection.execute(wanted, execution_options={"stream_results": True}) as found,
        csv.CSVWriter(pa.PythonFile(out, mode="w"), schema) as writer,
    ):
        start = 0
        for lines in found.partitions(BATCH):
            keys, *cells = zip(*lines, strict=True)
            if list(keys) != list(range(start, start + len(keys))):
                raise VerificationError(f"{name} was altered: after row {start:,} of the key {ROW!r} one was removed or added")
            start += len(keys)
            arrays = [sql_values.to_arrow(*column, one) for column, one in zip(columns.items(), cells, strict=True)]
            writer.write_table(unsigned_zeros(pa.table(arrays, schema=schema)))


def _check_found(connection: Connection, name: str, columns: list[str]) -> None:
    """Raise VerificationError for a table with other columns, and for a view, whose rows can change afterwards."""
    import sqlalchemy as sql

    look = sql.inspect(connection)
    if name in look.get_view_names():
        raise VerificationError(f"{name!r} is a view: what it shows can change after it was verified; export to a table")
    found = [column["name"] for column in look.get_columns(name)]
    if found != columns:
        other = next((one for one in (*columns, *found) if one not in columns or one not in found), found[0])
        raise VerificationError(f"the table {name!r} was altered: its columns are not those that were signed ({other!r})")


def _raw(name: str, columns: list[str]) -> SqlTable:
    """A table whose cells come as the driver gives them: nothing is turned into what it should have been."""
    import sqlalchemy as sql

    return sql.Table(
        name, sql.MetaData(), *(sql.Column(column, sql.types.NullType(), key=f"c{at}") for at, column in enumerate(columns))
    )
