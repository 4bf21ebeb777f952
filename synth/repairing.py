"""How many rows of each group a repaired table has: toward parity of counts, or of the share with the outcome.

Groups are the cells of up to three sensitive columns, crossed. A group with fewer than 30 training rows, or fewer of the
outcome that it is to get more of, keeps its natural share: to multiply them would be to show a few people over and over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from synth.data.schema import Column, Kind
from synth.data.table import Table
from synth.errors import ConfigError, InputError, SchemaError, did_you_mean
from synth.metrics.evidence import Evidence
from synth.metrics.groups import DEPTH, LEAST, Division, divide
from synth.metrics.outcomes import Favoured, favoured

Toward = Literal["counts", "labels"]
TOWARD: tuple[Toward, ...] = ("counts", "labels")
Condition = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One part of the repaired rows: a group, and for parity of labels an outcome."""

    group: Mapping[str, str]
    outcome: str  # "" where the part holds every outcome
    seen: int  # training rows
    natural: int  # rows that as many rows drawn without a condition are expected to have
    rows: int  # rows that it gets
    where: Condition

    @property
    def times(self) -> float:
        """How many times its natural number of rows it gets."""
        return self.rows / max(1, self.natural)


@dataclass(frozen=True)
class Plan:
    """The parts of a repaired table, and the groups that were left at their natural share for having too few training rows."""

    toward: Toward
    by: tuple[str, ...]
    strength: float
    cells: tuple[Cell, ...]
    left: tuple[Mapping[str, str], ...]
    outcome: str

    @property
    def parts(self) -> list[tuple[int, Condition]]:
        """What to draw: rows and condition of each part that has any."""
        return [(cell.rows, cell.where) for cell in self.cells if cell.rows]


def plan(
    train: Table, toward: str = "counts", *, by: Sequence[str] | None = None, n: int | None = None, strength: float = 1.0
) -> Plan:
    """How n rows (by default as many as there are training rows) are dealt out.

    counts: every group gets equally many. labels: every group keeps its size, and has the outcome as often as all training rows
    together. strength: how far toward that, from 0, which is the natural table, to 1.
    by: the sensitive columns whose groups are meant, three at most; all of them by default.
    Raises ConfigError for what is not a target, a number of rows or a strength, SchemaError for a column that is not sensitive,
    InputError where there is nothing to bring to parity.
    """
    if toward not in TOWARD:
        raise ConfigError(f"there is no repair toward {toward!r}{did_you_mean(toward, TOWARD)}")
    if not (math.isfinite(strength) and 0 <= strength <= 1):
        raise ConfigError(f"a strength of {strength!r} is none; give a number from 0 (as it is) to 1 (parity)")
    rows = len(train) if n is None else n
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
        raise ConfigError(f"n is {rows!r}; give the number of rows as a whole number, 1 or more")
    columns = _columns(train, by)
    evidence = Evidence(train, None, train.head(0), 0)
    divisions = tuple(divide(evidence.column(name)) for name in columns)
    if toward == "labels":
        return _labels(train, evidence, divisions, rows, strength)
    return _counts(train, divisions, rows, strength)


def _columns(train: Table, by: Sequence[str] | None) -> tuple[str, ...]:
    known = [column.name for column in train.schema.sensitive if column.is_learned]
    if not known:
        raise InputError("no sensitive column is named, so there is no group to repair; name some, such as sensitive=['sex']")
    wanted = tuple(dict.fromkeys(known if by is None else by))
    for name in wanted:
        if name not in known:
            raise SchemaError(f"{name!r} is no sensitive column{did_you_mean(name, known)}")
    if not 1 <= len(wanted) <= DEPTH:
        raise InputError(
            f"{len(wanted)} columns ({', '.join(wanted)}) cannot be crossed: groups are of one to {DEPTH}; choose some with by="
        )
    for name in wanted:
        if train.schema.column(name).kind is Kind.DATETIME:
            raise SchemaError(f"{name!r} holds moments, whose groups cannot be brought to parity; leave it out of by=")
    return wanted


# toward what -----------------------------------------------------------------------------------------------------------


def _counts(train: Table, divisions: tuple[Division, ...], n: int, strength: float) -> Plan:
    groups = list(_groups(divisions))
    seen = np.array([int(mask.sum()) for _, _, mask in groups])
    natural = seen / len(train) * n
    enough = seen >= LEAST
    if enough.sum() < 2:
        raise InputError(
            f"fewer than two groups have {LEAST} training rows, so there is nothing to bring to parity; give more rows"
        )
    even = np.where(enough, natural[enough].sum() / enough.sum(), natural)
    rows = _whole((1 - strength) * natural + strength * even, n)
    cells = tuple(
        Cell(name, "", int(had), round(float(was)), int(gets), where)
        for (name, where, _), had, was, gets in zip(groups, seen, natural, rows)
    )
    return Plan("counts", _names(divisions), strength, cells, _few(groups, enough), "")


