"""Which kind a column has, decided by its physical type and by what its values look like."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data.facts import EXACT, plain
from synth.data.identifiers import recognise
from synth.data.schema import Kind, Role
from synth.errors import DataError, InputError, SchemaError

MAX_CLASSES = 20  # a target of whole numbers with at most this many distinct values is a set of classes
MAX_LEVELS = 10_000  # text with more distinct values than this is not taken for a category
MAX_DECLARED_LEVELS = 100_000  # more than this cannot be learned as a category even where declared
MAX_CODES = 50  # a column named like an identifier, but with no more distinct values than this, holds codes
FEW = 20  # up to this many distinct texts are a category whatever their share of the rows
NEARLY_ALL = 0.9  # a share of distinct values from which text no longer groups rows
WORDS = 4  # mean words per value from which text is prose rather than a label

MIXED_NUMBERS = 10  # text with at least this many distinct numbers ...
MIXED_WORDS = 3  # ... and no more distinct words than this ...
MIXED_SHARE = 0.05  # ... in no more than this share of the rows, is a column of numbers with mistakes

_NUMBER = r"^\s*[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?\s*$"
_CODE = r"^[+-]?0[0-9]"  # a number with a leading zero is a code
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_ID_NAME = re.compile(r"(?:^|.*[_\s.-])(?i:id|ids|key|uuid|guid)|.*[a-z0-9](?:ID|Id|UUID|Key)")
_TIME_NAME = re.compile(r"(?i:year|month|week|day|hour|age|date|time)")
_COUNT_NAME = re.compile(r"(?:^|.*[_\s.-])(?i:nr|no|nbr|num|number|row|index|idx)")


@dataclass(frozen=True)
class Decision:
    """A kind and role, how an identifier is re-issued, and why."""

    kind: Kind
    why: str
    role: Role = Role.FEATURE
    provider: str | None = None


def decide(name: str, values: pa.ChunkedArray, role: Role | None, *, orders: bool) -> Decision:
    """The kind of a column that nobody declared. Raises DataError for values that no kind can hold."""
    kind = values.type
    check_held(name, values)
    if pa.types.is_boolean(kind):
        return Decision(Kind.BOOLEAN, "true or false")
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return Decision(Kind.DATETIME, f"stored as {kind}")
    if pa.types.is_dictionary(kind):
        return _of_dictionary(name, values, role)
    if pa.types.is_integer(kind):
        return _of_integers(name, values, role, orders)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _of_fractions(name, values, role)
    return _of_text(name, values, role)


def check_held(name: str, values: pa.ChunkedArray) -> None:
    """Raise DataError for values that no kind can hold: nested, binary, durations, all null, infinite."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if values.null_count == len(values):
        raise DataError(f"column {name!r} is null in every row, so nothing can be learned from it; drop it: drop=[{name!r}]")
    if pa.types.is_nested(kind):
        raise DataError(f"column {name!r} holds nested values ({kind}); spread them over columns of their own, or drop it")
    if pa.types.is_duration(kind) or pa.types.is_time(kind):
        raise DataError(f"column {name!r} holds {kind}, neither a number nor a moment; turn it into seconds, or drop it")
    if not _is_known(kind):
        raise DataError(f"column {name!r} holds {kind}, which cannot be learned; turn it into text or numbers, or drop it")
    if pa.types.is_floating(kind):
        infinite = pc.is_inf(plain(values))
        if pc.any(infinite).as_py():
            row = pc.index(infinite, True).as_py()
            raise DataError(
                f"column {name!r} holds {values[row].as_py()} in row {row + 1:,}; numbers must be finite: "
                "correct it, or leave the cell empty"
            )


