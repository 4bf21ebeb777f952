"""`Clause`: everything that a condition says of one column, put together and written down again."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.data._condition_text import Comparison, Literal, quote_column, quote_value
from synth.data.moments import bounds_of, moment_text, units_of
from synth.data.schema import Column, Kind
from synth.errors import ConditionError, did_you_mean


@dataclass(frozen=True)
class Clause:
    """Everything a condition says of one column, on encoded values (see `synth.data.encoding`).

    codes: for categories, the allowed codes; {-1} asks for nulls. None for numbers.
    low, high: for numbers, inclusive bounds; strict ones are already moved to the next value of the column.
    values, excluded: for numbers, the only allowed values (None: all between the bounds), and the forbidden ones.
    null: whether only nulls are allowed; otherwise none are.
    """

    column: str
    kind: Kind
    codes: frozenset[int] | None = None
    low: float = -math.inf
    high: float = math.inf
    values: frozenset[float] | None = None
    excluded: frozenset[float] = frozenset()
    null: bool = False

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Boolean array of shape (rows,): which encoded values satisfy the clause."""
        if self.codes is not None:
            return np.isin(values, np.fromiter(self.codes, dtype=np.int64, count=len(self.codes)))
        if self.null:
            return np.asarray(np.isnan(values))
        numbers = np.asarray(values, dtype=np.float64)
        good = (numbers >= self.low) & (numbers <= self.high)  # false for NaN
        if self.values is not None:
            good &= np.isin(numbers, np.fromiter(self.values, dtype=np.float64, count=len(self.values)))
        if self.excluded:
            good &= ~np.isin(numbers, np.fromiter(self.excluded, dtype=np.float64, count=len(self.excluded)))
        return np.asarray(good)


# everything said of one column -------------------------------------------------------------------------------------------


def said_of(column: Column) -> Said:
    """What can be said of a column of its kind. Raises ConditionError for one whose values are issued anew."""
    if column.kind.is_category:
        return _SaidOfCategory(column)
    if column.kind.is_number:
        return _SaidOfNumber(column)
    raise ConditionError(
        f"column {column.name!r} is {column.kind}: its values are issued anew and mean nothing, so no condition can hold on "
        "them; name a column that is learned"
    )


