"""What the values of a column show, given its kind: legal categories, bounds, decimals, the finest step of a moment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data.encoding import NANOSECONDS
from synth.data.schema import TIME_UNITS, Category, Kind

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
    distinct = pc.unique(plain(values)).drop_null()
    return tuple(sorted(distinct.to_pylist()))


def _is_chosen(kind: pa.DictionaryType) -> bool:
    """Polars' `Categorical` (uint32 codes) pools the levels of many columns, so its dictionary says nothing of this one."""
    return bool(kind.ordered) or kind.index_type != pa.uint32()


def bounds(values: pa.ChunkedArray) -> tuple[Any, Any]:
    found = pc.min_max(plain(values))
    return found["min"].as_py(), found["max"].as_py()


def decimals(values: pa.ChunkedArray) -> int:
    """The digits after the point that write every value exactly; 17 where no fewer than a double's own do."""
    numbers = plain(values)
    kind = numbers.type
    distinct = pc.unique(numbers).drop_null()
    doubles = np.asarray(distinct.cast(pa.float64(), safe=False))
    most = min(kind.scale, 12) if pa.types.is_decimal(kind) else 12
    left = doubles
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
    native = {"s": "second", "ms": "millisecond", "us": "microsecond", "ns": "nanosecond"}[kind.unit]
    unit = next((u for u in TIME_UNITS if NANOSECONDS[u] >= NANOSECONDS[native] and _is_multiple(ticks, u, native)), native)
    low, high = (moment_text(int(edge), kind) for edge in (ticks.min(), ticks.max()))
    return {"minimum": low, "maximum": high, "unit": unit}


def _is_multiple(ticks: np.ndarray, unit: str, native: str) -> bool:
    return not np.any(ticks % (NANOSECONDS[unit] // NANOSECONDS[native]))


def moment_text(ticks: int, kind: pa.TimestampType) -> str:
    """A moment as ISO 8601 text with every digit its type has; "Z" where the type has a zone, since Arrow counts in UTC."""
    return str(np.datetime_as_string(np.datetime64(ticks, kind.unit))) + ("Z" if kind.tz else "")
