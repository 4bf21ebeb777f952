"""Between ISO 8601 text and the encoded line of a column: for moments, units since 1970; see `synth.data.encoding`."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np

from synth.data.encoding import NANOSECONDS
from synth.data.schema import Column

_ISO = re.compile(
    r"(?P<moment>[+-]?\d{4,}(-\d{2}(-\d{2}([T ]\d{2}(:\d{2}(:\d{2}(\.\d{1,9})?)?)?)?)?)?)\s*(?P<offset>Z|z|[+-]\d{2}:?\d{2})?"
)
_CODE = {
    "day": "D",
    "hour": "h",
    "minute": "m",
    "second": "s",
    "millisecond": "ms",
    "microsecond": "us",
    "nanosecond": "ns",
}
_WORD = {code: word for word, code in _CODE.items()}


def units_of(text: str, column: Column) -> Fraction | None:
    """The moment in units of the column since 1970, exact; None where the text is no ISO 8601 moment."""
    match = _ISO.fullmatch(text.strip())
    if match is None or (match["offset"] and not re.search(r"\d[T ]\d", match["moment"])):
        return None
    try:
        moment = np.datetime64(match["moment"])
    except ValueError:
        return None
    code, count = np.datetime_data(moment.dtype)
    if code not in _WORD:
        moment, code = moment.astype("datetime64[D]"), "D"
    nanoseconds = int(moment.astype(np.int64)) * NANOSECONDS[_WORD[code]] * count - _offset(match["offset"])
    return Fraction(nanoseconds, NANOSECONDS[column.unit or "microsecond"])


def _offset(text: str | None) -> int:
    """Nanoseconds east of UTC."""
    if text is None or text in "Zz":
        return 0
    digits = text[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return (minutes if text[0] == "+" else -minutes) * NANOSECONDS["minute"]


def moment_text(units: int, column: Column) -> str:
    """The inverse of `units_of`, as ISO 8601 text."""
    return str(np.array(units).astype(f"datetime64[{_CODE[column.unit or 'microsecond']}]"))


def bounds_of(column: Column) -> tuple[float, float]:
    """The schema's bounds on the encoded line, infinite where there is none."""
    bounds = []
    for bound, missing in ((column.minimum, -np.inf), (column.maximum, np.inf)):
        units = units_of(bound, column) if isinstance(bound, str) else bound
        bounds.append(missing if units is None else float(units))
    return bounds[0], bounds[1]