class Said:
    """What has been said of one column so far."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.words: list[str] = []
        self.null: bool | None = None

    def add(self, comparison: Comparison) -> None:
        self.words.append(re.sub(r"\s", " ", _comparison_text(comparison)))  # an error stays on its lines
        null = comparison.operator == "is null"
        if self.null is not None and self.null != null:
            raise self.conflict()
        self.null = null
        if null and not self.column.nullable:
            raise ConditionError(f"no row can satisfy {self.words[-1]}: the schema says {self.column.name!r} has no nulls")
        if comparison.operator not in ("is null", "is not null"):
            self.compare(comparison)

    def compare(self, comparison: Comparison) -> None:
        raise NotImplementedError

    def clause(self) -> Clause:
        raise NotImplementedError

    def conflict(self) -> ConditionError:
        if len(self.words) == 1:
            return ConditionError(f"no value satisfies {self.words[0]}; widen the condition on {self.column.name!r}")
        return ConditionError(f"no value satisfies {' and '.join(self.words)}; remove one of these conditions")


class _SaidOfCategory(Said):
    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.legal: tuple[Any, ...] = column.legal
        self.code_of = {(isinstance(legal, bool), legal): code for code, legal in enumerate(self.legal)}
        self.codes = set(range(len(self.legal)))

    def compare(self, comparison: Comparison) -> None:
        operator = comparison.operator
        if operator in ("<", "<=", ">", ">=", "between") and self.column.kind is not Kind.ORDINAL:
            raise ConditionError(
                f"column {self.column.name!r} is {self.column.kind}, its values have no order; "
                f"use `in (…)` in place of {operator}"
            )
        codes = [self._code(value) for value in comparison.values]
        first = codes[0]
        everything = range(len(self.legal))
        allowed = {
            "=": lambda: {first},
            "in": lambda: set(codes),
            "!=": lambda: set(everything) - {first},
            "not in": lambda: set(everything) - set(codes),
            "<": lambda: set(everything[:first]),
            "<=": lambda: set(everything[: first + 1]),
            ">": lambda: set(everything[first + 1 :]),
            ">=": lambda: set(everything[first:]),
            "between": lambda: set(everything[first : codes[-1] + 1]),
        }[operator]()
        self.codes &= allowed
        if not self.codes:
            raise self.conflict()

    def _code(self, value: Literal) -> int:
        code = self.code_of.get((isinstance(value, bool), value))  # True equals 1 in Python, and is another value here
        if code is not None:
            return code
        name = self.column.name
        if self.column.kind is Kind.BOOLEAN:
            raise ConditionError(f"column {name!r} is boolean, so it cannot be {value!r}; write true or false")
        if any(str(legal) == str(value) for legal in self.legal):
            wanted = next(legal for legal in self.legal if str(legal) == str(value))
            raise ConditionError(f"column {name!r} holds {type(wanted).__name__} values; write {quote_value(wanted)}")
        raise ConditionError(f"column {name!r} is never {value!r}{did_you_mean(str(value), map(str, self.legal))}")

    def clause(self) -> Clause:
        codes = {-1} if self.null else self.codes
        return Clause(self.column.name, self.column.kind, codes=frozenset(codes), null=bool(self.null))


class _SaidOfNumber(Said):
    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.low, self.high = -math.inf, math.inf
        self.values: set[float] | None = None
        self.excluded: set[float] = set()

    @property
    def whole(self) -> bool:
        return self.column.kind is not Kind.DECIMAL

    def compare(self, comparison: Comparison) -> None:
        # Exact until here: a fraction of a unit decides on which side of a bound a whole value lies.
        given = [self._number(value) for value in comparison.values]
        operator, first = comparison.operator, given[0]
        if operator in ("=", "in"):
            exact = {float(value) for value in given if not self.whole or value == math.floor(value)}
            self.values = exact if self.values is None else self.values & exact
        elif operator in ("!=", "not in"):
            self.excluded |= {float(value) for value in given if not self.whole or value == math.floor(value)}
        if operator in (">=", ">", "between"):
            self.low = max(self.low, self._lowest(first, strict=operator == ">"))
        if operator in ("<=", "<", "between"):
            self.high = min(self.high, self._highest(given[-1], strict=operator == "<"))
        self._check()

    def _number(self, value: Literal) -> Any:
        """The value on the column's encoded line: a Fraction-exact number for whole columns, a float for decimals."""
        name, kind = self.column.name, self.column.kind
        if kind is Kind.DATETIME:
            if not isinstance(value, str):
                raise ConditionError(f"column {name!r} is a datetime, so it cannot be {value!r}; write ISO text: '2024-03-01'")
            units = units_of(value, self.column)
            if units is None:
                raise ConditionError(
                    f"column {name!r} is a datetime, and {value!r} is none; write ISO text: '2024-03-01T09:30:00'"
                )
            return units
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            hint = f"write {value} without quotes" if _is_number(value) else "give a number"
            raise ConditionError(f"column {name!r} is {kind}, so it cannot be {value!r}; {hint}")
        if not abs(value) <= sys.float_info.max:  # also false for NaN, and exact for integers beyond any float
            raise ConditionError(f"column {name!r} is compared with a value that is no finite number; give one")
        return value

    def _lowest(self, value: Any, strict: bool) -> float:
        if self.whole:
            return float(math.floor(value) + 1 if strict else math.ceil(value))
        return math.nextafter(value, math.inf) if strict else float(value)

    def _highest(self, value: Any, strict: bool) -> float:
        if self.whole:
            return float(math.ceil(value) - 1 if strict else math.floor(value))
        return math.nextafter(value, -math.inf) if strict else float(value)

    def _check(self) -> None:
        if self.values is not None:
            self.values = {value for value in self.values if self.low <= value <= self.high} - self.excluded
            if not self.values:
                raise self.conflict()
            self.low, self.high, self.excluded = min(self.values), max(self.values), set()
        self._tighten()
        if self.low > self.high:
            raise self.conflict()
        lowest, highest = bounds_of(self.column)
        if self.low > highest or self.high < lowest:
            raise ConditionError(
                f"no row can satisfy {' and '.join(self.words)}: column {self.column.name!r} lies between "
                f"{_number_text(lowest, self.column)} and {_number_text(highest, self.column)}; "
                "correct the value, or widen the schema's range"
            )

    def _tighten(self) -> None:
        """Bounds that are themselves excluded move inwards; exclusions outside the bounds say nothing."""
        self.excluded = {value for value in self.excluded if self.low <= value <= self.high}
        while self.low in self.excluded:
            self.excluded.discard(self.low)
            self.low = self._lowest(int(self.low) if self.whole else self.low, strict=True)
        while self.high in self.excluded:
            self.excluded.discard(self.high)
            self.high = self._highest(int(self.high) if self.whole else self.high, strict=True)

    def clause(self) -> Clause:
        column = self.column
        if self.null:
            return Clause(column.name, column.kind, null=True)
        values = None if self.values is None else frozenset(self.values)
        if values is None and self.low == self.high:
            values = frozenset({self.low})
        return Clause(column.name, column.kind, None, self.low, self.high, values, frozenset(self.excluded))


