"""The page of a repair: whether it helps, what parity does not do, how the rows were dealt out, and every effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synth.report.layout import page

TITLES = {"counts": "Repair toward parity of counts", "labels": "Repair toward parity of labels"}


def render(repaired: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    """One self-contained HTML page without a script. repaired: as `Repaired.to_dict`; context: of the rows' measurements."""
    return page(
        "repair.html.jinja",
        pictures=False,
        title=TITLES[repaired["toward"]],
        headline="It helps" if repaired["helps"] else "Not shown to help",
        repair=repaired,
        rows=context["rows"],
        most=max(repaired["cells"], key=lambda cell: cell["times"]),
        named=lambda group: ", ".join(f"{column} {value}" for column, value in group.items()),
    )
