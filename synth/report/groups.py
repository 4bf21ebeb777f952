"""Fairness, one row per group: its share, its outcomes, and what a model loses on its real rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from synth.metrics.measurement import Measurement, Measurements
from synth.report import svg, words
from synth.report.exposure import Exposure

METRICS = ("fairness.group_share", "fairness.label_gap", "fairness.tstr_gap")
SHOWN = 20  # groups in the table; where there are more, the others are folded below it
QUIET = ("pass", "report", "", "absent")


@dataclass(frozen=True)
class Cell:
    """One figure of one group, in words."""

    synthetic: str
    real: str
    gap: str
    interval: str
    outcome: str  # "" where there is nothing to call out
    drawing: Markup | None = None  # the difference over what real rows score


@dataclass(frozen=True)
class Row:
    group: str
    cells: tuple[Cell, ...]  # in the order of `METRICS`


@dataclass(frozen=True)
class Groups:
    rows: tuple[Row, ...]
    insufficient: tuple[str, ...]  # groups that no figure was taken of, with the reason
    shown: tuple[bool, ...]  # which of `METRICS` any group has a figure of
    outcome: str  # the class that the second figure is about, where all groups have the same
    most: int  # rows that are not folded
    score: str  # what the third figure loses: "AUC", "R²"


NOTHING = Cell("–", "–", "–", "", "")


def by_group(measurements: Measurements, findings: Mapping[str, Any], hide: Exposure) -> Groups | None:
    """None where no figure is about a sensitive group."""
    found: dict[tuple[tuple[str, str], ...], dict[str, Measurement]] = {}
    for m in measurements:
        if m.name in METRICS and m.group:
            found.setdefault(tuple(sorted(m.group.items())), {})[m.name] = m
    if not found:
        return None
    ends = {name: _ends(figures[name] for figures in found.values() if name in figures) for name in METRICS}
    rows: list[Row] = []
    small: list[str] = []
    for figures in found.values():
        one = next(iter(figures.values()))
        label = hide.group(one, joint=" ")
        if all(m.status == "skipped" for m in figures.values()):
            reason = one.reason.removeprefix("insufficient: ")
            small.append(label if hide.public else f"{label}: {reason}")
            continue
        rows.append(Row(label, tuple(_cell(figures.get(name), findings, hide, ends[name]) for name in METRICS)))
    target = str(measurements.context.get("target") or "")
    classes = {str(m.detail["class"]) for m in measurements.named("fairness.label_gap") if "class" in m.detail}
    outcome = hide.value(target, classes.pop()) if len(classes) == 1 else ""
    scores = {str(m.detail["metric"]) for m in measurements.named("fairness.tstr_gap") if "metric" in m.detail}
    shown = tuple(any(m.status in ("ok", "error") for m in measurements.named(name)) for name in METRICS)
    rows.sort(key=lambda row: not any(cell.outcome for cell in row.cells))  # what a rule says something of comes first
    return Groups(tuple(rows), tuple(small), shown, outcome, SHOWN, ", ".join(sorted(scores)) or "score")


def _ends(figures: Iterable[Measurement]) -> tuple[float, float]:
    """The least and the largest number in one column's drawings, so that groups compare; nothing (0) is always there."""
    known = [m.score for m in figures if m.score is not None]
    return min([0.0, *(score.low for score in known)]), max([0.0, *(score.high for score in known)])


def _cell(m: Measurement | None, findings: Mapping[str, Any], hide: Exposure, ends: tuple[float, float]) -> Cell:
    if m is None:
        return NOTHING
    if m.score is None:
        return Cell("–", "–", "too few rows" if m.status == "skipped" else m.status, "", "")
    outcome = getattr(findings.get(m.label), "outcome", "")
    if m.name == "fairness.tstr_gap":
        fake, real = words.number(m.detail.get("synthetic")), words.number(m.detail.get("real"))
    else:
        fake, real = words.share(m.detail.get("share")), words.share(m.detail.get("real_share"))
    gap, spread = words.number(m.score.value, m.name), words.interval(m.score, m.name)
    floor = None if m.reference is None else (m.reference.low, m.reference.high)
    drawn = svg.gap(m.score.value, m.score.low, m.score.high, floor, ends)
    return Cell(fake, real, gap, spread, "" if outcome in QUIET else outcome, drawn)
