"""Missing cells of a row, drawn given its observed ones, from any model that draws its columns one after another.

A particle filter along the columns (Gordon, Salmond and Smith 1993), for every row by itself: CANDIDATES completions of the row
grow column by column. A missing cell is drawn from the model, or for a category in half of the completions from its levels in
turn, so that none is out of reach, with the weight that corrects for it; an observed cell weighs each completion by how likely
the model holds it there. Where few completions hold most of the weight, they are drawn anew by it before they grow on. At the
end one of them is picked by weight. The error falls with the number of candidates, not with the number of rows.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from synth.data.conditions import Clause
from synth.data.encoding import Encoded
from synth.data.schema import Kind
from synth.generators._codes import Codebook
from synth.generators._given import Rows, Sequential
from synth.generators._missing import nothing_to_fill
from synth.progress import Progress

CANDIDATES = 50  # completions of each row
ROWS_TOGETHER = 4_000  # rows that are filled in one go: memory grows with them times the candidates
MOST_LEVELS = 64  # a category with more is proposed by the model alone
LOWEST = 1e-12  # a probability at most so low counts as this


class Fillable(Sequential, Protocol):
    """What more is asked of the model than for conditions."""

    def _likelihood(self, name: str, rows: Rows) -> np.ndarray:
        """How likely each row's own value of the column is, given the columns before it, float64 of shape (rows,), up to a
        factor that depends on the value alone."""


def fill(model: Fillable, rows: Encoded, rng: np.random.Generator, progress: Progress) -> dict[str, np.ndarray]:
    """The encoded values of all columns, with a value in place of every null.

    Raises GenerationError for a null in a column that the model has only seen null.
    """
    missing = np.column_stack([rows[name].null for name in model._order])
    for name, null in zip(model._order, missing.T, strict=True):
        if null.any() and not model._books[name].counts.any():
            raise nothing_to_fill(name)
    values = {name: rows[name].values.copy() for name in model._order}
    todo = np.flatnonzero(missing.any(axis=1))
    todo = todo[np.argsort(missing[todo].argmax(axis=1), kind="stable")]  # columns before the first missing one ask for no work
    for start in range(0, len(todo), ROWS_TOGETHER):
        some = todo[start : start + ROWS_TOGETHER]
        for name, filled in _complete(model, rows.take(some), missing[some], rng).items():
            values[name][some] = filled
        progress("impute", min(start + ROWS_TOGETHER, len(todo)), len(todo))
    return values


def _complete(model: Fillable, rows: Encoded, missing: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One completion of each row, of which every one has something missing: encoded values of shape (rows,) by column."""
    row = np.repeat(np.arange(rows.rows), CANDIDATES)
    grown, weight = Rows(len(row)), np.zeros((rows.rows, CANDIDATES))  # logarithms
    like = row  # candidates of one number are the same so far
    first = missing.argmax(axis=1)
    for place, name in enumerate(model._order):
        book, here = model._books[name], missing[:, place]
        value = rows[name].values[row]
        begun = first < place
        if here.any():
            again = here & begun & (_effective(weight) < CANDIDATES / 2)
            if again.any():
                index = _resample(weight, again, rng)
                grown, like = grown.take(index), like[index]
                weight[again] = 0
            at = np.flatnonzero(here[row])
            value[at], chance = _propose(model, name, grown.take(at), rng)
            weight[here] += np.log(chance).reshape(-1, CANDIDATES)
            like = _distinct(like, value)
        grown = grown.having(book, value)
        told = begun & ~here
        if told.any():
            _, representative, of = np.unique(like[told[row]], return_index=True, return_inverse=True)
            likelihood = model._likelihood(name, grown.take(np.flatnonzero(told[row])[representative]))
            weight[told] += np.log(np.maximum(likelihood, LOWEST))[of].reshape(-1, CANDIDATES)
    pick = np.arange(rows.rows) * CANDIDATES + (weight + rng.gumbel(size=weight.shape)).argmax(axis=1)
    return {name: values[pick] for name, values in grown.values.items()}


def _distinct(like: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Numbers for the distinct pairs."""
    code = np.unique(value, return_inverse=True)[1].astype(np.int64)
    return np.asarray(np.unique(like * (code.max() + 1) + code, return_inverse=True)[1])


def _propose(model: Fillable, name: str, rows: Rows, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A value that is not null for each candidate, and what it weighs: how likely the model gives it, over how likely it was
    to be proposed."""
    book = model._books[name]
    values, chance = _draw_present(model, name, rows, rng)
    levels = np.flatnonzero(book.counts)
    if book.is_number or len(levels) > MOST_LEVELS:
        return values, chance
    turn = (np.arange(rows.size) % CANDIDATES) // 2 + rng.integers(len(levels), size=rows.size // CANDIDATES).repeat(CANDIDATES)
    odd = np.arange(rows.size) % 2 == 1
    values = np.where(odd, levels[turn % len(levels)], values).astype(values.dtype)
    likely = np.maximum(model._likelihood(name, rows.having(book, values)), LOWEST)
    return values, likely / (likely / chance / 2 + 1 / len(levels) / 2)


def _draw_present(model: Fillable, name: str, rows: Rows, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A value that is not null for each row, and how likely the model gives one."""
    book = model._books[name]
    if not book.nulls:
        return model._draw_column(name, rows, rng), np.ones(rows.size)
    within: Any = model._within(name, model._part(name, present(book)), rows)
    values, chance = _alone(book, rows.size, rng), np.full(rows.size, LOWEST)
    can = np.flatnonzero(within.share > 0)
    values[can] = model._draw_within(name, within.take(can), rows.take(can), rng)
    chance[can] = np.maximum(within.share[can], LOWEST)
    return values, chance


def present(book: Codebook) -> Clause:
    """The clause that a value is not null."""
    if book.is_number:
        return Clause(book.name, Kind.DECIMAL)
    return Clause(book.name, Kind.CATEGORICAL, frozenset(range(book.levels)))


def _alone(book: Codebook, size: int, rng: np.random.Generator) -> np.ndarray:
    """Values as often as the column has them by itself, for rows that the model has only seen null."""
    return book.at(np.searchsorted(np.cumsum(book.counts), rng.integers(book.counts.sum(), size=size), side="right"))


def _effective(weight: np.ndarray) -> np.ndarray:
    """Kish's effective number of candidates, of shape (rows,)."""
    share = np.exp(weight - weight.max(axis=1, keepdims=True))
    return np.asarray(share.sum(axis=1) ** 2 / (share**2).sum(axis=1))


def _resample(weight: np.ndarray, again: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The candidates of all rows, of shape (rows × candidates,), those of some rows drawn anew by weight (systematically)."""
    share = np.exp(weight[again] - weight[again].max(axis=1, keepdims=True))
    rows, candidates = share.shape
    line = np.arange(rows)[:, None]  # row r's summed shares lie between r and r + 1
    reach = line + np.cumsum(share, axis=1) / share.sum(axis=1, keepdims=True)
    at = line + (np.arange(candidates) + rng.random((rows, 1))) / candidates
    chosen = np.searchsorted(reach.ravel(), at.ravel()).reshape(at.shape) - line * candidates
    index = np.arange(weight.size).reshape(weight.shape)
    index[again] = index[again][:, :1] + np.clip(chosen, 0, candidates - 1)
    return np.asarray(index.ravel())
