"""At most so many rows of each subject, so that a subject moves a count by no more than that."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data._places import mixed
from synth.data.table import Table
from synth.errors import ConfigError, SchemaError


def truncate_subjects(table: Table, k: int, rng: np.random.Generator) -> Table:
    """The table with at most k rows of each subject, chosen at random, in their order.

    Which rows of a subject stay depends on the draw, on who the subject is and on how many rows it has, and on nobody else's
    rows: with one subject more or less, tables differ in that one's rows alone, even for who knows the draw. So anything that
    is counted on the result has k times a row's sensitivity. Rows without a subject are left out: whose they are is not known.
    Raises SchemaError for a table without a subject column, ConfigError for a k that is no whole number from 1.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ConfigError(f"rows_per_subject is {k!r}; give the most rows that one subject may have, from 1")
    column = table.schema.subject
    if column is None:
        raise SchemaError("no column has the role subject, so rows cannot be counted by subject; name it: subject: COLUMN")
    values = table.column(column.name)
    plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
    coded = plain.combine_chunks().dictionary_encode()
    subject = np.asarray(pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)).astype(np.int64)
    draw = rng.integers(2**63, dtype=np.uint64)  # one draw, whatever the rows are
    named = np.array([_number(str(name)) for name in coded.dictionary.to_pylist()], dtype=np.uint64)

    order = np.argsort(subject, kind="stable")
    rank = np.empty(len(subject), dtype=np.int64)  # of a row among its subject's
    rank[order] = _places(subject[order])
    there = np.flatnonzero(subject >= 0)
    lot = mixed(mixed(named[subject[there]] ^ draw) + rank[there].astype(np.uint64))
    drawn = there[np.lexsort((lot, subject[there]))]
    kept = drawn[_places(subject[drawn]) < k]
    return table.take(np.sort(kept))


def _places(sorted_: np.ndarray) -> np.ndarray:
    """The place of each entry among those equal to it, in a sorted array."""
    return np.arange(len(sorted_)) - np.searchsorted(sorted_, sorted_)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
