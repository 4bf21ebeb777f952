"""What an exported page may say: a group's value only where a synthetic row has it, and no reason that can hold a real one."""

from __future__ import annotations

from typing import Any

from synth.data.table import Table
from synth.metrics.exposure import KEPT_BACK, Withheld
from synth.metrics.measurement import Measurement, Measurements
from synth.report import words


class Exposure:
    """Forms every label and reason of a page from its parts; a private page says all of them, a public one as `Withheld`."""

    def __init__(self, measurements: Measurements, synthetic: Table | None, public: bool) -> None:
        self.public = public
        self._measured = {m.label: m for m in measurements}
        self._withheld = Withheld(measurements, synthetic) if public else None

    def value(self, column: str, value: str) -> str:
        """A column's value, or its number among the withheld ones."""
        return value if self._withheld is None else self._withheld.value(column, value)

    def group(self, m: Measurement, joint: str = "=") -> str:
        return ", ".join(f"{column}{joint}{self.value(column, value)}" for column, value in (m.group or {}).items())

    def label(self, m: Measurement) -> str:
        """As `Measurement.label`."""
        return m.label if self._withheld is None else self._withheld.label(m)

    def check(self, finding: Any) -> str:
        """What a finding is about; without its measurement, a public page says no more than the metric's name."""
        m = self._measured.get(finding.check)
        if m is not None:
            return self.label(m)
        return str(finding.check.split("[")[0]) if self.public else str(finding.check)

    def reason(self, m: Measurement) -> str:
        """Why there is no figure."""
        return m.reason if self._withheld is None else self._withheld.reason(m)

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
