"""What an exported page may say: a group's value only where a synthetic row has it, and no reason that can hold a real one."""

from __future__ import annotations

from typing import Any

from synth.data.table import Table
from synth.metrics.measurement import Measurement, Measurements
from synth.report import words

KEPT_BACK = "the reason is in the private report"


class Exposure:
    """Forms every label and reason of a page from its parts; a private page says all of them.

    In a public page a group's value that no synthetic row has becomes "withheld 1", "withheld 2", … of its column: a category
    that was lost, or a bound of a number's groups, which was read off the real rows.
    """

    def __init__(self, measurements: Measurements, synthetic: Table | None, public: bool) -> None:
        self.public = public
        self._synthetic = synthetic
        self._measured = {m.label: m for m in measurements}
        self._seen: dict[str, frozenset[str]] = {}
        self._withheld: dict[str, dict[str, int]] = {}
        for m in measurements if public else ():
            for column, value in (m.group or {}).items():
                self.value(column, value)  # numbers the withheld ones in the order of the figures

    def value(self, column: str, value: str) -> str:
        """A column's value, or its number among the withheld ones."""
        if not self.public or value.lower() in self._known(column):
            return value
        numbers = self._withheld.setdefault(column, {})
        return f"withheld {numbers.setdefault(value, len(numbers) + 1)}"

    def group(self, m: Measurement, joint: str = "=") -> str:
        return ", ".join(f"{column}{joint}{self.value(column, value)}" for column, value in (m.group or {}).items())

    def label(self, m: Measurement) -> str:
        """As `Measurement.label`."""
        return f"{m.name}[{self.group(m)}]" if m.group else m.label

    def check(self, finding: Any) -> str:
        """What a finding is about; without its measurement, a public page says no more than the metric's name."""
        m = self._measured.get(finding.check)
        if m is not None:
            return self.label(m)
        return str(finding.check.split("[")[0]) if self.public else str(finding.check)

    def reason(self, m: Measurement) -> str:
        """Why there is no figure. Public: only what is said of the whole table and counts nothing."""
        harmless = not m.group and (m.status == "absent" or (m.status == "skipped" and not any(c.isdigit() for c in m.reason)))
        return m.reason if harmless or not self.public else KEPT_BACK

    def message(self, finding: Any) -> str:
        """What a rule found, in the page's own numbers where it compared any."""
        m = self._measured.get(finding.check)
        if m is not None and None not in (finding.value, finding.low, finding.high):
            over = finding.reference if finding.over_reference else None
            return words.compared(m, finding.value, finding.low, finding.high, finding.limit, over)
        if m is not None and m.status != "ok":
            return f"could not be measured: {self.reason(m)}" if self.public else str(finding.message)
        # the policy's own words: of a requirement, a missing figure or a missing reference, which name row numbers and roles
        return str(finding.message) if m is not None or finding.outcome == "missing" or not self.public else KEPT_BACK

    def _known(self, column: str) -> frozenset[str]:
        if column not in self._seen:
            table = self._synthetic
            there = table is not None and column in table.schema
            found = table.column(column).unique().to_pylist() if there and table is not None else []
            self._seen[column] = frozenset("null" if v is None else str(v).lower() for v in found)
        return self._seen[column]
