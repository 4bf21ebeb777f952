"""`Evidence`: the three tables that are compared, coded alike, with everything that several metrics share."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock, RLock
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.data.encoding import encode_column
from synth.data.schema import Column, Kind
from synth.data.table import Table
from synth.errors import DataError

Side = Literal["train", "holdout", "synthetic"]
SIDES: tuple[Side, ...] = ("train", "holdout", "synthetic")
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Compared:
    """One learned column of all three tables on a common code book.

    Each side has shape (rows,): codes with -1 for null where `levels` is a number, else float64 with NaN for null.
    The first `legal` codes are the schema's categories in order; values that the schema does not list follow.
    """

    column: Column
    levels: int | None
    legal: int
    train: np.ndarray
    holdout: np.ndarray
    synthetic: np.ndarray
    labels: tuple[str, ...] = field(default=(), kw_only=True)  # the categories by code, for people

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def is_category(self) -> bool:
        return self.levels is not None

    def of(self, side: Side) -> np.ndarray:
        """The values of one table."""
        return {"train": self.train, "holdout": self.holdout, "synthetic": self.synthetic}[side]

    def null(self, side: Side) -> np.ndarray:
        """Boolean array of shape (rows,): where the value is missing."""
        values = self.of(side)
        return values < 0 if self.is_category else np.isnan(values)

    def label(self, code: int) -> str:
        """A category by its code, in words."""
        return "null" if code < 0 else self.labels[code]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a metric may look at. The schema is the training table's; no table is ever changed.

    holdout: real rows that no generator saw, or None; what needs them is then skipped.
    repeats: further synthetic tables, each of another fit of the same generator: what varies from fit to fit shows in them.
    model: the generator behind the synthetic rows, where it is at hand: attacks by its likelihood and by shadow models ask it.
    shadow: how many shadow models may be fitted; 0 for none.
    """

    train: Table
    holdout: Table | None
    synthetic: Table
    seed: int
    repeats: tuple[Table, ...] = ()
    model: Any = None
    shadow: int = 0
    _memory: dict[str, Any] = field(default_factory=dict, repr=False)
    _locks: dict[str, RLock] = field(default_factory=lambda: defaultdict(RLock), repr=False)
    _guard: Lock = field(default_factory=Lock, repr=False)

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose, so that no metric's figures depend on which others run."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])

    def once(self, key: str, make: Callable[[], Made]) -> Made:
        """Make a thing that several metrics need once, whichever of them asks first; the others wait for it.

        Where making it fails, every one of them is told so.
        """
        with self._guard:
            lock = self._locks[key]
        with lock:
            if key not in self._memory:
                try:
                    self._memory[key] = (make(), None)
                except Exception as failure:  # kept and raised again for each metric that asks
                    self._memory[key] = (None, failure)
        made, failed = self._memory[key]
        if failed is not None:
            raise failed
        return made  # type: ignore[no-any-return]

    def rows(self, side: Side) -> int:
        """How many rows a table has; 0 where there is none."""
        table = self.table(side)
        return 0 if table is None else len(table)

    def table(self, side: Side) -> Table | None:
        """One of the three tables; None where there is no holdout."""
        return {"train": self.train, "holdout": self.holdout, "synthetic": self.synthetic}[side]

    def clusters(self, side: Side) -> np.ndarray:
        """A number for each row, shape (rows,), shared by the rows of one subject; without a subject every row has its own.

        Rows of one subject are alike. Halves, folds and jackknife groups keep them together, or a stranger's row is recognised
        by its siblings and intervals are too narrow.
        """
        return self.once(f"clusters.{side}", lambda: self._clusters(side))

    def _clusters(self, side: Side) -> np.ndarray:
        table, subject = self.table(side), self.train.schema.subject
        if table is None or subject is None or subject.name not in table.schema:
            return np.arange(self.rows(side))
        coded = pa.array(table.arrow.column(subject.name).combine_chunks()).dictionary_encode()
        code = np.asarray(pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)).astype(np.int64)
        unknown = code < 0  # subjects of their own
        code[unknown] = len(coded.dictionary) + np.arange(int(unknown.sum()))
        return code

    def parts(self, side: Side, parts: int, rng: np.random.Generator) -> np.ndarray:
        """Each row's part of `parts` about equally large random ones, shape (rows,); the rows of a subject share theirs."""
        cluster = self.clusters(side)
        return np.asarray(rng.permutation(int(cluster.max(initial=-1)) + 1)[cluster] % parts)

    @property
    def fits(self) -> tuple[Evidence, ...]:
        """The evidence of each synthetic table: this one, then one for every further fit of the generator."""
        return self.once("fits", lambda: (self, *(self.with_synthetic(table) for table in self.repeats)))

    def with_synthetic(self, synthetic: Table) -> Evidence:
        """The same real tables beside another synthetic one."""
        return replace(self, synthetic=synthetic, repeats=(), _memory={}, _locks=defaultdict(RLock), _guard=Lock())

    @cached_property
    def _coded(self) -> dict[str, tuple[Compared, dict[Side, np.ndarray], dict[Side, np.ndarray]]]:
        learned = self.train.schema.learned
        return {column.name: _compare(column, self.train, self.holdout, self.synthetic) for column in learned}

    @cached_property
    def columns(self) -> tuple[Compared, ...]:
        """The learned columns, in the schema's order."""
        return tuple(compared for compared, _, _ in self._coded.values())

    def strange(self, name: str, side: Side) -> np.ndarray:
        """Which values could not be read as the column's type; they are coded as null. Shape (rows,)."""
        return self._coded[name][1][side]

    def infinite(self, name: str, side: Side) -> np.ndarray:
        """Which numbers were infinite; they are coded as one range beyond the largest or smallest. Shape (rows,)."""
        return self._coded[name][2][side]

    def column(self, name: str) -> Compared:
        """A learned column by its name."""
        return self._coded[name][0]

    @property
    def target(self) -> Compared | None:
        target = self.train.schema.target
        return None if target is None or not target.is_learned else self.column(target.name)

    @property
    def identities(self) -> dict[Side, np.ndarray]:
        """For each side an int64 number per row, equal for rows that agree in every learned column."""
        return self.once("identities", self._identities)

    def _identities(self) -> dict[Side, np.ndarray]:
        sizes = [self.rows(side) for side in SIDES]
        identity, many = np.zeros(sum(sizes), dtype=np.int64), 1
        for column in self.columns:
            values = np.concatenate([column.of(side) for side in SIDES])
            if column.levels is None:
                _, codes = np.unique(on_grid(column.column, values), return_inverse=True)
                levels = int(codes.max(initial=0)) + 1
            else:
                codes, levels = values + 1, column.levels + 1
            if many * levels >= 2**62:  # the numbers would no longer fit: count those that occur anew
                found, identity = np.unique(identity, return_inverse=True)
                many = len(found)
            identity, many = identity * levels + codes, many * levels
        bounds = np.cumsum([0, *sizes])
        return {side: identity[bounds[i] : bounds[i + 1]] for i, side in enumerate(SIDES)}


