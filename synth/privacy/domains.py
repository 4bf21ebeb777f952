"""The finite list of cells that each column of a table is learned in, from what a person declared of it, or bought.

    domain = PrivateDomain.of(rows, schema, noise, bins=32, facts_micro_rho=…, bins_micro_rho=…)
    codes = domain.encode(rows, schema)      int32 of shape (rows, columns), each below its column's size
    again = domain.decode(codes, rng)        values in these cells, under domain.schema(schema)

Nothing else is read off the rows: tables that differ in a row have the same domain where all is declared, else one as likely,
up to what was paid. That is named, column by column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data.conditions import Clause
from synth.data.encoding import Encoded, encode_column
from synth.data.schema import Kind, Schema
from synth.data.table import Table
from synth.errors import ConfigError, InputError
from synth.privacy.buying import Buyer, cut, declared
from synth.privacy.columns import PrivateColumn
from synth.privacy.mechanisms import Noise

BINS = 32  # of a number, unless it has fewer legal values: about what AIM and MST are used with


@dataclass(frozen=True, eq=False)
class PrivateDomain:
    """The cells of the learned columns of a table, in the schema's order."""

    columns: tuple[PrivateColumn, ...]

    @classmethod
    def of(
        cls,
        rows: Encoded,
        schema: Schema,
        noise: Noise | None = None,
        *,
        bins: int = BINS,
        facts_micro_rho: int = 0,
        bins_micro_rho: int = 0,
        delta: float = 0.0,
        rows_per_unit: int = 1,
    ) -> PrivateDomain:
        """The domain of rows that were encoded under a schema.

        bins: how many a number has at most where they are even, and about where they are bought; one with no more legal values
        has a cell for each. facts_micro_rho: what may be spent on facts that nobody declared, equal parts for each; 0: they are
        refused. bins_micro_rho: likewise, on bins that follow the rows; 0: they are even. delta: what categories that nobody
        declared may cost beside. rows_per_unit: rows that one unit has at most.

        Raises SchemaError, with the words to declare it, for what is neither declared nor paid for, or cannot be bought, and
        where too few rows have values for bounds to be found; BudgetError where a part is less than the smallest cost.
        """
        if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
            raise ConfigError(f"bins is {bins!r}; give how many bins a number has, from 2")
        if noise is None and (facts_micro_rho or bins_micro_rho):
            raise InputError("facts or bins are to be bought, and no noise is given to buy them with; give a Noise")
        if isinstance(rows_per_unit, bool) or not isinstance(rows_per_unit, int) or rows_per_unit < 1:
            raise ConfigError(f"rows_per_unit is {rows_per_unit!r}; give the most rows that one unit has, from 1")
        buyer = Buyer(rows, schema, noise, rows_per_unit)
        return cls(cut(buyer.facts(facts_micro_rho, delta), buyer, bins, bins_micro_rho))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many cells each column has."""
        return tuple(column.size for column in self.columns)

    def __getitem__(self, name: str) -> PrivateColumn:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, PrivateColumn]:
        return {column.name: column for column in self.columns}

    def encode(self, rows: Encoded, schema: Schema) -> np.ndarray:
        """The cells of rows that were encoded under a schema, int32 of shape (rows, columns). No value is an error.

        Whose schema it is says what codes and units mean: the table's own, or for rows made here `self.schema(…)`.
        """
        codes = np.empty((rows.rows, len(self.columns)), dtype=np.int32)
        for place, column in enumerate(self.columns):
            codes[:, place] = column.encode(rows[column.name], schema.column(column.name))
        return codes

    def allowed(self, clauses: Iterable[Clause]) -> dict[int, np.ndarray]:
        """For each column with a clause, by its place, which cells hold a value that satisfies it: boolean of shape (size,)."""
        return {self.names.index(clause.column): self[clause.column].allowed(clause) for clause in clauses}

    def decode(self, codes: np.ndarray, rng: np.random.Generator, clauses: Iterable[Clause] = ()) -> Encoded:
        """Rows with values in these cells, int of shape (rows, columns), encoded under `self.schema(…)`.

        With clauses, which are on that schema, each value satisfies its column's; codes are then among the `allowed`.
        """
        said = {clause.column: clause for clause in clauses}
        decoded = (column.decode(codes[:, place], rng, said.get(column.name)) for place, column in enumerate(self.columns))
        return Encoded(tuple(decoded), len(codes))

    def schema(self, schema: Schema) -> Schema:
        """The schema with what was declared or bought, and nothing else that was read off the rows: what may be saved."""
        return schema.with_columns(
            *(self._by_name[c.name].column if c.name in self._by_name else declared(c) for c in schema.columns)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"columns": [column.to_dict() for column in self.columns]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PrivateDomain:
        """The inverse of `to_dict`."""
        return cls(tuple(PrivateColumn.from_dict(column) for column in data["columns"]))


def encode_rows(table: Table) -> Encoded:
    """The learned columns of a table, encoded so that no row can be an error: a category that is not legal becomes null.

    `synth.data.encoding.encode` refuses such a row and names its value, which under a budget would tell of it. What becomes of
    nulls where none may be, and of numbers beyond the bounds, `PrivateDomain.encode` decides.
    """
    columns = []
    for column in table.schema.learned:
        values = table.column(column.name)
        if column.kind in (Kind.CATEGORICAL, Kind.ORDINAL):
            plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
            legal = pa.array(list(column.categories or ())).cast(plain.type)
            values = pc.if_else(pc.is_in(plain, value_set=legal), plain, pa.scalar(None, plain.type))
        columns.append(encode_column(column, values))
    return Encoded(tuple(columns), len(table))
