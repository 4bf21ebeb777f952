"""How the conformance suite fits a generator: one that learns under a privacy budget alone is given a large one."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from synth.data.encoding import encode_column
from synth.data.moments import moment_text
from synth.data.schema import Column, Kind
from synth.data.table import Table
from synth.generators.base import Generator
from synth.privacy.budget import Budget

GENEROUS = Budget(epsilon=100.0, delta=1e-5)  # so large that its noise is less than what drawing rows brings
FACTS = ("kind", "role", "nullable", "categories", "minimum", "maximum", "decimals", "unit", "provider", "pattern")


def fit(generator: Generator, table: Table, seed: int = 0, **options: Any) -> Any:
    """What `fit` returns, of a method that learns under a budget alone as `paid` gives it."""
    return paid(generator, table, seed, **options) if generator.needs_budget else generator.fit(table, seed=seed, **options)


def paid(generator: Generator, table: Table, seed: int = 0, **options: Any) -> Any:
    """What `fit` returns under a budget: the noise has this seed, and the ledger is one of its own."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger.sqlite"
        return generator.fit(table, budget=GENEROUS, dataset="conformance", ledger=ledger, noise_seed=seed, **options)


def declared(table: Table) -> Table:
    """The table as if a person had declared all that its values show: made-up rows have nobody to protect."""
    columns = [_bounded(column, table) for column in table.schema.columns]
    facts = [tuple(fact for fact in FACTS if getattr(column, fact) is not None) for column in columns]
    return Table(
        table.arrow,
        table.schema.with_columns(*(replace(c, declared=told, why="declared") for c, told in zip(columns, facts, strict=True))),
    )


def _bounded(column: Column, table: Table) -> Column:
    if not column.kind.is_number or not column.is_learned:
        return column
    values = encode_column(column, table.column(column.name)).values
    ends: list[Any] = [float(np.nanmin(values)), float(np.nanmax(values))]
    if column.kind is Kind.DATETIME:
        ends = [moment_text(int(end), column) for end in ends]
    low, high = (
        stated if stated is not None else end for stated, end in zip((column.minimum, column.maximum), ends, strict=True)
    )
    return replace(column, minimum=low, maximum=high)
