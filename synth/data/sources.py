"""Reading tables from files and frames, and writing them.

read(path or frame)  ->  Table             .csv .tsv .txt, .parquet .pq, .arrow .feather .ipc, pandas, polars, Arrow;
                                           an IDX file of images with its labels beside it, a folder of images by class
read_claimed(path or frame, schema)        rows made by somebody else, judged rather than trusted
write(table, path)                         by suffix; whole or not at all
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synth.data.declaration import DRAFTED, ROLE_OF, check_overrides, declare, is_complete, load_schema
from synth.data.facts import plain
from synth.data.files import format_of, read_file, write, write_arrow, write_csv, write_parquet
from synth.data.frames import to_arrow
from synth.data.image_files import holds_images
from synth.data.images import LABEL
from synth.data.inference import cover, infer, named_roles, reassign
from synth.data.kinds import is_text
from synth.data.quarantine import mark_of, mark_of_frame
from synth.data.schema import Column, Kind, Role, Schema, member_of
from synth.data.sdv_metadata import from_sdv_metadata, is_sdv_metadata
from synth.data.table import FrameKind, Mark, Table
from synth.errors import DataError, SchemaError, did_you_mean

__all__ = ["read", "read_claimed", "write", "write_arrow", "write_csv", "write_parquet"]

SchemaLike = Schema | str | os.PathLike[str] | Mapping[str, Any]


def read(
    source: Any,
    *,
    schema: SchemaLike | None = None,
    target: str | None = None,
    sensitive: str | Iterable[str] | None = None,
    subject: str | None = None,
    key: str | Iterable[str] | None = None,
    time: str | None = None,
    drop: str | Iterable[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    check: bool = True,
) -> Table:
    """Read a table from a file or a frame, and decide its schema.

    source: a path (.csv, .parquet, .arrow, .feather), a pandas, polars or Arrow table, a `Table`, or
        "bundled:arrests" for a real table that comes with synth (extra `demo`). Labelled images are read as rows of pixels
        (`synth.data.images`) from an IDX file (…images-idx3-ubyte, its labels beside it), or from a folder that has one of PNG
        or JPEG files for each class; their column `label` is then the target, if no other is named.
    schema: overrides, as a mapping or the path of a `schema.yaml` (or SDV's metadata, or its path); or a whole `Schema` (or its
        `schema.json`), whose kinds and roles are then taken as they are and whose read-off facts are widened until these rows
        fit.
    target, sensitive, subject, key, drop: the columns with these roles; they win over the schema's.
    time: the column that orders the rows in time, for splits. kinds: kinds by column, where the inferred one is wrong.
    check: whether rows that a declaration excludes are an error. Under a privacy budget, say no: an error tells of a row, and
        what becomes of such a row is then said by `synth.privacy.columns`.

    In a CSV, an empty cell and the words in `synth.data.csv_text.NULLS` are null; in any source NaN is null.
    Raises DataError for rows that cannot be used, SchemaError for a schema that contradicts itself or the rows.
    """
    if isinstance(source, (str, Path)) and str(source).startswith("bundled:"):
        from synth.data.bundled import load_bundled  # which reads through this module

        source = load_bundled(str(source).removeprefix("bundled:"))
    arrow, frame, schema = _rows_and_schema(source, schema)
    mark = _mark(source)
    roles = {"target": target, "sensitive": sensitive, "subject": subject, "key": key, "drop": drop}
    named: dict[str, Any] = {role: _names(names) for role, names in roles.items() if names is not None}
    if isinstance(schema, Schema):
        under = schema if isinstance(source, Table) and schema is source.schema else cover(schema, arrow)
        return Table(arrow, reassign(under, arrow, time=time, kinds=kinds, **named), frame, mark=mark)
    said = schema or {}
    overrides = check_overrides(from_sdv_metadata(said) if is_sdv_metadata(said) else said)
    if _is_images(source):
        kinds = {LABEL: Kind.CATEGORICAL, **(kinds or {})}
        if target is None and not _names_target(overrides):
            named["target"] = LABEL
    if isinstance(source, Table):
        overrides = _over_declared(source.schema, overrides)
    entries = overrides.get("columns") or {}
    for name in entries:
        if name not in arrow.column_names:
            raise SchemaError(
                f"the schema has a column {name!r} that is not there{did_you_mean(str(name), arrow.column_names)}"
            )
    declared_kinds = {name: entry["kind"] for name, entry in entries.items() if "kind" in entry} | dict(kinds or {})
    inferred = infer(
        arrow, time=overrides.get("time") if time is None else time, kinds=declared_kinds, **_roles(overrides, entries, named)
    )
    declared = declare(inferred, _facts_only(overrides, kinds or {}), check=check)
    if check:
        _check_rows(declared, arrow)
    return Table(arrow, declared, frame, mark=mark)


def read_claimed(source: Any, schema: Schema) -> Table:
    """Read rows that somebody claims to fit a schema: the columns must be there, the values are left to be measured.

    The schema of the table is exactly the one given, whatever the rows hold. Raises DataError for a column that is missing or
    that the schema does not have.
    """
    arrow, frame, _ = _rows_and_schema(source, schema)
    return Table(arrow, schema, frame, mark=_mark(source))


def _is_images(source: Any) -> bool:
    return isinstance(source, (str, os.PathLike)) and holds_images(Path(source))


def _names_target(overrides: Mapping[str, Any]) -> bool:
    entries = (overrides.get("columns") or {}).values()
    return overrides.get("target") is not None or any(entry.get("role") == Role.TARGET for entry in entries)


def _mark(source: Any) -> Mark | None:
    """What the rows are marked as where they come from, which they stay."""
    if isinstance(source, Table):
        return source.mark or ("private" if source.is_private else None)
    if not isinstance(source, (str, os.PathLike)):
        return mark_of_frame(source)
    if _is_images(source) or format_of(Path(source)) != "parquet":
        return None
    return mark_of(Path(source))


def _rows_and_schema(source: Any, schema: SchemaLike | None) -> tuple[pa.Table, FrameKind, Schema | Mapping[str, Any] | None]:
    frame: FrameKind = "arrow"
    if isinstance(source, Table):
        arrow, frame = source.arrow, source.frame
        schema = source.schema if schema is None else schema
    elif isinstance(source, (str, os.PathLike)):
        if "://" in str(source):
            raise DataError(f"{source} is an address on a network; download it first and give the file's path")
        arrow = read_file(Path(source))
    else:
        arrow, frame = to_arrow(source)
    if isinstance(schema, (str, os.PathLike)):
        schema = load_schema(schema, table=Path(source).stem if isinstance(source, (str, os.PathLike)) else None)
    if isinstance(schema, Mapping) and is_complete(schema):
        schema = Schema.from_dict(schema)
    return (_align(arrow, schema) if isinstance(schema, Schema) else arrow), frame, schema


def _align(arrow: pa.Table, schema: Schema) -> pa.Table:
    """The rows with the schema's columns in its order, and categories of text as text even where a CSV reads as numbers."""
    for name in schema.names:
        if name not in arrow.column_names:
            raise DataError(f"the table has no column {name!r}, which its schema has{did_you_mean(name, arrow.column_names)}")
    for name in arrow.column_names:
        if name not in schema:
            raise DataError(f"the table has a column {name!r} that its schema has not{did_you_mean(name, schema.names)}")
    arrow = arrow.select(list(schema.names))
    for position, column in enumerate(schema.columns):
        values = arrow.column(position)
        kind = pa.string() if _is_text_read_as_numbers(column, values.type) else values.type
        if values.null_count == len(values) and (pa.types.is_null(kind) or is_text(kind)):
            expected = _type_of_nulls(column)
            kind = kind if is_text(kind) and is_text(expected) else expected
        if kind != values.type:
            arrow = arrow.set_column(position, arrow.schema.field(position).with_type(kind), values.cast(kind))
    return arrow


