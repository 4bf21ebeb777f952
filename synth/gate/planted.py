"""Known-bad tables, planted into a data set: what a gate must catch, made from this very table's rows.

Each fault takes rows that are beyond reproach and spoils them in one way. `plant` gives the three tables that are then
measured; a fault that a table has nothing for (no target to lose a class of, no number to scale) raises NothingThereError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data.encoding import decode, encode
from synth.data.schema import Column, Kind, Schema
from synth.data.table import Table
from synth.metrics.distance import nearest, positions
from synth.metrics.evidence import Evidence
from synth.metrics.registry import NothingThereError

SCALE = 1_000
JITTER = 0.01  # of a number's standard deviation
OUTLYING = 0.05  # share of the training rows, furthest from any other, that outliers are drawn from
LEAST_GROUP = 100  # training rows of a group that is erased
KEY = "planted key"


@dataclass(frozen=True)
class Soil:
    """What a fault is planted into: real rows in three tables that share none, and a generator of random numbers."""

    train: Table
    holdout: Table
    good: Table  # rows beyond reproach, offered as synthetic
    rng: np.random.Generator

    def replaced(self, by: Table) -> Table:
        """The good rows, of which as many as `by` has make room for them."""
        kept = self.rng.permutation(len(self.good))[: max(0, len(self.good) - len(by))]
        return Table.concat([self.good.take(np.sort(kept)), by])

    def training_rows(self, share: float) -> Table:
        """As many training rows, drawn at random, as are that share of the good rows."""
        count = min(len(self.train), max(1, round(share * len(self.good))))
        return self.train.take(np.sort(self.rng.permutation(len(self.train))[:count]))


Planted = tuple[Table, Table, Table]  # training, holdout and spoilt rows


@dataclass(frozen=True)
class Fault:
    """One way in which a table can be bad."""

    name: str
    about: str  # what was done, for people
    spoil: Callable[[Soil], Table | Planted]

    def plant(self, soil: Soil) -> Planted:
        """The three tables with the fault. Raises NothingThereError where the table has nothing to spoil so."""
        made = self.spoil(soil)
        return made if isinstance(made, tuple) else (soil.train, soil.holdout, made)


def clean(soil: Soil) -> Table:
    """The rows as they are."""
    return soil.good


# rows that are not like the real ones ----------------------------------------------------------------------------------


def factorised(soil: Soil) -> Table:
    """Every column shuffled by itself: right margins, no relations."""
    rows = len(soil.good)
    arrays = [column.take(pa.array(soil.rng.permutation(rows))) for column in soil.good.arrow.columns]
    return replace(soil.good, arrow=pa.table(arrays, schema=soil.good.arrow.schema))


def scaled(soil: Soil) -> Table:
    """The number with the most different values, a thousand times too large."""
    name = _richest_number(soil.good)
    values = pc.multiply(soil.good.column(name).cast(pa.float64()), float(SCALE))
    return _with_column(soil.good, name, values)


def constant(soil: Soil) -> Table:
    """The column with the most different values, all set to its most frequent one."""
    counts = {c.name: len(soil.good.column(c.name).unique()) for c in soil.good.schema.learned}
    name = max(counts, key=lambda column: counts[column])
    tally = pc.value_counts(soil.good.column(name).drop_null())
    if len(tally) == 0:
        raise NothingThereError("every column is null throughout")
    mode = tally[int(np.argmax(tally.field("counts").to_numpy()))]["values"]
    kind = soil.good.arrow.schema.field(name).type
    return _with_column(soil.good, name, pa.array([mode.as_py()] * len(soil.good)).cast(_plain(kind)).cast(kind))


def _richest_number(table: Table) -> str:
    numbers = [c.name for c in table.schema.learned if c.kind in (Kind.INTEGER, Kind.DECIMAL)]
    if not numbers:
        raise NothingThereError("no column holds numbers that could be scaled")
    return max(numbers, key=lambda name: len(table.column(name).unique()))


def collapsed_class(soil: Soil) -> Table:
    """The rarest target class missing, its rows replaced by others."""
    target = _categories(soil.train, soil.train.schema.target)
    if target is None:
        raise NothingThereError("no categorical target is named")
    return _without(soil, target, _rarest(soil.train, target, least=1))


# rows that give training rows away -------------------------------------------------------------------------------------


def copies(share: float) -> Callable[[Soil], Table]:
    """That share of the rows are training rows."""
    return lambda soil: soil.replaced(soil.training_rows(share))


def jittered(soil: Soil) -> Table:
    """The training rows, every number moved by up to a hundredth of its spread."""
    return soil.replaced(_jitter(soil.training_rows(1.0), soil.rng))


def memorised_outliers(soil: Soil) -> Table:
    """1% of the rows are near copies of outlying training rows: too few to move the distances to the closest record."""
    evidence = Evidence(soil.train, None, soil.good, 0)
    place = positions(evidence)["train"]
    apart = nearest_other(place)
    furthest = np.argsort(-apart, kind="stable")[: max(1, int(OUTLYING * len(place)))]
    count = max(1, len(soil.good) // 100)
    return soil.replaced(_jitter(soil.train.take(np.sort(soil.rng.permutation(furthest)[:count])), soil.rng))


def nearest_other(place: np.ndarray) -> np.ndarray:
    """The distance of each point to the nearest of a random half that it is not in: shape (rows,)."""
    half = np.arange(len(place)) % 2 == 0
    out = np.zeros(len(place))
    if 0 < half.sum() < len(place):
        out[half], out[~half] = nearest(place[half], place[~half]), nearest(place[~half], place[half])
    return out


def leaked_key(soil: Soil) -> Planted:
    """An identifier that is copied from the training rows."""
    tables = [
        _with_key(table, [soil.rng.bytes(8).hex() for _ in range(len(table))])
        for table in (soil.train, soil.holdout, soil.good)
    ]
    real = tables[0].column(KEY).take(pa.array(soil.rng.integers(0, len(soil.train), len(soil.good))))
    return tables[0], tables[1], _with_column(tables[2], KEY, real)


def _with_key(table: Table, values: list[str]) -> Table:
    schema = Schema((*table.schema.columns, Column(KEY, Kind.IDENTIFIER, provider="uuid")), table.schema.constraints)
    return replace(table, arrow=table.arrow.append_column(KEY, pa.array(values)), schema=schema)


# rows that are unfair --------------------------------------------------------------------------------------------------


def erased_group(soil: Soil) -> Table:
    """The smallest sensitive group of some size missing, its rows replaced by others."""
    column = _first_sensitive(soil.train)
    return _without(soil, column, _rarest(soil.train, column, least=LEAST_GROUP))


def swapped_labels(soil: Soil) -> Table:
    """The target's classes changed for one another in the second largest sensitive group, or in every other row."""
    target = _categories(soil.train, soil.train.schema.target)
    if target is None:
        raise NothingThereError("no categorical target is named")
    groups = [c for c in soil.train.schema.sensitive if _categories(soil.train, c) is not None and c.name != target]
    inside = np.arange(len(soil.good)) % 2 == 0
    if groups:
        code = encode(soil.good, (groups[0].name,))[groups[0].name].values
        sizes = np.bincount(code[code >= 0].astype(np.int64))
        inside = code == np.argsort(-sizes, kind="stable")[min(1, len(sizes) - 1)]
    rows = encode(soil.good)
    label = rows[target].values
    seen = np.unique(label[label >= 0])
    turned = label.copy()
    turned[inside & (label >= 0)] = np.roll(seen, -1)[np.searchsorted(seen, label[inside & (label >= 0)])]
    return _decoded(soil.good, {target: turned})


