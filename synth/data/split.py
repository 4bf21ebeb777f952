"""Splitting a table into training and holdout rows: by row, by subject or by time."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data.encoding import encode_column
from synth.data.table import Table
from synth.errors import DataError, SchemaError, did_you_mean
from synth.seed import check_seed

By = Literal["row", "subject", "time"]
WAYS: tuple[By, ...] = ("row", "subject", "time")
MIN_ROWS = 2  # below this a part can be neither learned from nor compared with


def split(table: Table, holdout: float, *, seed: int, by: By | None = None) -> tuple[Table, Table]:
    """Split into training and holdout rows. No subject is ever on both sides; each side keeps the table's row order.

    holdout: the share of the rows that is held out, in (0, 1); met to within one row, or one subject.
    by: "row", a random draw; "subject", a random draw of whole subjects; "time", the latest rows (or, where the schema has a
        subject, the subjects whose last row is latest). By default what the schema calls for: subject, else time, else row.
    The draw is uniform, except that a class of the target with two rows or more is never missing from either side.
    The same seed gives the same split. Raises DataError for a share that is not in (0, 1) or leaves a side under 2 rows,
    SchemaError where the schema has no column to split by, or has a subject that a split by row would tear apart.
    """
    if isinstance(holdout, bool) or not isinstance(holdout, (int, float, np.number)) or not 0 < holdout < 1:
        raise DataError(f"holdout is {holdout!r}; give the share of rows to hold out, above 0 and below 1")
    seed = check_seed(seed)
    way = _way(table, by)
    rows = len(table)
    wanted = round(rows * float(holdout))
    if min(wanted, rows - wanted) < MIN_ROWS:
        raise DataError(
            f"holdout {holdout:g} of {rows:,} rows gives {rows - wanted:,} to train on and {wanted:,} to hold out; "
            f"each side needs at least {MIN_ROWS}: give more rows, or another share"
        )
    if table.schema.subject is not None:
        held = _by_subject(table, wanted, seed, way)
    elif way == "time":
        held = _latest(_time_order(table), wanted)
    else:
        held = _by_row(table, wanted, seed)
    return table.filter(~held), table.filter(held)


def _way(table: Table, by: By | None) -> By:
    schema = table.schema
    if by is None:
        return "subject" if schema.subject is not None else "time" if schema.time is not None else "row"
    if by not in WAYS:
        raise DataError(f"by is {by!r}{did_you_mean(str(by), WAYS)}")
    if by == "subject" and schema.subject is None:
        raise SchemaError("by='subject' needs a column with the role subject; name it: read(…, subject='patient')")
    if by == "time" and schema.time is None:
        raise SchemaError("by='time' needs to know which column orders the rows; name it: read(…, time='date')")
    if by == "row" and schema.subject is not None:
        raise SchemaError(
            f"by='row' would put rows of one {schema.subject.name!r} on both sides, so that the holdout is known; "
            "split by 'subject', or take that role away from the column"
        )
    return by


def _by_row(table: Table, wanted: int, seed: int) -> np.ndarray:
    """Boolean array of shape (rows,): a uniform draw, stratified only if it would lose a class of the target."""
    order = np.random.default_rng([seed, 2]).permutation(len(table))
    held = _first(order, wanted)
    target = table.schema.target
    if target is None or not (target.kind.is_category):
        return held
    classes = np.asarray(_codes(table.column(target.name)))
    counts = np.bincount(classes)
    in_holdout = np.bincount(classes[held], minlength=len(counts))
    if not np.any((counts >= 2) & ((in_holdout == 0) | (in_holdout == counts))):
        return held
    return _first(_stratified(classes[order], counts, order), wanted)


def _stratified(classes: np.ndarray, counts: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The permutation `order`, rearranged so that any first share of it holds that share of each class.

    One row of each class goes first and one last, so that a class with two rows or more is on both sides of any cut.
    """
    by_class = np.argsort(classes, kind="stable")
    start = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.empty(len(classes), dtype=np.int64)
    rank[by_class] = np.arange(len(classes)) - np.repeat(start, counts)
    size = counts[classes]
    place = (rank + 0.5) / size
    several = size >= 2
    place[several & (rank == 0)] = -1.0
    place[several & (rank == size - 1)] = 2.0
    return order[np.argsort(place, kind="stable")]


def _by_subject(table: Table, wanted: int, seed: int, way: By) -> np.ndarray:
    """Boolean array of shape (rows,): whole subjects, until as near as possible to the rows wanted."""
    subject = table.schema.subject
    assert subject is not None
    codes = _codes(table.column(subject.name), nulls_apart=True)
    counts = np.bincount(codes)
    if len(counts) < 2:
        raise DataError(f"column {subject.name!r} names one subject only; a split by subject needs two or more")
    if way == "time":
        when = np.empty(len(table), dtype=np.int64)
        when[_time_order(table)] = np.arange(len(table))
        last = np.zeros(len(counts), dtype=np.int64)
        np.maximum.at(last, codes, when)
        order = np.argsort(-last, kind="stable")
    else:
        order = np.random.default_rng([seed, 2]).permutation(len(counts))
    total = np.cumsum(counts[order])
    far = np.abs(total - wanted).astype(np.float64)
    far[(total < MIN_ROWS) | (len(table) - total < MIN_ROWS)] = np.inf
    if not np.isfinite(far).any():
        raise DataError(
            f"no split by {subject.name!r} leaves {MIN_ROWS} rows on each side: its {len(counts):,} subjects have "
            "too few rows, or one of them has nearly all; give more subjects"
        )
    held = np.zeros(len(counts), dtype=bool)
    held[order[: int(np.argmin(far)) + 1]] = True
    mask: np.ndarray = held[codes]
    return mask


def _time_order(table: Table) -> np.ndarray:
    """Row positions from the earliest to the latest; rows without a time come first, ties keep their order."""
    assert table.schema.time is not None
    column = table.schema.column(table.schema.time)
    moments = encode_column(column, table.column(column.name)).values
    return np.argsort(np.where(np.isnan(moments), -np.inf, moments), kind="stable")


def _latest(order: np.ndarray, wanted: int) -> np.ndarray:
    return _first(order[::-1], wanted)


def _first(order: np.ndarray, wanted: int) -> np.ndarray:
    mask = np.zeros(len(order), dtype=bool)
    mask[order[:wanted]] = True
    return mask


def _codes(values: pa.ChunkedArray, nulls_apart: bool = False) -> np.ndarray:
    """Numbers 0, 1, 2, … for the distinct values; nulls are one value, or with `nulls_apart` each its own."""
    plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
    plain = plain.combine_chunks() if isinstance(plain, pa.ChunkedArray) else plain
    codes = plain.dictionary_encode(null_encoding="mask").indices
    null = np.asarray(pc.is_null(codes))
    out: np.ndarray = np.asarray(pc.fill_null(codes, 0)).astype(np.int64)
    top = int(out[~null].max()) + 1 if not null.all() else 0
    out[null] = top + np.arange(int(null.sum())) if nulls_apart else top
    return out
