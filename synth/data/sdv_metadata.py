"""SDV's metadata JSON: read as what a person declares about a table, and written from a schema.

Read are the form that SDV 2 writes (METADATA_SPEC_VERSION V2, and V1 of SDV 1.x: `tables` and `relationships`) and the older
one of a single table (SINGLE_TABLE_V1, SINGLE_TABLE_V2). The fields are those of SDV's documentation; no code of SDV is needed
or used.

    sdtype                       here
    numerical                    integer (no decimal places, or a representation as an integer), else decimal
    categorical, ordinal         categorical, ordinal (an `order` too); boolean where the legal values are true and false
    boolean, datetime            boolean, datetime
    id                           identifier, re-issued by its regex_format where it has one
    email, name, ssn, … (PII)    identifier, re-issued by the same provider; categorical with "pii": false
    text, unknown                text and identifier, re-issued
    primary_key                  the role key, or `unique(…)` where it has several columns
    alternate_keys               `unique(…)`
    sequence_key, sequence_index the role subject, and the column that orders rows in time

SDV's metadata has no place for targets, sensitive and dropped columns, and other constraints: they are not written. Its
`column_relationships` (that columns are one address) say nothing that is learned here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from synth.data.schema import Column, Kind, Role, Schema
from synth.errors import SchemaError, did_you_mean

TABLE = "table"  # the name a table is written by where none is given
FORMS = ("V2", "V1", "SINGLE_TABLE_V2", "SINGLE_TABLE_V1")
TOP = (
    "columns",
    "primary_key",
    "alternate_keys",
    "sequence_key",
    "sequence_index",
    "column_relationships",
    "METADATA_SPEC_VERSION",
)
FACTS = (
    "sdtype",
    "pii",
    "range_min",
    "range_max",
    "range_values",
    "range_is_nullable",
    "decimal_places",
    "computer_representation",
    "datetime_format",
    "regex_format",
    "order",
    "order_by",
    "high_cardinality",
)
PROVIDER = {  # what has another name here
    "phone_number": "phone",
    "ipv4_address": "ip",
    "ipv6_address": "ipv6",
    "credit_card_number": "credit_card",
    "user_agent_string": "user_agent",
}
SDTYPE = {provider: sdtype for sdtype, provider in PROVIDER.items()}
BOUNDS = (("minimum", "range_min"), ("maximum", "range_max"))
UNKNOWN = ("sequence", "pattern", "uuid", "text")  # providers that are no sdtype
ISO = {  # how moments of each unit are written
    "day": "%Y-%m-%d",
    "hour": "%Y-%m-%d %H",
    "minute": "%Y-%m-%d %H:%M",
    "second": "%Y-%m-%d %H:%M:%S",
}
FINER = "%Y-%m-%d %H:%M:%S.%f"


# reading ---------------------------------------------------------------------------------------------------------------


def is_sdv_metadata(document: Any) -> bool:
    """Whether a JSON document is SDV's metadata rather than a schema of ours."""
    return isinstance(document, Mapping) and ("METADATA_SPEC_VERSION" in document or "tables" in document)


def from_sdv_metadata(document: Mapping[str, Any], *, table: str | None = None, where: str = "the metadata") -> dict[str, Any]:
    """The overrides (see `synth.data.declaration`) that SDV's metadata declares.

    table: the name of the table, where there are several; of one table the name does not matter.
    Raises SchemaError for a document that is not such metadata, and where it does not say which table is meant.
    """
    version = document.get("METADATA_SPEC_VERSION", FORMS[0])
    if version not in FORMS:
        raise SchemaError(f"{where} has METADATA_SPEC_VERSION {version!r}; known are {', '.join(FORMS)}")
    part, foreign = _table(document, table, where) if "tables" in document else (document, frozenset())
    entries = part.get("columns")
    if not isinstance(entries, Mapping) or not entries:
        raise SchemaError(f"{where} lists no columns: it is not metadata of a table")
    for key in part:
        if key not in TOP:
            raise SchemaError(f"{where} has an unknown key {key!r}{did_you_mean(str(key), TOP)}")
    columns = {str(name): _entry(str(name), entry, where) for name, entry in entries.items()}
    for name in foreign & columns.keys():
        columns[name].setdefault("kind", "identifier")
    out: dict[str, Any] = {"columns": columns}
    primary, keys = part.get("primary_key"), _key_lists(part.get("alternate_keys") or [], where)
    if isinstance(primary, (list, tuple)) and len(primary) > 1:
        keys = [list(primary), *keys]
    elif primary:
        out["key"] = primary if isinstance(primary, str) else primary[0]
    said = [out.get("key"), *(name for key in keys for name in key), part.get("sequence_key"), part.get("sequence_index")]
    for unknown in [one for one in said if one is not None and one not in columns]:
        raise SchemaError(
            f"{where} names a column {unknown!r} that it does not list{did_you_mean(str(unknown), tuple(columns))}"
        )
    if keys:
        out["constraints"] = [f"unique({', '.join(_quoted(name) for name in key)})" for key in keys]
    if isinstance(part.get("sequence_key"), str):
        out["subject"] = part["sequence_key"]
    if part.get("sequence_index"):
        out["time"] = part["sequence_index"]
    return out


