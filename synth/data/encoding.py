"""Between a column of a table and numbers that can be computed with: one pair of functions per kind.

Everything here is decided by the schema and the physical type alone; nothing is read off the rows. Categories become
int32 codes into `Column.categories` (-1 is null); numbers and moments become float64 (NaN is null), moments counted in
whole `Column.unit`s since 1970 so that they stay exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data.schema import Column, Kind, Schema
from synth.data.table import Table
from synth.errors import DataError

NANOSECONDS = {
    "day": 86_400 * 10**9,
    "hour": 3_600 * 10**9,
    "minute": 60 * 10**9,
    "second": 10**9,
    "millisecond": 10**6,
    "microsecond": 10**3,
    "nanosecond": 1,
}
_ARROW_UNIT = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


@dataclass(frozen=True, eq=False)
class EncodedColumn:
    """One column as an array of shape (rows,).

    values: int32 codes in [0, levels) with -1 for null where `levels` is a number; float64 with NaN for null where it is None.
    decimals: for numbers, digits after the point that values are rounded to (0 for integers and moments, None: as they are).
    per_day: for moments, how many of their units are a day.
    """

    name: str
    values: np.ndarray
    levels: int | None = None
    ordered: bool = False
    decimals: int | None = None
    per_day: int | None = None

    @property
    def is_category(self) -> bool:
        return self.levels is not None

    @property
    def null(self) -> np.ndarray:
        """Boolean array of shape (rows,): where the value is missing."""
        return self.values < 0 if self.is_category else np.isnan(self.values)

    def take(self, rows: np.ndarray) -> EncodedColumn:
        return replace(self, values=self.values[rows])

    def with_values(self, values: np.ndarray) -> EncodedColumn:
        """The same column holding other values (of any length)."""
        return replace(self, values=np.asarray(values, dtype=self.values.dtype))


@dataclass(frozen=True, eq=False)
class Encoded(Mapping[str, EncodedColumn]):
    """The learned columns of a table, by name, in the schema's order."""

    columns: tuple[EncodedColumn, ...]
    rows: int

    def __getitem__(self, name: str) -> EncodedColumn:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (column.name for column in self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def take(self, rows: np.ndarray) -> Encoded:
        return Encoded(tuple(column.take(rows) for column in self.columns), len(rows))

    def with_values(self, values: Mapping[str, np.ndarray]) -> Encoded:
        """The same columns holding other rows; `values` names every column."""
        columns = tuple(column.with_values(values[column.name]) for column in self.columns)
        return Encoded(columns, len(columns[0].values) if columns else 0)


def encode(table: Table, names: tuple[str, ...] | None = None) -> Encoded:
    """Encode these columns of a table, or its learned columns. Raises DataError for values outside the schema."""
    wanted = [c for c in table.schema.columns if (c.is_learned if names is None else c.name in names)]
    return Encoded(tuple(encode_column(column, table.column(column.name)) for column in wanted), len(table))


def decode(rows: Encoded, schema: Schema, layout: pa.Schema) -> pa.Table:
    """The inverse of `encode`, in the physical types of `layout`, for the encoded columns in the schema's order."""
    made = [column for column in schema.columns if column.name in rows]
    arrays = [decode_column(column, rows[column.name].values, layout.field(column.name).type) for column in made]
    fields = [layout.field(column.name) for column in made]
    return pa.table(arrays, schema=pa.schema(fields, metadata=layout.metadata))


def encode_column(column: Column, values: pa.ChunkedArray | pa.Array) -> EncodedColumn:
    """Encode one column. Raises DataError for a category that is not among the legal ones."""
    if column.kind is Kind.BOOLEAN:
        codes = _filled(values.cast(pa.int32()), -1).astype(np.int32)
        return EncodedColumn(column.name, codes, levels=2)
    if column.kind.is_category:
        return _encode_category(column, values)
    if column.kind is Kind.DATETIME:
        per_day = NANOSECONDS["day"] // _step(column)
        return EncodedColumn(column.name, _encode_moments(column, values), decimals=0, per_day=per_day)
    if column.kind in (Kind.INTEGER, Kind.DECIMAL):
        decimals = 0 if column.kind is Kind.INTEGER else column.decimals
        floats = _filled(values.cast(pa.float64(), safe=False), np.nan).astype(np.float64)
        if pa.types.is_float32(values.type) and decimals is not None and decimals < 17:
            floats = round_to(floats, decimals)  # a float32 0.3 is 0.3, not 0.30000001192
        return EncodedColumn(column.name, floats, decimals=decimals)
    raise DataError(f"column {column.name!r} is {column.kind}: it is re-issued, not learned, and has no encoding")


def decode_column(column: Column, values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Decode one column into the physical type `kind`; numbers are rounded to the column's grid."""
    if column.kind is Kind.BOOLEAN:
        return pa.array(values == 1, mask=values < 0).cast(kind)
    if column.kind.is_category:
        return _decode_category(column, values, kind)
    null = np.isnan(values)
    if column.kind is Kind.DATETIME:
        return _decode_moments(column, values, null, kind)
    if column.kind is Kind.INTEGER or pa.types.is_integer(kind):
        whole = np.where(null, 0.0, np.rint(values))
        if pa.types.is_floating(kind):
            return pa.array(whole, mask=null).cast(kind)
        return pa.array(whole.astype(np.int64), mask=null).cast(kind)
    decimals = column.decimals if column.decimals is not None else 17
    rounded = round_to(np.where(null, 0.0, values), decimals)
    if pa.types.is_decimal(kind):
        return _to_decimal(rounded, null, kind)
    return pa.array(rounded, mask=null).cast(kind, safe=False)


def round_to(values: np.ndarray, decimals: int) -> np.ndarray:
    """Values on the grid of that many digits after the point; beyond 2^53 of its steps every double is its own grid."""
    if decimals >= 17:
        return values
    near = np.abs(values) < 2.0**53 / 10.0**decimals
    return np.where(near, np.round(np.where(near, values, 0.0), decimals), values)


def _filled(values: pa.ChunkedArray | pa.Array, null: float) -> np.ndarray:
    filled = pc.fill_null(values, pa.scalar(null, type=values.type))
    return np.asarray(filled.to_numpy(zero_copy_only=False) if isinstance(filled, pa.Array) else filled.to_numpy())


def _plain(values: pa.ChunkedArray | pa.Array) -> Any:
    """A dictionary-encoded column as its values."""
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def _encode_category(column: Column, values: pa.ChunkedArray | pa.Array) -> EncodedColumn:
    plain = _plain(values)
    legal = pa.array(list(column.categories or ())).cast(plain.type)
    codes = pc.index_in(plain, value_set=legal)
    if codes.null_count > plain.null_count:
        strange = pc.unique(plain.filter(pc.and_(pc.is_null(codes), pc.is_valid(plain)))).to_pylist()
        raise DataError(
            f"column {column.name!r} holds {strange[0]!r}, which is not among its {len(legal)} legal values; "
            "correct the value, or list it in the schema's categories"
        )
    array = _filled(codes, -1).astype(np.int32)
    return EncodedColumn(column.name, array, levels=len(legal), ordered=column.kind is Kind.ORDINAL)


def _decode_category(column: Column, values: np.ndarray, kind: pa.DataType) -> pa.Array:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    legal = pa.array(list(column.categories or ())).cast(plain)
    codes = pa.array(np.maximum(values, 0), type=pa.int32(), mask=values < 0)
    if not pa.types.is_dictionary(kind):
        return legal.take(codes)
    return pa.DictionaryArray.from_arrays(codes.cast(kind.index_type), legal, ordered=kind.ordered)


def _step(column: Column) -> int:
    """Nanoseconds in one unit of a datetime column."""
    return NANOSECONDS[column.unit or "microsecond"]


def tick_of(kind: pa.DataType) -> int:
    """Nanoseconds in one physical tick of a date or timestamp type."""
    if pa.types.is_date32(kind):
        return NANOSECONDS["day"]
    if pa.types.is_date64(kind):
        return NANOSECONDS["millisecond"]
    return _ARROW_UNIT[kind.unit]


def _ticks(values: pa.ChunkedArray | pa.Array) -> Any:
    return values.cast(pa.int32()).cast(pa.int64()) if pa.types.is_date32(values.type) else values.cast(pa.int64())


def _encode_moments(column: Column, values: pa.ChunkedArray | pa.Array) -> np.ndarray:
    ticks = _ticks(values)
    null = np.asarray(pc.is_null(ticks))
    whole = _filled(ticks, 0).astype(np.int64)
    step, native = _step(column), tick_of(values.type)
    units = whole * (native // step) if native >= step else whole // (step // native)
    return np.where(null, np.nan, units.astype(np.float64))


def _decode_moments(column: Column, values: np.ndarray, null: np.ndarray, kind: pa.DataType) -> pa.Array:
    units = np.where(null, 0.0, np.rint(values)).astype(np.int64)
    step, native = _step(column), tick_of(kind)
    ticks = units * (step // native) if step >= native else units // (native // step)
    if pa.types.is_date32(kind):
        return pa.array(ticks.astype(np.int32), mask=null).cast(kind)
    return pa.array(ticks, mask=null).cast(kind)


def _to_decimal(values: np.ndarray, null: np.ndarray, kind: pa.DataType) -> pa.Array:
    from decimal import Decimal

    exact = [None if missing else Decimal(f"{value:.{kind.scale}f}") for value, missing in zip(values, null, strict=True)]
    return pa.array(exact, type=kind)
