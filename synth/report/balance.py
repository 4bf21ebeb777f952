"""The page that says which remedy helps a rare class: the answer first, then every remedy's figures with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synth.metrics.models import NAMES
from synth.report import svg
from synth.report.layout import page

HEADS = {  # figures of the table, and whether a difference to nothing is shown beside them
    "average_precision": "Average precision ↑",
    "auroc": "Area under ROC ↑",
    "recall_at_precision": "Recall at {precision:.0%} precision ↑",
    "balanced_accuracy": "Balanced accuracy ↑",
    "brier": "Brier score ↓",
    "brier_corrected": "… after prior correction ↓",
    "calibration_slope": "Calibration slope, best 1",
    "calibration_shift": "Mean chance too high by, best 0",
    "calibration_shift_corrected": "… after prior correction, best 0",
}
DRAWN = ("average_precision", "balanced_accuracy", "brier_corrected")
HEADLINES = {
    "rows": "Made rows help",
    "remedy": "A remedy helps that needs no made rows",
    "threshold": "Tune the threshold; add no rows",
    "nothing": "No benefit found",
}


def render(found: Mapping[str, Any], *, title: str, judged: bool) -> str:
    """One self-contained HTML page; the same arguments give the same bytes.

    found: as `synth.balance.Balance.to_dict` gives it. judged: whether a run's report.html lies beside the page.
    """
    compared = found["comparison"]
    outcomes: dict[str, list[Mapping[str, Any]]] = {}
    for outcome in compared["outcomes"]:
        outcomes.setdefault(outcome["learner"], []).append(outcome)
    first = found["answer"]["learner"]
    return page(
        "balance.html.jinja",
        pictures=False,
        title=title,
        headline=HEADLINES[found["answer"]["kind"]],
        answer=found["answer"],
        found=found,
        compared=compared,
        judged=judged,
        heads=[words.format(precision=compared["precision"]) for words in HEADS.values()],
        models=[_model(name, outcomes[name]) for name in sorted(outcomes, key=lambda name: name != first)],
        leaked=compared["leaked"],
    )


def _model(learner: str, outcomes: list[Mapping[str, Any]]) -> dict[str, Any]:
    """One kind of model: its drawings and the lines of its table."""
    name = NAMES[learner]  # type: ignore[index]
    return {
        "name": name[:1].upper() + name[1:],
        "drawings": [_drawing(figure, outcomes) for figure in DRAWN],
        "lines": [_line(outcome) for outcome in outcomes],
    }


def _drawing(figure: str, outcomes: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Each remedy's difference to nothing, on one scale."""
    told = [(o["remedy"], o["differences"][figure]) for o in outcomes if o["remedy"] != "nothing"]
    words = HEADS[figure].rsplit(" ", 1)[0].replace("… after prior correction", "Brier score after prior correction")
    said = "; ".join(f"{remedy} {_interval(gap)}" for remedy, gap in told)
    lines = [(remedy, gap["value"], gap["low"], gap["high"]) for remedy, gap in told]
    return {
        "words": words,
        "better": HEADS[figure][-1],
        "svg": svg.differences(lines, f"{words}, difference to nothing: {said}"),
    }


def _line(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """One remedy's figures, each with its difference to nothing."""
    cells = []
    for figure in HEADS:
        gap = outcome["differences"][figure]
        same = outcome["remedy"] == "nothing" or (gap["low"] == gap["high"] == 0)
        cells.append({"value": _number(outcome["figures"][figure]), "gap": "" if same else _interval(gap)})
    return {"remedy": outcome["remedy"], "added": f"{outcome['added']:,.0f}", "cells": cells}


def _interval(gap: Mapping[str, float]) -> str:
    return f"{_signed(gap['value'])} [{_signed(gap['low'])}, {_signed(gap['high'])}]"


def _signed(value: float) -> str:
    return _number(value) if round(value, 3) <= 0 else "+" + _number(value)


def _number(value: float) -> str:
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "−")
