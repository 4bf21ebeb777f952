"""Singling out: whether conditions read off the synthetic rows hold for exactly one training row.

After Anonymeter (Giomi et al. 2023). A condition that a single synthetic row meets is tried on training rows and on equally many real rows that no generator saw. One
that fits about one row in so many will single somebody out in either; only what it does oftener in training was learned there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from synth.metrics._risk import LEAST, SEARCHED, Attack, Rate, choices, ranks, reading
from synth.metrics.evidence import Evidence, Side
from synth.metrics.learners import draw
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

PREDICATES = 2_000  # of each kind that are tried
TRIES = 8_000  # that are drawn at most for them
FEWEST = 20  # predicates of a kind below which it is no attack
ROWS = 40_000  # training rows, and as many controls, that they are tried on
SMALLEST, LARGEST = 3, 5  # columns of a multivariate predicate
EXTREMES = 3  # smallest and largest values of a number that make a univariate one
CELLS = 20  # equally filled cells of a number, one of which a row lies in
BLIND = 500  # predicates of the baseline
TOP = 2**31 - 1  # beyond all ranks


@dataclass(frozen=True, eq=False)
class _Tables:
    """Some rows of each table as whole numbers in order, −1 for null: each of shape (rows, columns)."""

    train: np.ndarray
    control: np.ndarray
    synthetic: np.ndarray
    numbers: np.ndarray  # which columns are numbers


@dataclass(frozen=True)
class _Predicate:
    """Holds for the rows whose columns lie between two values, both included."""

    columns: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]

    def holds(self, table: np.ndarray) -> np.ndarray:
        """Positions of the rows for which it does."""
        rows: np.ndarray | None = None
        for j, low, high in zip(self.columns, self.low, self.high):
            values = table[:, j] if rows is None else table[rows, j]
            met = np.flatnonzero((values >= low) & (values <= high))
            rows = met if rows is None else rows[met]
        return np.empty(0, dtype=np.int64) if rows is None else rows


Kind = Callable[[_Tables, np.random.Generator], list[_Predicate]]
Span = Callable[
    [int, int], tuple[int, int]
]  # of a number's column and value: the least and the largest that meet the condition


@metric("privacy.singling_out_univariate", better="lower", bounds=(-1.0, 1.0), cost=1.0)
def singling_out_univariate(evidence: Evidence) -> Iterator[Reading]:
    """How much oftener a value read off the synthetic rows singles out a training row than a stranger; 0 is never.

    The residual risk of Anonymeter. Predicates: a value that occurs once among the synthetic rows, and beyond one of the
    smallest or largest numbers. The interval is Donner and Zou's for a ratio of rates, at the number of attacks that are
    independent of each other (several may single out one row).
    """
    yield _reading(evidence, "univariate", {"unique": _unique_values, "extreme": _extremes})


@metric("privacy.singling_out_multivariate", better="lower", bounds=(-1.0, 1.0), cost=1.5)
def singling_out_multivariate(evidence: Evidence) -> Iterator[Reading]:
    """How much oftener three to five values of a synthetic row single out a training row than a stranger; 0 is never.

    The residual risk of Anonymeter, of the strongest of three kinds of predicate: numbers equal, in the same twentieth, or at
    least as far out. Each holds for a single synthetic row. The interval is as for one value.
    """
    yield _reading(evidence, "multivariate", {"equal": _equal, "near": _near, "beyond": _beyond})


@dataclass(frozen=True, eq=False)
class _Tried:
    """For each predicate the row that it singles out, or −1: shape (predicates,) for each side."""

    name: str
    train: np.ndarray
    control: np.ndarray

    @classmethod
    def on(cls, tables: _Tables, name: str, predicates: list[_Predicate]) -> _Tried:
        return cls(name, _singled(predicates, tables.train), _singled(predicates, tables.control))

    @property
    def attack(self) -> Attack:
        return Attack(self.name, self.train >= 0, self.control >= 0)


def _reading(evidence: Evidence, name: str, kinds: dict[str, Kind]) -> Reading:
    tables = evidence.once("singling_out", lambda: _tables(evidence))
    tried = []
    for kind, predicates in kinds.items():
        made = predicates(tables, evidence.rng(f"singling_out.{name}.{kind}"))
        if len(made) >= FEWEST:
            tried.append(_Tried.on(tables, kind, made))
    if not tried:
        raise NothingThereError(f"fewer than {FEWEST} {name} predicates hold for exactly one synthetic row")
    blind = _shuffled(tables, name, evidence.rng(f"singling_out.{name}.baseline"))
    baseline = float((_singled(blind, tables.train) >= 0).mean())
    # of each half of the predicates the kind that does best on the other half
    best = choices([each.attack for each in tried])
    chosen = [next(each for each in tried if each.name == best[half].name) for half in (0, 1)]
    rows = [np.concatenate([getattr(chosen[half], side)[half::2] for half in (0, 1)]) for side in ("train", "control")]
    attack = Attack(" and ".join(dict.fromkeys(each.name for each in chosen)), rows[0] >= 0, rows[1] >= 0)
    detail = {"baseline": baseline, "rows": len(tables.train)}
    return reading(_rate(rows[0]), _rate(rows[1]), attack, [each.attack for each in tried], detail)


def _rate(rows: np.ndarray) -> Rate:
    """The share of predicates that single out a row; those that single out the same one count as fewer attacks."""
    hits = rows[rows >= 0]
    times = np.unique(hits, return_counts=True)[1]
    like = float((times**2).sum() / times.sum()) if len(times) else 1.0
    return Rate(len(hits) / len(rows), len(rows) / like)


def _tables(evidence: Evidence) -> _Tables:
    size = min(evidence.rows("train"), evidence.rows("holdout"), ROWS)
    if not evidence.rows("holdout"):
        raise SkipMetricError("there is no holdout to try predicates on beside the training rows")
    if size < LEAST:
        raise SkipMetricError(f"{size} training rows and as many of the holdout are too few; {LEAST} are needed")
    rows: dict[Side, np.ndarray] = {
        "train": draw(evidence, "train", size, "singling_out"),
        "holdout": draw(evidence, "holdout", size, "singling_out"),
        "synthetic": draw(evidence, "synthetic", SEARCHED, "singling_out"),
    }
    found = ranks(evidence, rows)
    numbers = np.array([column.levels is None for column in evidence.columns])
    return _Tables(found["train"], found["holdout"], found["synthetic"], numbers)


def _singled(predicates: list[_Predicate], table: np.ndarray) -> np.ndarray:
    out = np.full(len(predicates), -1, dtype=np.int64)
    for i, predicate in enumerate(predicates):
        rows = predicate.holds(table)
        if len(rows) == 1:
            out[i] = rows[0]
    return out


def _unique_values(tables: _Tables, rng: np.random.Generator) -> list[_Predicate]:
    """Values that occur once among the synthetic rows; where they are too many, as many of each column as it has."""
    place, found = [], []
    for j in range(tables.synthetic.shape[1]):
        values, times = np.unique(tables.synthetic[:, j], return_counts=True)
        once = rng.permutation(values[times == 1])
        place += list(range(len(once)))
        found += [_Predicate((j,), (int(value),), (int(value),)) for value in once]
    order = np.lexsort((rng.random(len(found)), np.array(place)))
    return [found[i] for i in order[:PREDICATES]]


def _extremes(tables: _Tables, rng: np.random.Generator) -> list[_Predicate]:
    """Numbers at least as small as one of the smallest synthetic ones, or as large as one of the largest."""
    found = []
    for j in np.flatnonzero(tables.numbers):
        values = np.unique(tables.synthetic[:, j])
        values = values[values >= 0]
        found += [_Predicate((int(j),), (0,), (int(value),)) for value in values[:EXTREMES]]
        found += [_Predicate((int(j),), (int(value),), (TOP,)) for value in values[::-1][:EXTREMES]]
    return [found[i] for i in rng.permutation(len(found))[:PREDICATES]]


def _equal(tables: _Tables, rng: np.random.Generator) -> list[_Predicate]:
    """Every column equal to the synthetic row's."""
    return _conjunctions(tables, rng, lambda j, value: (value, value))


