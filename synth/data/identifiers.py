"""Identifiers: recognised by name and values, and re-issued; no real value is ever kept.

Values are different from each other in keys, subjects and identifiers, also where parts of a table are issued by different
workers; only first and last names repeat there, as people's do (in a key or subject they may not). Integers are the sequence
1, 2, 3, … (from the column's minimum on, where it has one), so are numbers and days of other types; text follows the column's
pattern if it has one, else its provider.
"""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data._issuers import ISSUERS
from synth.data._patterns import goes_in_order as pattern_goes_in_order
from synth.data._patterns import matching
from synth.data._places import Issue, permuted
from synth.data._recognition import recognise
from synth.data.schema import Column, Kind, Role
from synth.errors import GenerationError, SchemaError, did_you_mean

__all__ = ["PROVIDERS", "Issue", "goes_in_order", "recognise", "reissue"]

PROVIDERS = ("sequence", "pattern", *ISSUERS)  # any method of Faker without arguments serves too: company, job, user_name, …
_NUMBERS = ("phone", "credit_card", "ssn")  # whose digits can be written as an integer
_SHARED = ("first_name", "last_name")
_FIRST_DAY = datetime.date(2000, 1, 1)
_POOL = 1_000  # so many values of another Faker provider are made where they may repeat


def reissue(column: Column, kind: pa.DataType, issue: Issue, *, null_rate: float = 0.0) -> pa.Array:
    """New values of the physical type `kind` for the rows of an issue, a share `null_rate` of all rows null.

    Raises GenerationError where as many different values as needed cannot be made, SchemaError for a provider that does not
    exist.
    """
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    made = _values(column, plain, replace(issue, repeats=_may_repeat(column)))
    gone = round(issue.rows.stop * null_rate) - round(issue.rows.start * null_rate)
    if gone:
        null = np.zeros(len(issue), dtype=bool)
        null[issue.rng.permutation(len(issue))[:gone]] = True
        made = pc.if_else(pa.array(null), pa.scalar(None, plain), made)
    if not pa.types.is_dictionary(kind):
        return made
    coded = made.dictionary_encode()
    return pa.DictionaryArray.from_arrays(coded.indices.cast(kind.index_type), coded.dictionary, ordered=kind.ordered)


def goes_in_order(column: Column, kind: pa.DataType) -> bool:
    """Whether a part of the rows can only be issued once all earlier parts are, with what these were given (`Issue.taken`).

    So it is where values must differ and no numbering keeps them apart: those of other Faker providers, and patterns that can
    make one text in two ways.
    """
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not _is_unique(column):
        return False
    if column.pattern is not None:
        return pa.types.is_integer(plain) or (_is_text(plain) and pattern_goes_in_order(column.pattern))
    return _is_text(plain) and _provider(column) not in ("sequence", "pattern", *ISSUERS)


def _values(column: Column, kind: pa.DataType, issue: Issue) -> pa.Array:
    if _is_text(kind):
        return _texts(column, issue).cast(kind)
    if pa.types.is_integer(kind):
        if column.pattern is not None:
            whole = matching(column.pattern, issue, keep=lambda text: text.isdigit() and str(int(text)) == text)
            return _cast(pa.array([int(text) for text in whole], pa.int64()), column, kind)
        if column.provider in _NUMBERS:
            return _cast(_digits(_issue(column, str(column.provider), issue)), column, kind)
    if pa.types.is_boolean(kind):
        if issue.total > 2 and _is_unique(column):
            raise GenerationError(
                f"column {column.name!r} is boolean: 2 different values exist, and {issue.total:,} are needed"
            )
        return pa.array(permuted(issue.numbers(0), max(issue.total, 1), issue.key) % 2 == 0)
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind) and not pa.types.is_time(kind):
        day = _first_day(column).toordinal() - datetime.date(1970, 1, 1).toordinal()
        return pa.array(issue.numbers(day).astype(np.int32)).cast(pa.date32()).cast(kind)
    start = 1 if column.minimum is None or isinstance(column.minimum, str) else int(np.ceil(column.minimum))
    return _cast(pa.array(issue.numbers(start)), column, kind)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_binary(kind)
    )