def _is_number(value: Literal) -> bool:
    try:
        return math.isfinite(float(value)) and not isinstance(value, bool)
    except ValueError:
        return False


# writing a condition -----------------------------------------------------------------------------------------------------


def _comparison_text(comparison: Comparison) -> str:
    name, values = quote_column(comparison.column), [quote_value(value) for value in comparison.values]
    if comparison.operator in ("in", "not in"):
        shown = ", ".join(values[:6]) + (", …" if len(values) > 6 else "")
        return f"{name} {comparison.operator} ({shown})"
    if comparison.operator == "between":
        return f"{name} between {values[0]} and {values[1]}"
    return " ".join([name, comparison.operator, *values])


def _number_text(value: float, column: Column) -> str:
    if column.kind is Kind.DATETIME and math.isfinite(value):
        return quote_value(moment_text(int(value), column))
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def clause_text(clause: Clause, column: Column) -> str:
    """A clause in canonical words, which parse back to the same clause."""
    name = quote_column(clause.column)
    if clause.null:
        return f"{name} is null"
    if clause.codes is not None:
        return _codes_text(name, clause.codes, column)
    if clause.values is not None:
        shown = [_number_text(value, column) for value in sorted(clause.values)]
        return f"{name} = {shown[0]}" if len(shown) == 1 else f"{name} in ({', '.join(shown)})"
    parts = _bounds_text(name, clause, column)
    excluded = [_number_text(value, column) for value in sorted(clause.excluded)]
    if excluded:
        parts.append(f"{name} != {excluded[0]}" if len(excluded) == 1 else f"{name} not in ({', '.join(excluded)})")
    return " and ".join(parts) or f"{name} is not null"


def _bounds_text(name: str, clause: Clause, column: Column) -> list[str]:
    low, low_strict = _shorter(clause.low, -math.inf, clause)
    high, high_strict = _shorter(clause.high, math.inf, clause)
    has_low, has_high = math.isfinite(clause.low), math.isfinite(clause.high)
    if has_low and has_high and not low_strict and not high_strict:
        return [f"{name} between {_number_text(low, column)} and {_number_text(high, column)}"]
    parts = [f"{name} {'>' if low_strict else '>='} {_number_text(low, column)}"] if has_low else []
    return parts + ([f"{name} {'<' if high_strict else '<='} {_number_text(high, column)}"] if has_high else [])


def _shorter(bound: float, outwards: float, clause: Clause) -> tuple[float, bool]:
    """A bound as it was probably written: `< 0.3` is kept as the float just below, and reads better as `< 0.3`."""
    if clause.kind is not Kind.DECIMAL or not math.isfinite(bound):
        return bound, False
    beyond = math.nextafter(bound, outwards)
    strict = math.isfinite(beyond) and len(repr(beyond)) < len(repr(bound))
    return (beyond, True) if strict else (bound, False)


def _codes_text(name: str, codes: frozenset[int], column: Column) -> str:
    legal: tuple[Any, ...] = column.legal
    if len(codes) == len(legal) > 1:
        return f"{name} is not null"
    if len(codes) == 1:
        return f"{name} = {quote_value(legal[min(codes)])}"
    inside = len(codes) <= (len(legal) + 1) // 2
    shown = [quote_value(legal[code]) for code in range(len(legal)) if (code in codes) == inside]
    if len(shown) == 1:
        return f"{name} != {shown[0]}"
    return f"{name} {'in' if inside else 'not in'} ({', '.join(shown)})"
