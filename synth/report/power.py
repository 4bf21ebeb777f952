"""Which planted faults the checks caught: the power table of a self-test, for the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Planted:
    """One fault's line: which policies would have stopped it, and the checks that saw it."""

    fault: str
    about: str
    outcome: str  # the tag's class: pass where it was caught
    said: str  # caught, not caught, not planted
    stopped_by: str
    checks: str


@dataclass(frozen=True)
class PowerTable:
    """All lines, and the rows that the power rests on."""

    caption: str
    lines: tuple[Planted, ...]


def power_table(found: Mapping[str, Any]) -> PowerTable:
    """The lines of `SelfTest.to_dict()`: clean rows first, on which nothing should go off."""
    rows = ", ".join(f"{count:,} {side}" for side, count in found["rows"].items())
    return PowerTable(f"{rows} rows, seed {found['seed']}", tuple(_line(trial) for trial in found["trials"]))


def _line(trial: Mapping[str, Any]) -> Planted:
    checks = tuple(dict.fromkeys(check for caught in trial["caught_by"].values() for check in caught))
    stopped = ", ".join(policy for policy, caught in trial["caught_by"].items() if caught) or "–"
    if trial["skipped"]:
        return Planted(trial["fault"], trial["about"], "", "not planted", "–", trial["skipped"])
    if trial["fault"] == "clean":
        return Planted(
            "none",
            trial["about"],
            "fail" if checks else "pass",
            "false alarm" if checks else "quiet",
            stopped,
            ", ".join(checks) or "–",
        )
    said = ("pass", "caught") if checks else ("fail", "not caught")
    return Planted(trial["fault"], trial["about"], *said, stopped, ", ".join(checks) or "–")
