"""`schema.yaml`: what a person declares about a table, laid over what was read off it.

    target: income
    sensitive: [sex, race]
    time: admitted
    columns:
      age: {kind: integer, minimum: 17, maximum: 90}
      education: {kind: ordinal, categories: [primary, secondary, tertiary]}
    constraints:
      - "start <= end"

A schema as a run saves it (`schema.json`) is read as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from synth.data.schema import Column, Schema
from synth.errors import SchemaError, did_you_mean

FACTS = ("kind", "role", "nullable", "categories", "minimum", "maximum", "decimals", "unit", "provider", "pattern")
TOP = ("columns", "constraints", "time", "target", "sensitive", "key", "subject", "drop")


def load_schema(path: str | Path) -> dict[str, Any]:
    """Read the overrides in a YAML or JSON file, keys checked. Raises SchemaError for a file that is no schema."""
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
        document = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as problem:
        raise SchemaError(
            f"schema {file} is not {'JSON' if file.suffix == '.json' else 'YAML'}: {' '.join(str(problem).split())[:160]}"
        ) from problem
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
            if not isinstance(entry, Mapping):
                raise SchemaError(
                    f"{where}: column {name!r} is {entry!r}; write it as a mapping, for instance {{kind: integer}}"
                )
            for key in entry:
                if key not in FACTS:
                    raise SchemaError(f"{where}: column {name!r} has an unknown key {key!r}{did_you_mean(str(key), FACTS)}")
    elif not isinstance(columns, list):
        raise SchemaError(f"{where}: `columns` is {columns!r}; write one entry per column under it")
    return dict(document)


def is_complete(overrides: Mapping[str, Any]) -> bool:
    """Whether this is a whole schema as a run saves it, rather than a person's overrides."""
    return isinstance(overrides.get("columns"), list)


def declare(schema: Schema, overrides: Mapping[str, Any]) -> Schema:
    """The schema with what a person declared in place of what was read off the rows; noted in `Column.declared`.

    Raises SchemaError for a column that is not there, and for a declaration that the rows contradict.
    """
    changed = []
    for name, entry in (overrides.get("columns") or {}).items():
        changed.append(_declare_column(schema.column(str(name)), entry))
    constraints = tuple(overrides.get("constraints") or ()) or schema.constraints
    time = overrides.get("time") or schema.time
    return replace(schema.with_columns(*changed), constraints=constraints, time=time)


def _declare_column(seen: Column, entry: Mapping[str, Any]) -> Column:
    facts = dict(entry)
    declared = tuple(fact for fact in FACTS if fact in entry or fact in seen.declared)
    return replace(seen, **facts, declared=declared)


def dump_schema(schema: Schema) -> str:
    """The schema as YAML that `read(schema=…)` takes back."""
    document: dict[str, Any] = {"columns": {}}
    for column in schema.columns:
        entry = {key: value for key, value in column.to_dict().items() if key in FACTS}
        document["columns"][column.name] = entry
    if schema.constraints:
        document["constraints"] = list(schema.constraints)
    if schema.time is not None:
        document["time"] = schema.time
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
