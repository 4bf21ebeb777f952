"""Filling in the missing cells of a table: what is the same for every method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data.constraints import broken_rows
from synth.data.construction import Construction
from synth.data.encoding import decode_column
from synth.data.schema import Column
from synth.data.table import Table
from synth.errors import ConfigError, GenerationError
from synth.generators._fitted import Fitted
from synth.generators.base import Generator
from synth.progress import Progress

MOST_ROUNDS = 50  # how often rows that break a constraint are filled in anew


def impute(model: Generator, table: Table, rng: np.random.Generator, progress: Progress) -> Table:
    """The table with a value in place of every null of a learned column. Raises as `Generator.impute` says."""
    fitted = model.fitted
    given = fitted.encode(table)
    _check_tied(fitted, table)
    names = [name for name in given if name in table.schema and given[name].null.any()]
    holes = {name: given[name].null for name in names}
    if not names:
        return replace(table, provenance=None)
    rows = np.flatnonzero(np.any(list(holes.values()), axis=0))
    filled = {name: given[name].values.copy() for name in names}
    for _ in range(MOST_ROUNDS):
        drawn = model._impute(given.take(rows), rng, progress)
        for name in names:
            filled[name][rows] = drawn[name].values
        made = _with(table, fitted, filled, holes)
        learned = [column.name for column in fitted.schema.learned]
        broken = broken_rows(Table(made.arrow.select(learned), fitted.schema.select(learned)))
        bad = np.logical_or.reduce([np.zeros(len(table), dtype=bool), *broken.values()])
        rows = rows[bad[rows]]
        if not len(rows):
            return made
    rule = next(text for text, where in broken.items() if where.any())
    raise GenerationError(
        f"{len(rows):,} rows cannot be filled in so that {rule!r} holds, after {MOST_ROUNDS} rounds; "
        "correct their observed cells, or fill those columns yourself"
    )


def _check_tied(fitted: Fitted, table: Table) -> None:
    """Refuse nulls in columns that a constraint ties together: the model has not learned these columns one by one."""
    for step in Construction.plan(fitted.schema).steps:
        for name in dict.fromkeys((*step.replaces, *step.needs)):
            if table.column(name).null_count:
                raise ConfigError(
                    f"column {name!r} has nulls, and a constraint ties it to others, so that it is not learned by itself "
                    "and cannot be filled in; fill it yourself, or fit without the constraint"
                )


def _with(table: Table, fitted: Fitted, values: dict[str, np.ndarray], holes: dict[str, np.ndarray]) -> Table:
    """The table with these values where it has holes; every other cell, and every type, as it is."""
    arrow = table.arrow
    for name, hole in holes.items():
        old, place = arrow.column(name), arrow.schema.get_field_index(name)
        kind = fitted.layout.field(name).type if pa.types.is_null(old.type) else old.type
        new = _holes_filled(fitted.learned_schema.column(name), old, values[name], hole, kind)
        arrow = arrow.set_column(place, arrow.schema.field(name).with_type(kind), new)
    return replace(table, arrow=arrow, provenance=None)


def _holes_filled(
    column: Column, old: pa.ChunkedArray, values: np.ndarray, hole: np.ndarray, kind: pa.DataType
) -> pa.Array | pa.ChunkedArray:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    new = decode_column(column, values, plain)
    kept = old.cast(plain).combine_chunks()
    cells = pc.if_else(pa.array(hole), new, kept)
    if not pa.types.is_dictionary(kind):
        return cells
    levels = pa.chunked_array([chunk.dictionary for chunk in old.chunks if len(chunk)] or [pa.array([], plain)])
    levels = pc.unique(pa.chunked_array([*levels.chunks, pc.unique(cells)]))  # a level that is new here comes last
    codes = pc.index_in(cells, value_set=levels).cast(kind.index_type)
    return pa.DictionaryArray.from_arrays(codes, levels, ordered=kind.ordered)
