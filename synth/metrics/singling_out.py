"""Singling out: whether conditions read off the synthetic rows hold for exactly one training row.

After Anonymeter (Giomi et al. 2023). Predicates that hold for a single synthetic row are tried on training rows and on equally
many real rows that no generator saw. What holds for about one row in so many will single somebody out among either; only what
it does oftener in training was learned there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synth.metrics._risk import LEAST, SEARCHED, Attack, Rate, choices, ranks, reading
from synth.metrics.evidence import Evidence, Side
from synth.metrics.learners import draw
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

PREDICATES = 2_000  # of each kind that are tried
TRIES = 4_000  # that are drawn at a time for them
TURNS = 5  # times at most
FEWEST = 20  # predicates below which there is no attack; a kind with half as many as the other is left out
ROWS = 40_000  # training rows, and as many controls, that they are tried on
SIZES = (3, 5)  # columns of a multivariate predicate, at least and at most
EXTREMES = 3  # smallest and largest values of a number that make a univariate one
CELLS = 50  # equally filled cells of a number, one of which a row lies in
BLIND = 500  # predicates of the baseline
TOP = 2**31 - 1  # beyond all ranks


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows as whole numbers in order, −1 for null: shape (rows, columns). Each column's order is kept, so that the rows
    between two of its values are found without a look at the others."""

    codes: np.ndarray

    @cached_property
    def order(self) -> np.ndarray:
        return np.asfortranarray(np.argsort(self.codes, axis=0, kind="stable"))

    @cached_property
    def sorted(self) -> np.ndarray:
        return np.asfortranarray(np.take_along_axis(self.codes, self.order, axis=0))

    def singled(self, predicates: _Predicates) -> np.ndarray:
        """For each predicate the one row that it holds for, or −1 where it holds for none or for several."""
        start, stop = np.zeros(predicates.columns.shape, dtype=np.int64), np.zeros(predicates.columns.shape, dtype=np.int64)
        for j in np.unique(predicates.columns):
            here = predicates.columns == j
            start[here] = np.searchsorted(self.sorted[:, j], predicates.low[here], "left")
            stop[here] = np.searchsorted(self.sorted[:, j], predicates.high[here], "right")
        tightest = np.argsort(stop - start, axis=1, kind="stable")
        out = np.full(len(predicates), -1, dtype=np.int64)
        for i in np.flatnonzero((stop > start).all(axis=1)):
            first = tightest[i, 0]
            rows = self.order[start[i, first] : stop[i, first], predicates.columns[i, first]]
            for k in tightest[i, 1:]:
                values = self.codes[rows, predicates.columns[i, k]]
                rows = rows[(values >= predicates.low[i, k]) & (values <= predicates.high[i, k])]
            if len(rows) == 1:
                out[i] = rows[0]
        return out


@dataclass(frozen=True, eq=False)
class _Predicates:
    """Each holds for the rows whose values in some columns lie between two codes, both included.

    Shape (predicates, k) each; one on fewer than k columns names its last column several times.
    """

    columns: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, which: np.ndarray) -> _Predicates:
        return _Predicates(self.columns[which], self.low[which], self.high[which])


@dataclass(frozen=True, eq=False)
class _Tables:
    """Some rows of each table; numbers: which columns are numbers."""

    train: _Rows
    control: _Rows
    synthetic: _Rows
    numbers: np.ndarray


@dataclass(frozen=True, eq=False)
class _Tried:
    """For each predicate of a kind the row that it singles out, or −1: shape (predicates,) for each side."""

    name: str
    train: np.ndarray
    control: np.ndarray

    @property
    def attack(self) -> Attack:
        return Attack(self.name, self.train >= 0, self.control >= 0)


Kind = Callable[[_Tables, np.random.Generator], _Predicates]
Span = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # of a number's codes and some: between which ends


@metric("privacy.singling_out_univariate", better="lower", bounds=(-1.0, 1.0), cost=0.1)
def singling_out_univariate(evidence: Evidence) -> Iterator[Reading]:
    """How much oftener a value read off the synthetic rows singles out a training row than a stranger; 0 is never.

    The residual risk of Anonymeter. Predicates: a value that occurs once among the synthetic rows, and at least as far out as
    one of the smallest or largest numbers. A column whose values are drawn from real ones is at risk however little its rows
    have to do with real rows. The interval is Donner and Zou's for a ratio of rates, at the number of attacks that are
    independent of each other, since several may single out one row.
    """
    yield _reading(evidence, "univariate", {"values": _rare_values})


