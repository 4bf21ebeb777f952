"""Rows that satisfy a condition, from any model that draws its columns one after another.

The model says, for one column and the rows drawn so far, how likely a draw may satisfy a clause, and draws given that it may;
everything else is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from synth.data.conditions import Clause
from synth.data.schema import Kind
from synth.errors import GenerationError
from synth.generators._codes import Codebook

MOST_CELLS = 20_000  # combinations of leading categories that are enumerated
MOST_BLOCKS = 2_000  # draws of the leading columns per row wanted, before a condition on them is given up


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows whose first columns are drawn: encoded values of shape (size,) by column, and what later columns ask of them."""

    size: int
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    features: Mapping[str, np.ndarray] = field(default_factory=dict)

    def having(self, book: Codebook, values: np.ndarray) -> Rows:
        """The same rows with one more column."""
        features = {**self.features, book.name: book.features(values)}
        return Rows(self.size, {**self.values, book.name: values}, features)

    def take(self, rows: np.ndarray) -> Rows:
        """The rows at these positions, in this order."""
        values = {name: column[rows] for name, column in self.values.items()}
        return Rows(len(rows), values, {name: column[rows] for name, column in self.features.items()})


class Sequential(Protocol):
    """What is asked of the model. A *part* of a column is a set of draws, those from which a value that satisfies a clause can
    come; all values drawn from a category's part satisfy it, those from a number's are checked."""

    _order: tuple[str, ...]
    _books: dict[str, Codebook]

    def _part(self, name: str, clause: Clause) -> Any: ...

    def _shares(self, name: str, parts: Iterable[Any], rows: Rows) -> np.ndarray:
        """How likely a draw for each row is in each part, float64 of shape (rows, parts)."""

    def _draw_column(self, name: str, rows: Rows, rng: np.random.Generator, part: Any = None) -> np.ndarray:
        """A value for each row, given that the draw is in the part, whose share must not be 0."""


def first_columns(model: Sequential, leading: int, n: int, clauses: Mapping[str, Clause], rng: np.random.Generator) -> Rows:
    """n draws of the first columns, up to the last that has a clause, given that all clauses hold.

    Restricting each column in turn would be biased: a first value after which the next clause is unlikely would come too
    often. So the leading categories are enumerated with their exact joint probability, times the probability that the
    first number after them can hold; what is left of the clauses is met by drawing these few columns again.
    """
    order = model._order[:leading]
    names = order[: 1 + max(order.index(name) for name in clauses)]
    cells, weight = _cells(model, names, clauses)
    direct = names[len(cells.values)] if len(cells.values) < len(names) and names[len(cells.values)] in clauses else None
    part = None
    if direct is not None:
        part = model._part(direct, clauses[direct])
        weight = weight * model._shares(direct, [part], cells)[:, 0]
    if weight.sum() <= 0:
        raise GenerationError(
            f"the model gives no row with this condition on {', '.join(clauses)}: no training row was near it;\n"
            "widen the condition"
        )
    weight = weight / weight.sum()
    kept: list[Rows] = []
    have, drawn = 0, 0
    while have < n or not kept:
        ask = int(min(200_000, max(1_000, 1.1 * (n - have) * (drawn + 1) / (have + 1)))) if drawn else n
        rows = cells.take(rng.choice(len(weight), size=ask, p=weight))
        if direct is not None:
            rows = rows.having(model._books[direct], model._draw_column(direct, rows, rng, part))
        for name in names[len(rows.values) :]:
            rows = rows.having(model._books[name], model._draw_column(name, rows, rng))
        good = np.logical_and.reduce([clause.holds(rows.values[name]) for name, clause in clauses.items()])
        kept.append(rows.take(np.flatnonzero(good)))
        have, drawn = have + kept[-1].size, drawn + ask
        if have < n and drawn > MOST_BLOCKS * max(n, 1_000):
            raise GenerationError(
                f"only {have:,} of {drawn:,} draws satisfy the condition on {', '.join(clauses)}; {n:,} were asked for.\n"
                "Ask for fewer rows, or widen the condition."
            )
    return _together(kept).take(np.arange(n))


def _together(parts: list[Rows]) -> Rows:
    values = {name: np.concatenate([rows.values[name] for rows in parts]) for name in parts[0].values}
    features = {name: np.concatenate([rows.features[name] for rows in parts]) for name in parts[0].values}
    return Rows(sum(rows.size for rows in parts), values, features)


def _cells(model: Sequential, names: tuple[str, ...], clauses: Mapping[str, Clause]) -> tuple[Rows, np.ndarray]:
    """Every combination of the leading categories that the clauses allow, and the probability of each."""
    cells, weight = Rows(1), np.ones(1)
    for name in names:
        book = model._books[name]
        if book.is_number or book.distinct * len(weight) > MOST_CELLS:
            break
        levels = np.flatnonzero(np.append(book.counts, book.nulls))
        codes = np.where(levels == book.levels, -1, levels).astype(np.int32)
        if name in clauses:
            codes = codes[clauses[name].holds(codes)]
        parts = [model._part(name, Clause(name, Kind.CATEGORICAL, frozenset([int(code)]))) for code in codes]
        joint = weight[:, None] * model._shares(name, parts, cells)
        cell, level = np.nonzero(joint)
        cells, weight = cells.take(cell).having(book, codes[level]), joint[cell, level]
    return cells, weight
