"""`schema.yaml`: what a person declares about a table, laid over what was read off it.

    target: income
    sensitive: [sex, race]
    time: admitted
    columns:
      age: {kind: integer, minimum: 17, maximum: 90}
      education: {kind: ordinal, categories: [primary, secondary, tertiary]}
    constraints:
      - "start <= end"

A schema as a run saves it (`schema.json`) is read as well, and so is SDV's metadata JSON (`synth.data.sdv_metadata`).
"""

from __future__ import annotations

import datetime
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from synth.data.facts import FULL
from synth.data.moments import moment_text, units_of
from synth.data.schema import TIME_UNITS, Column, Kind, Role, Schema, member_of
from synth.data.sdv_metadata import from_sdv_metadata, is_sdv_metadata
from synth.data.yaml_text import parse_yaml
from synth.errors import SchemaError, did_you_mean

FACTS = ("kind", "role", "nullable", "categories", "minimum", "maximum", "decimals", "unit", "provider", "pattern")
DRAFTED = "read_off_data"  # lists the facts of an entry that nobody has confirmed: see `synth.data.drafting`
TOP = ("columns", "constraints", "time", "target", "sensitive", "key", "subject", "drop")


ROLE_OF = {
    "target": Role.TARGET,
    "sensitive": Role.SENSITIVE,
    "subject": Role.SUBJECT,
    "key": Role.KEY,
    "drop": Role.DROPPED,
}
APPLIES: Mapping[str, tuple[Kind, ...]] = {  # the kinds that a fact can be said of; a fact not listed fits all
    "categories": (Kind.CATEGORICAL, Kind.ORDINAL),
    "minimum": (Kind.INTEGER, Kind.DECIMAL, Kind.DATETIME),
    "maximum": (Kind.INTEGER, Kind.DECIMAL, Kind.DATETIME),
    "decimals": (Kind.DECIMAL,),
    "unit": (Kind.DATETIME,),
    "provider": (Kind.IDENTIFIER, Kind.TEXT),
}


def load_schema(path: str | os.PathLike[str], *, table: str | None = None) -> dict[str, Any]:
    """Read the overrides in a YAML or JSON file, keys checked. Raises SchemaError for a file that is no schema.

    table: the name of the table that is meant, for SDV's metadata of several.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as problem:
        raise SchemaError(
            f"schema {file} cannot be read: {problem.strerror}; give the path of a YAML or JSON file"
        ) from problem
    except UnicodeDecodeError as problem:
        raise SchemaError(f"schema {file} is no UTF-8 text (byte {problem.start}); save it as UTF-8") from problem
    try:
        document = json.loads(text) if file.suffix == ".json" else parse_yaml(text)
    except (ValueError, RecursionError) as problem:
        raise SchemaError(
            f"schema {file} is not {'JSON' if file.suffix == '.json' else 'YAML'}: {' '.join(str(problem).split())[:160]}"
        ) from problem
    if is_sdv_metadata(document):
        document = from_sdv_metadata(document, table=table, where=f"SDV metadata {file}")
    return check_overrides(document, f"schema {file}")


def check_overrides(document: Any, where: str = "the schema") -> dict[str, Any]:
    """The overrides as a plain mapping. Raises SchemaError for a key that is not one, with the nearest right one."""
    if not isinstance(document, Mapping):
        raise SchemaError(f"{where} is not a mapping; write `columns:` and under it one entry per column")
    for key in document:
        if key not in TOP:
            raise SchemaError(f"{where} has an unknown key {key!r}{did_you_mean(str(key), TOP)}")
    columns = document.get("columns") or {}
    if isinstance(columns, Mapping):
        for name, entry in columns.items():
            if not isinstance(name, str):
                raise SchemaError(f"{where}: the column name {name!r} is no text in YAML; put it in quotes: '{name}'")
            if not isinstance(entry, Mapping):
                raise SchemaError(
                    f"{where}: column {name!r} is {entry!r}; write it as a mapping, for instance {{kind: integer}}"
                )
            for key in entry:
                if key not in (*FACTS, DRAFTED):
                    raise SchemaError(f"{where}: column {name!r} has an unknown key {key!r}{did_you_mean(str(key), FACTS)}")
            _check_drafted(name, entry.get(DRAFTED), where)
    elif not isinstance(columns, list):
        raise SchemaError(f"{where}: `columns` is {columns!r}; write one entry per column under it")
    constraints = document.get("constraints")
    if constraints is not None and not (
        isinstance(constraints, (list, tuple)) and all(isinstance(c, str) for c in constraints)
    ):
        raise SchemaError(f'{where}: `constraints` is {constraints!r}; list them as text, for instance ["start <= end"]')
    return dict(document)


def _check_drafted(name: str, facts: Any, where: str) -> None:
    """Raise SchemaError for a list of unconfirmed facts that is none."""
    if facts is not None and not isinstance(facts, (list, tuple)):
        raise SchemaError(f"{where}: column {name!r}: {DRAFTED} is {facts!r}; list names of facts, or leave it out")
    for fact in facts or ():
        if fact not in FACTS:
            raise SchemaError(f"{where}: column {name!r}: {DRAFTED} lists {fact!r}{did_you_mean(str(fact), FACTS)}")


def is_complete(overrides: Mapping[str, Any]) -> bool:
    """Whether this is a whole schema as a run saves it, rather than a person's overrides."""
    return isinstance(overrides.get("columns"), list)


