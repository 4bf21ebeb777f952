"""What the page draws of tables: marginals of columns and densities of pairs, on bins that come from the real rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from synth.data.encoding import NANOSECONDS, encode_column
from synth.data.facts import plain
from synth.data.kinds import is_text
from synth.data.schema import Column, Kind
from synth.data.table import Table
from synth.report import svg

BINS = 24  # of a number's histogram: each about 12 of the drawing's 320 units wide, enough to compare two bars
CELLS = 12  # per side of a pair's density, beside one for nulls
SHOWN = 12  # categories named before the rest is one bar


@dataclass(frozen=True)
class Plot:
    name: str
    note: str
    drawings: tuple[Markup, ...]


def marginal(name: str, synthetic: Table, real: Table | None) -> Plot | None:
    """The distribution of one column; None where its values are not learned. Without `real`, of synthetic rows alone."""
    column = synthetic.schema.column(name)
    if not _is_drawn(name, synthetic) or len(synthetic) == 0:
        return None
    fake = encode_column(column, synthetic.column(name)).values
    true = None if real is None else encode_column(real.schema.column(name), real.column(name)).values
    who = "synthetic rows" if true is None else "synthetic rows (filled) and training rows (outline)"
    if column.kind.is_category:
        labels, counts, others = _categories(column, real, fake, true)
        words = f"{name}: share of each value, {who}; " + ", ".join(f"{a} {100 * b:.1f}%" for a, b in zip(labels, counts))
        return Plot(name, f"{column.kind}", (svg.bars(labels, counts, others, words),))
    edges = _edges(fake if true is None else true, BINS)
    shares = _shares(fake, edges)
    outline = None if true is None else _shares(true, edges)
    ends = (_shown(column, edges[0]), _shown(column, edges[-1]))
    words = f"{name}: histogram from {ends[0]} to {ends[1]}, {who}; {100 * shares[-1]:.1f}% of the synthetic rows are null"
    return Plot(name, f"{column.kind}", (svg.histogram(shares, outline, ends, words),))


def _is_drawn(name: str, table: Table) -> bool:
    """Whether the column is learned and holds what it should: text instead of numbers, or a category that the schema does not
    list, has no place on an axis."""
    column, values = table.schema.column(name), table.column(name)
    if column.kind is Kind.CATEGORICAL or column.kind is Kind.ORDINAL:
        held = plain(values)
        legal = pa.array(list(column.categories or ())).cast(held.type)
        return column.is_learned and bool(pc.all(pc.is_in(pc.unique(held).drop_null(), value_set=legal), min_count=0).as_py())
    return column.is_learned and (column.kind.is_category or not is_text(values.type))


def pair(names: Sequence[str], synthetic: Table, train: Table) -> Plot | None:
    """Two columns together, training rows beside synthetic rows; None where one of them is not learned or not there."""
    a, b = names
    if any(name not in table.schema for name in names for table in (train, synthetic)):
        return None
    cells: list[list[np.ndarray]] = []
    for name in (a, b):
        column = train.schema.column(name)
        if not _is_drawn(name, train) or not _is_drawn(name, synthetic):
            return None
        true = encode_column(column, train.column(name)).values
        fake = encode_column(synthetic.schema.column(name), synthetic.column(name)).values
        cells.append(_cells(column, true, fake))
    joints = []
    for side in (0, 1):
        joint = np.zeros(tuple(1 + max(int(side.max(initial=0)) for side in axis) for axis in cells))
        np.add.at(joint, (cells[0][side], cells[1][side]), 1.0 / max(len(cells[0][side]), 1))
        joints.append(joint)
    top = max(float(joint.max()) for joint in joints) or 1.0
    distance = 0.5 * float(np.abs(joints[0] - joints[1]).sum())
    said = f"share of rows by {a} (across) and {b} (up)"
    drawn = [svg.density(j, top, f"{side} rows: {said}") for j, side in zip(joints, ("Training", "Synthetic"))]
    drawn.append(svg.difference(joints[0], joints[1], top, f"Where synthetic rows are more (filled) or fewer (hollow): {said}"))
    note = f"{a} across, {b} up; {100 * distance:.1f}% of the rows lie in other cells"
    return Plot(f"{a} × {b}", note, tuple(drawn))


def _categories(
    column: Column, real: Table | None, fake: np.ndarray, true: np.ndarray | None
) -> tuple[list[str], list[float], list[float] | None]:
    """The largest categories that occur, then the rest as one, then nulls."""
    legal = ["false", "true"] if column.kind is Kind.BOOLEAN else [str(c) for c in column.categories or ()]
    lookup = legal
    if real is not None and column.kind is not Kind.BOOLEAN:
        lookup = [str(c) for c in real.schema.column(column.name).categories or ()]
    tally: dict[str, list[float]] = {}
    for side, (codes, names) in enumerate(((fake, legal), (true, lookup))):
        if codes is None:
            continue
        seen, times = np.unique(codes, return_counts=True)
        for code, count in zip(seen, times):
            label = "(null)" if code < 0 else names[int(code)]
            tally.setdefault(label, [0.0, 0.0])[side] += count / len(codes)
    nulls = tally.pop("(null)", None)
    ranked = sorted(tally.items(), key=lambda item: (-max(item[1]), item[0]))
    rows = ranked[:SHOWN]
    if len(ranked) > SHOWN:
        rest = ranked[SHOWN:]
        rows.append((f"({len(rest)} others)", [sum(r[1][0] for r in rest), sum(r[1][1] for r in rest)]))
    if nulls is not None:
        rows.append(("(null)", nulls))
    return [r[0] for r in rows], [r[1][0] for r in rows], None if true is None else [r[1][1] for r in rows]


def _edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Equal bins over all but the outermost half percent, which the first and last bin also hold."""
    seen = values[np.isfinite(values)]
    if len(seen) == 0:
        return np.linspace(0.0, 1.0, bins + 1)
    low, high = np.quantile(seen, [0.005, 0.995])
    return np.linspace(low, high if high > low else low + 1.0, bins + 1)


