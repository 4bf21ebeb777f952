"""Rows of an export, drawn once more from the model that made them, and proved equal to those that left.

`provenance.parquet` of an export says of each row which model gave it, under which seed and condition, in which shard and
place. Given the model, that shard is drawn again and the row held against the exported one: every cell, its type, nulls, and
floats to the last bit; rows that left as CSV are held against what the same writer makes of them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from synth._callable import callable_as
from synth.data.conditions import Where
from synth.data.files import storable, write_csv
from synth.data.table import Table
from synth.errors import InputError, VerificationError
from synth.gate.database import is_address
from synth.gate.provenance import PROVENANCE, Entry, Sample, entries
from synth.gate.statement import shown
from synth.gate.verify import Keys, verify
from synth.generators._shards import Part, Shards, drawn_again
from synth.generators._storage import load
from synth.generators.base import Generator
from synth.progress import Progress, silent


@dataclass(frozen=True)
class Replayed:
    """Rows that were drawn again, every one equal to the exported one."""

    rows: Table
    entries: tuple[Entry, ...]  # where each comes from

    def __len__(self) -> int:
        return len(self.entries)

    def to_dict(self) -> dict[str, Any]:
        """The rows and where they come from, as plain JSON values."""
        found = zip(self.entries, self.rows.arrow.to_pylist(), strict=True)
        values = [{**asdict(entry), "values": {name: _plain_value(v) for name, v in row.items()}} for entry, row in found]
        return {"equal": True, "rows": values}


def replay(
    export: str | Path,
    *,
    rows: Iterable[int] = (0,),
    model: Generator | str | Path | None = None,
    key: Keys | None = None,
    revocations: Keys | None = None,
    progress: Progress = silent,
) -> Replayed:
    """Draw rows of an export again and prove them equal to those that left.

    export: a verified folder (see `verify`, for `key` and `revocations` too), or the URL of an exported table.
    rows: their numbers, from 0. model: the fitted model, or the folder where it was saved; by default the run's own, beside the
    export. A shard that must not repeat earlier ones (`unique(…)`), or whose identifiers are issued after theirs, is drawn
    together with those.
    Raises VerificationError for an export that cannot be verified, another model than the one that made the rows, and a row
    that differs, naming the column; InputError where a row is not there, or cannot be drawn again at all.
    """
    wanted = sorted(set(rows))
    if not wanted:
        raise InputError("no row is named; give the number of at least one, from 0")
    verify(export, key=key, revocations=revocations)
    with _folder_of(export) as folder:
        found = tuple(entries(folder / PROVENANCE, wanted))
        shards = _shards(_sample(found[0]), _model(model, Path(str(export)).parent / "model"))
        drawn = _drawn(shards, found, progress)
        _compare(drawn, found, folder)
    return Replayed(drawn, found)


def _plain_value(value: Any) -> Any:
    """Text for what JSON has no form for: moments, exact decimals, NaN and the infinities."""
    plain = value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))
    return value if plain else str(value)


# what is drawn ---------------------------------------------------------------------------------------------------------


def _sample(entry: Entry) -> Sample:
    """What a row is a part of. Raises InputError where nobody can draw it again."""
    if entry.sample is None:
        raise InputError(
            f"row {entry.row:,} cannot be drawn again: its provenance names no model and place,\n"
            "since the rows come from a source that synth did not make, or are not a whole sample"
        )
    return entry.sample


def _model(given: Generator | str | Path | None, beside: Path) -> Generator:
    if isinstance(given, Generator):
        return given
    if given is None and not (beside / "model.json").is_file():
        raise InputError(
            f"no model is beside the export ({beside}); name the folder of the one that made the rows with --model"
        )
    return load(beside if given is None else given)


def _shards(sample: Sample, model: Generator) -> Shards:
    """The sample of which the rows are a part. Raises VerificationError where another model made it."""
    if (model.name, model.digest()) != (sample.generator, sample.model_digest):
        raise VerificationError(
            f"this is not the model that made the rows: it is {model.name} {model.digest()[:16]}…, and they come from "
            f"{shown(sample.generator)} {shown(sample.model_digest[:16])}…"
        )
    parts = sample.parts or ((sample.rows, sample.where),)
    asked = tuple(Part(rows, Where.parse(where, model.fitted.schema)) for rows, where in parts)
    return Shards(model, asked, sample.seed, sample.shard_rows)


def _drawn(shards: Shards, wanted: Sequence[Entry], progress: Progress) -> Table:
    """The rows of these entries, in their order."""
    places = {k: [entry.row_in_shard for entry in group] for k, group in groupby(wanted, key=lambda entry: entry.shard)}
    found = [part.take(np.array(places[k])) for k, part in drawn_again(shards, (k for k in places if k is not None), progress)]
    return Table.concat([replace(part, arrow=storable(part.arrow)) for part in found])


# what left -------------------------------------------------------------------------------------------------------------


@contextmanager
def _folder_of(export: str | Path) -> Iterator[Path]:
    """The export as a folder, be it one or a table."""
    if is_address(export):
        from synth.gate.sql import restored

        with restored(str(export)) as (_, folder):
            yield folder
    else:
        yield Path(export)


def _compare(drawn: Table, wanted: Sequence[Entry], folder: Path) -> None:
    """Raise VerificationError for the first row that differs, and the column in which it does."""
    rows = [entry.row for entry in wanted]
    binary = [folder / name for name in ("data.parquet", "data.arrow") if (folder / name).is_file()]
    parts = sorted((folder / "data").glob("*.parquet"))
    if binary or parts:
        _compare_cells(drawn.arrow, _read(binary[:1] or parts, rows), rows)
    else:
        _compare_text(drawn, rows, folder / "data.csv" if (folder / "data.csv").is_file() else folder / "data.sql")


def _read(files: Sequence[Path], rows: Sequence[int]) -> pa.Table:
    """These rows of files that follow each other."""
    import pyarrow.dataset as ds

    kind = "ipc" if files[0].suffix == ".arrow" else "parquet"
    return ds.dataset([str(file) for file in files], format=kind).take(pa.array(rows, pa.int64()))


def _compare_cells(drawn: pa.Table, left: pa.Table, rows: Sequence[int]) -> None:
    if drawn.column_names != left.column_names:
        raise VerificationError(f"the columns differ: drawn again {drawn.column_names}, exported {left.column_names}")
    for name in drawn.column_names:
        ours, theirs = _plain(drawn.column(name)), _plain(left.column(name))
        if ours.type != theirs.type:
            raise VerificationError(f"column {name!r} differs: drawn again as {ours.type}, exported as {theirs.type}")
        same = _bits(ours).equals(_bits(theirs))
        if not same:
            place = next(i for i in range(len(rows)) if not _bits(ours.slice(i, 1)).equals(_bits(theirs.slice(i, 1))))
            raise _differs(rows[place], name, ours[place].as_py(), theirs[place].as_py())


def _plain(values: pa.ChunkedArray) -> pa.Array:
    """The values in one chunk, written out where they are categories."""
    kind = values.type
    whole = values.cast(kind.value_type) if pa.types.is_dictionary(kind) else values
    return pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)


def _bits(values: pa.Array) -> pa.Array:
    """Floats as whole numbers of the same bits, so that NaN equals itself and -0.0 is not 0.0."""
    kinds = {pa.float16(): pa.uint16(), pa.float32(): pa.uint32(), pa.float64(): pa.uint64()}
    return values.view(kinds[values.type]) if values.type in kinds else values


def _compare_text(drawn: Table, rows: Sequence[int], file: Path) -> None:
    """Hold the rows against a CSV, or against the text that is signed for rows in a database, line by line."""
    table, head = drawn, 1
    if file.name == "data.sql":
        from synth.gate.forms import unsigned_zeros

        table, head = replace(drawn, arrow=unsigned_zeros(drawn.arrow)), 2
    sink = io.BytesIO()
    write_csv(table, sink)
    sink.seek(0)
    ours = [record for _, record in _records(sink, range(1, len(rows) + 1))]
    with file.open("rb") as source:
        theirs = dict(_records(source, [row + head for row in rows]))
    for row, mine in zip(rows, ours, strict=True):
        other = theirs.get(row + head)
        if mine != other:
            pairs = zip(table.columns, _cells(mine), _cells(other or b""), strict=False)
            name, one, two = next(((n, a, b) for n, a, b in pairs if a != b), (table.columns[-1], mine, other))
            raise _differs(row, name, one, two)


def _records(source: BinaryIO, wanted: Sequence[int] | range) -> Iterator[tuple[int, bytes]]:
    """These records of a CSV, by ascending number, from 0; a record ends with a line that closes its quotes."""
    chosen, last = set(wanted), max(wanted)
    number, record, quotes = 0, b"", 0
    for line in source:
        record += line
        quotes += line.count(b'"')
        if quotes % 2 == 0:
            if number in chosen:
                yield number, record
            if number == last:
                return
            number, record, quotes = number + 1, b"", 0


def _cells(record: bytes) -> list[str]:
    return next(csv.reader(io.StringIO(record.decode(), newline="")), [])


def _differs(row: int, column: str, drawn: Any, exported: Any) -> VerificationError:
    return VerificationError(
        f"row {row:,} differs in column {column!r}: drawn again {str(drawn)[:80]!r}, exported {str(exported)[:80]!r};\n"
        "the rows are not this sample of this model, or another version of synth or of its libraries drew them"
    )


callable_as(replay)
