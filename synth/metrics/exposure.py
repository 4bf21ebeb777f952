"""What may be said of figures to others: no group's value that no synthetic row has, no reason that can hold a real one."""

from __future__ import annotations

from synth.data.table import Table
from synth.metrics.measurement import Measurement, Measurements, labelled

KEPT_BACK = "the reason is in the private report"


class Withheld:
    """Names the groups of figures for whoever receives the synthetic rows.

    A group's value that no synthetic row has becomes "withheld 1", "withheld 2", … of its column: a category that was lost, or
    a bound of a number's groups, which was read off the real rows. The same figures and rows give the same numbers.
    """

    def __init__(self, measurements: Measurements, synthetic: Table | None) -> None:
        self._synthetic = synthetic
        self._seen: dict[str, frozenset[str]] = {}
        self._numbers: dict[str, dict[str, int]] = {}
        for m in measurements:
            for column, value in (m.group or {}).items():
                self.value(column, value)  # numbers the withheld ones in the order of the figures

    def value(self, column: str, value: str) -> str:
        """A column's value, or its number among the withheld ones."""
        if value.lower() in self._known(column):
            return value
        numbers = self._numbers.setdefault(column, {})
        return f"withheld {numbers.setdefault(value, len(numbers) + 1)}"

    def label(self, m: Measurement) -> str:
        """As `Measurement.label`."""
        if not m.group:
            return m.label
        return labelled(m.name, m.columns, {column: self.value(column, value) for column, value in m.group.items()})

    def reason(self, m: Measurement) -> str:
        """Why there is no figure: only what is said of the whole table and counts nothing."""
        harmless = not m.group and (m.status == "absent" or (m.status == "skipped" and not any(c.isdigit() for c in m.reason)))
        return m.reason if harmless else KEPT_BACK

    def _known(self, column: str) -> frozenset[str]:
        if column not in self._seen:
            table = self._synthetic
            there = table is not None and column in table.schema
            found = table.column(column).unique().to_pylist() if there and table is not None else []
            self._seen[column] = frozenset("null" if v is None else str(v).lower() for v in found)
        return self._seen[column]
