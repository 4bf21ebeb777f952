"""Independent columns: each drawn from its own marginal. The floor that every other method has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from synth.data.conditions import Clause, Where
from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.errors import ConfigError, GenerationError
from synth.generators._codes import Codebook
from synth.generators._estimate import TableSize
from synth.generators._missing import nothing_to_fill
from synth.generators.base import Generator
from synth.progress import Progress


@dataclass
class Independent(Generator):
    """Each column by itself: categories and nulls at their observed rates, numbers from the observed values.

    With `interpolate`, numbers of more than 200 distinct values are drawn between neighbouring observed ones, so that none is
    copied; values that hold more than 0.5% of the rows are kept as they are.
    """

    interpolate: bool = True  # near-unique numbers are drawn between neighbouring observed values

    name: ClassVar[str] = "independent"
    summary: ClassVar[str] = "each column from its own marginal, no relation kept: the floor"
    refusal: ClassVar[str] = (
        "its margins are the values of the rows; fit marginals, of which noisy counts of single columns are a part"
    )

    def _validate(self) -> None:
        if not isinstance(self.interpolate, bool):
            raise ConfigError(f"interpolate is {self.interpolate!r}; give true or false")

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        self._template = rows.take(np.arange(0))
        self._books: dict[str, Codebook] = {}
        for done, column in enumerate(rows.columns):
            self._books[column.name] = Codebook.of(column)[0]
            progress("fit", done + 1, len(rows))

    def _estimate(self, size: TableSize) -> tuple[float, float, float]:
        """Sorting each number; a code of each row and a copy of the sorted values while it is at one."""
        numbers = sum(column.is_number for column in size.columns)
        seconds = 0.05 + size.rows * (4e-7 * numbers + 1e-8 * (len(size.columns) - numbers))
        model = sum(column.distinct * (16 if column.is_number else 8) for column in size.columns)
        return seconds, 40 * size.rows + 2 * model + 2e6, model

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return self._template.with_values({name: self._from_marginal(book, None, n, rng) for name, book in self._books.items()})

    def _sample_where(self, n: int, where: Where, rng: np.random.Generator) -> Encoded:
        """Exact: columns are independent, so each clause restricts its own marginal alone."""
        clauses = {clause.column: clause for clause in where.clauses}
        drawn = {name: self._from_marginal_where(book, clauses.get(name), n, rng) for name, book in self._books.items()}
        return self._template.with_values(drawn)

    def _from_marginal(self, book: Codebook, allowed: np.ndarray | None, n: int, rng: np.random.Generator) -> np.ndarray:
        """n encoded values; allowed, boolean of shape (1 + levels,), restricts the codes -1, 0, 1, … drawn from."""
        counts = np.concatenate([[book.nulls], book.counts])
        ends = np.cumsum(counts if allowed is None else counts * allowed)
        code = np.searchsorted(ends, rng.integers(ends[-1], size=n), side="right").astype(np.int32) - 1
        if not (book.smooth and self.interpolate):
            return book.at(code)
        step = np.where(rng.random(n) < 0.5, -1, 1)
        neighbour = np.where(code < 0, -1, np.clip(code + step, 0, book.levels - 1))
        return book.between(code, neighbour, rng.random(n))

    def _from_marginal_where(self, book: Codebook, clause: Clause | None, n: int, rng: np.random.Generator) -> np.ndarray:
        if clause is None:
            return self._from_marginal(book, None, n, rng)
        codes = np.arange(-1, book.levels, dtype=np.int32)
        allowed = clause.holds(book.at(codes))
        if book.smooth and self.interpolate and not clause.null and book.values is not None:
            # A value next to the allowed range may be drawn into it.
            low, high = np.searchsorted(book.values, [clause.low, clause.high])
            allowed[max(0, low) : high + 3] = True
            allowed[0] = False
        if not (allowed * np.concatenate([[book.nulls], book.counts])).any():
            raise GenerationError(f"no training row was near the condition on {clause.column!r}; widen the condition")
        kept: list[np.ndarray] = []
        have, drawn = 0, 0
        while have < n:
            values = self._from_marginal(book, allowed, max(1_000, 2 * (n - have)), rng)
            good = values[clause.holds(values)]
            kept.append(good)
            have, drawn = have + len(good), drawn + len(values)
            if have < n and drawn > 1_000 * max(n, 1_000):
                raise GenerationError(
                    f"only {have:,} of {drawn:,} values drawn for {clause.column!r} satisfy the condition; widen the condition"
                )
        return np.concatenate(kept)[:n]

    def _impute(self, rows: Encoded, rng: np.random.Generator, progress: Progress) -> Encoded:
        """Exact: what is missing does not depend on what is observed."""
        filled = {}
        for name, book in self._books.items():
            values, null = rows[name].values.copy(), rows[name].null
            if null.any() and not book.counts.any():
                raise nothing_to_fill(name)
            if null.any():
                present = np.append(False, np.ones(book.levels, dtype=bool))
                values[null] = self._from_marginal(book, present, int(null.sum()), rng)
            filled[name] = values
        return rows.with_values(filled)

    def _score(self, rows: Encoded) -> np.ndarray:
        """The columns' log-probabilities, added up: each with one row more than was seen, spread over what was never seen."""
        return np.asarray(sum(np.log(book.chance(rows[name].values)) for name, book in self._books.items()))

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays: dict[str, np.ndarray] = {}
        for place, book in enumerate(self._books.values()):
            arrays |= book.to_arrays(f"{place}")
        return {"columns": list(self._books), "nulls": [book.nulls for book in self._books.values()]}, arrays

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        self._template = template
        self._books = {
            name: Codebook.from_arrays(f"{place}", arrays, template[name], state["nulls"][place])
            for place, name in enumerate(state["columns"])
        }