def _type_of_nulls(column: Column) -> pa.DataType:
    """The type for a column that has no value to tell it by."""
    if column.kind is Kind.DATETIME:
        return pa.date32() if column.unit == "day" else pa.timestamp("us")
    by_kind = {Kind.INTEGER: pa.int64(), Kind.DECIMAL: pa.float64(), Kind.BOOLEAN: pa.bool_()}
    level = type((column.categories or ("",))[0])
    by_level = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    return by_kind.get(column.kind) or by_level.get(level) or pa.string()


def _is_text_read_as_numbers(column: Column, kind: pa.DataType) -> bool:
    text = any(isinstance(level, str) for level in column.categories or ())
    return text and (pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _over_declared(schema: Schema, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides laid over what the schema of a `Table` already declares."""
    entries: dict[str, dict[str, Any]] = {}
    taken = {role for key, role in ROLE_OF.items() if overrides.get(key)}
    for column in schema.columns:
        facts = column.to_dict()
        entries[column.name] = {fact: facts[fact] for fact in (*column.declared, *column.read_off_data) if fact in facts}
        if column.read_off_data:
            entries[column.name][DRAFTED] = list(column.read_off_data)
        if column.role in taken or column.role is Role.FEATURE:
            entries[column.name].pop("role", None)
    for name, entry in (overrides.get("columns") or {}).items():
        before = entries.get(name, {})
        drafted = [fact for fact in before.get(DRAFTED, ()) if fact not in entry]  # what is stated anew is confirmed
        entries[name] = before | {DRAFTED: drafted} | entry
    constraints = overrides.get("constraints") or list(schema.constraints)
    return {**overrides, "columns": entries, "constraints": constraints, "time": overrides.get("time") or schema.time}


def _names(names: Any) -> Any:
    return names if isinstance(names, str) else tuple(names)


def _roles(overrides: Mapping[str, Any], entries: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of each role: as named in the call, else at the top of the overrides, and column by column."""
    roles: dict[str, Any] = {}
    said = {
        name: member_of(Role, entry["role"], f"role of column {name!r}") for name, entry in entries.items() if "role" in entry
    }
    for key, role in ROLE_OF.items():
        single = key in ("target", "subject")
        if key in named:
            roles[key] = named[key]
            continue
        top = overrides.get(key)
        listed = [top] if isinstance(top, str) else list(top or ())
        listed += [name for name, own in said.items() if own is role and name not in listed]
        if single and len(listed) > 1:
            raise SchemaError(f"the schema names {len(listed)} columns as {key} ({', '.join(map(str, listed))}); keep one")
        if listed:
            roles[key] = listed[0] if single else tuple(listed)
    named_roles(**roles)
    return roles


def _facts_only(overrides: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """The overrides without the roles and kinds that inference has already followed."""
    columns = {}
    for name, entry in (overrides.get("columns") or {}).items():
        left = {key: value for key, value in entry.items() if not (key == "kind" and name in kinds)}
        if left.get("role") not in (None, Role.FEATURE):
            left.pop("role")
        columns[name] = left
    return {"columns": columns, "constraints": overrides.get("constraints")}


def _check_rows(schema: Schema, arrow: pa.Table) -> None:
    """What a declaration says of single values, which the facts read off the rows do not show."""
    for column in schema.columns:
        values = arrow.column(column.name)
        if column.kind is Kind.ORDINAL and "kind" in column.declared and "categories" not in column.declared:
            ordered = pa.types.is_dictionary(values.type) and values.type.ordered
            if not ordered and any(isinstance(level, str) for level in column.categories or ()):
                raise SchemaError(
                    f"column {column.name!r} is declared ordinal, but the order of its texts is not known; "
                    "list them from low to high under `categories` in the schema"
                )
        if column.pattern is not None and column.role is not Role.DROPPED and is_text(plain(values).type):
            pattern = re.compile(column.pattern)
            for text in pc.unique(plain(values)).drop_null().to_pylist():
                if not pattern.fullmatch(text):
                    raise SchemaError(
                        f"column {column.name!r} holds {text!r}, which does not match its pattern {column.pattern!r}; "
                        "correct one of them"
                    )
