"""Runs side by side: verdicts, figures with intervals and floors, what differs in the configs, what cannot be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from synth.data.sketch import SKETCH, same_data
from synth.metrics.measurement import Interval, Measurement, Measurements
from synth.report import layout, svg, words
from synth.report.findings import Finding, Verdict, limit_of, tally, unsettled
from synth.report.page import made_by

FORMAT = "synth.comparison/1"
HEADS = words.HEADLINES | words.IMAGE_HEADLINES | words.RELEASED_HEADLINES
OPEN = 12  # figures that stand in some run's way and are shown among the key figures; all are among the others
OTHERS = 400  # figures on the page beside the key figures
NAMED = ("name", "title")  # of a config: what a run is called is no difference

Against = Literal["better", "worse", "same", ""]


@dataclass(frozen=True)
class Side:
    """One run. settings: its config, flat, as `generator.params.min_samples_leaf`."""

    name: str
    measurements: Measurements
    verdict: Verdict | None = None
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Cell:
    """One run's figure. against: beside the first run's, by 95% intervals that do not overlap; "" where that is not asked."""

    measurement: Measurement | None
    outcome: str  # the policy's, "" where it says nothing
    limit: float | None
    against: Against

    @property
    def score(self) -> Interval | None:
        """The figure, or None where there is none."""
        return None if self.measurement is None else self.measurement.score


@dataclass(frozen=True)
class Line:
    """One figure of every run, in their order."""

    label: str
    better: str
    cells: tuple[Cell, ...]

    @property
    def words(self) -> str:
        """What the figure is called, where it has a name of its own."""
        return HEADS.get(self.label, self.label)


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, the first of them the one that the others are held against.

    warnings: what of them cannot be compared, and why. comparable: whether a run's figures are on the first one's real rows;
    only then a figure is called better or worse. settings: what differs in the configs, a value for each run (None: not there).
    """

    sides: tuple[Side, ...]
    warnings: tuple[str, ...]
    comparable: tuple[bool, ...]
    figures: tuple[Line, ...]
    others: tuple[Line, ...]
    settings: tuple[tuple[str, tuple[Any, ...]], ...]

    def __repr__(self) -> str:
        """The verdicts, what cannot be compared, and a line for each key figure."""
        lines = [f"Comparison of {len(self.sides)} runs"]
        lines += [f"  {side.name}: {decision_of(side)}" for side in self.sides]
        lines += [f"  warning: {warning}" for warning in self.warnings]
        lines += [f"  {line.label}: {'; '.join(told(cell) for cell in line.cells)}" for line in self.figures]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain JSON values."""
        return {
            "format": FORMAT,
            "runs": [
                {
                    "name": side.name,
                    "decision": None if side.verdict is None else side.verdict.decision,
                    "policy": None if side.verdict is None else f"{side.verdict.policy} {side.verdict.policy_version}",
                    "comparable": known,
                    "rows": dict(side.measurements.context.get("rows") or {}),
                }
                for side, known in zip(self.sides, self.comparable)
            ],
            "warnings": list(self.warnings),
            "figures": [_plain(line) for line in (*self.figures, *self.others)],
            "settings": {name: list(values) for name, values in self.settings},
        }

    def to_html(self) -> str:
        """One self-contained page, in the style of a run's own; the same comparison gives the same bytes."""
        first = self.sides[0].name
        return layout.page(
            "compare.html.jinja",
            title=" · ".join(side.name for side in self.sides),
            headline=f"{len(self.sides)} runs side by side",
            pictures=False,
            first=first,
            runs=[_run(side) for side in self.sides],
            warnings=self.warnings,
            figures=[_shown(line) for line in self.figures],
            others=[_shown(line, drawn=False) for line in self.others[:OTHERS]],
            left=max(0, len(self.others) - OTHERS),
            settings=self.settings,
        )


def side_by_side(sides: Sequence[Side], warnings: Iterable[str] = ()) -> Comparison:
    """Compare runs, which have different names; what `warnings` says of them already comes first."""
    first = sides[0]
    known = tuple(_same_rows(first, side) for side in sides)
    said = [*warnings, *(line for side in sides[1:] for line in _apart(first, side))]
    labels = dict.fromkeys(m.label for side in sides for m in side.measurements)
    key = _key(sides)
    lines = {label: _line(label, sides, known) for label in (*key, *labels)}
    return Comparison(
        tuple(sides),
        tuple(said),
        known,
        tuple(lines[label] for label in key),
        tuple(lines[label] for label in labels if label not in key and any(cell.score for cell in lines[label].cells)),
        tuple(_settings(sides)),
    )