def conform(table: Table, data: pa.Table) -> pa.Table:
    """The columns that a synthetic or holdout table must share with the training table, in its order.

    Raises DataError where one is missing.
    """
    names = [c.name for c in table.schema.made]
    missing = [name for name in names if name not in data.column_names]
    if missing:
        raise DataError(
            f"column {missing[0]!r} of the training table is missing from a table that is compared with it "
            f"(it has {', '.join(data.column_names[:8])}, …); give every table the same columns"
        )
    return data.select(names)


def on_grid(column: Column, values: np.ndarray) -> np.ndarray:
    """Numbers rounded to the digits that the column is written with, so that copies are equal to the last bit."""
    decimals = column.decimals if column.kind is Kind.DECIMAL else 0
    return values if decimals is None or decimals >= 17 else np.round(values, decimals) + 0.0


def _compare(
    column: Column, train: Table, holdout: Table | None, synthetic: Table
) -> tuple[Compared, dict[Side, np.ndarray], dict[Side, np.ndarray]]:
    """The column on one code book, and for each side which cells could not be read and which were infinite."""
    kind = train.arrow.schema.field(column.name).type
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if column.kind in (Kind.INTEGER, Kind.DECIMAL):
        plain = pa.float64()  # so that a value between two whole numbers is seen as what it is
    sides = []
    for table in (train, holdout, synthetic):
        values = plain_nulls(plain) if table is None else table.arrow.column(column.name)
        sides.append(_read_as(values, plain))
    unread = dict(zip(SIDES, (strange for _, strange in sides)))
    if not column.kind.is_category:
        raw = [encode_column(column, values).values for values, _ in sides]
        numbers = [_finite(values, raw[0]) for values in raw]
        return Compared(column, None, 0, *numbers), unread, dict(zip(SIDES, (np.isinf(values) for values in raw)))
    legal: list[Any] = [False, True] if column.kind is Kind.BOOLEAN else list(column.categories or ())
    book = pa.array(legal).cast(plain)
    seen = pc.unique(pa.concat_arrays([pc.unique(values).cast(plain) for values, _ in sides])).drop_null()
    extra = seen.filter(pc.invert(pc.is_in(seen, value_set=book)))
    book = pa.concat_arrays([book, extra.take(pc.sort_indices(extra))])
    codes = [_codes(values, book) for values, _ in sides]
    labels = tuple(str(value) for value in book.to_pylist())
    return Compared(column, len(book), len(legal), *codes, labels=labels), unread, {}


def plain_nulls(kind: pa.DataType) -> pa.Array:
    """No rows of a type."""
    return pa.array([], type=kind)


def _codes(values: pa.Array, book: pa.Array) -> np.ndarray:
    found = pc.fill_null(pc.index_in(values, value_set=book, skip_nulls=True), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False)).astype(np.int64)


def _finite(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Infinities put one range beyond what was seen in training, so that distances to them stay numbers."""
    if not np.isinf(values).any():
        return values
    seen = train[np.isfinite(train)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)
    span = (high - low) or 1.0
    return np.where(values == np.inf, high + span, np.where(values == -np.inf, low - span, values))


def _read_as(values: Any, kind: pa.DataType) -> tuple[pa.Array, np.ndarray]:
    """Values as one array of a type, and which of them could not be read so (null in the array)."""
    flat = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(flat, pa.ChunkedArray):
        flat = pa.concat_arrays(flat.chunks) if flat.num_chunks else plain_nulls(kind)
    if pa.types.is_dictionary(flat.type):
        flat = flat.cast(flat.type.value_type)
    fine = np.zeros(len(flat), dtype=bool)
    if flat.type == kind:
        return flat, fine
    try:
        return flat.cast(kind, safe=not pa.types.is_float64(kind)), fine
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        coded = flat.dictionary_encode()
        read = pa.array([_read_one(value, kind) for value in coded.dictionary], type=kind)
        array = read.take(coded.indices)
        return array, np.asarray(pc.and_(pc.is_null(array), pc.is_valid(flat)).to_numpy(zero_copy_only=False))


def _read_one(value: pa.Scalar, kind: pa.DataType) -> Any:
    try:
        return value.cast(kind).as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
