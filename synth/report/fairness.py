"""What an audit found, as people ask for it: who is missing, what differs between groups, what a model does, who is attacked.

Everything is read off the measurements and the verdict; nothing is computed anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from synth.metrics.measurement import Interval, Measurement, Measurements
from synth.report.fairness_words import CAVEAT, NO_HOLDOUT, answer
from synth.report.families import gaps

MODEL = {  # what a model does to a group, in the order of a row
    "fairness.selection_rate_gap": "Selected",
    "fairness.tpr_gap": "True positive rate",
    "fairness.fpr_gap": "False positive rate",
    "fairness.ppv_gap": "Precision",
    "fairness.calibration_gap": "Overstated chance",
    "fairness.tstr_gap": "Score",
}
LIKENESS = {  # whether its rows look like real rows of the group, and whether its members are found
    "fairness.group_fidelity": "Columns off",
    "fairness.group_pairs": "Pairs off",
    "fairness.group_membership": "Membership AUC",
    "fairness.group_attribute_inference": "Attribute inference risk",
}
SIZE = {"fairness.group_share": "Share of rows", "fairness.label_gap": "Share with the outcome"}
QUIET = ("pass", "report", "", "absent", "insufficient")
CALLED_OUT = ("fail", "error", "missing", "skipped", "inconclusive")


@dataclass(frozen=True)
class Lost:
    """A group whose rows are missing, too few or too many."""

    group: str
    how: str  # "erased", "shrunk" or "swollen"
    rows: int
    expected: float


@dataclass(frozen=True)
class LabelGap:
    """How far apart the outcomes of a column's two most different groups lie, among real and among synthetic rows."""

    column: str
    outcome: str
    groups: tuple[str, str]  # with the higher and the lower rate among the training rows
    real: float  # among the holdout rows
    synthetic: float
    change: Interval  # synthetic less real
    rates: Mapping[str, Mapping[str, float | None]]  # of each group, by table
    finding: str  # what the policy says: "pass", "fail", …; "" for nothing


@dataclass(frozen=True)
class Cell:
    """One figure of one group: under synthetic rows, under real ones, and how far apart they are."""

    synthetic: float | None
    real: float | None
    apart: Interval
    finding: str
    about: str = ""  # the column that was inferred: of several the one of which most is learned, its whole interval considered


@dataclass(frozen=True)
class GroupRow:
    """A group with its figures by metric; what rests on too few rows is not among them."""

    group: str
    columns: tuple[str, ...]
    cells: Mapping[str, Cell]

    @property
    def is_called_out(self) -> bool:
        """Whether a rule says more of it than that it is met."""
        return any(cell.finding in CALLED_OUT for cell in self.cells.values())


@dataclass(frozen=True)
class Unmeasured:
    """Figures that could not be taken, for one reason."""

    what: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Fairness:
    """The whole picture. `answer` is the first thing that a person reads."""

    decision: str
    answer: tuple[str, ...]  # sentences
    lost: tuple[Lost, ...]
    considered: int | None  # groups whose absence would say something; None where nobody looked
    gaps: tuple[LabelGap, ...]
    groups: tuple[GroupRow, ...]
    small: tuple[str, ...]  # groups with too few rows to be judged, with how many
    unmeasured: tuple[Unmeasured, ...]
    outcome: str  # that models are asked about
    score: str  # "AUC", "R²"
    caveat: str = CAVEAT

    def to_dict(self) -> dict[str, Any]:
        """The picture as plain JSON values."""
        return asdict(self)


def fairness(measurements: Measurements, verdict: Any) -> Fairness:
    """The picture of an audit from its figures and what the policy says of them."""
    findings = {finding.check: finding for finding in verdict.findings}
    lost, considered = _lost(measurements)
    found = tuple(_gap(m, findings) for m in measurements.named("fairness.label_amplification") if m.score is not None)
    rows, small = _groups(measurements, findings)
    return Fairness(
        decision=verdict.decision,
        answer=answer(measurements, verdict),
        lost=lost,
        considered=considered,
        gaps=found,
        groups=rows,
        small=small,
        unmeasured=_unmeasured(measurements),
        outcome=_asked(measurements),
        score=next((str(m.detail["metric"]) for m in measurements.named("fairness.tstr_gap") if "metric" in m.detail), "score"),
    )


