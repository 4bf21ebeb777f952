"""What the values of a column show, given its kind: legal categories, bounds, decimals, the finest step of a moment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data.encoding import NANOSECONDS
from synth.data.moments import moment_text
from synth.data.schema import TIME_UNITS, Category, Column, Kind

NATIVE = {"s": "second", "ms": "millisecond", "us": "microsecond", "ns": "nanosecond"}  # of an Arrow timestamp
EXACT = 2**53  # above this a double skips whole numbers
FULL = 17  # decimals: as many digits as a double has


def plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A dictionary-encoded column as its values."""
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def facts(kind: Kind, values: pa.ChunkedArray) -> dict[str, Any]:
    """The facts of a `Column` of that kind that can be read off its values; no entry for what does not apply."""
    if kind in (Kind.CATEGORICAL, Kind.ORDINAL):
        return {"categories": levels(values)}
    if kind is Kind.INTEGER:
        low, high = bounds(values)
        return {"minimum": int(low), "maximum": int(high)}
    if kind is Kind.DECIMAL:
        low, high = bounds(values)
        return {"minimum": float(low), "maximum": float(high), "decimals": decimals(values)}
    if kind is Kind.DATETIME:
        return _moments(values)
    return {}


def levels(values: pa.ChunkedArray) -> tuple[Category, ...]:
    """The legal values of a category, in a fixed order.

    Those of a dictionary in its own order where it was made by a person (pandas categories, a polars Enum), else the distinct
    values, sorted.
    """
    if pa.types.is_dictionary(values.type) and values.num_chunks and _is_chosen(values.type):
        return tuple(values.unify_dictionaries().chunk(0).dictionary.to_pylist())
    return tuple(sorted(pc.unique(plain(values)).drop_null().to_pylist(), key=_rank))


def _rank(level: Category) -> tuple[bool, int, Category]:
    """Codes such as "2" and "10" in the order of their numbers, before other text; numbers as they are."""
    if not isinstance(level, str):
        return (False, 0, level)
    is_code = level.isascii() and level.removeprefix("-").isdigit()
    return (not is_code, int(level) if is_code else 0, level)


def _is_chosen(kind: pa.DictionaryType) -> bool:
    """Polars' `Categorical` (uint32 codes) pools the levels of many columns, so its dictionary says nothing of this one."""
    return bool(kind.ordered) or kind.index_type != pa.uint32()


def bounds(values: pa.ChunkedArray) -> tuple[Any, Any]:
    numbers = plain(values)
    found = pc.min_max(numbers.cast(pa.float64()) if pa.types.is_float16(numbers.type) else numbers)
    return found["min"].as_py(), found["max"].as_py()


def decimals(values: pa.ChunkedArray) -> int:
    """The digits after the point that write every value exactly; 17 where no fewer than a double's own do."""
    numbers = plain(values)
    kind = numbers.type
    distinct = pc.unique(numbers).drop_null()
    doubles = np.asarray(distinct.cast(pa.float64(), safe=False))
    most = min(kind.scale, 12) if pa.types.is_decimal(kind) else 12
    left = doubles[np.abs(doubles) < EXACT]  # the others are whole
    for digits in range(most + 1):
        rounded = np.round(left, digits)
        if pa.types.is_float32(kind) or pa.types.is_float16(kind):
            same = rounded.astype(kind.to_pandas_dtype()) == left.astype(kind.to_pandas_dtype())
        else:
            same = rounded == left
        left = left[~same]
        if not len(left):
            return digits
    return int(kind.scale) if pa.types.is_decimal(kind) else FULL


def _moments(values: pa.ChunkedArray) -> dict[str, Any]:
    kind = values.type
    if pa.types.is_date(kind):
        low, high = bounds(values.cast(pa.date32()))
        return {"minimum": low.isoformat(), "maximum": high.isoformat(), "unit": "day"}
    ticks = np.asarray(pc.unique(values.cast(pa.int64())).drop_null())
    native = NATIVE[kind.unit]
    units = [unit for unit in TIME_UNITS if NANOSECONDS[unit] >= NANOSECONDS[native]]
    exact = [unit for unit in units if np.abs(ticks // _steps(unit, native)).max() <= EXACT]  # a double counts them one by one
    unit = next((unit for unit in exact if not np.any(ticks % _steps(unit, native))), exact[-1])
    column = Column("moment", Kind.DATETIME, unit=unit)
    low, high = (moment_text(int(edge) // _steps(unit, native), column) for edge in (ticks.min(), ticks.max()))
    return {"minimum": low, "maximum": high, "unit": unit}


def _steps(unit: str, native: str) -> int:
    return NANOSECONDS[unit] // NANOSECONDS[native]
