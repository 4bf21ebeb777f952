"""`where`: a conjunction of conditions on columns, with one meaning: every returned row satisfies it.

Written as text ("income = '>50K' and age between 30 and 40"; grammar in `_condition_text`) or as a mapping
({"income": ">50K", "race": ["White", "Black"], "age": {">=": 30, "<": 40}, "x": None}). Nulls behave as in SQL: a
comparison never holds for a null; `is null` (None in a mapping) asks for nulls.

Moments are given as ISO 8601 text. One with an offset or Z is that instant; without, it is UTC in a column with a zone and
wall-clock time in one without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.data._clauses import Clause, Said, clause_text, said_of
from synth.data._condition_mapping import parse_mapping
from synth.data._condition_text import Comparison, parse_text
from synth.data.encoding import encode_column
from synth.data.schema import Column, Schema
from synth.data.table import Table
from synth.errors import ConditionError, did_you_mean

__all__ = ["Clause", "Where"]


@dataclass(frozen=True)
class Where:
    """A condition on a schema: at most one clause per column, in the schema's order. Empty means any row."""

    clauses: tuple[Clause, ...]
    schema: Schema

    @classmethod
    def parse(cls, condition: Any, schema: Schema) -> Where:
        """Read a condition: text, a mapping, another `Where`, or None for any row.

        Raises ConditionError for text that is not a condition, an unknown column or category, a value of the wrong type, and
        a condition that no row of the schema can satisfy.
        """
        if condition is None:
            return cls((), schema)
        said: dict[str, Said] = {}
        for comparison in _comparisons(condition):
            if comparison.column not in schema:
                raise ConditionError(f"no column {comparison.column!r}{did_you_mean(comparison.column, schema.names)}")
            column = schema.column(comparison.column)
            said.setdefault(column.name, said_of(column)).add(comparison)
        return cls(tuple(said[name].clause() for name in schema.names if name in said), schema)

    def __bool__(self) -> bool:
        return bool(self.clauses)

    def mask(self, table: Table) -> np.ndarray:
        """Boolean array of shape (rows,): which rows satisfy the condition."""
        good = np.ones(len(table), dtype=bool)
        for clause in self.clauses:
            column = self.schema.column(clause.column)
            good &= clause.holds(encode_column(column, table.column(clause.column)).values)
        return good

    def on(self, schema: Schema) -> Where:
        """Only the clauses on columns that the other schema learns unchanged, or as part of one combined category."""
        from synth.data.construction import Construction  # which itself needs `Clause`

        kept = [c for c in self.clauses if c.column in schema and _same(self.schema.column(c.column), schema.column(c.column))]
        combined = Construction.plan(self.schema).translate(self.clauses, schema) if self.clauses else ()
        return Where((*kept, *combined), schema)

    def __str__(self) -> str:
        """Canonical text: parsing it gives the same condition."""
        return " and ".join(clause_text(clause, self.schema.column(clause.column)) for clause in self.clauses)


def _same(mine: Column, other: Column) -> bool:
    facts = ("kind", "categories", "unit", "decimals")
    return other.is_learned and all(getattr(mine, fact) == getattr(other, fact) for fact in facts)


# reading a condition -----------------------------------------------------------------------------------------------------


def _comparisons(condition: Any) -> Iterable[Comparison]:
    if isinstance(condition, Where):
        return parse_text(str(condition)) if condition else []
    if isinstance(condition, str):
        return parse_text(condition)
    if isinstance(condition, Mapping):
        return parse_mapping(condition)
    raise ConditionError(f"a condition is text or a mapping, not {type(condition).__name__}; write {{'column': value}}")