def _asked(measurements: Measurements) -> str:
    """The outcome that rates are of: "income >50K"."""
    found = next((str(m.detail["outcome"]) for m in measurements if "outcome" in m.detail), "")
    return f"{measurements.context['target']} {found}".rstrip()


def in_words(group: Mapping[str, str]) -> str:
    """A group as people say it: "sex Female, race White"."""
    return ", ".join(f"{column} {value}" for column, value in group.items())


def _lost(measurements: Measurements) -> tuple[tuple[Lost, ...], int | None]:
    found: dict[str, Lost] = {}
    for name, hows in (("fairness.erased_groups", ("erased",)), ("fairness.shrunk_groups", ("shrunk", "swollen"))):
        for m in measurements.named(name):
            for how in hows:
                for entry in m.detail.get(how, ()):
                    group = in_words(entry["group"])
                    found.setdefault(group, Lost(group, how, entry["rows"], entry["expected"]))
    asked = [m.detail["considered"] for m in measurements.named("fairness.erased_groups") if m.score is not None]
    return tuple(found.values()), asked[0] if asked else None


def _gap(m: Measurement, findings: Mapping[str, Any]) -> LabelGap:
    assert m.score is not None
    said = m.detail
    return LabelGap(
        column=m.columns[0],
        outcome=str(said["outcome"]),
        groups=(said["groups"][0], said["groups"][1]),
        real=said["holdout_gap"],
        synthetic=said["synthetic_gap"],
        change=m.score,
        rates=said["rates"],
        finding=_outcome(m, findings),
    )


def _outcome(m: Measurement, findings: Mapping[str, Any]) -> str:
    return str(getattr(findings.get(m.label), "outcome", ""))


def _groups(measurements: Measurements, findings: Mapping[str, Any]) -> tuple[tuple[GroupRow, ...], tuple[str, ...]]:
    found: dict[tuple[tuple[str, str], ...], dict[str, Measurement]] = {}
    for m in measurements:
        if m.group and m.name in SIZE | MODEL | LIKENESS:
            mine = found.setdefault(tuple(m.group.items()), {})
            mine[m.name] = max(mine.get(m.name, m), m, key=lambda one: _gravity(one, findings))
    rows, small = [], []
    for group, figures in found.items():
        cells = {name: _cell(m, findings) for name, m in figures.items() if m.score is not None}
        if cells:
            rows.append(GroupRow(in_words(dict(group)), tuple(column for column, _ in group), cells))
        else:
            why = next(iter(figures.values())).reason.removeprefix("insufficient: the group has ")
            small.append(f"{in_words(dict(group))}: {why}")
    return tuple(rows), tuple(small)


def _gravity(m: Measurement, findings: Mapping[str, Any]) -> tuple[bool, float]:
    """By which one of a group's figures of the same metric is shown: what a rule calls out, then the highest lower end."""
    return _outcome(m, findings) in CALLED_OUT, -math.inf if m.score is None else m.score.low


def _cell(m: Measurement, findings: Mapping[str, Any]) -> Cell:
    assert m.score is not None
    if m.name in SIZE:
        pair = m.detail.get("share"), m.detail.get("real_share")
    elif m.name in LIKENESS:
        pair = m.score.value, None if m.reference is None else m.reference.value
    else:
        pair = m.detail.get("synthetic"), m.detail.get("real")
    return Cell(*pair, m.score, _outcome(m, findings), ", ".join(m.columns))


def _unmeasured(measurements: Measurements) -> tuple[Unmeasured, ...]:
    """What is missing as a whole, in one line for each reason; groups with too few rows are named by themselves."""
    held = measurements.context["rows"]["holdout"] is not None
    told: dict[str, dict[str, None]] = {}
    for gap in gaps(m for m in measurements if not (m.group and m.reason.startswith("insufficient"))):
        if gap.status != "absent":  # there is nothing in the table that it is about
            why = gap.reason if held or "holdout" not in gap.reason else NO_HOLDOUT
            told.setdefault(f"{gap.status}: {why}", {}).update(dict.fromkeys(m.label for m in gap.figures))
    return tuple(Unmeasured(tuple(what), why) for why, what in told.items())