@metric("privacy.singling_out_multivariate", better="lower", bounds=(-1.0, 1.0), cost=1.4)
def singling_out_multivariate(evidence: Evidence) -> Iterator[Reading]:
    """How much oftener three to five values of a synthetic row single out a training row than a stranger; 0 is never.

    The residual risk of Anonymeter, of the stronger of two kinds of predicate: numbers equal, or in the same fiftieth. Each
    holds for a single synthetic row. The interval is as for one value.
    """
    yield _reading(evidence, "multivariate", {"equal": _equal, "near": _near})


def _reading(evidence: Evidence, name: str, kinds: dict[str, Kind]) -> Reading:
    tables = evidence.once("singling_out", lambda: _tables(evidence))
    made = {kind: make(tables, evidence.rng(f"singling_out.{name}.{kind}")) for kind, make in kinds.items()}
    most = max(len(predicates) for predicates in made.values())
    if most < FEWEST:
        raise NothingThereError(f"hardly any {name} predicate holds for exactly one synthetic row")
    enough = {kind: predicates for kind, predicates in made.items() if 2 * len(predicates) >= most}
    tried = [_Tried(kind, tables.train.singled(each), tables.control.singled(each)) for kind, each in enough.items()]
    # for each half of the predicates the kind that does best on the other half
    best = choices([each.attack for each in tried])
    chosen = [next(each for each in tried if each.name == best[half].name) for half in (0, 1)]
    rows = [np.concatenate([getattr(chosen[half], side)[half::2] for half in (0, 1)]) for side in ("train", "control")]
    attack = Attack(" and ".join(dict.fromkeys(each.name for each in chosen)), rows[0] >= 0, rows[1] >= 0)
    detail = {
        "baseline": _baseline(tables, 1 if name == "univariate" else SIZES[1], evidence.rng(f"singling_out.{name}.baseline")),
        "rows": len(tables.train.codes),
    }
    return reading(_rate(rows[0]), _rate(rows[1]), attack, [each.attack for each in tried], detail)


def _rate(rows: np.ndarray) -> Rate:
    """The share of predicates that single out a row; those that single out the same one count as fewer attacks."""
    hits = rows[rows >= 0]
    times = np.unique(hits, return_counts=True)[1]
    alike = float((times**2).sum() / times.sum()) if len(times) else 1.0
    return Rate(len(hits) / len(rows), len(rows) / alike)


def _tables(evidence: Evidence) -> _Tables:
    if not evidence.rows("holdout"):
        raise SkipMetricError("there is no holdout to try predicates on beside the training rows")
    size = min(evidence.rows("train"), evidence.rows("holdout"), ROWS)
    if size < LEAST:
        raise SkipMetricError(f"{size} training rows and as many of the holdout are too few; {LEAST} are needed")
    rows: dict[Side, np.ndarray] = {
        "train": draw(evidence, "train", size, "singling_out"),
        "holdout": draw(evidence, "holdout", size, "singling_out"),
        "synthetic": draw(evidence, "synthetic", SEARCHED, "singling_out"),
    }
    found = {side: _Rows(codes) for side, codes in ranks(evidence, rows).items()}
    numbers = np.array([column.levels is None for column in evidence.columns])
    return _Tables(found["train"], found["holdout"], found["synthetic"], numbers)


def _rare_values(tables: _Tables, rng: np.random.Generator) -> _Predicates:
    """The extremes, and as many unique values as there is room for."""
    far, once = _extremes(tables), _unique_values(tables, rng)
    both = [
        np.concatenate(pair)[:PREDICATES] for pair in zip((far.columns, far.low, far.high), (once.columns, once.low, once.high))
    ]
    order = rng.permutation(len(both[0]))
    return _Predicates(both[0][order], both[1][order], both[2][order])


def _unique_values(tables: _Tables, rng: np.random.Generator) -> _Predicates:
    """Values that occur once among the synthetic rows; where they are too many, of each column equally many if it has them."""
    columns, values, turn = [], [], []
    for j in range(tables.synthetic.codes.shape[1]):
        book, times = np.unique(tables.synthetic.codes[:, j], return_counts=True)
        once = rng.permutation(book[times == 1])[:PREDICATES]
        columns.append(np.full(len(once), j))
        values.append(once)
        turn.append(np.arange(len(once)))
    column, value = np.concatenate(columns), np.concatenate(values)
    order = np.lexsort((rng.random(len(value)), np.concatenate(turn)))[:PREDICATES]
    ends = value[order][:, None]
    return _Predicates(column[order][:, None], ends, ends)