def _is_known(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal128,
        pa.types.is_decimal256,  # the shorter ones have no kernels in Arrow: they can be neither compared nor counted
        pa.types.is_date,
        pa.types.is_timestamp,
        is_text,
    )
    return any(test(kind) for test in tests)


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def check_fits(name: str, kind: Kind, values: pa.ChunkedArray, error: type[InputError]) -> None:
    """Raise `error` where values of this physical type cannot be of this kind."""
    held = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    check_held(name, values)
    number = pa.types.is_integer(held) or pa.types.is_floating(held) or pa.types.is_decimal(held)
    problem = None
    if kind is Kind.BOOLEAN:
        if not pa.types.is_boolean(held) and not (
            pa.types.is_integer(held) and pc.all(pc.is_in(plain(values), pa.array([0, 1, None], held))).as_py()
        ):
            problem = f"holds {held} rather than true and false"
    elif kind.is_category:
        distinct = pc.count_distinct(plain(values), mode="only_valid").as_py()
        if pa.types.is_temporal(held) or pa.types.is_decimal(held):
            problem = f"holds {held}, and categories are text or plain numbers; make it text"
        elif distinct > MAX_DECLARED_LEVELS:
            problem = (
                f"has {distinct:,} distinct values, and at most {MAX_DECLARED_LEVELS:,} can be learned; make it an identifier"
            )
    elif kind is Kind.INTEGER:
        if not number:
            problem = f"holds {held} rather than numbers"
        elif not pa.types.is_integer(held) and not _is_whole(plain(values)):
            problem = "holds numbers with a fraction; declare it decimal"
        elif _beyond_exact(plain(values)):
            problem = (
                f"holds {_beyond_exact(plain(values))}, beyond the 2^53 up to which numbers are exact; declare it identifier"
            )
    elif kind is Kind.DECIMAL:
        problem = None if number else f"holds {held} rather than numbers"
    elif kind is Kind.DATETIME and not (pa.types.is_date(held) or pa.types.is_timestamp(held)):
        problem = f"holds {held} rather than dates or moments; convert it first"
    if problem is not None:
        raise error(f"column {name!r} cannot be {kind}: it {problem}")


# the rules, one function per physical type ----------------------------------------------------------------------------


def _of_dictionary(name: str, values: pa.ChunkedArray, role: Role | None) -> Decision:
    held = values.type.value_type
    if values.type.ordered:
        return Decision(Kind.ORDINAL, "stored as ordered categories")
    if is_text(held):
        return _of_text(name, values, role)
    check_fits(name, Kind.CATEGORICAL, values, DataError)
    return Decision(Kind.CATEGORICAL, "stored as categories")


def _of_integers(name: str, values: pa.ChunkedArray, role: Role | None, orders: bool, note: str = "") -> Decision:
    count = len(values) - values.null_count
    distinct = pc.count_distinct(plain(values), mode="only_valid").as_py()
    seen = f"{distinct:,} distinct whole numbers{note} in {count:,} rows"
    huge = _beyond_exact(plain(values))
    if role in (Role.SUBJECT, Role.KEY):
        return Decision(Kind.IDENTIFIER, f"{role}: {seen}")
    if role in (Role.TARGET, Role.SENSITIVE):
        if huge:
            raise SchemaError(
                f"column {name!r} is the {role} and holds {huge}, beyond the 2^53 up to which numbers are exact; rescale it"
            )
        if distinct <= MAX_CLASSES:
            return Decision(Kind.CATEGORICAL, f"{role} with {seen}: at most {MAX_CLASSES} are classes")
        return Decision(Kind.INTEGER, f"{role} with {seen}")
    if huge:
        return Decision(Kind.IDENTIFIER, f"holds {huge}, beyond the 2^53 up to which numbers are exact: a name, not an amount")
    if orders:
        return Decision(Kind.INTEGER, f"orders the rows in time: {seen}")
    provider = recognise(name, plain(values)) if distinct > FEW else None
    if provider is not None and provider != "sequence":
        return Decision(Kind.IDENTIFIER, f"recognised as {provider.replace('_', ' ')}: {seen}", provider=provider)
    unique = distinct == count == len(values) and count > 1
    if unique and _ID_NAME.fullmatch(name):
        return Decision(Kind.IDENTIFIER, f"named like an identifier, and all {count:,} values differ", Role.KEY)
    if unique and count > FEW and (_COUNT_NAME.fullmatch(name) or _counts_rows(plain(values))):
        return Decision(Kind.IDENTIFIER, f"numbers the rows: all {count:,} values differ", Role.KEY)
    if _ID_NAME.fullmatch(name) and not _TIME_NAME.match(name):
        return _named_identifier(seen, distinct, count)
    if distinct == 1:
        return Decision(Kind.INTEGER, f"constant: {_first(values)} in all {count:,} rows")
    return Decision(Kind.INTEGER, seen)


def _of_fractions(name: str, values: pa.ChunkedArray, role: Role | None) -> Decision:
    numbers = plain(values)
    if pa.types.is_floating(numbers.type) and _is_whole(numbers):
        return _of_integers(name, values, role, False, f" (stored as {numbers.type})")
    count = len(values) - values.null_count
    distinct = pc.count_distinct(numbers, mode="only_valid").as_py()
    if distinct == 1:
        return Decision(Kind.DECIMAL, f"constant: {_first(values)} in all {count:,} rows")
    return Decision(Kind.DECIMAL, f"{distinct:,} distinct numbers in {count:,} rows")


