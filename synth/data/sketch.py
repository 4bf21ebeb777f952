"""Which real rows a job is about, in 256 numbers: the same however the rows are ordered, split or framed.

Every distinct row gets a 64-bit number, and the least 256 of them are kept: a bottom-k sketch (Broder, "On the resemblance and
containment of documents", 1997; Cohen and Kaplan, "Summarizing data using bottom-k sketches", 2007). Up to the smaller one's
last number two sketches know all that their tables have, so what share of it both have estimates how much of the smaller
table lies in the larger one.

A number names a row: who holds a full candidate row can look it up. A sketch stays with the figures, and never leaves.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data._places import mixed
from synth.data.encoding import tick_of
from synth.data.table import Table
from synth.errors import InputError

SKETCH = "data_sketch"  # its key in `Measurements.context`
SIZE = 256  # numbers kept: the share of common rows is estimated to ± 3 points (one standard error) for tables of like size
SAME = 0.25  # share of the smaller table's rows that the larger must have to count as the same data (decision 014)

_NUMBER = re.compile(r"[0-9a-f]{16}")
_NULL = np.uint64(0x6E756C6C6E756C6C)


def sketch(tables: Iterable[Table], columns: Sequence[str]) -> list[str]:
    """The sketch of all rows of these tables together, over these columns: at most 256 numbers as hex text, ascending.

    A value counts as what it is: not by its type, its dictionary's code or the categories that are listed, so that 3, 3.0 and
    a category 3 are one value. Neither the order of the rows nor that of the columns matters, nor how often a row occurs.
    """
    marks = [np.unique(_rows(table, columns)) for table in tables]
    least = np.unique(np.concatenate(marks))[:SIZE]
    return [f"{mark:016x}" for mark in least.tolist()]


def contained(one: Sequence[str], other: Sequence[str]) -> float:
    """Estimate from two sketches which share of the smaller table's distinct rows the larger one has.

    Zero where nothing is known: a table of less than 1/256 of the other's rows may have none among the least ones.
    """
    last = min((sketch[-1] for sketch in (one, other) if len(sketch) == SIZE), default="g")  # beyond every hex number
    first, second = ({number for number in sketch if number <= last} for sketch in (one, other))
    smaller = min(len(first), len(second))
    return len(first & second) / smaller if smaller else 0.0


def same_data(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two sketches are of the same data: at least a quarter of the smaller table's rows are in the larger."""
    return contained(one, other) >= SAME


def checked(numbers: Any) -> tuple[str, ...]:
    """A sketch that was read from somewhere. Raises InputError for what is none."""
    if (
        not isinstance(numbers, (list, tuple))
        or not 0 < len(numbers) <= SIZE
        or not all(isinstance(number, str) and _NUMBER.fullmatch(number) for number in numbers)
        or any(one >= other for one, other in pairwise(numbers))
    ):
        raise InputError(
            f"these figures do not say which real rows they are about: {SKETCH} is no sketch of them; "
            "measure the rows again with `synth evaluate`"
        )
    return tuple(numbers)


def _rows(table: Table, columns: Sequence[str]) -> np.ndarray:
    """A 64-bit number for each row, shape (rows,): the sum of its columns' numbers, each mixed with the column's name."""
    total = np.zeros(len(table), dtype=np.uint64)
    for name in columns:
        total += mixed(_values(table.column(name)) ^ _of_text(name))
    return mixed(total)


def _values(values: pa.ChunkedArray) -> np.ndarray:
    """A 64-bit number for each value, shape (rows,)."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        ticks = values.cast(pa.int32()).cast(pa.int64()) if pa.types.is_date32(kind) else values.cast(pa.int64())
        return _of_numbers(ticks.cast(pa.float64(), safe=False), tick_of(kind))
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        values = values.cast(pa.float32()).cast(pa.string()).cast(pa.float64())  # a float32 0.3 is 0.3, not 0.30000001192
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(kind):
        return _of_numbers(values.cast(pa.float64(), safe=False))
    return _of_texts(values)


def _of_numbers(values: pa.ChunkedArray, step: int = 1) -> np.ndarray:
    floats = np.asarray(pc.fill_null(values, 0.0).to_numpy()) * float(step) + 0.0  # -0.0 is 0.0
    null = np.asarray(pc.is_null(values, nan_is_null=True).to_numpy())
    return np.where(null, _NULL, floats.view(np.uint64))


def _of_texts(values: pa.ChunkedArray) -> np.ndarray:
    coded = _as_text(values).combine_chunks().dictionary_encode()
    known = np.array([_of_text(text) for text in coded.dictionary.to_pylist()] + [_NULL], dtype=np.uint64)
    codes = np.asarray(pc.fill_null(coded.indices, len(known) - 1).to_numpy(zero_copy_only=False))
    return np.asarray(known[codes])


def _as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return values.cast(pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # a holdout's column of a kind that no training table may have
        texts = [None if value is None else str(value) for value in values.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.large_string())])


def _of_text(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))