def decision_of(side: Side) -> str:
    """A run's verdict in words, with its policy."""
    verdict = side.verdict
    return "not judged" if verdict is None else f"{verdict.decision} under {verdict.policy} {verdict.policy_version}"


def told(cell: Cell) -> str:
    """A figure with its interval; why there is none, where there is none."""
    m = cell.measurement
    if m is None:
        return "not taken"
    if m.score is None:
        return words.STATUSES.get(m.status, m.status)
    return f"{words.number(m.score.value, m.name)} {words.interval(m.score, m.name)}"


# what can be compared ---------------------------------------------------------------------------------------------------


def _same_rows(one: Side, other: Side) -> bool:
    """Whether two runs were measured against the same real rows: the same training table and the same holdout."""
    a, b = (side.measurements.context for side in (one, other))
    if ("privacy" in a) != ("privacy" in b):
        return False
    if "privacy" in a:  # which have no digest of real rows, but the data set's name
        return bool(a["privacy"]["dataset"] == b["privacy"]["dataset"])
    first, second = a.get("digests") or {}, b.get("digests") or {}
    return all(first.get(part) == second.get(part) for part in ("train", "holdout", "schema"))


def _apart(one: Side, other: Side) -> Iterable[str]:
    """What keeps two runs from being compared, a sentence for each."""
    a, b = one.measurements.context, other.measurements.context
    pair = f"{one.name} and {other.name}"
    if ("privacy" in a) != ("privacy" in b):
        yield f"{pair}: one was judged by the noisy counts of a privacy budget, the other by exact figures on real rows"
    elif not _same_rows(one, other):
        yield f"{pair} {_which_rows(a, b)}: their figures are shown, but none is called better or worse"
    if one.verdict is None or other.verdict is None:
        if one.verdict is not other.verdict:
            unjudged = one if one.verdict is None else other
            yield f"{unjudged.name} is not judged: run `synth gate` on it under the policy of the other"
    elif (rules := _rules(one.verdict)) != (others := _rules(other.verdict)):
        edited = " (its text was changed)" if rules[:2] == others[:2] else ""
        yield f"{pair} were judged under different policies, {' '.join(rules[:2])} and {' '.join(others[:2])}{edited}"
    for key, what in (("target", "targets"), ("sensitive", "sensitive columns"), ("synth", "versions of synth")):
        if a.get(key) != b.get(key):
            meant = ", in which a metric may be defined otherwise" if key == "synth" else ""
            yield f"{pair} have different {what} ({_plainly(a.get(key))}; {_plainly(b.get(key))}){meant}"
    if a.get("seed") != b.get("seed"):
        yield f"{pair} were measured under other seeds, {a.get('seed')} and {b.get('seed')}: attacks and models were drawn anew"


