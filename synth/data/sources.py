"""Reading tables from files and frames, and writing them.

read(path or frame)  ->  Table             .csv .tsv .txt, .parquet .pq, .arrow .feather .ipc, pandas, polars, Arrow
write(table, path)                         by suffix; whole or not at all
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth.data.declaration import check_overrides, declare, is_complete, load_schema
from synth.data.files import READERS, read_file, write, write_arrow, write_csv, write_parquet
from synth.data.frames import to_arrow
from synth.data.inference import cover, infer
from synth.data.schema import Schema
from synth.data.table import Table

__all__ = ["READERS", "read", "write", "write_arrow", "write_csv", "write_parquet"]


def read(
    source: Any,
    *,
    schema: Schema | str | Path | Mapping[str, Any] | None = None,
    target: str | None = None,
    sensitive: str | Iterable[str] | None = None,
    subject: str | None = None,
    key: str | Iterable[str] | None = None,
    time: str | None = None,
    drop: str | Iterable[str] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Table:
    """Read a table from a file or a frame, and decide its schema.

    source: a path (.csv, .parquet, .arrow, .feather), a pandas, polars or Arrow table, a `Table`, or
        "bundled:arrests" for a real table that comes with synth (extra `demo`).
    schema: overrides, as a mapping or the path of a `schema.yaml`; or a whole `Schema` (or its `schema.json`), whose kinds and
        roles are then taken as they are and whose read-off facts are widened until these rows fit.
    target, sensitive, subject, key, drop: the columns with these roles; they win over the schema's.
    time: the column that orders the rows in time, for splits. kinds: kinds by column, where the inferred one is wrong.
    Raises DataError for rows that cannot be used, SchemaError for a schema that contradicts itself or the rows.
    """
    if isinstance(source, str) and source.startswith("bundled:"):
        from synth.data.bundled import load_bundled  # which reads through this module

        source = load_bundled(source.removeprefix("bundled:"))
    if isinstance(source, Table):
        arrow, frame = source.arrow, source.frame
        schema = source.schema if schema is None else schema
    elif isinstance(source, (str, Path)):
        arrow, frame = read_file(Path(source)), "arrow"
    else:
        arrow, frame = to_arrow(source)
    if isinstance(schema, (str, Path)):
        schema = load_schema(schema)
    if isinstance(schema, Mapping) and is_complete(schema):
        schema = Schema.from_dict(schema)
    roles = {"target": target, "sensitive": sensitive, "subject": subject, "key": key, "drop": drop}
    named: dict[str, Any] = {name: value for name, value in roles.items() if value is not None}
    if isinstance(schema, Schema):
        return _under(schema, arrow, frame, named, time, kinds)
    overrides = check_overrides(schema or {})
    entries = overrides.get("columns") or {}
    declared = {name: entry["kind"] for name, entry in entries.items() if "kind" in entry}
    inferred = infer(arrow, **named, time=time or overrides.get("time"), kinds={**declared, **(kinds or {})})
    return Table(arrow, declare(inferred, overrides), frame)


def _under(schema: Schema, arrow: pa.Table, frame: Any, named: dict[str, Any], time: str | None, kinds: Any) -> Table:
    arrow = arrow.select(list(schema.names))
    return Table(arrow, cover(schema, arrow), frame)
