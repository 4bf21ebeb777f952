"""The page of an audit: the answer, who is missing, outcomes, what a model does to each group, who is attacked, the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synth.metrics.measurement import Measurements
from synth.report import svg, words
from synth.report.fairness import CALLED_OUT, LIKENESS, MODEL, SIZE, Cell, Fairness, GroupRow, LabelGap
from synth.report.layout import page

HOW = {
    "erased": "not one row",
    "shrunk": "less than half of its rows",
    "swollen": "more than twice its rows",
}
EXPLAINED = {
    "fairness.selection_rate_gap": "how often the model predicts the outcome",
    "fairness.tpr_gap": "of those who have the outcome, how many it finds",
    "fairness.fpr_gap": "of those who do not, how many it takes for one",
    "fairness.ppv_gap": "of those it picks, how many have the outcome",
    "fairness.calibration_gap": "by how much it states the chance too high",
}
OPEN = 24  # groups that a table shows at once; the others are folded
NUMBERS = ("fairness.calibration_gap", "fairness.tstr_gap", *LIKENESS)


def render(measurements: Measurements, verdict: Any, found: Fairness, *, title: str) -> str:
    """One self-contained HTML page without a script; the same arguments give the same bytes."""
    _, says = words.DECISIONS[verdict.decision]
    return page(
        "fairness.html.jinja",
        pictures=False,
        title=title,
        found=found,
        headline=words.DECISIONS[verdict.decision][0],
        says=says,
        policy=f"{verdict.policy} {verdict.policy_version}",
        rows=measurements.context["rows"],
        lost=[(lost, HOW[lost.how]) for lost in found.lost],
        gaps=[_gap(gap) for gap in found.gaps],
        tables=[_table(found, *part) for part in PARTS],
        explained=[(MODEL[name], said) for name, said in EXPLAINED.items()],
        rules=[f for f in verdict.findings if f.outcome in CALLED_OUT],
        facts=_facts(measurements, verdict),
    )


PARTS = (
    (
        "sizes",
        "Size and outcome of each group",
        "Synthetic, real, and their difference with its 95% interval",
        SIZE,
        ("Synthetic", "Real"),
    ),
    (
        "models",
        "What a model does to each group of real people",
        "Two models, one trained on the synthetic and one on as many real rows, asked about the same real rows",
        MODEL,
        ("Synthetic", "Real"),
    ),
    (
        "attacks",
        "Likeness and attacks, group by group",
        "Errors within the group beside those of as many held-out real rows; how well an attacker tells members of the group "
        "from strangers, beside all members together (0.5 is a coin); and how much more of a sensitive value whoever knows the "
        "rest of a row learns of the group's members than of its strangers (0 is nothing, 1 all that was left to learn)",
        LIKENESS,
        ("Group", "Beside"),
    ),
)


def _gap(gap: LabelGap) -> dict[str, Any]:
    """A column's outcomes: a sentence, and its groups' rates as bars."""
    top, bottom = gap.groups
    name = "fairness.label_amplification"
    rates = {group: told for group, told in gap.rates.items() if told["holdout"] is not None}
    rows = f"{words.number(gap.synthetic, name)} among synthetic rows, {words.number(gap.real, name)} among held-out real ones"
    change = f"{words.number(gap.change.value, name)} {words.interval(gap.change, name)}"
    said = f"Share with {gap.outcome} by {gap.column}: " + "; ".join(
        f"{group} {words.share(told['synthetic'])} synthetic, {words.share(told['holdout'])} real"
        for group, told in rates.items()
    )
    return {
        "column": gap.column,
        "finding": gap.finding if gap.finding in CALLED_OUT else "",
        "says": f"{top} less {bottom}: {rows}; changed by {change}",
        "drawing": svg.bars(
            list(rates),
            [told["synthetic"] or 0.0 for told in rates.values()],
            [told["holdout"] or 0.0 for told in rates.values()],
            said,
        ),
    }


def _table(
    found: Fairness, key: str, heading: str, caption: str, names: Mapping[str, str], sides: tuple[str, str]
) -> dict[str, Any]:
    """Every group that has one of these figures, those that a rule calls out first, single columns before crossings."""
    shown = {name: label for name, label in names.items() if any(name in row.cells for row in found.groups)}
    rows = [row for row in found.groups if any(name in row.cells for name in shown)]
    rows.sort(key=lambda row: (not _called(row, shown), len(row.columns)))
    lines = [{"group": row.group, "cells": [_cell(row.cells.get(name), name) for name in shown]} for row in rows]
    labels = [found.score if name == "fairness.tstr_gap" else label for name, label in shown.items()]
    if key == "sizes":
        labels = [label.replace("the outcome", found.outcome) if found.gaps else label for label in labels]
    return {
        "key": key,
        "heading": heading,
        "caption": caption,
        "labels": labels,
        "sides": sides,
        "rows": lines[:OPEN],
        "folded": lines[OPEN:],
    }


def _called(row: GroupRow, names: Mapping[str, str]) -> bool:
    return any(row.cells[name].finding in CALLED_OUT for name in names if name in row.cells)


def _cell(cell: Cell | None, name: str) -> dict[str, str] | None:
    if cell is None:
        return None
    say = words.number if name in NUMBERS else words.share
    return {
        "synthetic": say(cell.synthetic),
        "real": say(cell.real),
        "apart": "" if name in LIKENESS else words.number(cell.apart.value, name),
        "interval": words.interval(cell.apart, name),
        "about": cell.about,
        "finding": cell.finding if cell.finding in CALLED_OUT else "",
    }


def _facts(measurements: Measurements, verdict: Any) -> list[tuple[str, str]]:
    context = measurements.context
    facts = [(f"{name.capitalize()} rows", f"{count:,}") for name, count in context["rows"].items() if count is not None]
    facts += [
        ("Target", str(context["target"] or "none")),
        ("Sensitive", ", ".join(context["sensitive"]) or "none"),
        ("Policy", f"{verdict.policy} {verdict.policy_version}"),
        ("Seed of the figures", str(context["seed"])),
        ("synth", str(context["synth"])),
    ]
    return facts + [(f"SHA-256 {name}", str(digest)) for name, digest in context["digests"].items() if digest]