def declare(schema: Schema, overrides: Mapping[str, Any], *, check: bool = True) -> Schema:
    """The schema with what a person declared in place of what was read off the rows; noted in `Column.declared`.

    Raises SchemaError for a column that is not there, and, where asked to check, for a declaration that the rows contradict.
    """
    overrides = check_overrides(overrides)
    named = _named_roles(overrides)
    entries = {str(name): dict(entry) for name, entry in (overrides.get("columns") or {}).items()}
    for name, role in named.items():
        entries.setdefault(name, {})["role"] = role
    seen = {name: schema.column(name) for name in entries}
    if not check:
        seen = {name: _unseen(column, entries[name]) for name, column in seen.items()}
    changed = [_declare_column(seen[name], entry) for name, entry in entries.items()]
    constraints = overrides.get("constraints")
    time = overrides.get("time")
    return replace(
        schema.with_columns(*changed),
        constraints=schema.constraints if constraints is None else tuple(constraints),
        time=schema.time if time is None else str(time),
    )


def _named_roles(overrides: Mapping[str, Any]) -> dict[str, Role]:
    """The roles given at the top of the overrides, by column."""
    roles: dict[str, Role] = {}
    for key, role in ROLE_OF.items():
        names = overrides.get(key)
        for name in [names] if isinstance(names, str) else list(names or ()):
            roles[str(name)] = role
    return roles


def _unseen(seen: Column, entry: Mapping[str, Any]) -> Column:
    """The column without what was read off the rows of the facts that are declared, which then nothing contradicts."""
    blank: dict[str, Any] = {"nullable": False, "categories": None, "minimum": None, "maximum": None}
    known = {fact: value for fact, value in blank.items() if fact in entry}
    if known.get("categories", ()) is None and seen.kind.is_category and seen.kind is not Kind.BOOLEAN:
        known["categories"] = tuple(entry["categories"]) if isinstance(entry["categories"], list) else seen.categories
    return replace(seen, **known)


def _declare_column(seen: Column, entry: Mapping[str, Any]) -> Column:
    kind = member_of(Kind, entry.get("kind", seen.kind), f"kind of column {seen.name!r}")
    if kind is not seen.kind and not (kind.is_number and seen.kind.is_number and Kind.DATETIME not in (kind, seen.kind)):
        categories = _categories_needed(seen, kind, entry)
        seen = replace(seen, kind=kind, categories=categories, minimum=None, maximum=None, decimals=None, unit=None)
    entry = dict(entry)
    drafted = entry.pop(DRAFTED, None) or ()
    facts: dict[str, Any] = {}
    if "unit" in entry and entry["unit"] in TIME_UNITS:
        seen = replace(seen, unit=entry["unit"])  # which bounds are then counted in
    for fact, value in entry.items():
        applies = APPLIES.get(fact)
        if applies is not None and kind not in applies:
            fits = ", ".join(applies)
            raise SchemaError(
                f"column {seen.name!r} is {kind}, so {fact!r} says nothing of it; {fact} belongs to {fits} columns"
            )
        facts[fact] = _CHECKS[fact](seen, value) if fact in _CHECKS else value
    declared = tuple(fact for fact in FACTS if (fact in entry or fact in seen.declared) and fact not in drafted)
    said = [fact for fact in entry if fact not in seen.declared and fact not in drafted]
    why = f"{seen.why}; declared: {', '.join(said)}" if seen.why and said else seen.why
    return replace(seen, **facts, declared=declared, read_off_data=tuple(f for f in FACTS if f in drafted), why=why)


def _categories_needed(seen: Column, kind: Kind, entry: Mapping[str, Any]) -> Any:
    """Legal values for a column that becomes a category by declaration alone; the ones it has stay."""
    if not kind.is_category or kind is Kind.BOOLEAN:
        return None
    found = entry.get("categories", seen.categories)
    if not found:
        raise SchemaError(f"column {seen.name!r} is declared {kind} but its legal values are not known; list its categories")
    return tuple(found)


# one check per fact: the value as the schema keeps it, or SchemaError -------------------------------------------------


