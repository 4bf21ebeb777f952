"""`provenance.parquet`: for each exported row, which model gave it, and everything that it takes to draw it again.

One entry per row: its number, the generator and the SHA-256 of the fitted model, the shard and the place in it, seed and
condition of the sample, and the number of the attempt in the log. `synth.replay` draws rows again by it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synth.data.table import Provenance, Table
from synth.errors import DataError
from synth.gate.verdict import Attempt
from synth.generators import by_name, names
from synth.generators._shards import Cut
from synth.generators.base import Generator

PROVENANCE = "provenance.parquet"
SHARD_ROWS, TOTAL, PARTS = b"synth:shard_rows", b"synth:rows", b"synth:parts"  # in the file's metadata
ROW_GROUP = 1_000_000
_COUNTED = ("row", "row_in_shard")  # stored as differences, which are all the same

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("generator", pa.dictionary(pa.int32(), pa.string())),
        ("model_digest", pa.dictionary(pa.int32(), pa.string())),
        ("shard", pa.int32()),
        ("row_in_shard", pa.int32()),
        ("seed", pa.int64()),
        ("where", pa.dictionary(pa.int32(), pa.string())),
        ("attempt", pa.int32()),
    ]
)


def provenance(synthetic: Table, attempt: Attempt | None) -> bytes:
    """The Parquet file for these rows; the same rows and attempt give the same bytes.

    What is not known is null: everything of rows that synth did not make, the shard where they are not a whole sample, the
    attempt of a verdict that was not logged. The file's metadata says how many rows a shard has, and all shards together.
    """
    origin, n = synthetic.provenance, len(synthetic)
    size = _shard_rows(origin.generator) if origin is not None else ROW_GROUP
    whole = origin is not None and origin.rows == n
    facts = {SHARD_ROWS: str(size), TOTAL: str(n)} if whole else {TOTAL: str(n)}
    if whole and origin is not None and origin.parts:
        facts[PARTS] = json.dumps(origin.parts, ensure_ascii=False)
    places = _Places(origin, n, size) if whole and origin is not None else None
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        SCHEMA.with_metadata(facts),
        compression="zstd",
        use_dictionary=[name for name in SCHEMA.names if name not in _COUNTED],
        column_encoding=dict.fromkeys(_COUNTED, "DELTA_BINARY_PACKED"),
        write_page_checksum=True,
    ) as writer:
        for start in range(0, max(n, 1), ROW_GROUP):
            rows = np.arange(start, min(n, start + ROW_GROUP), dtype=np.int64)
            count = len(rows)
            columns = {
                "row": pa.array(rows),
                "generator": _same(origin.generator if origin else None, count),
                "model_digest": _same(origin.model_digest if origin else None, count),
                "shard": pa.nulls(count, pa.int32()) if places is None else places.shard(rows),
                "row_in_shard": pa.nulls(count, pa.int32()) if places is None else places.row_in_shard(rows),
                "seed": pa.repeat(pa.scalar(origin.seed if origin else None, pa.int64()), count),
                "where": _same(origin.where if origin else None, count) if places is None else places.where(rows),
                "attempt": pa.repeat(pa.scalar(attempt.number if attempt else None, pa.int32()), count),
            }
            writer.write_table(pa.table(columns, schema=writer.schema), row_group_size=ROW_GROUP)
    return sink.getvalue()


class _Places:
    """Where each row of a whole sample was drawn."""

    def __init__(self, origin: Provenance, n: int, size: int) -> None:
        parts = origin.parts or ((n, origin.where),)
        cut = Cut(tuple(rows for rows, _ in parts), size)
        self._starts = np.array([cut.rows(k).start for k in range(len(cut))], dtype=np.int64)
        self._part = np.array([cut.part(k) for k in range(len(cut))], dtype=np.int32)
        self._wheres = pa.array([where for _, where in parts], pa.string())

    def _shard(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(np.searchsorted(self._starts, rows, "right") - 1)

    def shard(self, rows: np.ndarray) -> pa.Array:
        return pa.array(self._shard(rows).astype(np.int32))

    def row_in_shard(self, rows: np.ndarray) -> pa.Array:
        return pa.array((rows - self._starts[self._shard(rows)]).astype(np.int32))

    def where(self, rows: np.ndarray) -> pa.Array:
        """The condition of each row, as one entry of a dictionary; null for none."""
        if self._wheres.null_count == len(self._wheres):
            return _same(None, len(rows))
        part = self._part[self._shard(rows)]
        null = np.asarray(self._wheres.is_null())[part]
        return pa.DictionaryArray.from_arrays(pa.array(part, mask=null), self._wheres.fill_null(""))


@dataclass(frozen=True)
class Sample:
    """One `sample` of one model, as entries name it; `where` is that of the row's own part."""

    generator: str
    model_digest: str
    seed: int
    where: str | None
    rows: int  # of the whole sample
    shard_rows: int
    parts: tuple[tuple[int, str | None], ...] = ()  # of the whole sample, where it has several


