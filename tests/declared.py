"""A table whose columns a person declared in full, as a fit under a budget takes them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from synth.data.sources import read
from synth.data.table import Table

COLUMNS: dict[str, Any] = {
    "age": {"kind": "integer", "minimum": 0, "maximum": 120, "nullable": True},
    "score": {"kind": "decimal", "minimum": -1.0, "maximum": 1.0, "decimals": 2, "nullable": False},
    "colour": {"kind": "categorical", "categories": ["red", "green", "blue", "grey"], "nullable": True},
    "grade": {"kind": "ordinal", "categories": ["low", "middle", "high"], "nullable": False},
    "member": {"kind": "boolean", "nullable": False},
    "joined": {"kind": "datetime", "minimum": "2000-01-01", "maximum": "2030-12-31", "unit": "day", "nullable": False},
}


def values(n: int = 2_000, seed: int = 0) -> dict[str, list[Any]]:
    """Columns that have to do with each other."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, n)
    member = rng.random(n) < age / 120
    grade = np.clip((age - 18) // 25 + rng.integers(-1, 2, n), 0, 2)
    return {
        "age": [None if hidden else int(a) for a, hidden in zip(age, rng.random(n) < 0.05)],
        "score": np.clip(np.round(grade / 2 - 0.5 + rng.normal(0, 0.2, n), 2), -1, 1).tolist(),
        "colour": rng.choice(["red", "green", "blue"], n, p=[0.6, 0.3, 0.1]).tolist(),
        "grade": [("low", "middle", "high")[g] for g in grade],
        "member": member.tolist(),
        "joined": [dt.date(2000 + int(y), 1 + int(m), 1) for y, m in zip(rng.integers(0, 25, n), rng.integers(0, 12, n))],
    }


def declared(rows: dict[str, list[Any]] | None = None, folder: Path | None = None, **more: Any) -> Table:
    """The table of these values. more: other keys of the declaration, such as `subject` or further `columns`."""
    rows = values() if rows is None else rows
    columns = {name: fact for name, fact in {**COLUMNS, **more.pop("columns", {})}.items() if name in rows}
    return (
        read(pa.table(rows), schema={"columns": columns, **more}, check=False)
        if folder is None
        else _written(rows, columns, folder, more)
    )


def _written(rows: dict[str, list[Any]], columns: dict[str, Any], folder: Path, more: dict[str, Any]) -> Table:
    import pyarrow.csv as csv

    csv.write_csv(pa.table(rows), folder / "people.csv")
    (folder / "schema.yaml").write_text(yaml.safe_dump({"columns": columns, **more}))
    return read(folder / "people.csv", schema=folder / "schema.yaml")