def _extremes(tables: _Tables) -> _Predicates:
    """Numbers at least as small as one of the smallest synthetic ones, or at least as large as one of the largest."""
    found: list[tuple[int, int, int]] = []
    for j in np.flatnonzero(tables.numbers):
        values = np.unique(tables.synthetic.codes[:, j])
        values = values[values >= 0]
        found += [(int(j), 0, int(value)) for value in values[:EXTREMES]]
        found += [(int(j), int(value), TOP) for value in values[::-1][:EXTREMES]]
    ends = np.array(found, dtype=np.int64).reshape(-1, 3)
    return _Predicates(ends[:, :1], ends[:, 1:2], ends[:, 2:])


def _equal(tables: _Tables, rng: np.random.Generator) -> _Predicates:
    """Every column equal to the synthetic row's."""
    return _conjunctions(tables, rng, lambda codes, values: (values, values))


def _near(tables: _Tables, rng: np.random.Generator) -> _Predicates:
    """Categories equal to the synthetic row's, numbers in the same of equally filled cells."""
    return _conjunctions(tables, rng, _cells)


def _cells(codes: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edges = np.quantile(codes, np.linspace(0, 1, CELLS + 1)[1:-1], method="inverted_cdf")
    ends = np.concatenate([[-1], np.unique(edges), [TOP]])
    cell = np.searchsorted(ends, values, "left")
    return ends[cell - 1] + 1, ends[cell]


def _conjunctions(tables: _Tables, rng: np.random.Generator, span: Span) -> _Predicates:
    """Different conditions on three to five columns of a synthetic row that hold for no other."""
    found = np.empty((0, 3, min(SIZES[1], tables.synthetic.codes.shape[1])), dtype=np.int64)
    for _ in range(TURNS):
        drawn = _drawn(tables, rng, span)
        kept = drawn[np.flatnonzero(tables.synthetic.singled(drawn) >= 0)]
        found = np.concatenate([found, np.stack([kept.columns, kept.low, kept.high], axis=1)])
        found = found[np.sort(np.unique(found, axis=0, return_index=True)[1])]
        if len(found) >= PREDICATES:
            break
    found = found[:PREDICATES]
    return _Predicates(found[:, 0], found[:, 1], found[:, 2])


def _drawn(tables: _Tables, rng: np.random.Generator, span: Span) -> _Predicates:
    """Conditions on some columns of synthetic rows drawn at random."""
    codes = tables.synthetic.codes
    columns = _some(rng, codes.shape[1], SIZES)
    low = codes[rng.integers(len(codes), size=(TRIES, 1)), columns].astype(np.int64)
    high = low.copy()
    for j in np.flatnonzero(tables.numbers):
        here = (columns == j) & (low >= 0)
        if here.any():
            low[here], high[here] = span(codes[:, j][codes[:, j] >= 0], low[here])
    return _Predicates(columns, low, high)


def _some(rng: np.random.Generator, columns: int, sizes: tuple[int, int]) -> np.ndarray:
    """For each try some different columns in order, the last one repeated: shape (TRIES, at most)."""
    most = min(sizes[1], columns)
    picked = np.empty((TRIES, most), dtype=np.int64)
    for k in range(most):  # Floyd's algorithm: the k-th is drawn from those left, moved past those drawn
        value = rng.integers(columns - k, size=TRIES)
        for before in np.sort(picked[:, :k], axis=1).T:
            value += value >= before
        picked[:, k] = value
    size = rng.integers(min(sizes[0], most), most + 1, size=TRIES)
    picked = np.where(np.arange(most) < size[:, None], picked, picked[:, :1])
    return np.sort(picked, axis=1)


def _baseline(tables: _Tables, size: int, rng: np.random.Generator) -> float:
    """How often one succeeds in training who knows each column's values but no row, and does not look for rare ones."""
    codes = tables.synthetic.codes
    columns = _some(rng, codes.shape[1], (min(size, SIZES[0]), size))[:BLIND]
    values = codes[rng.integers(len(codes), size=columns.shape), columns].astype(np.int64)
    same = np.concatenate([np.zeros((BLIND, 1), dtype=bool), np.diff(columns, axis=1) == 0], axis=1)
    for k in range(1, columns.shape[1]):  # a column that is named twice has one value
        values[:, k] = np.where(same[:, k], values[:, k - 1], values[:, k])
    return float((tables.train.singled(_Predicates(columns, values, values)) >= 0).mean())
