"""What measuring rows will take, said before it starts: seconds on two cores of 2.6 GHz, and memory."""

from __future__ import annotations

from dataclasses import dataclass

from synth.data.table import Table
from synth.generators._estimate import TableSize

ADULT_ROWS, ADULT_COLUMNS, ADULT_SECONDS = (
    32_561,
    15,
    25.0,
)  # with attacks that ask the model, on a machine with some other work
LEAST_SECONDS = 3.0
GROWTH, WIDTH, CLASS = 0.6, 1.2, 0.25  # with rows, with columns, and for each class of the target beyond two
CORNERS = 64  # dimensions of a category, among the points that attacks search (synth.metrics.distance)
CELL = 80  # bytes of a row in one dimension, all tables and copies together
LIKENESS = 0.5  # part of the time that likeness and use take, without the attacks


@dataclass(frozen=True)
class Measuring:
    """Of one table as it would be: seconds, and bytes beside the table itself."""

    seconds: float
    peak_bytes: int

    @classmethod
    def of(cls, table: Table, rows: int, *, attacks: bool = True) -> Measuring:
        """For so many training rows like those of the table. attacks: whether privacy is measured, too."""
        size = TableSize.of(table)
        wide, classes = len(size.columns) / ADULT_COLUMNS, max(0, size.classes - 2)
        grown = (rows / ADULT_ROWS) ** GROWTH * max(1.0, wide) ** WIDTH
        seconds = LEAST_SECONDS + ADULT_SECONDS * grown * (1 + CLASS * classes)
        dimensions = sum(1 if column.is_number else min(column.distinct + 1, CORNERS) for column in size.columns)
        return cls(seconds if attacks else LIKENESS * seconds, CELL * rows * dimensions)
