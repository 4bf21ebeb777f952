"""What is known of rows before a diffusion draws them: a condition as cells that are clean from the first step on.

- Equalities are known as they are, and the rest of the row is drawn given them; nothing is turned down.
- A set of categories is drawn first, from what the network says of it while all else is masked: by the chain rule that is the
  model's own distribution, restricted to the set.
- The rarest range of a number is drawn from the training values in it, which is the model's marginal but for its error.
- Clauses told later weigh what was drawn before them by their probability, and rows are drawn in proportion to their weight
  from many more than are wanted (sampling-importance-resampling, Rubin 1987).
- Further ranges, one that stands alone and is not rare, and any beside an equality on a number with a scale, whose density the
  network does not tell, are left to whoever asked: rows outside them are turned down and drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from synth.data.conditions import Clause
from synth.errors import GenerationError
from synth.generators._cells import NOTHING, Cell, Cells

PER_ROW, FEWEST = 4, 2_000  # candidates per row wanted, and at least; more where too few of them are independent
MOST = 400_000  # candidates, or one per row wanted where that is more
OFTEN = 0.1  # a range that stands alone and holds this share of the training rows is left to rejection, which has no error
FEWEST_EFFECTIVE = 0.1  # share of the rows that must be independent ones
MOST_ROUNDS = 200  # draws of values for a range

# What the network says of one token, given what is known: probabilities of shape (rows, states).
Chances = Callable[["Given", int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Given:
    """What is known of rows before they are drawn.

    tokens: int64 of shape (rows, tokens), -1 where unknown. x: float32 of shape (rows, places) on the normal scale, NaN where
    unknown. allowed: for each token, which states it may take, boolean of shape (states,), or for the second of two of shape
    (states of the first, states); None for all. values: what the cells of known columns hold, encoded.
    """

    tokens: np.ndarray
    x: np.ndarray
    allowed: tuple[np.ndarray | None, ...]
    values: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: np.ndarray | slice) -> Given:
        values = {name: values[rows] for name, values in self.values.items()}
        return Given(self.tokens[rows], self.x[rows], self.allowed, values)


def nothing_known(cells: Cells, n: int) -> Given:
    """n rows of which nothing is known but that their states stand for something."""
    allowed: list[np.ndarray | None] = []
    for cell in cells.cells:
        legal = cell.codes != NOTHING
        allowed += by_token(legal, cell.base) if cell.sizes and not legal.all() else [None] * len(cell.sizes)
    tokens = np.full((n, len(cells.sizes)), -1, dtype=np.int64)
    return Given(tokens, np.full((n, cells.places), np.nan, dtype=np.float32), tuple(allowed))


def by_token(states: np.ndarray, base: int) -> list[np.ndarray | None]:
    """Which states each token may take, for a column of which these states are allowed."""
    if not base:
        return [states]
    table = states.reshape(-1, base)
    return [np.asarray(table.any(axis=1)), table]


def know(given: Given, cells: Cells, column: int, values: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Put encoded values of a column among what is known of these rows, a boolean mask. The values were seen in training."""
    cell, at, place = cells.cells[column], cells.tokens_at[column], cells.place_at[column]
    given.tokens[rows, at] = cell.tokens(cell.states(values))
    if place is not None:
        given.x[rows, place] = normal(*cell.intervals(values), rng)


