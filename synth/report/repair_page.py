"""The page of a repair: whether it helps, what parity does not do, how the rows were dealt out, and every effect."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

TITLES = {"counts": "Repair toward parity of counts", "labels": "Repair toward parity of labels"}


def render(repaired: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    """One self-contained HTML page without a script. repaired: as `Repaired.to_dict`; context: of the rows' measurements."""
    return _template().render(
        title=TITLES[repaired["toward"]],
        repair=repaired,
        rows=context["rows"],
        most=max(repaired["cells"], key=lambda cell: cell["times"]),
        named=lambda group: ", ".join(f"{column} {value}" for column, value in group.items()),
    )


@cache
def _template() -> Template:
    env = Environment(
        loader=PackageLoader("synth.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return env.get_template("repair.html.jinja")
