"""A draft of a `schema.yaml`, for whoever is to declare a table from what is publicly known about it.

All that it states was read off the rows, and says so: `read_off_data` lists the facts of each column that nobody has confirmed.
Without a privacy budget the draft is a schema like any other; a fit under a budget refuses it, until a person has put in what
anybody may know and has taken the names out of the lists (`synth.privacy.undeclared`). Comments say how each column was taken,
and where a rounder bound or a yes-and-no suggests itself; the suggestions too are for a person to judge.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import yaml

from synth.data.declaration import FACTS, beside_columns
from synth.data.schema import Column, Kind, Role, Schema

HEAD = """\
# A draft that `synth schema --draft` read off the rows of {name}. It tells of them: keep it where they are.
#
# To fit under a privacy budget, go through the columns. For each name in a list `read_off_data`:
#   write what anybody may know without these rows (a codebook, a form, a law), then take the name out of the list;
#   an empty list can go. A fit under a budget refuses what is still listed.
# Bounds, categories and nulls may stay in the list where a share of the budget is set aside to buy them (--facts-share).
# Without a budget this is a schema as it stands.
"""
NAMED: tuple[tuple[str, tuple[int, int], str], ...] = (  # bounds that a name suggests to anybody
    (r"age|age_?(in_?)?years", (0, 120), "an age"),
    (r"(.*_)?(year|yob)|year_of_.*", (1900, 2100), "a year"),
    (r"(.*_)?month", (1, 12), "a month"),
    (r"(.*_)?hours?_?(per|a)_?week|hours-per-week", (0, 168), "hours of a week"),
    (r"(.*_)?hour", (0, 23), "an hour of the day"),
    (r"(.*_)?(percent|percentage|pct)", (0, 100), "a percentage"),
)
ANSWERS = ({"yes", "no"}, {"y", "n"}, {"true", "false"}, {"0", "1"}, {"t", "f"})
MANY = 100  # categories from which on a list is rather read off the rows than off a codebook


def drafted(schema: Schema) -> Schema:
    """The schema, each column marked with the facts that no person declared."""
    return replace(schema, columns=tuple(_marked(column) for column in schema.columns))


def dump_draft(schema: Schema, name: str) -> str:
    """The draft of a schema as YAML that `read(schema=…)` takes, with its comments. name: of the table."""
    lines = [HEAD.format(name=name) + "columns:"]
    for column in drafted(schema).columns:
        lines += [f"  # {line}" for line in [*column.why.splitlines(), *_suggestions(column)]]
        text = yaml.safe_dump(
            {column.name: _entry(column)}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
        )
        lines += [f"  {line}" for line in text.splitlines()]
    return "\n".join(lines) + "\n" + beside_columns(schema)


def _marked(column: Column) -> Column:
    return replace(column, read_off_data=tuple(fact for fact in _stated(column) if fact not in column.declared))


def _stated(column: Column) -> list[str]:
    """The facts that the draft states; that a column has no special role needs no saying."""
    facts = column.to_dict()
    return [fact for fact in FACTS if fact in facts and not (fact == "role" and column.role is Role.FEATURE)]


def _entry(column: Column) -> dict[str, Any]:
    facts = column.to_dict()
    entry = {fact: facts[fact] for fact in _stated(column)}
    return entry | ({"read_off_data": list(column.read_off_data)} if column.read_off_data else {})


# suggestions -------------------------------------------------------------------------------------------------------------


def _suggestions(column: Column) -> Iterator[str]:
    """What may be public of a column, in comments."""
    if {"minimum", "maximum"} & set(column.read_off_data) and (bounds := rounder(column)) is not None:
        low, high, why = bounds
        yield f"rounder: minimum: {low}, maximum: {high} ({why})"
    if "categories" in column.read_off_data:
        levels = {str(level).lower() for level in column.categories or ()}
        if levels in ANSWERS:
            yield "the answers to a question: whoever knows the form knows these"
        elif len(levels) > MANY:
            yield f"{len(levels)} categories were seen: does a codebook list them, or is this rather an identifier, or text?"
        else:
            yield "a codebook would also list what no row has, and not what only one may have"
    if "nullable" in column.read_off_data:
        yield "nullable: may an answer be missing, whether or not one is?"


def rounder(column: Column) -> tuple[Any, Any, str] | None:
    """Rounder bounds that hold what the column's own do, and why these; None where it has none, or they are round."""
    low, high = column.minimum, column.maximum
    if low is None or high is None:
        return None
    if column.kind is Kind.DATETIME:
        year = str(high)[:4]
        first, last = f"{str(low)[:4]}-01-01", f"{year}-12-31" if column.unit == "day" else f"{int(year) + 1:04}-01-01"
        own = (str(low)[:10], str(high)[:10])
        return None if own == (first, last) else (first, last, "whole years")
    assert not isinstance(low, str)
    assert not isinstance(high, str)
    for pattern, (lower, upper), why in NAMED:
        if re.fullmatch(pattern, column.name.lower().replace(" ", "_")) and lower <= low and high <= upper:
            return lower, upper, why
    least, most = (_plain(_outwards(low, -1)), _plain(_outwards(high, 1)))
    return None if (least, most) == (low, high) else (least, most, "the next round numbers; look for the real ones")


def _plain(bound: Decimal) -> int | float:
    return int(bound) if bound == int(bound) else float(bound)


def _outwards(bound: float | int, way: int) -> Decimal:
    """The next number with one digit that is not 0, away from all that is within the bound: 90 → 100 upwards, 17 → 0 down."""
    if bound == 0:
        return Decimal(0)
    if (bound > 0) != (way > 0):
        return Decimal(0)  # nearer zero is within: zero itself is the round one
    exact = abs(Decimal(repr(bound)))
    step = Decimal(10) ** math.floor(exact.log10())
    return way * (exact / step).to_integral_value("ROUND_CEILING") * step