def normal(low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A place in each interval, on the normal scale."""
    from scipy.special import ndtri

    place = np.clip(low + (high - low) * rng.random(len(low)), 1e-6, 1 - 1e-6)
    return np.asarray(ndtri(place), dtype=np.float32)


def given_clauses(
    cells: Cells, clauses: Sequence[Clause], n: int, chances: Chances, rng: np.random.Generator
) -> tuple[Given, float]:
    """n rows of which the columns with clauses are known, but for ranges left to the caller; and their effective number.

    Raises GenerationError for a clause that no training row is near, or where too few candidates are independent.
    """
    asked = _Asked.of(cells, clauses)
    if not asked.sets and asked.range is None:
        given = nothing_known(cells, n)
        for clause in asked.equal:
            asked.fix(given, clause, rng)
        return given, float(n)
    wanted = max(FEWEST, PER_ROW * n)
    while True:
        given, weight = asked.candidates(wanted, chances, rng)
        rows, effective = _resampled(weight, n, rng)
        if effective >= FEWEST_EFFECTIVE * n:
            return given.take(rows), effective
        if wanted >= max(MOST, n):
            raise GenerationError(
                f"of {wanted:,} beginnings of rows, those that the condition on {', '.join(c.column for c in clauses)} leaves "
                f"are worth {effective:,.0f} independent ones; {n:,} were asked for: ask for fewer, or widen the condition"
            )
        wanted = min(4 * wanted, max(MOST, n))


@dataclass(frozen=True)
class _Asked:
    """A condition by how it is met. equal: one value each. sets: of states of tokens. range: the number to draw first."""

    cells: Cells
    equal: tuple[Clause, ...]
    sets: tuple[Clause, ...]
    range: Clause | None

    @classmethod
    def of(cls, cells: Cells, clauses: Sequence[Clause]) -> _Asked:
        asked = cls(cells, tuple(c for c in clauses if only_value(c) is not None), (), None)
        others = [clause for clause in clauses if only_value(clause) is None]
        on_scale = {clause.column for clause in clauses if asked._is_on_scale(clause)}
        sets = tuple(clause for clause in others if clause.column not in on_scale)
        ranges = [clause for clause in others if clause.column in on_scale]
        if any(clause.column in on_scale for clause in asked.equal) or not ranges:
            return replace(asked, sets=sets)
        rarest = min(ranges, key=lambda clause: _share(asked.cell(clause), clause))
        if not asked.equal and not sets and _share(asked.cell(rarest), rarest) >= OFTEN:
            return asked
        return replace(asked, sets=sets, range=rarest)

    def _at(self, clause: Clause) -> int:
        return next(at for at, cell in enumerate(self.cells.cells) if cell.name == clause.column)

    def cell(self, clause: Clause) -> Cell:
        return self.cells.cells[self._at(clause)]

    def _is_on_scale(self, clause: Clause) -> bool:
        """Whether a value that satisfies the clause has a place on a scale."""
        cell, value = self.cell(clause), only_value(clause)
        if cell.scale is None or clause.null:
            return False
        if value is not None:
            return int(cell.states(np.array([value]))[0]) == cell.on_scale
        held = clause.holds(cell.book.at(np.arange(cell.book.levels)))
        held[cell.scale.atoms] = False
        return bool(held.any()) or clause.values is None

    def fix(self, given: Given, clause: Clause, rng: np.random.Generator) -> None:
        """Let all rows have the one value that satisfies a clause."""
        cell, value = self.cell(clause), only_value(clause)
        book, values = cell.book, np.full(len(given), value)
        if book.values is not None and not clause.null:
            beyond = not book.levels or not book.values[0] <= float(values[0]) <= book.values[-1]
        else:
            beyond = False
        values = values.astype(cell.dtype)
        if beyond or (cell.states(values) < 0).any():
            raise _nobody(clause)
        given.values[clause.column] = values
        know(given, self.cells, self._at(clause), values, np.ones(len(given), dtype=bool), rng)

    def candidates(self, n: int, chances: Chances, rng: np.random.Generator) -> tuple[Given, np.ndarray]:
        """n beginnings of rows, and the logarithm of what each weighs, of shape (n,)."""
        given, weight = nothing_known(self.cells, n), np.zeros(n)
        varied = self.range is not None
        if self.range is not None:
            values = _within(self.cell(self.range), self.range, n, rng)
            given.values[self.range.column] = values
            know(given, self.cells, self._at(self.range), values, np.ones(n, dtype=bool), rng)
        else:
            for clause in self.equal:
                self.fix(given, clause, rng)
        for clause in (*(self.equal if varied else ()), *self.sets):
            cell, at = self.cell(clause), self.cells.tokens_at[self._at(clause)]
            allowed = cell.satisfying(clause)
            if not allowed.any():
                raise _nobody(clause)
            for token, states in zip(range(at.start, at.stop), by_token(allowed, cell.base), strict=False):
                assert states is not None
                chance = chances(given if varied else given.take(slice(1)), token)
                first = given.tokens[: len(chance), at.start] if token > at.start else None
                chance = chance * (states if first is None else states[first])
                weight += np.log(np.maximum(chance.sum(axis=1), 1e-300))
                given.tokens[:, token] = _drawn(chance, n, rng)
                varied |= bool(states.sum() > 1)
            place = self.cells.place_at[self._at(clause)]
            if place is not None:  # an atom or null: its place says nothing
                given.x[:, place] = normal(np.zeros(n), np.ones(n), rng)
        return given, weight


def only_value(clause: Clause) -> float | None:
    """The one encoded value that satisfies a clause, or None where there are several."""
    if clause.codes is not None:
        return min(clause.codes) if len(clause.codes) == 1 else None
    if clause.null:
        return np.nan
    return min(clause.values) if clause.values is not None and len(clause.values) == 1 else None


def _nobody(clause: Clause) -> GenerationError:
    return GenerationError(f"no training row was near the condition on {clause.column!r}; widen the condition")


def _share(cell: Cell, clause: Clause) -> float:
    """The share of the training rows that satisfy a clause on a number."""
    return float(cell.book.counts[clause.holds(cell.book.at(np.arange(cell.book.levels)))].sum() / max(1, cell.book.rows))


def _within(cell: Cell, clause: Clause, n: int, rng: np.random.Generator) -> np.ndarray:
    """n values of a number with a scale that satisfy a clause, from its marginal."""
    book, scale = cell.book, cell.scale
    assert scale is not None
    assert book.values is not None
    if clause.values is not None:
        held = np.flatnonzero(clause.holds(book.values))
        if not len(held):
            raise _nobody(clause)
        return np.asarray(book.values[rng.choice(held, n, p=book.counts[held] / book.counts[held].sum())])
    # A value next to the range may be drawn into it.
    near = np.searchsorted(book.values, [clause.low, clause.high]) + np.array([-1, 1])
    first, last = np.clip(near, 0, book.levels - 1)
    (low, _), (_, high) = scale.intervals(np.array([first])), scale.intervals(np.array([last]))
    atoms = scale.atoms[clause.holds(book.values[scale.atoms])]
    mass = np.append(book.counts[atoms], (high - low) * scale.rows).astype(np.float64)
    if not mass.sum():
        raise _nobody(clause)
    kept: list[np.ndarray] = []
    have = 0
    for _ in range(MOST_ROUNDS):
        size = max(1_000, 2 * (n - have))
        pick = rng.choice(len(mass), size, p=mass / mass.sum())
        values = scale.values(low + (high - low) * rng.random(size))
        values = np.where(pick < len(atoms), book.values[np.append(atoms, 0)[pick]], values)
        kept.append(values[clause.holds(values)])
        have += len(kept[-1])
        if have >= n:
            return np.concatenate(kept)[:n]
    raise _nobody(clause)


def _drawn(chance: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """A state for each of n rows, in proportion to the chances of its row, or of the only one."""
    ends = np.cumsum(chance, axis=1)
    at = rng.random(n) * ends[:, -1]
    last = (ends < ends[:, -1:]).sum(axis=1)
    if len(ends) == 1:
        return np.asarray(np.minimum(np.searchsorted(ends[0], at, side="right"), last))
    return np.asarray((ends <= at[:, None]).sum(axis=1).clip(max=last))


def _resampled(weight: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """n of the candidates in proportion to their weight, in random order, and how many independent ones these are worth."""
    if np.ptp(weight) < 1e-9:
        return np.arange(n), float(n)
    share = np.cumsum(np.exp(weight - weight.max()))
    rows = np.searchsorted(share, (np.arange(n) + rng.random()) / n * share[-1], side="right").clip(max=len(weight) - 1)
    counts = np.bincount(rows)
    return rng.permutation(rows), n**2 / float((counts**2).sum())
