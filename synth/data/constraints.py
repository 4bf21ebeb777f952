"""Constraints: what the rows of a table keep, declared as text in a schema.

    start <= end                 between two columns, or a column and a constant: also <, >=, >; numbers and moments
    total = a + b - c            an exact sum, at the decimals of the column on the left
    unique(id)                   no two rows share these values; several columns count together
    pattern(zip, '[0-9]{5}')     a regular expression that every value matches in full
    combinations(city, country)  only combinations that occur in the training data

As in SQL, a null on either side breaks nothing. Moments compare as instants, one without a zone as if in UTC.
`synth.data.construction` keeps by construction what can be kept so; what is left, samplers reject row by row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data._constraint_text import Constant, Parsed, parse_text
from synth.data._places import mixed
from synth.data.encoding import NANOSECONDS, encode_column
from synth.data.moments import bounds_of, units_of
from synth.data.schema import Column, Kind, Schema
from synth.data.table import Table
from synth.errors import SchemaError

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # splitmix64's step
_FLOAT_ERROR = 1e-9  # relative: what sums of doubles may be off by; far below any grid a table is written on


@dataclass(frozen=True)
class Constraint:
    """One constraint of a schema. `columns` are those it names, in its order."""

    text: str
    columns: tuple[str, ...]
    keyword: ClassVar[str] = ""

    def broken(self, table: Table) -> np.ndarray:
        """Boolean array of shape (rows,): where the constraint does not hold."""
        raise NotImplementedError


@dataclass(frozen=True)
class Inequality(Constraint):
    """low <= high, or low < high where `strict`; either side is a column's name or a constant."""

    low: str | Constant
    high: str | Constant
    strict: bool

    def broken(self, table: Table) -> np.ndarray:
        step = min(step_of(table.schema.column(name)) for name in self.columns)
        low, high = self._side(self.low, table, step), self._side(self.high, table, step)
        # Comparing the falsehood, not the truth: a NaN (null) on either side is not broken.
        return np.asarray(low >= high if self.strict else low > high)

    def _side(self, side: str | Constant, table: Table, step: int) -> np.ndarray:
        """One side in whole `step`s: both in the finer unit of the two, which keeps them exact."""
        if isinstance(side, Constant):
            return np.full(len(table), _constant(side, table.schema.column(self.columns[0]), self.text))
        column = table.schema.column(side)
        return _encoded(column, table) * (step_of(column) // step)


@dataclass(frozen=True)
class Sum(Constraint):
    """total = the columns of `terms`, each with its sign."""

    total: str
    terms: tuple[tuple[int, str], ...]

    def broken(self, table: Table) -> np.ndarray:
        total = table.schema.column(self.total)
        stated = _encoded(total, table)
        parts = [sign * _encoded(table.schema.column(name), table) for sign, name in self.terms]
        size = np.abs(stated) + np.sum([np.abs(part) for part in parts], axis=0)
        # Half a step covers terms that are written finer than their total; a whole step off is an error.
        grid = 0.5 * 10.0 ** -decimals_of(total) if decimals_of(total) < 17 else 0.0
        return np.asarray(np.abs(np.sum(parts, axis=0) - stated) > grid + _FLOAT_ERROR * size)


@dataclass(frozen=True)
class Unique(Constraint):
    """No two rows share the values of `columns`; a row with a null among them repeats none."""

    keyword: ClassVar[str] = "unique"

    def broken(self, table: Table) -> np.ndarray:
        """Where a row repeats an earlier one; the first of equal rows is not broken."""
        known = np.ones(len(table), dtype=bool)
        codes = np.zeros(len(table), dtype=np.int64)
        for name in self.columns:
            values, valid = _value_codes(table.column(name))
            known &= valid
            codes = np.unique(codes * (int(values.max(initial=0)) + 1) + values, return_inverse=True)[1]
        broken = np.zeros(len(table), dtype=bool)
        rows = np.flatnonzero(known)
        first = np.unique(codes[rows], return_index=True)[1]
        broken[rows] = True
        broken[rows[first]] = False
        return broken

    def marks(self, table: Table) -> tuple[np.ndarray, np.ndarray]:
        """A 64-bit number for each row's values (learned columns), the same in every table; and where none of them is null.

        Rows of different values share a mark by chance alone: among ten million of them, once in 400,000 tables.
        """
        known = np.ones(len(table), dtype=bool)
        mark = np.zeros(len(table), dtype=np.uint64)
        for name in self.columns:
            column = encode_column(table.schema.column(name), table.column(name))
            known &= ~column.null
            bits = (column.values.astype(np.float64) + 0.0).view(np.uint64)  # -0.0 is 0.0
            mark = mixed((mark ^ bits) + _GOLDEN)
        return mark, known


@dataclass(frozen=True)
class Pattern(Constraint):
    """Every value, written as text, matches `regex` in full."""

    regex: str
    keyword: ClassVar[str] = "pattern"

    def broken(self, table: Table) -> np.ndarray:
        values = table.column(self.columns[0]).combine_chunks()
        distinct = values.dictionary_encode() if not pa.types.is_dictionary(values.type) else values
        distinct = distinct.combine_chunks() if isinstance(distinct, pa.ChunkedArray) else distinct
        match = re.compile(self.regex).fullmatch
        wrong = np.array([text is not None and match(text) is None for text in _texts(distinct.dictionary)] + [False])
        codes = np.asarray(pc.fill_null(distinct.indices, len(wrong) - 1).to_numpy(zero_copy_only=False))
        return np.asarray(wrong[codes])


@dataclass(frozen=True)
class Combinations(Constraint):
    """Only combinations of `columns` that occur in the training data, nulls included."""

    keyword: ClassVar[str] = "combinations"

    def broken(self, table: Table) -> np.ndarray:
        """Where a row's combination is not among its own table's: nowhere. Judge other rows with `unseen`."""
        return np.zeros(len(table), dtype=bool)

    def unseen(self, table: Table, training: Table) -> np.ndarray:
        """Boolean array of shape (rows,): rows of `table` whose combination does not occur in `training`."""
        names = list(self.columns)
        both = pa.concat_tables(
            [_as_text(training.arrow.select(names)), _as_text(table.arrow.select(names))],
        )
        codes = np.zeros(len(both), dtype=np.int64)
        for name in names:
            values, valid = _value_codes(both.column(name))
            values = np.where(valid, values + 1, 0)
            codes = np.unique(codes * (int(values.max(initial=0)) + 1) + values, return_inverse=True)[1]
        return ~np.isin(codes[len(training) :], codes[: len(training)])


# public functions --------------------------------------------------------------------------------------------------------


def columns_of(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """The columns that a constraint names. Raises SchemaError for text that is none and for an unknown column."""
    return parse_text(text, tuple(names)).columns


def parse(text: str, schema: Schema) -> Constraint:
    """Read one constraint. Raises SchemaError for text that is none, an unknown column, and columns of the wrong kind."""
    parsed = parse_text(text, schema.names)
    columns = [schema.column(name) for name in parsed.columns]
    if parsed.form == "inequality":
        return _inequality(parsed, columns)
    if parsed.form == "sum":
        for column in columns:
            if column.kind not in (Kind.INTEGER, Kind.DECIMAL):
                raise SchemaError(f"constraint {text!r}: column {column.name!r} is {column.kind}; only numbers can be summed")
        return Sum(text, parsed.columns, parsed.columns[0], parsed.terms)
    if parsed.form == "pattern":
        return Pattern(text, parsed.columns, _checked_regex(parsed.regex or "", text))
    return (Unique if parsed.form == "unique" else Combinations)(text, parsed.columns)


def broken_rows(table: Table, training: Table | None = None) -> dict[str, np.ndarray]:
    """For each constraint of the table's schema, a boolean array of shape (rows,): where it does not hold.

    training: the rows whose combinations `combinations(…)` allows; without them these constraints cannot be judged, and are
    left out of the answer.
    """
    out: dict[str, np.ndarray] = {}
    for text in table.schema.constraints:
        constraint = parse(text, table.schema)
        if not isinstance(constraint, Combinations):
            out[text] = constraint.broken(table)
        elif training is not None:
            out[text] = constraint.unseen(table, training)
    return out


def check_constraints(table: Table) -> None:
    """Raise SchemaError where the rows themselves break a constraint of their schema."""
    for text, broken in broken_rows(table).items():
        if broken.any():
            first = int(np.argmax(broken))
            columns = columns_of(text, table.schema.names)
            shown = ", ".join(f"{name} = {table.column(name)[first].as_py()!r}" for name in columns)
            raise SchemaError(
                f"{int(broken.sum()):,} of {len(table):,} rows break the constraint {text!r}; "
                f"the first is row {first + 1}: {shown}.\n"
                "Correct these rows, or take the constraint out of the schema"
            )


def within_range(table: Table, seen: Mapping[str, tuple[float, float]] | None = None) -> np.ndarray:
    """Boolean array of shape (rows,): rows whose numbers under a constraint lie within the schema's bounds (or are null).

    What construction puts together from parts (a total, an end from a start and a gap) can leave its column's range.
    seen: by column, the least and the largest encoded value of the training rows, which then bound it as well.
    """
    good = np.ones(len(table), dtype=bool)
    named = {name for text in table.schema.constraints for name in columns_of(text, table.schema.names)}
    for column in table.schema.columns:
        if column.name in named and column.is_learned and column.kind.is_number:
            values = _encoded(column, table)
            least, most = (seen or {}).get(column.name, (-np.inf, np.inf))
            low, high = bounds_of(column)
            good &= ~((values < max(low, least)) | (values > min(high, most)))
    return good


def with_pattern(column: Column, schema: Schema) -> Column:
    """The column with the pattern that a `pattern(…)` of the schema demands of it, so that it can be re-issued to match.

    Raises SchemaError where the column has another pattern already.
    """
    for text in schema.constraints:
        rule = parse(text, schema)
        if isinstance(rule, Pattern) and rule.columns == (column.name,) and rule.regex != column.pattern:
            if column.pattern is not None:
                raise SchemaError(
                    f"column {column.name!r} has the pattern {column.pattern!r} and the constraint {text!r}; "
                    "values cannot be issued for both: keep one"
                )
            column = replace(column, pattern=rule.regex)
    return column


def without_repeats(parts: list[Table]) -> list[Table]:
    """The same rows, less those that repeat an earlier one under a `unique(…)` of their schema, across all parts."""
    schema = parts[0].schema
    rules = [rule for rule in (parse(text, schema) for text in schema.constraints) if isinstance(rule, Unique)]
    if not rules or len(parts) == 1:
        return parts
    whole = Table.concat(parts)
    repeated = np.any([rule.broken(whole) for rule in rules], axis=0)
    return [whole.filter(~repeated)]


# numbers of a column -----------------------------------------------------------------------------------------------------


def step_of(column: Column) -> int:
    """What one encoded unit counts: nanoseconds for moments, so that columns of different units compare; 1 for numbers."""
    return NANOSECONDS[column.unit or "microsecond"] if column.kind is Kind.DATETIME else 1


def decimals_of(column: Column) -> int:
    """Digits after the point of the column's grid; 17 where it has none."""
    if column.kind is not Kind.DECIMAL:
        return 0
    return 17 if column.decimals is None else column.decimals


def _encoded(column: Column, table: Table) -> np.ndarray:
    return encode_column(column, table.column(column.name)).values


# reading -----------------------------------------------------------------------------------------------------------------


def _inequality(parsed: Parsed, columns: list[Column]) -> Inequality:
    for column in columns:
        if not column.kind.is_number:
            raise SchemaError(
                f"constraint {parsed.text!r}: column {column.name!r} is {column.kind}; only numbers and moments compare"
            )
    if len({column.kind is Kind.DATETIME for column in columns}) > 1:
        raise SchemaError(f"constraint {parsed.text!r} compares a moment with a number; name two columns of one kind")
    left, right = parsed.sides
    for side in (left, right):
        if isinstance(side, Constant):
            _constant(side, columns[0], parsed.text)
    low, high = (left, right) if parsed.operator in ("<", "<=") else (right, left)
    return Inequality(parsed.text, parsed.columns, low, high, parsed.operator in ("<", ">"))


def _constant(side: Constant, column: Column, text: str) -> float:
    """A constant on the encoded line of the column that it is compared with."""
    if column.kind is not Kind.DATETIME:
        if isinstance(side.value, str):
            raise SchemaError(f"constraint {text!r}: column {column.name!r} is {column.kind}; compare it with a number")
        return float(side.value)
    units = units_of(side.value, column) if isinstance(side.value, str) else None
    if units is None:
        raise SchemaError(f"constraint {text!r}: column {column.name!r} is a datetime; compare it with ISO text: '2024-03-01'")
    return float(units)


def _checked_regex(regex: str, text: str) -> str:
    try:
        re.compile(regex)
    except re.error as error:
        raise SchemaError(f"constraint {text!r}: {regex!r} is not a regular expression ({error})") from None
    return regex


# values as codes ---------------------------------------------------------------------------------------------------------


def _value_codes(values: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """An integer per distinct value, and where a value is present."""
    plain = values.combine_chunks()
    plain = plain.cast(plain.type.value_type) if pa.types.is_dictionary(plain.type) else plain
    coded = plain.dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    codes = np.asarray(pc.fill_null(coded.indices, 0).to_numpy(zero_copy_only=False), dtype=np.int64)
    return codes, np.asarray(plain.is_valid())


def _as_text(rows: pa.Table) -> pa.Table:
    """Values as text, so that tables of different physical types compare."""
    return pa.table({name: pa.chunked_array([pa.array(_texts(rows.column(name)), pa.string())]) for name in rows.column_names})


def _texts(values: pa.Array | pa.ChunkedArray) -> list[str | None]:
    """Each value as text; a whole float as the integer it stands for, since a null turns integers into floats."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_floating(values.type):
        return [None if v is None else (str(int(v)) if float(v).is_integer() else repr(v)) for v in values.to_pylist()]
    return list(values.cast(pa.string()).to_pylist())
