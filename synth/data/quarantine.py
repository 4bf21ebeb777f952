"""How rows that nobody has approved are marked, with where they come from, and rows that no approval can ever cover.

A mark stands in the file's own metadata, where every reader passes it on. In a run folder a second one stands beside the file,
for people: a file of the same name with `.quarantined` at its end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth.data.files import write_parquet
from synth.data.table import Mark, Provenance, Table
from synth.errors import DataError
from synth.folder import replace

STATUS = "synth:status"
ORIGIN = "synth:provenance"

# In the Parquet metadata of every file of rows that is not an export.
QUARANTINE = {STATUS: "quarantined: not approved for release; see `synth gate` and `synth export`"}

# ... of those that a model made which was fitted under a privacy budget: exact figures about them are outside of it.
PRIVATE = {STATUS: f"{QUARANTINE[STATUS]}; made under a privacy budget"}

# ... and of real rows whose missing cells were filled in.
REAL = {STATUS: "holds real cells: real rows whose missing cells were filled in; not synthetic, never to be released"}


_MARKS: Mapping[bytes | None, Mark] = {
    QUARANTINE[STATUS].encode(): "quarantined",
    PRIVATE[STATUS].encode(): "private",
    REAL[STATUS].encode(): "real",
}
SIGN = ".quarantined"  # at the end of the name of the file beside
WORDS = """\
{name} holds synthetic rows that nobody has approved: read them to judge them, and pass them on to nobody.
To release them: `synth gate RUN`, then `synth export RUN --to DIR`, which writes a copy that anybody can verify.
A file of these rows without an attestation.json beside it was not released by synth.
"""


def write_quarantined(table: Table, path: Path) -> None:
    """Write synthetic rows as Parquet, marked as not approved for release. Raises DataError where that cannot be written."""
    write_parquet(table, path, metadata=PRIVATE if table.is_private else QUARANTINE, footer=origin(table.provenance))


def sign_beside(path: Path) -> None:
    """Say beside a file, in three lines, that its rows are not approved, and what to do. Raises DataError."""
    replace(path.with_name(path.name + SIGN), WORDS.format(name=path.name))


def mark_of(file: Path) -> Mark | None:
    """What a Parquet file says of its rows; None for one that says nothing, and for what cannot be read as Parquet."""
    import pyarrow.parquet as pq  # loaded only where a Parquet file is

    try:
        return _marked(pq.read_schema(file))
    except (pa.ArrowException, OSError):  # whoever reads it says what it is
        return None


def mark_of_frame(frame: Any) -> Mark | None:
    """What an Arrow table, or a pandas frame, says of its rows. A polars frame has no place for it."""
    if isinstance(frame, pa.Table):
        return _marked(frame.schema)
    attributes = getattr(frame, "attrs", None)
    status = attributes.get(STATUS) if isinstance(attributes, dict) else None
    return _MARKS.get(status.encode()) if isinstance(status, str) else None


def _marked(schema: pa.Schema) -> Mark | None:
    return _MARKS.get((schema.metadata or {}).get(STATUS.encode()))


def origin(provenance: Provenance | None) -> Mapping[str, str]:
    """What goes into a file's footer, to say where its rows come from; nothing where nobody knows."""
    return {} if provenance is None else {ORIGIN: json.dumps(provenance.to_dict(), sort_keys=True)}


def origin_of(file: Path) -> Provenance | None:
    """Where a quarantined file says that its rows come from, or None. Nothing vouches for it, as an approval would.

    Raises DataError for a file that cannot be read, or whose footer is damaged.
    """
    import pyarrow.parquet as pq

    try:
        text = (pq.read_metadata(file).metadata or {}).get(ORIGIN.encode())
        return None if text is None else Provenance(**json.loads(text))
    except (pa.ArrowException, OSError, ValueError, TypeError) as problem:
        reason = " ".join(str(problem).split())[:160]
        raise DataError(f"{file} does not say where its rows come from: {reason}; draw them again") from problem


def refuse_real(file: Path) -> None:
    """Raise DataError for a file that is marked as holding real cells, where synthetic rows are wanted."""
    if mark_of(file) == "real":
        raise DataError(
            f"{file} holds real cells, filled in by `synth impute`: it is real data, and cannot be measured, approved or "
            "exported as synthetic;\ndraw synthetic rows with `synth sample`"
        )
