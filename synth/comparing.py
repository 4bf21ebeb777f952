"""Runs put side by side: opened, named apart, and compared; see `synth.report.comparison`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from synth.errors import InputError, VerificationError
from synth.report.comparison import Comparison, Side, side_by_side
from synth.run_folder import Run
from synth.tracking import config_of, flattened


def compare(*runs: Run | str | Path) -> Comparison:
    """Put runs side by side: their verdicts, figures with intervals and floors, and what differs in their configs.

    runs: two or more run folders, or folders that `synth evaluate` made; the others are held against the first. What cannot be
    compared (other real rows, another policy, another version of synth) is said in `Comparison.warnings`, and so is a folder
    whose figures were edited.
    Raises InputError for fewer than two runs, or one that is given twice; DataError for a folder that is no run.
    """
    opened = [run if isinstance(run, Run) else Run.open(run) for run in runs]
    if len(opened) < 2:
        raise InputError(
            f"{len(opened)} run{'' if len(opened) == 1 else 's'} given, and a comparison takes two or more; name another"
        )
    places = Counter(run.path.resolve() for run in opened)
    if twice := [place for place, times in places.items() if times > 1]:
        raise InputError(f"{twice[0]} was given twice; give each run once")
    names = _names([run.path.resolve() for run in opened])
    sides = [Side(name, run.measurements, run.verdict, _settings(run)) for name, run in zip(names, opened)]
    return side_by_side(sides, [line for name, run in zip(names, opened) if (line := _altered(name, run))])


def _names(places: list[Path]) -> list[str]:
    """As much of each path's end as tells it from the others."""
    longest = max(len(place.parts) for place in places)
    for length in range(1, longest + 1):
        names = ["/".join(place.parts[-length:]) for place in places]
        if len(set(names)) == len(names):
            break
    return names


def _settings(run: Run) -> dict[str, Any]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in flattened(config_of(run))}


def _altered(name: str, run: Run) -> str:
    try:
        run.check()
    except VerificationError as problem:
        return f"{name} is not as it was measured and judged, so its figures prove nothing: {' '.join(str(problem).split())}"
    return ""
