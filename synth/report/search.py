"""How a search chose the generator's setting, for the page: what was tried, what was chosen and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synth.metrics.measurement import Interval
from synth.report import words

SHOWN = {  # of an attempt's figures, by what was looked for; all are recorded
    "faithful": ("fidelity.detection", "privacy.membership_auc", "privacy.membership_tpr"),
    "private": ("fidelity.detection", "fidelity.shape", "utility.gap"),
}
SOUGHT = {
    "faithful": "most faithful one that keeps the limits on membership and copies",
    "private": "most private one whose rows still keep every rule on likeness and use",
}
OUTCOMES = {"within": ("pass", "kept"), "beyond": ("fail", "not kept"), "undecided": ("inconclusive", "not shown to be kept")}


@dataclass(frozen=True)
class Tried:
    """One attempt's line: its figures as in SHOWN, each with its 95% interval."""

    setting: str
    split: int  # 1, or 2 for the second look at what was found on the first
    figures: tuple[str, ...]
    tag: str  # its class: pass where the limits were kept
    outcome: str
    is_chosen: bool


@dataclass(frozen=True)
class SearchTable:
    """All lines, and what to know of them."""

    tried: str
    chosen: str
    why: str
    selected: str
    names: tuple[str, ...]
    attempts: tuple[Tried, ...]


def search_table(record: Mapping[str, Any]) -> SearchTable:
    """The lines of a search's record, as `synth.tuning` leaves it in the context of the figures."""
    policy, rows, count = record["policy"], record["rows"], len(record["attempts"])
    sought = record.get("prefer", "faithful")
    smaller = ", which are remembered more" if sought == "faithful" else ""
    return SearchTable(
        tried=f"{count} attempt{'' if count == 1 else 's'} among {record['ladder']} settings of {record['generator']} on inner "
        f"splits of the training rows, fitted on {rows['train']:,} and judged against {rows['holdout']:,} of them, for the "
        f"{SOUGHT[sought]} of {policy['name']} {policy['version']}.",
        chosen=_setting(record["chosen"]),
        why=record["why"],
        selected=f"These figures chose the setting, so they are selected, and they are of fits on fewer rows{smaller}. "
        "The figures above are on real rows that the search never saw.",
        names=tuple(words.HEADLINES[name] for name in SHOWN[sought]),
        attempts=tuple(_line(attempt, record) for attempt in record["attempts"]),
    )


def _line(attempt: Mapping[str, Any], record: Mapping[str, Any]) -> Tried:
    tag, outcome = OUTCOMES[attempt["outcome"]]
    figures = tuple(_figure(name, attempt["figures"].get(name)) for name in SHOWN[record.get("prefer", "faithful")])
    split = 1 + attempt["seed"] - record["seed"]
    return Tried(_setting(attempt["params"]), split, figures, tag, outcome, attempt["params"] == record["chosen"])


def _setting(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in params.items())


def _figure(name: str, found: Mapping[str, float] | None) -> str:
    if found is None:
        return "–"
    interval = Interval(found["value"], found["low"], found["high"], 0)
    return f"{words.number(interval.value, name)} {words.interval(interval, name)}"
