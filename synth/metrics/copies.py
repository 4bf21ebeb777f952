"""Copies of training rows among the synthetic ones: alarms that can fail a table and never pass it.

Distance to the closest record says nothing about what an attacker learns (2505.01524); a table full of copies is still wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data.schema import Column
from synth.data.table import Table
from synth.metrics.distance import nearest, positions
from synth.metrics.evidence import Evidence
from synth.metrics.intervals import wilson
from synth.metrics.learners import draw
from synth.metrics.measurement import Interval
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

QUERIES = 10_000  # rows per side whose nearest training row is looked for; fewer, but not under FEWEST, in a large table:
FEWEST = 2_000
PAIRS = 600_000_000  # rows looked for times training rows
CALIBRATE = 0.01  # share of real rows that lie nearer to a training row than what is called a near copy
LEAST = 200  # holdout rows in each half below which one real row in a hundred cannot be told


@metric("privacy.exact_copies", better="lower")
def exact_copies(evidence: Evidence) -> Iterator[Reading]:
    """Share of the synthetic rows that equal a training row in every learned column; the reference is the holdout's share."""
    copied = _copied(evidence)
    detail: dict[str, Any] = {"copies": int(copied["synthetic"].sum())}
    yield Reading(
        wilson(copied["synthetic"].sum(), len(copied["synthetic"])),
        wilson(copied["holdout"].sum(), len(copied["holdout"])) if len(copied["holdout"]) else None,
        detail=detail,
    )


@metric("privacy.unique_copies", better="lower")
def unique_copies(evidence: Evidence) -> Iterator[Reading]:
    """Share of the synthetic rows that equal a training row which no other training row equals.

    In a table with many equal rows, most copies name nobody; these name one.
    """
    identity = evidence.identities
    known, times = np.unique(identity["train"], return_counts=True)
    alone = known[times == 1]
    fake, held = np.isin(identity["synthetic"], alone), np.isin(identity["holdout"], alone)
    yield Reading(
        wilson(fake.sum(), len(fake)),
        wilson(held.sum(), len(held)) if len(held) else None,
        detail={"copies": int(fake.sum()), "unique_training_rows": len(alone)},
    )


@metric("privacy.identifier_copies", better="lower")
def identifier_copies(evidence: Evidence) -> Iterator[Reading]:
    """Share of the identifiers and free texts that occur in the training table; no generator learns these columns.

    Running numbers are left out: they are the same in every table.
    """
    schema, layout = evidence.synthetic.schema, evidence.train.arrow.schema
    names = [c.name for c in schema.columns if c.is_reissued and not _runs(c, layout.field(c.name).type)]
    if not names:
        raise NothingThereError("no column holds identifiers or free text")
    made, held = (_known_values(evidence, table, names) for table in (evidence.synthetic, evidence.holdout))
    if made[1] == 0:
        raise SkipMetricError("no synthetic row has an identifier or text")
    yield Reading(wilson(*made), wilson(*held) if held[1] else None, columns=tuple(names), detail={"copies": made[0]})


def _runs(column: Column, kind: pa.DataType) -> bool:
    """Whether it is issued as 1, 2, 3, …"""
    return column.provider == "sequence" or (column.provider is None and pa.types.is_integer(kind))


def _known_values(evidence: Evidence, table: Table | None, names: list[str]) -> tuple[int, int]:
    """How many values of these columns occur in the training table, and how many there are."""
    if table is None:
        return 0, 0
    known = values = 0
    for name in names:
        given, real = (pc.cast(t.arrow.column(name), pa.string()).drop_null() for t in (table, evidence.train))
        known += int(pc.sum(pc.is_in(given, value_set=pc.unique(real))).as_py() or 0)
        values += len(given)
    return known, values


@metric("privacy.near_copies", better="lower", cost=2.5)
def near_copies(evidence: Evidence) -> Iterator[Reading]:
    """Share of the synthetic rows nearer to a training row than all but one in a hundred real rows are, without exact copies.

    One half of the holdout sets the distance, the other half is the reference; then they change places. Wilson's intervals, at
    as many rows as tell as much: the distance is an estimate too, from as many rows as the holdout has.
    """
    held = evidence.rows("holdout")
    if held < 2 * LEAST:
        raise SkipMetricError(f"{held} holdout rows are too few to say how near real rows come; {2 * LEAST} are needed")
    place = positions(evidence)
    copied = _copied(evidence)
    queries = min(QUERIES, max(FEWEST, PAIRS // evidence.rows("train")))
    fake = draw(evidence, "synthetic", queries, "near_copies")
    real = draw(evidence, "holdout", queries, "near_copies")
    far_fake, far_real = nearest(place["synthetic"][fake], place["train"]), nearest(place["holdout"][real], place["train"])
    new_fake, new_real = ~copied["synthetic"][fake], ~copied["holdout"][real]
    first = evidence.parts("holdout", 2, evidence.rng("near_copies.halves"))[real] == 0
    near_fake, near_real, limits = 0.0, 0.0, []
    for half in (first, ~first):
        ruler = far_real[half & new_real]
        if len(ruler) < LEAST:
            raise SkipMetricError(
                f"all but {len(ruler)} holdout rows of a half equal a training row; nearness says nothing here"
            )
        limits.append(float(np.quantile(ruler, CALIBRATE)))
        near_fake += (new_fake & (far_fake < limits[-1])).sum() / 2
        near_real += (~half & new_real & (far_real < limits[-1])).sum()
    yield Reading(
        _by_ruler(near_fake / len(fake), len(fake), len(real)),
        _by_ruler(near_real / len(real), len(real), len(real)),
        detail={"distances": limits, "rows": len(fake)},
    )


def _by_ruler(share: float, rows: int, ruler: int) -> Interval:
    """A share of rows nearer than a quantile of as many others: both scatter."""
    effective = 1 / (1 / rows + 1 / ruler)
    return replace(wilson(share * effective, effective), n=rows)


def _copied(evidence: Evidence) -> dict[str, np.ndarray]:
    """Which synthetic and holdout rows equal a training row."""
    identity = evidence.identities
    return {
        "synthetic": np.isin(identity["synthetic"], identity["train"]),
        "holdout": np.isin(identity["holdout"], identity["train"]),
    }