@dataclass(frozen=True)
class Entry:
    """Where one row comes from. `sample` is None where synth did not make it, or it was not exported with its whole sample."""

    row: int
    shard: int | None
    row_in_shard: int | None
    attempt: int | None
    sample: Sample | None


def entries(file: str | Path, rows: Iterable[int]) -> Iterator[Entry]:
    """The entries of these rows, by ascending number, each once.

    Raises DataError for a row that is not there, and for a file that is not in the form that `provenance` writes.
    """
    wanted = np.unique(np.fromiter(rows, dtype=np.int64))
    try:
        source = pq.ParquetFile(file, page_checksum_verification=True)
        facts = source.schema_arrow.metadata or {}
        total = source.metadata.num_rows
        if source.schema_arrow.names != SCHEMA.names or (SHARD_ROWS in facts and int(facts[TOTAL]) != total):
            raise DataError(f"{file} is not a table of provenance as this version of synth writes it; export the run again")
        if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < total:
            raise DataError(
                f"there is no row {wanted[-1] if wanted[-1] >= total else wanted[0]:,}; rows go from 0 to {total - 1:,}"
            )
        size = int(facts[SHARD_ROWS]) if SHARD_ROWS in facts else None
        parts = tuple((int(n), where) for n, where in json.loads(facts.get(PARTS, b"[]")))
        start = 0
        for group in range(source.num_row_groups):
            end = start + source.metadata.row_group(group).num_rows
            here = wanted[(wanted >= start) & (wanted < end)] - start
            if len(here):
                found = source.read_row_group(group).take(pa.array(here)).to_pylist()
                yield from (_entry(line, total, size, parts) for line in found)
            start = end
    except (pa.ArrowException, OSError, KeyError, ValueError) as problem:
        raise DataError(f"{file} cannot be read: {' '.join(str(problem).split())[:160]}") from problem


def _entry(line: dict[str, object], total: int, size: int | None, parts: tuple[tuple[int, str | None], ...]) -> Entry:
    facts = {name: line[name] for name in ("generator", "model_digest", "seed", "where")}
    made = size is not None and facts["generator"] is not None and line["shard"] is not None
    sample = Sample(**facts, rows=total, shard_rows=size, parts=parts) if made else None  # type: ignore[arg-type]
    return Entry(line["row"], line["shard"], line["row_in_shard"], line["attempt"], sample)  # type: ignore[arg-type]


def _shard_rows(generator: str) -> int:
    """How many rows the shards of a method's samples have."""
    method = by_name(generator) if generator in names() else Generator
    return method._shard_rows


def _same(value: str | None, count: int) -> pa.Array:
    """One text in all rows, as one entry of a dictionary."""
    codes = pa.nulls(count, pa.int32()) if value is None else pa.array(np.zeros(count, dtype=np.int32))
    return pa.DictionaryArray.from_arrays(codes, pa.array([] if value is None else [value], pa.string()))
