"""What a schema does not declare of its columns although learning under a privacy budget takes it, and the words to declare it.

What an error says follows from the declaration alone: never a value, nor a kind, that was read off the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from synth.data.schema import Column, Kind, Role, Schema
from synth.errors import SchemaError

TAKES: Mapping[Kind, tuple[str, ...]] = {  # the facts that the cells of a column follow from
    Kind.INTEGER: ("minimum", "maximum", "nullable"),
    Kind.DECIMAL: ("decimals", "minimum", "maximum", "nullable"),
    Kind.DATETIME: ("unit", "minimum", "maximum", "nullable"),
    Kind.CATEGORICAL: ("categories", "nullable"),
    Kind.ORDINAL: ("categories", "nullable"),
    Kind.BOOLEAN: ("nullable",),
}
_WORDS: Mapping[str, Any] = {
    "kind": "KIND",
    "minimum": "LOWEST",
    "maximum": "HIGHEST",
    "decimals": "DIGITS",
    "unit": "UNIT",
    "categories": ["EACH", "LEGAL", "ONE"],
    "nullable": "TRUE_OR_FALSE",
}


def undeclared(schema: Schema) -> dict[str, tuple[str, ...]]:
    """The facts that each column takes and does not declare, by name; columns that declare all are left out."""
    lacking = {column.name: _lacking(column) for column in schema.columns}
    return {name: facts for name, facts in lacking.items() if facts}


def _lacking(column: Column) -> tuple[str, ...]:
    if "kind" not in column.declared:
        # Which columns are left out, or issued anew, was decided by their values too, unless somebody named them.
        named = "role" in column.declared and column.role in (Role.KEY, Role.SUBJECT, Role.DROPPED)
        return () if named else ("kind", *(fact for fact in TAKES.get(column.kind, ()) if fact in column.read_off_data))
    if not column.is_learned:
        return ()
    return tuple(fact for fact in TAKES[column.kind] if fact not in column.declared)


def can_be_bought(column: Column, fact: str) -> bool:
    """Whether noisy counts can tell it: not what the values are, nor their step, nor the order of a scale."""
    return fact in ("nullable", "minimum", "maximum") or (fact == "categories" and column.kind is Kind.CATEGORICAL)


def buyable(column: Column, facts: tuple[str, ...]) -> bool:
    """Whether noisy counts can tell all of these facts that a column lacks.

    Categories that are too rare to be told of need somewhere to go: the text OTHER, or null, which a person may have ruled out.
    """
    is_text = all(isinstance(level, str) for level in column.categories or ())
    lost = "categories" in facts and not (is_text or column.nullable or "nullable" not in column.declared)
    return not lost and all(can_be_bought(column, fact) for fact in facts)


def to_declare(schema: Schema, lacking: Mapping[str, tuple[str, ...]]) -> SchemaError:
    """The error that says what to write into the schema."""
    lines = ["columns:"]
    for name, facts in lacking.items():
        column = schema.column(name)
        said = {"kind": str(column.kind)} if "kind" in column.declared else {}
        drafted = {"read_off_data": list(column.read_off_data)} if column.read_off_data else {}
        entry = {name: {**said, **{fact: _WORDS[fact] for fact in facts}, **drafted}}
        text = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, default_flow_style=True, width=1_000)
        lines.append("  " + text.strip()[1:-1])  # without the braces around the whole
    first = next(iter(lacking))
    whose = repr(first) if len(lacking) == 1 else f"{first!r} and {len(lacking) - 1} more"
    if any(schema.column(name).read_off_data for name in lacking):
        return SchemaError(
            f"under a privacy budget nothing is read off the rows for free, and column {whose} of the draft "
            f"{'was' if len(lacking) == 1 else 'were'} and {'is' if len(lacking) == 1 else 'are'} not confirmed since;\n"
            "write what is publicly known in place of what was read, and take its name out of `read_off_data`; bounds, "
            "categories and nulls\ncan also be bought, with a share set aside for facts. Still to be confirmed:\n"
            + "\n".join(lines)
        )
    return SchemaError(
        f"under a privacy budget nothing is read off the rows for free, and column {whose} "
        f"{'does' if len(lacking) == 1 else 'do'} not declare all that is needed;\n"
        "write what is publicly known into schema.yaml (a KIND, and what it takes), or set a share aside to buy facts:\n"
        + "\n".join(lines)
    )