def _of_text(name: str, values: pa.ChunkedArray, role: Role | None) -> Decision:
    texts = plain(values)
    count = len(texts) - texts.null_count
    unique = pc.unique(texts).drop_null()
    distinct = len(unique)
    seen = f"{distinct:,} distinct text{'s' if distinct != 1 else ''} in {count:,} rows"
    if distinct > FEW and pc.all(pc.match_substring_regex(unique, _DATE)).as_py():
        seen += " (they read as dates: convert the column to dates to have it learned as moments)"
    if role in (Role.SUBJECT, Role.KEY):
        return Decision(Kind.IDENTIFIER, f"{role}: {seen}", provider=recognise(name, unique))
    if role in (Role.TARGET, Role.SENSITIVE):
        check_fits(name, Kind.CATEGORICAL, values, SchemaError)
        return Decision(Kind.CATEGORICAL, f"{role} with {seen}")
    if distinct == 1:
        return Decision(Kind.CATEGORICAL, f"constant: {_first(values)!r} in all {count:,} rows")
    _check_not_mixed(name, texts, unique, count)
    whole = distinct == count == len(texts)
    named = _ID_NAME.fullmatch(name) is not None
    provider = recognise(name, unique) if whole or named or distinct > FEW else None
    if whole and named:
        return Decision(Kind.IDENTIFIER, f"named like an identifier, and all {count:,} values differ", Role.KEY, provider)
    if provider is not None:
        return Decision(Kind.IDENTIFIER, f"recognised as {provider.replace('_', ' ')}: {seen}", provider=provider)
    if distinct <= FEW:
        return Decision(Kind.CATEGORICAL, seen)
    if distinct >= NEARLY_ALL * count or distinct > MAX_LEVELS or (distinct > 100 and distinct > count / 2):
        return _not_a_category(unique, seen)
    if named:
        return _named_identifier(seen, distinct, count)
    return Decision(Kind.CATEGORICAL, seen)


def _check_not_mixed(name: str, texts: pa.ChunkedArray, unique: pa.Array, count: int) -> None:
    """Raise DataError for a column of numbers in which a few cells hold words."""
    if len(unique) <= MIXED_NUMBERS:
        return
    is_number = pc.match_substring_regex(unique, _NUMBER)
    words = unique.filter(pc.invert(is_number))
    if not 0 < len(words) <= MIXED_WORDS or len(unique) - len(words) < MIXED_NUMBERS:
        return
    if pc.any(pc.match_substring_regex(unique, _CODE)).as_py():
        return
    rows = pc.sum(pc.is_in(texts, words)).as_py()
    if rows > MIXED_SHARE * count:
        return
    row = pc.index(texts, words[0]).as_py() + 1
    raise DataError(
        f"column {name!r} holds numbers, but {words[0].as_py()!r} in row {row:,}"
        + (f" ({rows:,} such rows)" if rows > 1 else "")
        + "; "
        "correct it or leave the cell empty, or declare the column categorical if these are codes"
    )


def _named_identifier(seen: str, distinct: int, count: int) -> Decision:
    if distinct <= MAX_CODES or distinct <= count / 100:
        return Decision(Kind.CATEGORICAL, f"named like an identifier, but only {seen}: codes")
    return Decision(Kind.IDENTIFIER, f"named like an identifier, {seen}; name it the subject if it stands for a person")


def _not_a_category(unique: pa.Array, seen: str) -> Decision:
    if _mean_words(unique) >= WORDS:
        return Decision(Kind.TEXT, f"{seen}, of several words: free text")
    return Decision(Kind.IDENTIFIER, f"{seen}: too many to be categories, so they name things")


def _mean_words(unique: pa.Array) -> float:
    spaces = pc.count_substring(unique.slice(0, 10_000), " ")
    return float(pc.mean(spaces).as_py() or 0) + 1


def _first(values: pa.ChunkedArray) -> object:
    return plain(values).drop_null()[0].as_py()


def _is_whole(numbers: pa.ChunkedArray) -> bool:
    if pa.types.is_integer(numbers.type):
        return True
    doubles = numbers.cast(pa.float64(), safe=False)
    return bool(pc.all(pc.equal(doubles, pc.round(doubles))).as_py())


def _beyond_exact(numbers: pa.ChunkedArray) -> int | None:
    """A value beyond 2^53, if there is one."""
    if not pa.types.is_integer(numbers.type):
        return None
    found = pc.min_max(numbers)
    edges = (found["min"].as_py(), found["max"].as_py())
    return next((edge for edge in edges if edge is not None and abs(edge) > EXACT), None)


def _counts_rows(numbers: pa.ChunkedArray) -> bool:
    """Whether the values go up by one from row to row, from 0 or 1."""
    found = np.asarray(numbers)
    return bool(found[0] in (0, 1) and np.all(np.diff(found) == 1))
