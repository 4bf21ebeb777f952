"""`evaluate`: every figure about a synthetic table, each beside what real rows score in its place."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from synth import __version__
from synth.data.table import Table
from synth.errors import DataError, InputError
from synth.metrics.evidence import Evidence, conform
from synth.metrics.measurement import Measurement, Measurements, Status
from synth.metrics.registry import Metric, NothingThereError, SkipMetricError, chosen
from synth.progress import Progress, silent
from synth.seed import check_seed


def evaluate(
    train: Any,
    holdout: Any,
    synthetic: Any,
    *,
    seed: int = 0,
    target: str | None = None,
    sensitive: str | Iterable[str] | None = None,
    only: str | Iterable[str] | None = None,
    progress: Progress = silent,
) -> Measurements:
    """Measure a synthetic table against the rows it was made from and real rows that were held out.

    train, holdout, synthetic: each a `Table`, a pandas, polars or Arrow frame, or a path. The training table's schema is
    applied to all three. `holdout` may be None: what needs it is skipped, with that reason.
    target, sensitive: column names, where the training table's schema does not already give them.
    only: names of metrics ("fidelity.shape") or families ("privacy"); None for all.
    A metric that fails has status "error" and the others go on; the same arguments give the same figures.
    Raises DataError where the tables cannot be compared at all, InputError for a metric that does not exist.
    """
    from synth.data.frames import as_table

    selected = chosen(only)
    trained = as_table(train, target=target, sensitive=sensitive)
    made = _like(trained, synthetic, "synthetic")
    held = None if holdout is None else _like(trained, holdout, "holdout")
    for name, table in (("training", trained), ("synthetic", made), ("holdout", held)):
        if table is not None and len(table) == 0:
            raise DataError(f"the {name} table has no rows; there is nothing to measure")
    if not trained.schema.learned:
        raise DataError("no column is left to compare: all are keys, identifiers, free text or dropped; check the schema")
    evidence = Evidence(trained, held, made, check_seed(seed))
    found: list[Measurement] = []
    for step, metric in enumerate(selected):
        progress(metric.name, step, len(selected))
        found.extend(_measure(metric, evidence))
    progress("done", len(selected), len(selected))
    return Measurements(tuple(found), _context(evidence), made)


def _measure(metric: Metric, evidence: Evidence) -> Iterator[Measurement]:
    """One metric's figures, each with an equal part of what it cost."""
    started = time.perf_counter()
    try:
        readings = list(metric.function(evidence))
        if not readings:
            raise SkipMetricError("there was nothing to measure")
    except SkipMetricError as reason:
        status: Status = "absent" if isinstance(reason, NothingThereError) else "skipped"
        yield Measurement(metric.name, metric.better, bounds=metric.bounds, status=status, reason=str(reason))
        return
    except Exception as problem:  # a metric must never take the others with it; an error is never a pass
        why = f"{type(problem).__name__}: {problem}"
        seconds = time.perf_counter() - started
        yield Measurement(metric.name, metric.better, bounds=metric.bounds, status="error", reason=why, seconds=seconds)
        return
    seconds = (time.perf_counter() - started) / len(readings)
    for reading in readings:
        yield Measurement(
            metric.name,
            metric.better,
            score=reading.score,
            reference=reading.reference,
            group=reading.group,
            columns=reading.columns,
            bounds=metric.bounds,
            status="skipped" if reading.skipped else "ok",
            reason=reading.skipped,
            detail=reading.detail,
            seconds=seconds,
        )


def _like(train: Table, data: Any, name: str) -> Table:
    """A table with the training table's columns, in its order, under its schema."""
    from synth.data.frames import as_table, to_arrow

    schema = train.schema.select([c.name for c in train.schema.made])
    try:
        if isinstance(data, (str, os.PathLike)):
            data = as_table(data)
        if isinstance(data, Table):
            arrow, frame, provenance = data.arrow, data.frame, data.provenance
        else:
            (arrow, frame), provenance = to_arrow(data), None
        unknown = [c for c in arrow.column_names if c not in train.schema.names]
        if unknown and name == "synthetic":
            raise InputError(
                f"it has the column {unknown[0]!r}, which the training table does not; what was never compared cannot be "
                "judged: remove it"
            )
        return Table(conform(train, arrow), schema, frame=frame, provenance=provenance)
    except InputError as problem:
        raise DataError(f"the {name} table cannot be compared: {problem}") from problem


def _context(evidence: Evidence) -> dict[str, Any]:
    """What the figures were taken on."""
    tables = {"train": evidence.train, "holdout": evidence.holdout, "synthetic": evidence.synthetic}
    schema = evidence.train.schema
    context: dict[str, Any] = {
        "rows": {name: None if table is None else len(table) for name, table in tables.items()},
        "digests": {name: None if table is None else table.digest() for name, table in tables.items()}
        | {"schema": schema.digest()},
        "target": None if schema.target is None else schema.target.name,
        "sensitive": [column.name for column in schema.sensitive],
        "seed": evidence.seed,
        "synth": __version__,
    }
    if evidence.synthetic.provenance is not None:
        context["provenance"] = asdict(evidence.synthetic.provenance)
    return context
