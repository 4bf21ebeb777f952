"""What every fitted generator keeps about its table: enough to give rows back in the same shape, and no row of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from synth.data.conditions import Where
from synth.data.constraints import with_pattern
from synth.data.construction import Construction
from synth.data.encoding import Encoded, decode, encode, encode_column
from synth.data.identifiers import Issue, goes_in_order, reissue
from synth.data.schema import Role, Schema
from synth.data.table import FrameKind, Table
from synth.errors import ConditionError, DataError


@dataclass(frozen=True)
class Fitted:
    """The schema and physical types of the table, and of the columns that the method sees.

    The two differ where constraints are kept by construction: `end >= start` is learned as a gap, a total is not learned at
    all, a fixed combination is learned as one category.
    """

    schema: Schema
    layout: pa.Schema
    learned_schema: Schema
    learned_layout: pa.Schema
    null_rates: dict[str, float]  # of the columns that are re-issued
    seen: dict[str, tuple[float, float]]  # least and largest encoded value of the numbers that are put together from others
    frame: FrameKind
    gives_table: bool
    rows: int | None  # that were learned from; None under a privacy budget, which their number is part of
    seed: int

    @classmethod
    def learn(cls, table: Table, *, gives_table: bool, seed: int) -> tuple[Fitted, Encoded]:
        """Read the shape of a table, and encode the columns to learn. Raises DataError where there is nothing to learn."""
        if len(table) < 2:
            raise DataError(f"the table has {len(table)} row(s); a generator needs at least 2 to learn from")
        made = table.select([column.name for column in table.schema.made])
        names = [column.name for column in made.schema.learned]
        if not names:
            raise DataError("no column is left to learn: all are keys, identifiers, free text or dropped; check the schema")
        plan = Construction.plan(made.schema)
        learned = plan.forward(made.select(names))
        null_rates = {
            column.name: made.column(column.name).null_count / len(made) for column in made.schema.columns if column.is_reissued
        }
        fitted = cls(
            schema=made.schema,
            layout=made.arrow.schema,
            learned_schema=learned.schema,
            learned_layout=learned.arrow.schema,
            null_rates=null_rates,
            seen=_seen(made, plan.replaced),
            frame=table.frame,
            gives_table=gives_table,
            rows=len(table),
            seed=seed,
        )
        return fitted, encode(learned)

    def template(self) -> Encoded:
        """The learned columns with no rows."""
        return encode(Table(self.learned_layout.empty_table(), self.learned_schema))

    def check_condition(self, where: Where) -> None:
        """Raise ConditionError for a condition on a column that is not learned."""
        for clause in where.clauses:
            column = self.schema.column(clause.column)
            if not column.is_learned:
                raise ConditionError(
                    f"column {column.name!r} ({column.kind}, {column.role}) is not learned, so it cannot be conditioned on; "
                    "name a learned column in `where`"
                )

    def encode(self, table: Table) -> Encoded:
        """Rows of another table as the method sees them. Raises DataError where a learned column is missing."""
        names = [column.name for column in self.schema.learned]
        missing = [name for name in names if name not in table.columns]
        if missing:
            raise DataError(f"column {missing[0]!r} was learned and is not in the table; give it the columns that were fitted")
        alike = Table(table.arrow.select(names), self.schema.select(names))
        return encode(Construction.plan(self.schema).forward(alike, blind=self.rows is None))

    def rebuild(self, rows: Encoded) -> Table:
        """Encoded rows as a table of the learned columns, with what construction took out put back."""
        learned = Table(decode(rows, self.learned_schema, self.learned_layout), self.learned_schema)
        names = [column.name for column in self.schema.learned]
        return Construction.plan(self.schema).inverse(learned, self.schema.select(names), self.layout)

    @cached_property
    def in_order(self) -> frozenset[str]:
        """The columns that only whoever knows what all earlier rows were given can issue."""
        return frozenset(
            column.name
            for column in self.schema.columns
            if not column.is_learned and goes_in_order(with_pattern(column, self.schema), self.layout.field(column.name).type)
        )

    def reissue(self, name: str, rows: range, total: int, seed: int, taken: dict[str, None] | None = None) -> pa.Array:
        """New values of a column that is not learned, for these rows among all; the same whoever issues them."""
        place = self.schema.names.index(name)
        column = self.schema.columns[place]
        rng = np.random.default_rng([seed, 2, place, rows.start])
        issue = Issue(rows, total, (seed, 3, place), rng, taken={} if taken is None else taken)
        nulls = 0.0 if column.role is Role.KEY else self.null_rates[name]
        return reissue(with_pattern(column, self.schema), self.layout.field(name).type, issue, null_rate=nulls)

    def table(self, columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> Table:
        """All columns, learned and issued, as the table that was fitted had them."""
        return Table(pa.table([columns[name] for name in self.schema.names], schema=self.layout), self.schema, frame=self.frame)


def _seen(table: Table, names: frozenset[str]) -> dict[str, tuple[float, float]]:
    """The range of each of these columns that holds numbers: no method draws beyond it, so nor may what is computed."""
    ranges = {}
    for column in table.schema.columns:
        if column.name in names and column.kind.is_number:
            values = encode_column(column, table.column(column.name)).values
            if not np.isnan(values).all():
                ranges[column.name] = (float(np.nanmin(values)), float(np.nanmax(values)))
    return ranges
