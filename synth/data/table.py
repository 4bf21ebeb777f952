"""`Table`: rows (Arrow) that agree with a `Schema`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from synth.data.schema import Column, Schema
from synth.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

NAMED_PARTS = 6  # of a sample of several conditions that are told in words
FrameKind = Literal["arrow", "pandas", "polars"]
Mark = Literal["quarantined", "private", "real"]
"""What a file says of its rows: synthetic and not approved, the same and made under a privacy budget, or with real cells."""


@dataclass(frozen=True)
class Provenance:
    """Where synthetic rows came from: enough to make the same rows again from the same model."""

    generator: str
    model_digest: str  # SHA-256 (hex) of the fitted model
    seed: int
    rows: int
    where: str | None = None  # the condition, in canonical words
    acceptance: float | None = None  # with a condition: rows kept, of those that were begun
    effective_rows: float | None = None  # ... and as many independent rows as these are worth (Kish's effective sample size)
    private: bool | None = None  # True: of a model that was fitted under a privacy budget
    noise_known: bool | None = None  # True: under a budget whose noise came from a seed, in a test; such rows never leave
    parts: tuple[tuple[int, str | None], ...] = ()  # of several conditions: each part's rows, and what they satisfy

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple((int(rows), where) for rows, where in self.parts))  # lists, as read from JSON

    @property
    def condition(self) -> str | None:
        """What the rows satisfy, in words, those of several parts part by part; None where they may be any."""
        if not self.parts:
            return self.where
        said = [f"{where or 'any row'} ({rows:,} rows)" for rows, where in self.parts[:NAMED_PARTS]]
        more = len(self.parts) - NAMED_PARTS
        return "; or ".join(said) + (f"; and {more} more parts" if more > 0 else "")

    @property
    def notice(self) -> str | None:
        """What a person should know before using the rows, where there is something."""
        if self.effective_rows is None or self.effective_rows >= self.rows / 2:
            return None
        return (
            f"the condition is so rare in the model that these {self.rows:,} rows are worth {self.effective_rows:,.0f} "
            "independent ones: many share their first columns;\n"
            "ask for fewer rows, widen the condition, or fit with its columns in condition_on"
        )

    def to_dict(self) -> dict[str, Any]:
        """The facts by name; what is only known under a condition is left out where it is not."""
        optional = ("acceptance", "effective_rows", "private", "noise_known")
        facts = asdict(self) | {"parts": [list(part) for part in self.parts] or None}
        return {name: fact for name, fact in facts.items() if fact is not None or name not in (*optional, "parts")}


@dataclass(frozen=True, eq=False)
class Table:
    """Rows that agree with a schema.

    `arrow` has exactly the schema's columns in the schema's order. `frame` says which kind of frame it came from, so that
    `to_frame` gives the same kind back, with its dtypes. `provenance` is set on synthetic tables only. `mark` is what the file
    that they were read from says of them; all tables made of this one keep it.
    """

    arrow: pa.Table
    schema: Schema
    frame: FrameKind = "arrow"
    provenance: Provenance | None = None
    mark: Mark | None = None

    def __post_init__(self) -> None:
        if tuple(self.arrow.column_names) != self.schema.names:
            raise DataError(
                f"the table's columns {self.arrow.column_names} are not the schema's {list(self.schema.names)}; "
                "read the table with that schema, or select its columns first"
            )

    @property
    def is_synthetic(self) -> bool:
        """Whether they are known to be synthetic: they came from a generator, or from a file that says so."""
        return self.provenance is not None or self.mark in ("quarantined", "private")

    @property
    def is_private(self) -> bool:
        """Whether they are known to be of a model that was fitted under a privacy budget."""
        return self.mark == "private" or (self.provenance is not None and self.provenance.private is True)

    # size and parts ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    @property
    def num_rows(self) -> int:
        """How many rows there are; the same as `len`."""
        return len(self)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return self.schema.names

    def column(self, name: str) -> pa.ChunkedArray:
        """The values of one column. Raises SchemaError, with the nearest name, if there is none."""
        self.schema.column(name)
        return self.arrow.column(name)

    def take(self, rows: np.ndarray | Sequence[int]) -> Table:
        """The rows at these positions, in this order."""
        return replace(self, arrow=self.arrow.take(pa.array(np.asarray(rows, dtype=np.int64))))

    def filter(self, mask: np.ndarray) -> Table:
        """The rows where the boolean mask holds."""
        return replace(self, arrow=self.arrow.filter(pa.array(np.asarray(mask, dtype=bool))))

    def head(self, n: int = 5) -> Table:
        """The first n rows."""
        return replace(self, arrow=self.arrow.slice(0, n))

    def select(self, names: Iterable[str]) -> Table:
        """The table with only these columns, in this order."""
        schema = self.schema.select(names)
        return replace(self, arrow=self.arrow.select(list(schema.names)), schema=schema)

    def with_schema(self, schema: Schema) -> Table:
        """The same rows under another schema of the same columns."""
        return replace(self, schema=schema)

    def with_roles(self, *, target: str | None = None, sensitive: str | Iterable[str] | None = None) -> Table:
        """The same rows with these columns as target and sensitive ones."""
        return self.with_schema(self.schema.with_roles(target=target, sensitive=sensitive))

    def where(self, condition: Any) -> Table:
        """The rows that satisfy a condition, written as for `Generator.sample`."""
        from synth.data.conditions import Where

        return self.filter(Where.parse(condition, self.schema).mask(self))

    def split(
        self, holdout: float = 0.3, *, seed: int = 0, by: Literal["row", "subject", "time"] | None = None
    ) -> tuple[Table, Table]:
        """Split into training and holdout rows; see `synth.data.split.split`."""
        from synth.data.split import split

        return split(self, holdout, seed=seed, by=by)

    # out -----------------------------------------------------------------------------------------------------------

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        if not self.is_private:
            return self.arrow
        return self.arrow.replace_schema_metadata({**(self.arrow.schema.metadata or {}), **self._said_of_a_budget})

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a pandas frame, with the dtypes that they came with."""
        from synth.data.frames import to_pandas

        frame = to_pandas(self.arrow)
        if self.is_private:
            frame.attrs.update(self._said_of_a_budget)
        return frame

    @property
    def _said_of_a_budget(self) -> Mapping[str, str]:
        """What goes with a frame of rows that were made under a privacy budget, so that `evaluate` knows."""
        from synth.data.quarantine import PRIVATE

        return PRIVATE

    def to_polars(self) -> pl.DataFrame:
        """The rows as a polars frame."""
        from synth.data.frames import to_polars

        return to_polars(self.arrow)

    def to_frame(self) -> Any:
        """The rows as the kind of frame they came from: pandas, polars or Arrow."""
        return {"pandas": self.to_pandas, "polars": self.to_polars, "arrow": self.to_arrow}[self.frame]()

    def digest(self) -> str:
        """SHA-256 (hex) of the rows as the Parquet bytes that `synth.data.sources.write_parquet` gives for them."""
        from synth.data.sources import write_parquet

        sink = HashingSink()
        write_parquet(self, sink)
        return sink.hexdigest()

    @staticmethod
    def concat(tables: Sequence[Table]) -> Table:
        """The rows of several tables of one schema, one after the other."""
        first = tables[0]
        return first if len(tables) == 1 else replace(first, arrow=pa.concat_tables([t.arrow for t in tables]))

    def equals(self, other: Table) -> bool:
        """Whether both hold the same values of the same types in the same order."""
        return bool(self.arrow.equals(other.arrow, check_metadata=False))

    def __repr__(self) -> str:
        kinds = ", ".join(f"{column.name}: {_short(column)}" for column in self.schema.columns[:8])
        more = f", … {len(self.schema) - 8} more" if len(self.schema) > 8 else ""
        return f"Table({len(self):,} rows × {len(self.schema)} columns; {kinds}{more})"

    def _repr_html_(self) -> str:
        return self.head(10).to_pandas().to_html()


def _short(column: Column) -> str:
    return f"{column.kind}" if column.role == "feature" else f"{column.kind} ({column.role})"


class HashingSink:
    """A file that keeps only the SHA-256 of what is written to it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        self._hash.update(data)
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