def _nullable(seen: Column, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SchemaError(f"column {seen.name!r}: nullable is {value!r}; write true or false")
    if seen.nullable and not value:
        raise SchemaError(f"column {seen.name!r} is declared nullable: false, but it holds nulls; fill them, or allow them")
    return value


def _categories(seen: Column, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise SchemaError(f"column {seen.name!r}: categories is {value!r}; list its legal values, for instance [low, high]")
    held = seen.categories or ()
    listed = tuple(_like(seen.name, level, held) for level in value)
    legal = set(listed)
    for level in held:
        if level not in legal:
            raise SchemaError(
                f"column {seen.name!r} holds {level!r}, which is not among its declared categories"
                f"{did_you_mean(str(level), listed)}; add it, or correct the value"
            )
    return listed


def _like(name: str, level: Any, held: tuple[Any, ...]) -> Any:
    """A listed level in the type of those the column holds; YAML reads `no` and `1` as no text."""
    if isinstance(level, (datetime.date, list, dict)) or level is None:
        raise SchemaError(f"column {name!r} lists {level!r} among its categories; put it in quotes to make it text")
    if not held or type(level) is type(held[0]):
        return level
    if isinstance(held[0], float) and isinstance(level, int) and not isinstance(level, bool):
        return float(level)
    if isinstance(held[0], str):
        raise SchemaError(
            f"column {name!r} holds text, but its categories list {level!r} ({type(level).__name__}); put it in quotes"
        )
    raise SchemaError(
        f"column {name!r} holds {type(held[0]).__name__} values, but its categories list {level!r}; write it as one"
    )


def _bound(fact: str) -> Callable[[Column, Any], Any]:
    def check(seen: Column, value: Any) -> Any:
        observed = getattr(seen, fact)
        if seen.kind is Kind.DATETIME:
            return _moment(seen, fact, value, observed)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise SchemaError(f"column {seen.name!r}: {fact} is {value!r}; give a number")
        if observed is not None and (value > observed if fact == "minimum" else value < observed):
            raise SchemaError(_contradiction(seen, fact, value, observed))
        return value

    return check


def _moment(seen: Column, fact: str, value: Any, observed: Any) -> str:
    text = value.isoformat() if isinstance(value, datetime.date) else str(value)
    units = units_of(text, seen)
    if units is None:
        raise SchemaError(f"column {seen.name!r}: {fact} is {value!r}; write a moment as 2024-05-31 or 2024-05-31T12:00:00")
    if observed is not None:
        edge = units_of(str(observed), seen)
        if edge is not None and (units > edge if fact == "minimum" else units < edge):
            raise SchemaError(_contradiction(seen, fact, text, observed))
    return moment_text(math.floor(units) if fact == "minimum" else math.ceil(units), seen)


def _contradiction(seen: Column, fact: str, value: Any, observed: Any) -> str:
    side = "above" if fact == "minimum" else "below"
    return (
        f"column {seen.name!r} has the declared {fact} {value}, {side} the value {observed} that it holds; change one of them"
    )


def _decimals(seen: Column, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= FULL:
        raise SchemaError(
            f"column {seen.name!r}: decimals is {value!r}; give a whole number from 0 to {FULL} (as many as a double has)"
        )
    return value


def _pattern(seen: Column, value: Any) -> str:
    try:
        re.compile(str(value))
    except re.error as problem:
        raise SchemaError(f"column {seen.name!r}: pattern {value!r} is no regular expression ({problem})") from problem
    return str(value)


_CHECKS: Mapping[str, Callable[[Column, Any], Any]] = {
    "nullable": _nullable,
    "categories": _categories,
    "minimum": _bound("minimum"),
    "maximum": _bound("maximum"),
    "decimals": _decimals,
    "pattern": _pattern,
}


def dump_schema(schema: Schema) -> str:
    """The schema as YAML that `read(schema=…)` takes back, each column under a comment that says how it was decided."""
    lines = ["columns:"]
    for column in schema.columns:
        facts = column.to_dict()
        entry = {fact: facts[fact] for fact in FACTS if fact in facts}
        text = yaml.safe_dump({column.name: entry}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
        lines += [f"  # {line}" for line in column.why.splitlines()]
        lines += [f"  {line}" for line in text.splitlines()]
    return "\n".join(lines) + "\n" + beside_columns(schema)


def beside_columns(schema: Schema) -> str:
    """What the YAML of a schema says after its columns; nothing where there is nothing to say."""
    rest: dict[str, Any] = {}
    if schema.constraints:
        rest["constraints"] = list(schema.constraints)
    if schema.time is not None:
        rest["time"] = schema.time
    return yaml.safe_dump(rest, sort_keys=False, allow_unicode=True) if rest else ""
