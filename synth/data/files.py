"""Files of rows: CSV, Parquet and Arrow, each written whole or not at all; and labelled images, which are only read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth.data.frames import DTYPE, check_names, tidy
from synth.data.image_files import holds_images, read_images
from synth.data.kinds import is_text
from synth.data.table import Table
from synth.errors import DataError, did_you_mean
from synth.folder import new_file

ROW_GROUP = 100_000
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # pandas saves the index of a frame, which is no column, under this name

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".data": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}


def format_of(path: Path) -> str:
    """The format that a file's suffix stands for: csv, parquet or arrow. Raises DataError for one that is not known."""
    try:
        return SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise DataError(
            f"{path.name!r} ends in {path.suffix or 'no suffix'!r}, no known format{did_you_mean(path.suffix, SUFFIXES)}"
        ) from None


def read_file(path: Path) -> pa.Table:
    """The rows of a file. Raises DataError, naming the file and what is wrong with it."""
    if holds_images(path) and path.exists():
        return _read_images(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder; give the path of one file of rows, or a folder with one of images for each class")
    if not path.exists():
        raise DataError(f"{path} is not there; check the path (the working folder is {Path.cwd()})")
    kind = format_of(path)
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes); give a file with a header and rows")
        return READERS[kind](path)
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror or problem}") from problem


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        # Arrow's own file: where a thread of Arrow lets go of a Python one while the process ends, that aborts (arrow#34314).
        with pa.OSFile(str(path)) as source:
            table = pq.ParquetFile(source, page_checksum_verification=True).read()
    except (pa.ArrowException, OSError) as problem:
        raise DataError(f"{path} is no Parquet file that can be read: {' '.join(str(problem).split())[:160]}") from problem
    check_names(table.column_names)
    return tidy(table.select([name for name in table.column_names if not _PANDAS_INDEX.fullmatch(name)]))


def _read_arrow(path: Path) -> pa.Table:
    import pyarrow.feather as feather

    try:
        table = feather.read_table(path, memory_map=False)
    except (pa.ArrowException, OSError) as problem:
        raise DataError(f"{path} is no Arrow file that can be read: {' '.join(str(problem).split())[:160]}") from problem
    return tidy(table)


def _read_images(path: Path) -> pa.Table:
    try:
        return read_images(path)
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror or problem}") from problem


def _read_csv(path: Path) -> pa.Table:
    from synth.data.csv_text import read_csv  # pyarrow.csv is loaded only where a CSV is

    return tidy(read_csv(path))


READERS: Mapping[str, Callable[[Path], pa.Table]] = {"csv": _read_csv, "parquet": _read_parquet, "arrow": _read_arrow}


# writing ------------------------------------------------------------------------------------------------------------


def write(table: Table, path: str | os.PathLike[str]) -> Path:
    """Write a table to a file, in the format of its suffix; whole or not at all. Returns the path."""
    file = Path(path)
    WRITERS[format_of(file)](table, file)
    return file


def write_parquet(
    table: Table, sink: Any, *, metadata: Mapping[str, str] | None = None, footer: Mapping[str, str] | None = None
) -> None:
    """Write Parquet whose bytes depend on the rows, their types, `metadata` and `footer` alone.

    sink: a path (written whole or not at all), or a file object open for writing bytes.
    metadata: of the rows' schema, which readers pass on; footer: facts about the file (`pq.read_metadata(path).metadata`).
    The same rows give the same bytes in every process and whatever the table's chunks; so do rows read back and written again.
    Raises DataError where the file cannot be written.
    """
    with parquet_parts(sink, metadata=metadata, footer=lambda: footer or {}) as append:
        append(table.arrow)


