"""Whether the synthetic cells and rows are legal at all: facts about this very table, so their intervals have no width."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data.constraints import broken_rows
from synth.data.moments import units_of
from synth.data.schema import Column, Kind, Role
from synth.data.table import Table
from synth.metrics.evidence import Compared, Evidence, Side
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, metric

ON_GRID = 1e-9  # how far, relative to its size, a number may lie from its grid: what storing it as a double may cost


def fact(part: float, whole: int) -> Interval:
    """A share that was counted, not estimated."""
    share = float(part) / whole
    return Interval(share, share, share, int(whole))


@metric("validity.schema", better="lower")
def schema(evidence: Evidence) -> Iterator[Reading]:
    """Share of cells that break the schema: wrong type, unlisted category, declared bound, pattern, null where none may be."""
    found: dict[Side, dict[str, int]] = {}
    for side in ("synthetic", "holdout"):
        table = evidence.table(side)
        if table is not None:
            found[side] = {c.name: int(_illegal(c, evidence, side, table).sum()) for c in table.schema.columns}
    made = {name: count for name, count in found["synthetic"].items() if count}
    width = len(found["synthetic"])
    yield Reading(
        fact(sum(made.values()), width * evidence.rows("synthetic")),
        fact(sum(found["holdout"].values()), width * evidence.rows("holdout")) if "holdout" in found else None,
        detail={"columns": made},
    )


def _illegal(column: Column, evidence: Evidence, side: Side, table: Table) -> np.ndarray:
    """Which cells of a column break its schema: boolean array of shape (rows,)."""
    values = table.arrow.column(column.name)
    null = np.asarray(pc.is_null(values, nan_is_null=True))
    bad = null & (not (column.nullable and column.role is not Role.KEY))
    if column.is_learned:
        compared = evidence.column(column.name)
        bad |= evidence.strange(column.name, side)
        bad |= _outside(compared, side) if compared.is_category else _off_scale(compared, evidence, side)
    if column.pattern is not None:
        bad |= ~null & ~_matches(column.pattern, values)
    return bad


def _outside(column: Compared, side: Side) -> np.ndarray:
    """Categories that the schema does not list."""
    return np.asarray(column.of(side) >= column.legal)


def _off_scale(column: Compared, evidence: Evidence, side: Side) -> np.ndarray:
    """Numbers that cannot be: infinite, between whole numbers, beyond a bound or off a grid that a person declared."""
    plain, values = column.column, column.of(side)
    bad = evidence.infinite(column.name, side)
    known = np.where(np.isnan(values), 0.0, values)
    decimals = 0 if plain.kind is Kind.INTEGER else (plain.decimals if "decimals" in plain.declared else None)
    if decimals is not None and decimals < 17:
        bad |= np.abs(known - np.round(known, decimals)) > ON_GRID * np.maximum(1.0, np.abs(known))
    low, high = declared_bounds(plain)
    return np.asarray(bad | (values < low) | (values > high))


def declared_bounds(column: Column) -> tuple[float, float]:
    """The bounds of a number that a person declared, as it is encoded; infinite where there is none."""
    ends = []
    for name, open_end in (("minimum", -np.inf), ("maximum", np.inf)):
        bound = getattr(column, name)
        if bound is None or name not in column.declared:
            ends.append(open_end)
        elif column.kind is Kind.DATETIME:
            moment = units_of(str(bound), column)
            ends.append(open_end if moment is None else float(moment))
        else:
            ends.append(float(bound))
    return ends[0], ends[1]


def _matches(pattern: str, values: pa.ChunkedArray) -> np.ndarray:
    rule = re.compile(pattern)
    coded = values.cast(pa.string()).combine_chunks().dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    fits = pa.array([bool(rule.fullmatch(text)) for text in coded.dictionary.to_pylist()], type=pa.bool_())
    return np.asarray(pc.fill_null(fits.take(coded.indices), True).to_numpy(zero_copy_only=False))


@metric("validity.range", better="lower")
def observed_range(evidence: Evidence) -> Iterator[Reading]:
    """Share of the rows beyond the smallest or largest training value, in the column where it is largest."""
    numbers = [column for column in evidence.columns if not column.is_category and not column.null("train").all()]
    if not numbers:
        raise NothingThereError("no column holds numbers")
    made = {column.name: int(_beyond(column, evidence, "synthetic").sum()) for column in numbers}
    held = evidence.rows("holdout")
    yield Reading(
        fact(max(made.values()), evidence.rows("synthetic")),
        fact(max(int(_beyond(column, evidence, "holdout").sum()) for column in numbers), held) if held else None,
        detail={"columns": {name: count for name, count in made.items() if count}},
    )


def _beyond(column: Compared, evidence: Evidence, side: Side) -> np.ndarray:
    seen = column.train[~column.null("train")]
    outside = (column.of(side) < seen.min()) | (column.of(side) > seen.max())
    return np.asarray(outside | evidence.infinite(column.name, side))


@metric("validity.constraints", better="lower")
def constraints(evidence: Evidence) -> Iterator[Reading]:
    """Share of the rows that break one of the schema's constraints."""
    if not evidence.synthetic.schema.constraints:
        raise NothingThereError("the schema has no constraints")
    made, each = _broken(evidence.synthetic, evidence.train)
    held = None if evidence.holdout is None else _broken(evidence.holdout, evidence.train)[0]
    yield Reading(
        fact(made.sum(), len(made)),
        None if held is None else fact(held.sum(), len(held)),
        detail={"constraints": each},
    )


def _broken(table: Table, training: Table) -> tuple[np.ndarray, dict[str, int]]:
    by_rule = broken_rows(table, training)  # combinations are legal where they occur in training
    rows = np.zeros(len(table), dtype=bool)
    for broken in by_rule.values():
        rows |= broken
    return rows, {text: int(broken.sum()) for text, broken in by_rule.items()}


@metric("validity.keys", better="lower")
def keys(evidence: Evidence) -> Iterator[Reading]:
    """Share of the rows whose key is null or was used before."""
    names = [column.name for column in evidence.synthetic.schema.columns if column.role is Role.KEY]
    if not names:
        raise NothingThereError("no column is a key")
    made = _not_unique(evidence.synthetic, names)
    yield Reading(
        fact(made.sum(), len(made)),
        None if evidence.holdout is None else fact(_not_unique(evidence.holdout, names).sum(), len(evidence.holdout)),
        columns=tuple(names),
    )


def _not_unique(table: Table, names: list[str]) -> np.ndarray:
    bad = np.zeros(len(table), dtype=bool)
    for name in names:
        values = table.arrow.column(name).combine_chunks()
        coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        index = np.asarray(pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False))
        first = np.zeros(len(index), dtype=bool)
        first[np.unique(index, return_index=True)[1]] = True
        bad |= ~first | (index < 0)
    return bad
