"""How rows that nobody has approved are marked, and rows that no approval can ever cover."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from synth.errors import DataError

STATUS = "synth:status"

# In the Parquet metadata of every file of rows that is not an export.
QUARANTINE = {STATUS: "quarantined: not approved for release; see `synth gate` and `synth export`"}

# ... and of real rows whose missing cells were filled in.
REAL = {STATUS: "holds real cells: real rows whose missing cells were filled in; not synthetic, never to be released"}


def refuse_real(file: Path) -> None:
    """Raise DataError for a file that is marked as holding real cells, where synthetic rows are wanted."""
    try:
        metadata = pq.read_schema(file).metadata or {}
    except (pa.ArrowInvalid, OSError):  # no Parquet: whoever reads it says what it is
        return
    if metadata.get(STATUS.encode()) == REAL[STATUS].encode():
        raise DataError(
            f"{file} holds real cells, filled in by `synth impute`: it is real data, and cannot be measured, approved or "
            "exported as synthetic;\ndraw synthetic rows with `synth sample`"
        )
