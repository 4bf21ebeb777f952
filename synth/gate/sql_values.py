"""Cells between Arrow and a database, exactly: what a database would round or forget, it gets as text.

Reading takes what the driver gives and holds it to the one form that was written, so that a cell of another type, or a moment
in another spelling, counts as altered. SQLite has no types for moments and exact decimals: they are text there, in ISO 8601 and
in digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from synth.errors import DataError, VerificationError

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

EXACT = 38  # digits of a decimal that every database with exact ones keeps


def type_for(kind: pa.DataType, dialect: str) -> TypeEngine[Any]:
    """The database's type for a column of this Arrow type."""
    import sqlalchemy as sql

    if pa.types.is_boolean(kind):
        return sql.Boolean()
    if pa.types.is_integer(kind):
        return sql.BigInteger()
    if pa.types.is_floating(kind):
        return sql.Double()
    if pa.types.is_date(kind):
        return sql.Date()
    if pa.types.is_timestamp(kind):
        return sql.DateTime(timezone=kind.tz is not None)
    if pa.types.is_decimal(kind) and dialect != "sqlite" and 0 <= kind.scale <= kind.precision <= EXACT:
        return sql.Numeric(kind.precision, kind.scale)
    return sql.Text()


def to_python(name: str, values: pa.ChunkedArray, dialect: str) -> list[Any]:
    """The cells of a column as the database's driver takes them. Raises DataError for a moment that it could not hold."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    try:
        if pa.types.is_timestamp(kind):
            cells = values.cast(pa.timestamp("us", None if kind.tz is None else "UTC")).to_pylist()
            return [None if cell is None else cell.replace(tzinfo=None) for cell in cells] if dialect == "sqlite" else cells
        if pa.types.is_date(kind):
            return list(values.cast(pa.date32()).to_pylist())
        cells = values.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as problem:
        raise DataError(
            f"column {name!r} holds a moment that databases do not ({' '.join(str(problem).split())[:120]}); they know\n"
            "microseconds of the years 1 to 9999: round it, or leave the column out"
        ) from problem
    if pa.types.is_decimal(kind) and not _is_exact(kind, dialect):
        return [None if cell is None else str(cell) for cell in cells]
    return list(cells)


def _is_exact(kind: pa.DataType, dialect: str) -> bool:
    import sqlalchemy as sql

    return isinstance(type_for(kind, dialect), sql.Numeric)


def to_arrow(name: str, kind: pa.DataType, cells: Sequence[Any]) -> pa.Array:
    """The cells that a driver gave, as the Arrow type they were written from. Raises VerificationError where they are not."""
    read = _reader(kind)
    try:
        values = pa.array([None if cell is None else read(cell) for cell in cells], _read_as(kind))
        return values if values.type == kind else values.cast(kind)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, InvalidOperation) as problem:
        said = " ".join(str(problem).split())[:120]
        raise VerificationError(f"column {name!r} was altered: it holds what cannot have been written ({said})") from problem


def _read_as(kind: pa.DataType) -> pa.DataType:
    """The type in which Python's values are taken up, before the column's own."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    return pa.date32() if pa.types.is_date(kind) else kind


def _reader(kind: pa.DataType) -> Callable[[Any], Any]:
    if pa.types.is_boolean(kind):
        return _truth
    if pa.types.is_integer(kind):
        return _of(int)
    if pa.types.is_floating(kind):
        return _of(float)
    if pa.types.is_decimal(kind):
        return _decimal(kind.scale)
    if pa.types.is_date(kind):
        return _date
    if pa.types.is_timestamp(kind):
        return _moment if kind.tz is None else _moment_in_utc
    return _of(str)


def _of(wanted: type) -> Callable[[Any], Any]:
    def read(cell: Any) -> Any:
        if type(cell) is not wanted:
            raise ValueError(f"{cell!r} is no {wanted.__name__}")
        return cell

    return read


def _truth(cell: Any) -> bool:
    if cell is True or cell is False:
        return bool(cell)
    return {0: False, 1: True}[_whole(cell)]


def _whole(cell: Any) -> int:
    if type(cell) is not int or cell not in (0, 1):
        raise ValueError(f"{cell!r} is neither true nor false")
    return cell


def _decimal(scale: int) -> Callable[[Any], Decimal]:
    def read(cell: Any) -> Decimal:
        if isinstance(cell, Decimal):
            return cell
        exact = Decimal(cell) if isinstance(cell, str) else None
        if exact is None or exact.as_tuple().exponent != -scale or str(exact) != cell:
            raise ValueError(f"{cell!r} is no decimal with {scale} digits after the point")
        return exact

    return read


def _date(cell: Any) -> date:
    if isinstance(cell, str):
        read = date.fromisoformat(cell)
        if read.isoformat() != cell:
            raise ValueError(f"{cell!r} is not in the form that was written")
        return read
    if type(cell) is not date:
        raise ValueError(f"{cell!r} is no date")
    return cell


def _moment(cell: Any) -> datetime:
    if isinstance(cell, str):
        read = datetime.fromisoformat(cell)
        if read.isoformat(" ", "microseconds") != cell:
            raise ValueError(f"{cell!r} is not in the form that was written")
        return read
    if not isinstance(cell, datetime) or cell.tzinfo is not None:
        raise ValueError(f"{cell!r} is no moment without a zone")
    return cell


def _moment_in_utc(cell: Any) -> datetime:
    """With a zone where the database keeps one, else as written: in UTC."""
    if isinstance(cell, datetime) and cell.tzinfo is not None:
        return cell.astimezone(UTC)
    return _moment(cell).replace(tzinfo=UTC)