def _shares(values: np.ndarray, edges: np.ndarray) -> list[float]:
    cell = np.where(np.isnan(values), len(edges) - 1, np.searchsorted(edges[1:-1], values, "right"))
    return [float(s) for s in np.bincount(cell, minlength=len(edges)) / max(len(values), 1)]


def _cells(column: Column, true: np.ndarray, fake: np.ndarray) -> list[np.ndarray]:
    """For the real and the synthetic values the cell each lies in; nulls, where there are any, lie in the last one.

    Numbers of few values get a cell for each, so that gaps between whole numbers are not drawn as missing rows.
    """
    if column.kind.is_category:
        seen, times = np.unique(true[true >= 0], return_counts=True)
        kept = seen[np.argsort(-times, kind="stable")][: CELLS - 1]
        rank = {int(code): place for place, code in enumerate(kept)}
        cells = [np.array([CELLS if v < 0 else rank.get(int(v), CELLS - 1) for v in side], dtype=int) for side in (true, fake)]
        used = np.unique(np.concatenate(cells))
        return [np.searchsorted(used, side) for side in cells]
    values = np.unique(true[np.isfinite(true)])
    edges = values[1:] if len(values) <= CELLS else _edges(true, CELLS)[1:-1]
    return [np.where(np.isnan(v), len(edges) + 1, np.searchsorted(edges, v, "right")) for v in (true, fake)]


def _shown(column: Column, value: float) -> str:
    if column.kind is not Kind.DATETIME:
        value = round(value) if column.kind is Kind.INTEGER else value
        digits = "" if abs(value) < 10_000 else ","  # 1997 may be a year
        return f"{value:{digits}.6g}" if abs(value) < 1e6 else f"{value:.3g}"
    seconds = int(value) * NANOSECONDS[column.unit or "microsecond"] // 10**9
    return str(np.datetime64(seconds, "s")).replace("T", " ")[: 10 if column.unit == "day" else 16]