def _table(document: Mapping[str, Any], wanted: str | None, where: str) -> tuple[Mapping[str, Any], frozenset[str]]:
    """The part about one table, and its columns that are keys of other tables."""
    tables = document["tables"]
    if not isinstance(tables, Mapping) or not tables or not all(isinstance(part, Mapping) for part in tables.values()):
        raise SchemaError(f"{where}: `tables` is no mapping of names to tables; save it with SDV")
    if len(tables) > 1 and wanted not in tables:
        raise SchemaError(
            f"{where} describes {len(tables)} tables ({', '.join(map(str, tables))}), and none is named {wanted!r}"
            f"{did_you_mean(str(wanted), tuple(map(str, tables)))}; name the table's file after the one that is meant"
        )
    name = wanted if wanted in tables else next(iter(tables))
    links = document.get("relationships") or []
    foreign = [link.get("child_foreign_key") for link in links if link.get("child_table_name") == name]
    return tables[name], frozenset(n for key in foreign for n in ([key] if isinstance(key, str) else key or []))


def _key_lists(keys: Any, where: str) -> list[list[str]]:
    if not isinstance(keys, list):
        raise SchemaError(f"{where}: `alternate_keys` is {keys!r}; it is a list of column names in SDV")
    return [[key] if isinstance(key, str) else list(key) for key in keys]


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else '"' + name.replace('"', '""') + '"'


def _entry(name: str, entry: Any, where: str) -> dict[str, Any]:
    """What SDV says of one column, as facts of ours."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("sdtype"), str):
        raise SchemaError(f"{where}: column {name!r} has no sdtype")
    for key in entry:
        if key not in FACTS:
            raise SchemaError(f"{where}: column {name!r} has an unknown key {key!r}{did_you_mean(str(key), FACTS)}")
    sdtype, values = entry["sdtype"], entry.get("range_values") or entry.get("order")
    facts: dict[str, Any] = {}
    if sdtype == "numerical":
        integer = entry.get("decimal_places") == 0 or "int" in str(entry.get("computer_representation", "")).lower()
        facts["kind"] = "integer" if integer else "decimal"
        if not integer and "decimal_places" in entry:
            facts["decimals"] = entry["decimal_places"]
        facts |= {ours: entry[theirs] for ours, theirs in BOUNDS if theirs in entry}
    elif sdtype == "datetime":
        facts["kind"] = "datetime"
        form = entry.get("datetime_format")
        facts |= {ours: _iso(name, entry[theirs], form, where) for ours, theirs in BOUNDS if theirs in entry}
    elif sdtype in ("categorical", "ordinal", "boolean"):
        facts |= _category(sdtype, entry, values)
    else:
        facts |= _reissued(sdtype, entry)
    if "range_is_nullable" in entry:
        facts["nullable"] = entry["range_is_nullable"]
    return facts


def _category(sdtype: str, entry: Mapping[str, Any], values: Any) -> dict[str, Any]:
    if sdtype == "boolean" or (values and all(isinstance(value, bool) for value in values)):
        return {"kind": "boolean"}
    ordered = bool(values) and (sdtype == "ordinal" or "order" in entry)
    return {"kind": "ordinal" if ordered else "categorical"} | ({"categories": list(values)} if values else {})


def _reissued(sdtype: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    if entry.get("pii") is False and sdtype != "id":
        return {"kind": "categorical"}  # SDV then learns it
    if sdtype == "text":
        return {"kind": "text"}
    if sdtype == "id" and entry.get("regex_format"):
        return {"kind": "identifier", "provider": "pattern", "pattern": entry["regex_format"]}
    return {"kind": "identifier"} | ({} if sdtype in ("id", "unknown") else {"provider": PROVIDER.get(sdtype, sdtype)})


def _iso(name: str, value: Any, form: Any, where: str) -> str:
    """A moment in SDV's format as ISO 8601."""
    if form is None:
        return str(value)
    try:
        return datetime.strptime(str(value), str(form)).isoformat()
    except ValueError as problem:
        raise SchemaError(
            f"{where}: column {name!r} has a range that ends at {value!r}, which is not in its datetime_format {form!r}"
        ) from problem


