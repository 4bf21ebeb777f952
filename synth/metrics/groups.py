"""Sensitive groups: who is judged by themselves, where up to three sensitive columns cross."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise

import numpy as np

from synth.metrics.evidence import SIDES, Compared, Evidence, Side
from synth.metrics.registry import NothingThereError

LEAST = 30  # rows of a group in the training and in the holdout table below which nothing is said of it
QUARTERS = (0.25, 0.5, 0.75)  # where a sensitive number is cut
DEPTH = 3  # sensitive columns that are crossed at most
CROSSINGS = 200  # sets of columns that are crossed, pairs first and in the schema's order
MOST = 120  # groups that are judged one by one; of the crossings, the largest are kept


@dataclass(frozen=True, eq=False)
class Division:
    """One sensitive column as groups: for each table the group of each row, shape (rows,), values in [0, len(labels))."""

    column: Compared
    labels: tuple[str, ...]
    codes: dict[Side, np.ndarray]
    cuts: tuple[float, ...] = ()  # between the groups of a number; the first group is of what is not above the first cut

    @property
    def name(self) -> str:
        return self.column.name


@dataclass(frozen=True, eq=False)
class Group:
    """Rows that share the group of a sensitive column, or of two or three. Masks are made when they are asked for."""

    parts: tuple[tuple[Division, int], ...]
    sizes: dict[Side, int]

    @property
    def name(self) -> dict[str, str]:
        return {division.name: division.labels[code] for division, code in self.parts}

    @property
    def is_crossing(self) -> bool:
        return len(self.parts) > 1

    def of(self, side: Side) -> np.ndarray:
        """Boolean array of shape (rows,): which rows of a table belong to it."""
        masks = [division.codes[side] == code for division, code in self.parts]
        return np.asarray(np.logical_and.reduce(masks))

    @cached_property
    def insufficient(self) -> str:
        """Why the group is too small to judge, or ""."""
        real = {"training": self.sizes["train"], "holdout": self.sizes["holdout"]}
        if not len(self.parts[0][0].codes["holdout"]):
            del real["holdout"]
        small = [f"{size} {side} rows" for side, size in real.items() if size < LEAST]
        return f"insufficient: the group has {' and '.join(small)}, {LEAST} are needed" if small else ""


@dataclass(frozen=True, eq=False)
class Crossing:
    """All groups of one set of columns that occur in some table, with their rows: counts of shape (groups,)."""

    divisions: tuple[Division, ...]
    codes: np.ndarray  # shape (groups, columns)
    counts: dict[Side, np.ndarray]

    def __len__(self) -> int:
        return len(self.codes)

    def group(self, place: int) -> Group:
        parts = tuple((division, int(code)) for division, code in zip(self.divisions, self.codes[place]))
        return Group(parts, {side: int(self.counts[side][place]) for side in SIDES})


def divisions(evidence: Evidence) -> tuple[Division, ...]:
    """The sensitive columns as groups: categories, quarters of numbers, nulls. Raises NothingThereError for none."""
    return evidence.once("divisions", lambda: _divisions(evidence))


def _divisions(evidence: Evidence) -> tuple[Division, ...]:
    columns = [evidence.column(c.name) for c in evidence.train.schema.sensitive if c.is_learned]
    if not columns:
        raise NothingThereError("no sensitive column is named; name some with sensitive=")
    return tuple(divide(column) for column in columns)


def divide(column: Compared) -> Division:
    """The groups of one column: its categories in order, or the quarters of a number; nulls are the last group."""
    if column.is_category:
        levels = column.levels or 0
        labels = (*(column.label(code) for code in range(levels)), "null")
        return Division(column, labels, {side: np.where(column.null(side), levels, column.of(side)) for side in SIDES})
    known = column.train[~np.isnan(column.train)]
    cuts = np.unique(np.quantile(known, QUARTERS, method="inverted_cdf")) if len(known) else np.empty(0)
    labels = (*(_span(low, high) for low, high in pairwise([-np.inf, *cuts, np.inf])), "null")
    codes = {side: np.where(column.null(side), len(cuts) + 1, np.searchsorted(cuts, column.of(side), "left")) for side in SIDES}
    return Division(column, labels, codes, tuple(float(value) for value in cuts))


def _span(low: float, high: float) -> str:
    if np.isinf(low) and np.isinf(high):
        return "any"
    return f"≤ {high:g}" if np.isinf(low) else (f"> {low:g}" if np.isinf(high) else f"{low:g} to {high:g}")


def crossings(evidence: Evidence) -> tuple[Crossing, ...]:
    """Every sensitive column by itself, then every pair and every three of them, as far as CROSSINGS reaches."""
    return evidence.once("crossings", lambda: tuple(_cross(chosen) for chosen in _sets(divisions(evidence))))


def _sets(alone: tuple[Division, ...]) -> Iterator[tuple[Division, ...]]:
    yield from ((division,) for division in alone)
    deeper = (chosen for depth in range(2, DEPTH + 1) for chosen in combinations(alone, depth))
    yield from (chosen for chosen, _ in zip(deeper, range(CROSSINGS)))


def _cross(chosen: tuple[Division, ...]) -> Crossing:
    key, bounds = np.zeros(1, dtype=np.int64), np.cumsum([0, *(len(chosen[0].codes[side]) for side in SIDES)])
    for division in chosen:
        key = key * len(division.labels) + np.concatenate([division.codes[side] for side in SIDES])
    many = int(np.prod([len(division.labels) for division in chosen]))
    if many > len(key):  # most of what could occur does not: number what does
        found, key = np.unique(key, return_inverse=True)
    else:
        found = np.arange(many)
    tally = {side: np.bincount(key[bounds[i] : bounds[i + 1]], minlength=len(found)) for i, side in enumerate(SIDES)}
    there = np.flatnonzero(tally["train"] + tally["synthetic"])
    codes = np.column_stack(np.unravel_index(found[there], [len(division.labels) for division in chosen]))
    return Crossing(chosen, codes, {side: tally[side][there] for side in SIDES})


def groups(evidence: Evidence) -> tuple[Group, ...]:
    """Every group of every sensitive column, then the crossings that occur: MOST in all, the largest in training of each.

    Raises NothingThereError where no sensitive column is named.
    """
    return evidence.once("groups", lambda: _groups(evidence))


def _groups(evidence: Evidence) -> tuple[Group, ...]:
    every = crossings(evidence)
    alone = _largest([crossing for crossing in every if len(crossing.divisions) == 1], MOST)
    alone.sort(key=lambda found: (found[0], found[1]))  # in the schema's order
    crossed = _largest([crossing for crossing in every if len(crossing.divisions) > 1], MOST - len(alone))
    first = len(divisions(evidence))
    return tuple([every[c].group(i) for c, i in alone] + [every[first + c].group(i) for c, i in crossed])


def _largest(of: list[Crossing], most: int) -> list[tuple[int, int]]:
    """The groups with the most training rows, as the crossing's place and the group's."""
    found: list[tuple[int, int, int]] = []
    for place, crossing in enumerate(of):
        size = crossing.counts["train"]
        found += [(-int(size[i]), place, int(i)) for i in np.argsort(-size, kind="stable")[:most]]
    return [(place, i) for _, place, i in sorted(found)[:most]]


def judged(evidence: Evidence, *without: str) -> tuple[Group, ...]:
    """The groups of single columns, and the crossings of enough rows; none that a column named in `without` has a part in.

    A crossing of too few rows is named as insufficient once, by `fairness.group_share`.
    """
    kept = (group for group in groups(evidence) if not (group.is_crossing and group.insufficient))
    return tuple(group for group in kept if not set(without) & set(group.name))


def subjects(evidence: Evidence, side: Side) -> np.ndarray | None:
    """Whom each row is about, as a number, shape (rows,), a null being someone else; None where the schema names no subject."""
    return None if evidence.train.schema.subject is None else evidence.clusters(side)


def shuffled(evidence: Evidence, side: Side, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows in random order, one person's together: what is cut into parts then shares hardly anybody."""
    who = subjects(evidence, side)
    if who is None:
        return rng.permutation(rows)
    return np.asarray(rows[np.argsort(rng.permutation(int(who.max(initial=0)) + 1)[who[rows]], kind="stable")])


def per_person(influence: np.ndarray, who: np.ndarray | None) -> float:
    """The variance of a mean from its rows' influences, which sum to 0; those of one person count as one (cluster-robust)."""
    n = len(influence)
    if who is None:
        return float((influence**2).sum() / max(n - 1, 1) / n)
    found, code = np.unique(who, return_inverse=True)
    sums = np.bincount(code, influence)
    return float((sums**2).sum() * len(found) / max(len(found) - 1, 1) / n**2)


def too_few(rows: int, what: str) -> str:
    """Why so many rows of a group do not tell, or ""."""
    return f"insufficient: the group has {rows} {what}, {LEAST} are needed" if rows < LEAST else ""
