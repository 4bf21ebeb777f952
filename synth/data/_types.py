"""What physical types can hold."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from synth.data.encoding import NANOSECONDS, tick_of
from synth.data.moments import units_of
from synth.data.schema import Column, Kind


def clip_to_type(values: np.ndarray, column: Column, kind: pa.DataType) -> np.ndarray:
    """Values within what the physical type can hold, so that they can be written; what this breaks is rejected later."""
    if pa.types.is_decimal(kind):
        most = 10.0 ** (kind.precision - kind.scale) * (1 - 1e-15) - 1
        low, high = -most, most
    elif column.kind is Kind.DATETIME:
        low, high = _moment_range(column, kind)
    elif pa.types.is_integer(kind):
        whole = np.iinfo(kind.to_pandas_dtype())
        low, high = float(whole.min), float(whole.max)
    elif column.kind is Kind.INTEGER:
        low, high = -(2.0**53), 2.0**53
    else:
        info = np.finfo(kind.to_pandas_dtype())
        low, high = float(info.min), float(info.max)
    # The largest int64 is no double: the one below it is the last that converts back.
    low, high = max(low, -(2.0**63)), high if high < 2.0**63 or pa.types.is_floating(kind) else float(np.nextafter(2.0**63, 0))
    return np.asarray(np.clip(values, low, high))


def _moment_range(column: Column, kind: pa.DataType) -> tuple[float, float]:
    """Years 1 to 9999, or what 64 bits of the type's ticks reach, in the column's units."""
    step = NANOSECONDS[column.unit or "microsecond"]
    low, high = units_of("0001-01-02", column), units_of("9999-12-30", column)
    reach = 2**63 * tick_of(kind) // step - 1
    return max(float(low or 0), -float(reach)), min(float(high or 0), float(reach))
