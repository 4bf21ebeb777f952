"""What a fit will cost, said before it starts, and a smaller one where the memory that is there would not hold it.

Each method states its own formula (`Generator._estimate`), with constants measured by `benchmarks/size.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from synth.data.construction import Construction
from synth.data.encoding import EncodedColumn, encode
from synth.data.table import Table
from synth.errors import TooLargeError
from synth.memory import in_words, memory_there

if TYPE_CHECKING:
    from synth.generators.base import Generator

LOOKED_AT = 5_000  # rows that tell how many distinct values a column has
WITHIN = 3.0  # by what factor the memory of a fit may differ from its estimate
FEWEST_ROWS = 1_000  # a plan of fewer rows is none


@dataclass(frozen=True)
class ColumnSize:
    """One learned column: whether it holds numbers, about how many distinct values, and to how many equally common ones these
    come (the exponential of their entropy)."""

    is_number: bool
    distinct: int
    spread: float


@dataclass(frozen=True)
class TableSize:
    """The learned columns of a table, by what a fit's cost depends on."""

    rows: int
    columns: tuple[ColumnSize, ...]
    classes: int = 1  # levels of the target, where it is a category

    @property
    def encoded_bytes(self) -> int:
        """The table as methods see it: float64 numbers, int32 codes."""
        return self.rows * sum(8 if column.is_number else 4 for column in self.columns)

    def of_rows(self, rows: int) -> TableSize:
        """The same columns with fewer rows."""
        columns = tuple(
            ColumnSize(column.is_number, min(column.distinct, rows), min(column.spread, rows)) for column in self.columns
        )
        return TableSize(rows, columns, self.classes)

    @classmethod
    def of(cls, table: Table) -> TableSize:
        """Look at a few thousand rows of a table, evenly spread."""
        names = [column.name for column in table.schema.made if column.is_learned]
        made = table.select(names)
        rows = np.unique(np.linspace(0, len(table) - 1, min(len(table), LOOKED_AT)).astype(np.int64))
        seen = encode(Construction.plan(made.schema).forward(made.take(rows)))
        columns = tuple(_size_of(column, len(table)) for column in seen.columns)
        target = None if made.schema.target is None else seen.get(made.schema.target.name)
        return cls(len(table), columns, 1 if target is None else target.levels or 1)


def _size_of(column: EncodedColumn, rows: int) -> ColumnSize:
    """What a sample of a column says of all rows.

    Distinct values by GEE (Charikar et al., "Towards estimation error guarantees for distinct values", PODS 2000): those that
    were seen once count √(rows / sample) times.
    """
    counts = np.unique(column.values[~column.null], return_counts=True)[1]
    once = int((counts == 1).sum())
    distinct = min(rows, len(counts) - once + round(once * math.sqrt(rows / max(1, len(column.values)))))
    share = counts / max(1, counts.sum())
    spread = float(np.exp(-(share * np.log(share)).sum())) * distinct / max(1, len(counts))
    return ColumnSize(not column.is_category, distinct if column.levels is None else column.levels, spread)


@dataclass(frozen=True)
class Estimate:
    """What a fit will cost. Its memory lies within a factor of WITHIN; its time depends on the machine and who shares it."""

    rows: int
    columns: int
    seconds: float  # on two cores of 2.6 GHz that do nothing else
    peak_bytes: int  # of memory, beside the table itself and what the process holds anyway
    model_bytes: int  # of the saved model

    def __str__(self) -> str:
        return (
            f"about {in_seconds(self.seconds)} and {in_words(self.peak_bytes)} of memory, for a model of "
            f"{in_words(self.model_bytes)} (memory within a factor of {WITHIN:g})"
        )


def in_seconds(seconds: float) -> str:
    """A time as a person says it: 40 s, 3 min, 2 h."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 1):.0f} s"


def check_memory(method: Generator, table: Table) -> None:
    """Raise TooLargeError where a fit would need more memory than there is, with a plan that would do."""
    there = memory_there()
    if there is None or not method.has_estimate or not table.schema.learned:
        return
    size = TableSize.of(table)
    cost = method._cost(size)
    if cost.peak_bytes > there:

        def peak_of(size: TableSize, plan: Mapping[str, Any]) -> int:
            return replace(method, **plan)._cost(size).peak_bytes

        raise TooLargeError(
            f"a fit on {cost.rows:,} rows × {cost.columns} columns needs about {in_words(cost.peak_bytes)} of memory, and "
            f"{in_words(there)} are there;\n{smaller(size, method._plans(), peak_of, there)}"
        )


def smaller(
    size: TableSize, plans: Iterator[Mapping[str, Any]], peak_of: Callable[[TableSize, Mapping[str, Any]], int], there: int
) -> str:
    """What would fit: the first of the plans that does, with all rows; and so many rows as they are, in words."""
    found = []
    for plan in plans:
        if (needed := peak_of(size, plan)) <= there:
            params = ", ".join(f"{name}={value}" for name, value in plan.items())
            found.append(f"with {params} it would need about {in_words(needed)}")
            break
    low, high = 0, size.rows
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (middle, high) if peak_of(size.of_rows(middle), {}) <= there else (low, middle)
    if low >= FEWEST_ROWS:
        rows = int(float(f"{low:.1g}")) if float(f"{low:.1g}") <= low else int(float(f"{low / 2:.1g}"))
        found.append(f"a sample of {rows:,} rows would fit as it is: table.split(holdout={1 - rows / size.rows:.2g})[0]")
    return ";\n".join(found) or "give it more memory, or fewer columns"