@contextmanager
def parquet_parts(
    sink: Any, *, metadata: Mapping[str, str] | None = None, footer: Callable[[], Mapping[str, str]] = dict
) -> Iterator[Callable[[pa.Table], None]]:
    """Write rows that come in parts, with the bytes that `write_parquet` gives for all of them at once.

    Gives a function to append a part with; at most one row group waits in memory. Parts are of one type, and the dictionaries
    of their columns are the same in all. The file appears when the block ends, and only if at least one part was appended.
    footer is asked when all rows are written, and may tell of them.
    """
    with _sink(sink) as out, ExitStack() as opened:
        writer: Any = None
        waiting: pa.Table | None = None
        written = 0

        def append(part: pa.Table) -> None:
            nonlocal writer, waiting
            rows = storable(part)
            if writer is None:
                schema = rows.schema.with_metadata(dict(sorted((metadata or {}).items())) or None)
                writer = opened.enter_context(_parquet_writer(out, schema))
            waiting = rows if waiting is None else pa.concat_tables([waiting, rows])
            while len(waiting) >= ROW_GROUP:
                flush()

        def flush() -> None:
            nonlocal waiting, written
            assert waiting is not None
            # In one chunk, so that the chunks of the table leave no trace in the file.
            writer.write_table(waiting.slice(0, ROW_GROUP).combine_chunks().cast(writer.schema), row_group_size=ROW_GROUP)
            waiting = waiting.slice(ROW_GROUP)
            written += 1

        yield append
        if waiting is not None and (len(waiting) or not written):
            flush()
        if writer is not None and (facts := footer()):
            writer.add_key_value_metadata(dict(sorted(facts.items())))


def _parquet_writer(out: Any, schema: pa.Schema) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetWriter(
        out,
        schema,
        compression="zstd",
        version="2.6",
        data_page_version="1.0",
        write_statistics=True,
        write_page_checksum=True,
        store_schema=True,
    )


def write_csv(table: Table, sink: Any) -> None:
    """Write CSV as UTF-8 with a header; null is an empty cell. Raises DataError where the file cannot be written."""
    import pyarrow.csv as csv

    rows = table.arrow
    kinds = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in rows.schema.types]
    schema = pa.schema(list(zip(rows.column_names, kinds, strict=True)))
    with _sink(sink) as out, csv.CSVWriter(out, schema) as writer:
        for piece in _slices(rows, schema):
            writer.write_table(piece)


def write_arrow(table: Table, sink: Any) -> None:
    """Write an Arrow IPC file (Feather 2). Raises DataError where the file cannot be written."""
    rows = storable(table.arrow)
    with _sink(sink) as out, pa.ipc.new_file(out, rows.schema) as writer:
        for piece in _slices(rows, rows.schema):
            writer.write_table(piece)


WRITERS: Mapping[str, Callable[[Table, Any], None]] = {  # the first one is what an export is written as by default
    "parquet": write_parquet,
    "csv": write_csv,
    "arrow": write_arrow,
}


def storable(rows: pa.Table) -> pa.Table:
    """The rows in types that come back from Parquet as they went in; see `_stored`."""
    rows = rows.unify_dictionaries()
    arrays, fields = [], []
    for field, values in zip(rows.schema, rows.columns, strict=True):
        kind = _stored(values.type)
        kept = {key: value for key, value in (field.metadata or {}).items() if key == DTYPE}
        arrays.append(values.cast(kind) if kind != values.type else values)
        fields.append(pa.field(field.name, kind, nullable=True, metadata=kept or None))
    return pa.table(arrays, schema=pa.schema(fields))


def _stored(kind: pa.DataType) -> pa.DataType:
    """The nearest type that Parquet keeps: dictionaries of text have 32-bit codes, those of anything else are their values."""
    if pa.types.is_dictionary(kind):
        return pa.dictionary(pa.int32(), pa.string(), kind.ordered) if is_text(kind.value_type) else _stored(kind.value_type)
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if pa.types.is_date64(kind):
        return pa.date32()
    return kind


def _slices(rows: pa.Table, schema: pa.Schema) -> Iterator[pa.Table]:
    """Pieces of one row group each, in one chunk each, so that the chunks of the table leave no trace in the file."""
    for start in range(0, max(len(rows), 1), ROW_GROUP):
        yield rows.slice(start, ROW_GROUP).combine_chunks().cast(schema)


@contextmanager
def _sink(sink: Any) -> Iterator[Any]:
    """A file object to write to. A path is written under a temporary name in its folder and renamed when all is written."""
    if not isinstance(sink, (str, os.PathLike)):
        yield pa.PythonFile(sink, mode="w")
        return
    try:
        with new_file(Path(sink)) as out:
            yield out
    except pa.ArrowException as problem:
        reason = " ".join(str(problem).split())[:160]
        raise DataError(f"cannot write {sink}: {reason}; drop such a column, or choose another format") from problem