# parts -----------------------------------------------------------------------------------------------------------------


def _categories(table: Table, column: Column | None) -> str | None:
    return column.name if column is not None and column.is_learned and column.kind.is_category else None


def _first_sensitive(table: Table) -> str:
    for column in table.schema.sensitive:
        if _categories(table, column) is not None:
            return column.name
    raise NothingThereError("no categorical sensitive column is named")


def _rarest(table: Table, name: str, least: int) -> int:
    """The code of the category with the fewest rows, at least `least` of them, that is not the only one."""
    code = encode(table, (name,))[name].values
    sizes = np.bincount(code[code >= 0].astype(np.int64))
    fit = np.flatnonzero(sizes >= least)
    if len(fit) < 2:
        raise NothingThereError(f"{name!r} has no second category of {least} training rows")
    return int(fit[np.argmin(sizes[fit])])


def _without(soil: Soil, name: str, code: int) -> Table:
    kept = np.flatnonzero(encode(soil.good, (name,))[name].values != code)
    if len(kept) == 0:
        raise NothingThereError(f"{name!r} has a single category")
    fill = soil.rng.choice(kept, len(soil.good) - len(kept))
    return soil.good.take(np.concatenate([kept, fill]))


def _jitter(table: Table, rng: np.random.Generator) -> Table:
    moved = {}
    for column in encode(table).columns:
        known = column.values[~column.null]
        if not column.is_category and len(known):
            noise = rng.uniform(-JITTER, JITTER, len(column.values)) * known.std()
            moved[column.name] = np.clip(column.values + noise, known.min(), known.max())
    return _decoded(table, moved)


def _decoded(table: Table, changed: dict[str, np.ndarray]) -> Table:
    """The table with some learned columns changed, in their code."""
    names = tuple(changed)
    if not names:
        return table
    rows = encode(table, names).with_values(changed)
    made = decode(rows, table.schema.select(names), pa.schema([table.arrow.schema.field(name) for name in names]))
    for name in names:
        table = _with_column(table, name, made.column(name))
    return table


def _with_column(table: Table, name: str, values: pa.ChunkedArray | pa.Array) -> Table:
    return replace(table, arrow=table.arrow.set_column(table.columns.index(name), name, values))


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


CLEAN = Fault("clean", "fresh real rows as they are", clean)
FAULTS = (
    Fault("factorised", "every column shuffled by itself", factorised),
    Fault("scaled column", "one number a thousand times too large", scaled),
    Fault("constant column", "one column with a single value", constant),
    Fault("collapsed class", "the rarest target class missing", collapsed_class),
    Fault("erased group", "the smallest sensitive group of 100 rows missing", erased_group),
    Fault("swapped labels", "the target's classes changed for one another in one group", swapped_labels),
    Fault("leaked key", "an identifier copied from the training rows", leaked_key),
    Fault("copies 0.1%", "0.1% of the rows are training rows", copies(0.001)),
    Fault("copies 0.5%", "0.5% of the rows are training rows", copies(0.005)),
    Fault("copies 1%", "1% of the rows are training rows", copies(0.01)),
    Fault("copies 10%", "10% of the rows are training rows", copies(0.1)),
    Fault("copies 100%", "the training rows themselves", copies(1.0)),
    Fault("jittered copies", "the training rows, each number moved by up to 1% of its spread", jittered),
    Fault("memorised outliers", "1% near copies of outlying training rows, which distances to the closest record pass",
          memorised_outliers),
)  # fmt: skip