def _near(tables: _Tables, rng: np.random.Generator) -> list[_Predicate]:
    """Numbers in the same of equally filled cells."""
    edges = [_inner(tables.synthetic[:, j], CELLS) for j in range(tables.synthetic.shape[1])]

    def cell(j: int, value: int) -> tuple[int, int]:
        k = int(np.searchsorted(edges[j], value, "left"))
        return int(edges[j][k - 1]) + 1 if k else 0, int(edges[j][k]) if k < len(edges[j]) else TOP

    return _conjunctions(tables, rng, cell)


def _beyond(tables: _Tables, rng: np.random.Generator) -> list[_Predicate]:
    """Numbers at least as far from the middle, as in the paper."""
    middle = [_inner(tables.synthetic[:, j], 2) for j in range(tables.synthetic.shape[1])]
    return _conjunctions(tables, rng, lambda j, value: (value, TOP) if (value > middle[j]).all() else (0, value))


def _inner(values: np.ndarray, parts: int) -> np.ndarray:
    """The values that part a column's known ones equally."""
    seen = values[values >= 0]
    if len(seen) == 0:
        return np.empty(0, dtype=values.dtype)
    return np.asarray(np.unique(np.quantile(seen, np.linspace(0, 1, parts + 1)[1:-1], method="inverted_cdf")))


def _conjunctions(tables: _Tables, rng: np.random.Generator, span: Span) -> list[_Predicate]:
    """Different conditions on three to five columns of a synthetic row that hold for no other."""
    found: dict[_Predicate, None] = {}
    for predicate in _drawn(tables, tables.synthetic, rng, span, TRIES):
        if predicate not in found and len(predicate.holds(tables.synthetic)) == 1:
            found[predicate] = None
            if len(found) == PREDICATES:
                break
    return list(found)


def _drawn(
    tables: _Tables,
    rows: np.ndarray,
    rng: np.random.Generator,
    span: Span,
    count: int,
    sizes: tuple[int, int] = (SMALLEST, LARGEST),
) -> Iterator[_Predicate]:
    for row in rng.integers(len(rows), size=count):
        most = rows.shape[1]
        columns = np.sort(rng.permutation(most)[: int(rng.integers(min(sizes[0], most), min(sizes[1], most) + 1))])
        ends = []
        for j in columns:
            value = int(rows[row, j])
            ends.append(span(int(j), value) if value >= 0 and tables.numbers[j] else (value, value))
        yield _Predicate(tuple(int(j) for j in columns), tuple(low for low, _ in ends), tuple(high for _, high in ends))


def _shuffled(tables: _Tables, name: str, rng: np.random.Generator) -> list[_Predicate]:
    """Predicates of one who knows each column's values but no row, and does not look for rare ones."""
    columns = [rng.permutation(tables.synthetic[:, j]) for j in range(tables.synthetic.shape[1])]
    sizes = (1, 1) if name == "univariate" else (SMALLEST, LARGEST)
    return list(_drawn(tables, np.column_stack(columns), rng, lambda j, value: (value, value), BLIND, sizes))