# writing ---------------------------------------------------------------------------------------------------------------


def to_sdv_metadata(schema: Schema, table: str = TABLE, *, single: bool = False) -> dict[str, Any]:
    """A schema as SDV's metadata: in the form of SDV 2, or, with `single`, in that of one table (SINGLE_TABLE_V1).

    `json.dumps` of it is what SDV's `Metadata.load_from_json` reads. Raises SchemaError for an identifier whose pattern SDV
    could not read.
    """
    part: dict[str, Any] = {"columns": {column.name: _written(column, single) for column in schema.columns}}
    keys = [column.name for column in schema.columns if column.role is Role.KEY]
    if keys:
        part["primary_key"] = keys[0]
    unique = [name for name in _unique_columns(schema) if name not in keys]
    if keys[1:] or unique:
        part["alternate_keys"] = list(dict.fromkeys([*keys[1:], *unique]))
        for name in part["alternate_keys"]:  # a key is an id to SDV, or what it makes up
            if part["columns"][name]["sdtype"] in ("numerical", "categorical", "ordinal", "boolean", "datetime"):
                part["columns"][name] = {"sdtype": "id"}
    if single:
        return {"METADATA_SPEC_VERSION": "SINGLE_TABLE_V1", **part}
    return {"tables": {table: part}, "relationships": [], "METADATA_SPEC_VERSION": "V2"}


def _unique_columns(schema: Schema) -> list[str]:
    from synth.data.constraints import Unique, parse  # which need this room's schema

    parsed = [parse(text, schema) for text in schema.constraints]
    return [rule.columns[0] for rule in parsed if isinstance(rule, Unique) and len(rule.columns) == 1]


def _written(column: Column, single: bool) -> dict[str, Any]:
    if column.is_reissued:
        return _written_identifier(column, single)
    out: dict[str, Any] = {}
    bounds = {"range_min": column.minimum, "range_max": column.maximum}
    if column.kind in (Kind.INTEGER, Kind.DECIMAL):
        decimals = 0 if column.kind is Kind.INTEGER else column.decimals
        out = {"sdtype": "numerical"}
        if single:
            out["computer_representation"] = "Int64" if column.kind is Kind.INTEGER else "Float"
        elif decimals is not None:
            out |= {"decimal_places": decimals}
    elif column.kind is Kind.DATETIME:
        form = ISO.get(column.unit or "", FINER)
        out = {"sdtype": "datetime", "datetime_format": form}
        bounds = {side: None if value is None else _moment(str(value), form) for side, value in bounds.items()}
    elif column.kind is Kind.BOOLEAN:
        return {"sdtype": "boolean"} | ({} if single else {"range_is_nullable": column.nullable})
    elif single:
        return {"sdtype": "categorical"} | ({"order": _plain(column.categories)} if column.kind is Kind.ORDINAL else {})
    else:
        out = {"sdtype": str(column.kind), "range_values": _plain(column.categories)}
        bounds = {}
    if single:
        return out
    return out | {side: value for side, value in bounds.items() if value is not None} | {"range_is_nullable": column.nullable}


def _plain(categories: tuple[Any, ...] | None) -> list[Any]:
    """Categories as JSON values: those of numpy are none."""
    return [value.item() if isinstance(value, np.generic) else value for value in categories or ()]


def _moment(iso: str, form: str) -> str:
    """ISO 8601 text in SDV's format; what is finer than a microsecond is cut off, as SDV has no format for it."""
    text = re.sub(r"(\.\d{6})\d+", r"\1", iso)
    return datetime.fromisoformat(text if len(text) != len("2024-05-31T12") else f"{text}:00").strftime(form)


def _written_identifier(column: Column, single: bool) -> dict[str, Any]:
    nullable = {} if single else {"range_is_nullable": column.nullable}
    if column.kind is Kind.TEXT:
        return {"sdtype": "text", "pii": True} | nullable
    if column.pattern is not None and column.provider in (None, "pattern"):
        return {"sdtype": "id", "regex_format": column.pattern} | nullable
    provider = column.provider
    if column.kind is not Kind.IDENTIFIER or provider is None or provider in UNKNOWN:
        return {"sdtype": "id"} | nullable
    return {"sdtype": SDTYPE.get(provider, provider), "pii": True} | nullable