def _labels(train: Table, evidence: Evidence, divisions: tuple[Division, ...], n: int, strength: float) -> Plan:
    target = evidence.target
    if target is None:
        raise InputError("no target is named, so there is no outcome to bring to parity; name it with target=")
    if target.name in _names(divisions):
        raise InputError(f"the target {target.name!r} is itself one of the groups' columns; choose others with by=")
    outcome = favoured(target)
    hits, known = outcome.hits(target.train), ~target.null("train")
    overall = float(hits.sum() / known.sum())
    groups = list(_groups(divisions))
    enough = np.array([_can_grow(mask, hits, known, overall) for _, _, mask in groups])
    if not enough.any():
        raise InputError(
            f"no group has {LEAST} training rows of the outcome that it lacks, so parity is out of reach; give more rows"
        )
    share, parts = n / len(train), []
    for (name, where, mask), judged in zip(groups, enough):
        among = int((mask & known).sum())
        rate = float((mask & hits).sum() / among) if among else 0.0
        goal = (1 - strength) * rate + strength * overall if judged else rate
        for label, condition, had, wanted in (
            (outcome.label, _is(outcome, train), int((mask & hits).sum()), goal),
            (f"not {outcome.label}", _is_not(outcome, train), int((mask & known & ~hits).sum()), 1 - goal),
        ):
            parts.append((name, label, had, share * among * wanted, where | condition))
        unknown = int((mask & ~known).sum())
        if unknown:
            parts.append((name, "unknown", unknown, share * unknown, where | {target.name: None}))
    rows = _whole(np.array([part[3] for part in parts]), n)
    cells = tuple(
        Cell(name, label, had, round(share * had), int(gets), where) for (name, label, had, _, where), gets in zip(parts, rows)
    )
    return Plan("labels", _names(divisions), strength, cells, _few(groups, enough), outcome.label)


def _can_grow(mask: np.ndarray, hits: np.ndarray, known: np.ndarray, overall: float) -> bool:
    """Whether a group has enough training rows, and enough of the outcome that it is to get more rows of."""
    among = int((mask & known).sum())
    if among < LEAST:
        return False
    rate = (mask & hits).sum() / among
    return int((mask & (hits if overall > rate else known & ~hits)).sum()) >= LEAST


def _groups(divisions: tuple[Division, ...]) -> Iterator[tuple[dict[str, str], Condition, np.ndarray]]:
    """Every crossing that the training rows hold: its name, the condition on its rows, and which training rows are its own."""
    codes = np.column_stack([division.codes["train"] for division in divisions])
    for row in np.unique(codes, axis=0):
        name = {division.name: division.labels[code] for division, code in zip(divisions, row)}
        where = {d.name: _within(d, int(code)) for d, code in zip(divisions, row) if len(d.labels) > 2 or code}
        yield name, where, np.asarray((codes == row).all(axis=1))


def _within(division: Division, code: int) -> Any:
    """The condition on the column that says that a row is in one of its groups."""
    column = division.column
    if code == len(division.labels) - 1:
        return None
    if column.is_category:
        return _value(column.column, code, division.labels)
    low = division.cuts[code - 1] if code > 0 else None
    high = division.cuts[code] if code < len(division.cuts) else None
    return {sign: edge for sign, edge in ((">", low), ("<=", high)) if edge is not None}


def _value(column: Column, code: int, labels: Sequence[str]) -> Any:
    if column.kind is Kind.BOOLEAN:
        return bool(code)
    listed = column.categories or ()
    return listed[code] if code < len(listed) else labels[code]


def _is(outcome: Favoured, train: Table) -> Condition:
    target = train.schema.target
    assert target is not None
    if outcome.code is None:
        return {target.name: {">": outcome.above}}
    return {target.name: _value(target, outcome.code, [outcome.label])}


def _is_not(outcome: Favoured, train: Table) -> Condition:
    target = train.schema.target
    assert target is not None
    if outcome.code is None:
        return {target.name: {"<=": outcome.above}}
    every = [False, True] if target.kind is Kind.BOOLEAN else list(target.categories or ())
    others = [value for code, value in enumerate(every) if code != outcome.code]
    return {target.name: others if len(others) > 1 else others[0]}


def _few(groups: list[tuple[dict[str, str], Condition, np.ndarray]], enough: np.ndarray) -> tuple[Mapping[str, str], ...]:
    return tuple(name for (name, _, _), fit in zip(groups, enough) if not fit)


def _names(divisions: tuple[Division, ...]) -> tuple[str, ...]:
    return tuple(division.name for division in divisions)


def _whole(wanted: np.ndarray, n: int) -> np.ndarray:
    """Whole numbers of rows that add up to n, each less than one from what is wanted (largest remainders)."""
    scaled = wanted * (n / wanted.sum())
    rows: np.ndarray = np.floor(scaled).astype(np.int64)
    rows[np.argsort(rows - scaled, kind="stable")[: n - int(rows.sum())]] += 1
    return rows
