"""Constraints: what the rows of a table keep. Checked here, and kept by construction where they can be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from synth.data.schema import Schema
from synth.data.table import Table


def columns_of(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """The columns that a constraint names."""
    words = re.findall(r"\w+", text)
    return tuple(name for name in names if name in words)


def broken_rows(table: Table) -> dict[str, np.ndarray]:
    """For each constraint of the table's schema, a boolean array of shape (rows,): where it does not hold."""
    return {}


@dataclass(frozen=True)
class Construction:
    """How the constraints of a schema are kept by construction."""

    schema: Schema

    @classmethod
    def plan(cls, schema: Schema) -> Construction:
        return cls(schema)

    def forward(self, table: Table) -> Table:
        """The table as a generator learns it."""
        return table

    def inverse(self, learned: Table, schema: Schema, layout: pa.Schema) -> Table:
        """The original learned columns, in the schema's order and the types of `layout`."""
        return learned.with_schema(schema)
