"""Identifiers: recognised by name and values, and re-issued; no real value is ever kept.

Values are different from each other in keys, subjects and identifiers; only first and last names repeat there, as people's do
(in a key or subject they may not). Integers are the sequence 1, 2, 3, … (from the column's minimum on, where it has one), so
are numbers and days of other types; text follows the column's pattern if it has one, else its provider.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data._issuers import ISSUERS
from synth.data._patterns import matching
from synth.data._recognition import recognise
from synth.data.schema import Column, Kind, Role
from synth.errors import GenerationError, SchemaError, did_you_mean

__all__ = ["PROVIDERS", "recognise", "reissue"]

PROVIDERS = ("sequence", "pattern", *ISSUERS)  # any method of Faker without arguments serves too: company, job, user_name, …
_NUMBERS = ("phone", "credit_card", "ssn")  # whose digits can be written as an integer
_SHARED = ("first_name", "last_name")
_FIRST_DAY = datetime.date(2000, 1, 1)
_POOL = 1_000  # so many values of another Faker provider are made where they may repeat


def reissue(column: Column, kind: pa.DataType, n: int, rng: np.random.Generator, *, null_rate: float = 0.0) -> pa.Array:
    """n new values of the physical type `kind`, a share `null_rate` of them null.

    Raises GenerationError where n different values cannot be made, SchemaError for a provider that does not exist.
    """
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    made = _values(column, plain, n, rng)
    gone = round(n * null_rate)
    if gone:
        null = np.zeros(n, dtype=bool)
        null[rng.permutation(n)[:gone]] = True
        made = pc.if_else(pa.array(null), pa.scalar(None, plain), made)
    if not pa.types.is_dictionary(kind):
        return made
    coded = made.dictionary_encode()
    return pa.DictionaryArray.from_arrays(coded.indices.cast(kind.index_type), coded.dictionary, ordered=kind.ordered)


def _values(column: Column, kind: pa.DataType, n: int, rng: np.random.Generator) -> pa.Array:
    if _is_text(kind):
        return _texts(column, n, rng).cast(kind)
    if pa.types.is_integer(kind):
        if column.pattern is not None:
            whole = matching(column.pattern, n, rng, keep=lambda text: text.isdigit() and str(int(text)) == text)
            return _cast(pa.array([int(text) for text in whole], pa.int64()), column, kind)
        if column.provider in _NUMBERS:
            return _cast(_digits(_issue(column, str(column.provider), n, rng)), column, kind)
    if pa.types.is_boolean(kind):
        if n > 2 and _is_unique(column):
            raise GenerationError(f"column {column.name!r} is boolean: 2 different values exist, and {n:,} are needed")
        return pa.array(rng.permutation(n) % 2 == 0)
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind) and not pa.types.is_time(kind):
        day = _first_day(column).toordinal() - datetime.date(1970, 1, 1).toordinal()
        return pa.array(np.arange(day, day + n, dtype=np.int32)).cast(pa.date32()).cast(kind)
    start = 1 if column.minimum is None or isinstance(column.minimum, str) else int(np.ceil(column.minimum))
    return _cast(pa.array(np.arange(start, start + n)), column, kind)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_binary(kind)
    )


def _is_unique(column: Column) -> bool:
    return column.role in (Role.KEY, Role.SUBJECT) or column.kind is Kind.IDENTIFIER


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
        raise GenerationError(f"column {column.name!r} has the type {kind}, of which no new values can be issued") from None


def _digits(texts: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(texts, "[^0-9]", "").cast(pa.int64())


def _texts(column: Column, n: int, rng: np.random.Generator) -> pa.Array:
    if column.pattern is not None:
        if _is_unique(column):
            return pa.array(matching(column.pattern, n, rng), pa.string())
        return _repeated(lambda size: pa.array(matching(column.pattern or "", size, rng), pa.string()), n, rng)
    provider = column.provider or ("text" if column.kind is Kind.TEXT else "sequence")
    if provider == "pattern":
        raise SchemaError(f"column {column.name!r} has the provider 'pattern' but no pattern; give it one")
    if provider == "sequence":
        return pa.array(np.arange(1, n + 1)).cast(pa.string())
    return _issue(column, provider, n, rng)


def _issue(column: Column, provider: str, n: int, rng: np.random.Generator) -> pa.Array:
    issuer = ISSUERS.get(provider)
    if issuer is None:
        return _faker(column, provider, n, rng)
    shared = provider in _SHARED and column.role is Role.FEATURE
    if provider == "text" and _is_unique(column):
        return _numbered(issuer(n, rng))
    if _is_unique(column) and not shared:
        return issuer(n, rng)
    return _repeated(lambda size: issuer(size, rng), n, rng)


def _repeated(issue: Callable[[int], pa.Array], n: int, rng: np.random.Generator) -> pa.Array:
    """n values that may repeat: as many different ones as there are, at most n, then drawn from."""
    size = n
    while True:
        try:
            pool = issue(size)
        except GenerationError:
            if size <= 1:
                raise
            size //= 2
            continue
        return pool if size == n else pool.take(pa.array(rng.integers(0, size, n)))


def _numbered(texts: pa.Array) -> pa.Array:
    """The same texts, each with its row number in front, so that no two are equal."""
    return pc.binary_join_element_wise(pa.array(np.arange(1, len(texts) + 1)).cast(pa.string()), texts, " ")


def _faker(column: Column, provider: str, n: int, rng: np.random.Generator) -> pa.Array:
    """Any other provider of Faker: as fast as Faker is, tens of thousands of values a second."""
    from faker import Faker

    fake = Faker("en_US")
    fake.seed_instance(int(rng.integers(2**62)))
    make = (
        getattr(fake, provider, None)
        if provider.isidentifier() and not provider.startswith(("_", "seed", "add_", "set_"))
        else None
    )
    if not callable(make):
        raise SchemaError(f"column {column.name!r} has the provider {provider!r}{did_you_mean(provider, PROVIDERS)}")
    if not _is_unique(column):
        pool = pa.array([str(make()) for _ in range(min(n, _POOL))], pa.string())
        return pool.take(pa.array(rng.integers(0, max(len(pool), 1), n)))
    found: dict[str, None] = {}
    for _ in range(20 * n + 1_000):
        if len(found) == n:
            break
        found[str(make())] = None
    if len(found) < n:
        raise GenerationError(
            f"Faker's {provider!r} gave {len(found):,} different values for column {column.name!r}, and {n:,} are needed; "
            "ask for fewer rows, or choose another provider"
        )
    return pa.array(list(found), pa.string())