def _is_unique(column: Column) -> bool:
    return column.role in (Role.KEY, Role.SUBJECT) or column.kind is Kind.IDENTIFIER


def _may_repeat(column: Column) -> bool:
    """First and last names repeat, as those of people do, wherever they are no key."""
    return not _is_unique(column) or (column.provider in _SHARED and column.role is Role.FEATURE)


def _provider(column: Column) -> str:
    return column.provider or ("text" if column.kind is Kind.TEXT else "sequence")


def _first_day(column: Column) -> datetime.date:
    return datetime.date.fromisoformat(column.minimum[:10]) if isinstance(column.minimum, str) else _FIRST_DAY


def _cast(numbers: pa.Array, column: Column, kind: pa.DataType) -> pa.Array:
    try:
        if pa.types.is_decimal(kind):  # Arrow wants room for every int64 first
            numbers = numbers.cast(pa.decimal128(38, min(kind.scale, 19)))
        return numbers.cast(kind)
    except pa.ArrowInvalid:
        raise GenerationError(
            f"column {column.name!r} of type {kind} cannot hold {len(numbers):,} different values; ask for fewer rows"
        ) from None
    except pa.ArrowNotImplementedError:
        raise GenerationError(
            f"column {column.name!r} has the type {kind}, of which no new values can be issued; make it text or whole numbers"
        ) from None


def _digits(texts: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(texts, "[^0-9]", "").cast(pa.int64())


def _texts(column: Column, issue: Issue) -> pa.Array:
    if column.pattern is not None:
        return pa.array(matching(column.pattern, issue), pa.string())
    provider = _provider(column)
    if provider == "pattern":
        raise SchemaError(f"column {column.name!r} has the provider 'pattern' but no pattern; give it one")
    if provider == "sequence":
        return pa.array(issue.numbers(1)).cast(pa.string())
    return _issue(column, provider, issue)


def _issue(column: Column, provider: str, issue: Issue) -> pa.Array:
    issuer = ISSUERS.get(provider)
    if issuer is None:
        return _faker(column, provider, issue)
    made = issuer(issue)
    if provider == "text" and _is_unique(column):  # each with its row number in front, so that no two are equal
        return pc.binary_join_element_wise(pa.array(issue.numbers(1)).cast(pa.string()), made, " ")
    return made


def _faker(column: Column, provider: str, issue: Issue) -> pa.Array:
    """Any other provider of Faker: as fast as Faker is, tens of thousands of values a second."""
    from faker import Faker

    fake = Faker("en_US")
    make = (
        getattr(fake, provider, None)
        if provider.isidentifier() and not provider.startswith(("_", "seed", "add_", "set_"))
        else None
    )
    if not callable(make):
        raise SchemaError(f"column {column.name!r} has the provider {provider!r}{did_you_mean(provider, PROVIDERS)}")
    if issue.repeats:
        fake.seed_instance(int(np.random.default_rng(issue.key).integers(2**62)))  # the same pool for every part
        pool = pa.array([str(make()) for _ in range(min(issue.total, _POOL))], pa.string())
        return pool.take(pa.array(issue.rng.integers(0, max(len(pool), 1), len(issue))))
    fake.seed_instance(int(issue.rng.integers(2**62)))
    found = issue.taken
    before = len(found)
    for _ in range(20 * len(issue) + 1_000):
        if len(found) - before == len(issue):
            break
        found[str(make())] = None
    if len(found) - before < len(issue):
        raise GenerationError(
            f"Faker's {provider!r} gave {len(found):,} different values for column {column.name!r}, and {issue.total:,} are "
            "needed; ask for fewer rows, or choose another provider"
        )
    return pa.array(issue.latest(), pa.string())