def _which_rows(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    sketches = [context.get(SKETCH) for context in (a, b)]
    if all(sketches) and same_data(*sketches):  # type: ignore[arg-type]  # both are there
        return "are about the same data, split or declared otherwise"
    return "are about other real rows"


def _rules(verdict: Verdict) -> tuple[str, str, str]:
    return verdict.policy, verdict.policy_version, str(getattr(verdict, "policy_digest", ""))


def _plainly(value: Any) -> str:
    return ", ".join(value) or "none" if isinstance(value, (list, tuple)) else str(value)


# figures ----------------------------------------------------------------------------------------------------------------


def _key(sides: Sequence[Side]) -> list[str]:
    """The headline figures that any run has, then what stands in the way of one."""
    heads = [name for name in HEADS if any(m.score is not None for side in sides for m in side.measurements.named(name))]
    standing = dict.fromkeys(
        f.check
        for side in sides
        if side.verdict is not None
        for f in unsettled(side.verdict.findings)
        if f.outcome != "insufficient"
    )
    measured = {m.label for side in sides for m in side.measurements}
    return heads + [label for label in standing if label in measured and label not in heads][:OPEN]


def _line(label: str, sides: Sequence[Side], known: Sequence[bool]) -> Line:
    found = [next((m for m in side.measurements if m.label == label), None) for side in sides]
    rules = [None if side.verdict is None else _finding(side.verdict, label) for side in sides]
    cells = tuple(
        Cell(m, "" if rule is None else rule.outcome, limit_of(rule), _against(found[0], m) if place and known[place] else "")
        for place, (m, rule) in enumerate(zip(found, rules))
    )
    return Line(label, next(m.better for m in found if m is not None), cells)


def _finding(verdict: Verdict, label: str) -> Finding | None:
    return next((finding for finding in verdict.findings if finding.check == label), None)


def _against(first: Measurement | None, other: Measurement | None) -> Against:
    """Better or worse only where the intervals do not overlap, which is stricter than a test of the difference."""
    if first is None or other is None or first.score is None or other.score is None or first.better == "nearer":
        return ""
    a, b = first.score, other.score
    if a.low <= b.high and b.low <= a.high:
        return "same"
    return "better" if (b.high < a.low) == (first.better == "lower") else "worse"


def _settings(sides: Sequence[Side]) -> Iterable[tuple[str, tuple[Any, ...]]]:
    given = [side.settings or {} for side in sides]
    for name in dict.fromkeys(name for settings in given for name in settings):
        values = tuple(settings.get(name) for settings in given)
        if name not in NAMED and any(value != values[0] for value in values):
            yield name, values


# for programs, and for the page -----------------------------------------------------------------------------------------


def _plain(line: Line) -> dict[str, Any]:
    return {"label": line.label, "better": line.better, "runs": [_plain_cell(cell) for cell in line.cells]}


def _plain_cell(cell: Cell) -> dict[str, Any]:
    m = cell.measurement
    return {
        "score": None if m is None or m.score is None else m.score.to_dict(),
        "reference": None if m is None or m.reference is None else m.reference.to_dict(),
        "status": "not taken" if m is None else m.status,
        "outcome": cell.outcome or None,
        "limit": cell.limit,
        "against_first": cell.against or None,
    }


def _run(side: Side) -> dict[str, Any]:
    verdict, context = side.verdict, side.measurements.context
    return {
        "name": side.name,
        "decision": "none" if verdict is None else verdict.decision,
        "headline": words.NOT_JUDGED[0] if verdict is None else words.DECISIONS[verdict.decision][0],
        "policy": "" if verdict is None else f"{verdict.policy} {verdict.policy_version}",
        "tally": () if verdict is None else tally(verdict.findings),
        "made": made_by(context, None),
        "open": () if verdict is None else [f.check for f in unsettled(verdict.findings) if f.blocks],
    }


def _shown(line: Line, drawn: bool = True) -> dict[str, Any]:
    scores = [cell.score for cell in line.cells if cell.score is not None]
    floors = [cell.measurement.reference for cell in line.cells if cell.measurement is not None and cell.measurement.reference]
    limits = [cell.limit for cell in line.cells if cell.limit is not None]
    marks = [end for i in (*scores, *floors) for end in (i.low, i.high)] + limits
    cells = [_shown_cell(line, cell, (min(marks), max(marks)) if drawn and marks else None) for cell in line.cells]
    return {"words": line.words, "label": line.label, "arrow": words.ARROWS[line.better], "cells": cells}


def _shown_cell(line: Line, cell: Cell, scale: tuple[float, float] | None) -> dict[str, Any]:
    m = cell.measurement
    drawing: Markup | None = None
    if scale is not None and m is not None and m.score is not None:
        real = None if m.reference is None else (m.reference.low, m.reference.high)
        said = f"{line.words}: {told(cell)}; {words.referee(m)} {words.reference(m.reference, m.name)}"
        drawing = svg.band(m.score.value, m.score.low, m.score.high, real, cell.limit, said, line.better, scale)
    return {
        "value": "" if cell.score is None or m is None else words.number(cell.score.value, m.name),
        "interval": "" if cell.score is None or m is None else words.interval(cell.score, m.name),
        "none": told(cell) if cell.score is None else "",
        "floor": "" if m is None or m.reference is None else f"{words.referee(m)} {words.reference(m.reference, m.name)}",
        "limit": "" if cell.limit is None or m is None else words.number(cell.limit, m.name),
        "outcome": cell.outcome,
        "against": cell.against,
        "drawing": drawing,
    }
