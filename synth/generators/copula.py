"""A Gaussian copula with mixed margins: each column by its own distribution, together by the correlations of hidden normals.

After Sklar (1959) and, for columns that are not continuous, Hoff ("Extending the rank likelihood for semiparametric copula
estimation", Annals of Applied Statistics 2007): what is seen of a row are stretches of a normal vector (`_margins`), whose
correlations are those that would give what is seen (`_bridge`). Conditions restrict the vector to intervals (`_truncated`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtri
from threadpoolctl import threadpool_limits  # comes with scikit-learn

from synth.data.conditions import Where
from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.errors import ConfigError, GenerationError
from synth.generators._bridge import TERMS, correlations, hermite_of
from synth.generators._codes import Codebook
from synth.generators._completion import complete
from synth.generators._effort import Drawn
from synth.generators._estimate import TableSize
from synth.generators._level_order import ordered
from synth.generators._margins import EVERYWHERE, Margin
from synth.generators._missing import nothing_to_fill
from synth.generators._truncated import draw_truncated
from synth.generators.base import Generator
from synth.progress import Progress


@dataclass
class Copula(Generator):
    """Margins as they are, and one correlation for each pair of columns: fast and light, but only what is monotone is kept.

    Nulls have a coordinate of their own for each pattern of them, so that they go together with other columns' values.
    Conditions on any columns are exact, and missing cells are drawn given all that is observed.
    """

    interpolate: bool = True  # near-unique numbers are drawn between neighbouring observed values
    shrinkage: float | None = None  # share by which correlations are drawn toward 0; None: what their errors ask for

    name: ClassVar[str] = "copula"
    summary: ClassVar[str] = "a Gaussian copula: exact margins, one correlation per pair of columns; light, exact conditions"
    refusal: ClassVar[str] = (
        "its margins are the values of the rows, and its correlations are exact; fit marginals, which learns from noisy counts"
    )

    def _validate(self) -> None:
        if not isinstance(self.interpolate, bool):
            raise ConfigError(f"interpolate is {self.interpolate!r}; give true or false")
        share: Any = self.shrinkage
        number = isinstance(share, (int, float, np.integer, np.floating)) and not isinstance(share, bool)
        if share is not None and not (number and 0 <= share <= 1):
            raise ConfigError(f"shrinkage is {share!r}; give a share from 0 to 1, or none for what the rows ask for")

    # fit -----------------------------------------------------------------------------------------------------------

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        self._template = rows.take(np.arange(0))
        steps = len(rows) + 2
        codes, margins = {}, {}
        for done, column in enumerate(rows.columns):
            book, codes[column.name] = Codebook.of(column)
            margins[column.name] = Margin(book, np.arange(book.levels), self.interpolate)
            progress("fit", done + 1, steps)
        known = {name: margin for name, margin in margins.items() if margin.book.counts.any()}
        ordinal = {column.name for column in rows.columns if column.ordered}
        with one_thread():
            margins |= ordered(known, codes, ordinal, rng)
            progress("fit", steps - 1, steps)
            self._take_up(margins, _masks(codes))
            self._correlation = self._correlations(codes, rows.rows)
        progress("fit", steps, steps)

    def _take_up(self, margins: Mapping[str, Margin], mask: Mapping[str, int]) -> None:
        """Columns and their coordinates: first of the values, then of the patterns of nulls, which columns may share."""
        self._margins = dict(margins)
        self._mask = dict(mask)
        vary = [name for name, margin in margins.items() if int((margin.book.counts > 0).sum()) > 1]
        self._place = {name: place for place, name in enumerate(vary)}
        self._hole = {name: len(vary) + pattern for name, pattern in mask.items()}
        holes = {hole: margins[name].book for name, hole in self._hole.items()}
        self._null_ends = {hole: float(ndtri(book.nulls / book.rows)) for hole, book in holes.items()}

    @property
    def _coordinates(self) -> int:
        return len(self._place) + len(self._null_ends)

    def _correlations(self, codes: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
        tables, hermite, of = {}, np.zeros((self._coordinates, TERMS)), {}
        for name, place in self._place.items():
            margin = self._margins[name]
            tables[place], of[place] = np.append(margin.scores, 0.0), name
            hermite[place] = hermite_of(margin.ends, margin.scores[margin.order])
        for name, hole in self._hole.items():
            book = self._margins[name].book
            present = Margin(Codebook(name, 2, np.array([book.nulls, book.rows - book.nulls]), 0), np.arange(2), False)
            tables[hole], of[hole] = present.scores, name
            hermite[hole] = hermite_of(present.ends, present.scores)

        def scores(some: slice) -> tuple[np.ndarray, np.ndarray]:
            size = len(range(rows)[some])
            score, there = np.empty((size, len(tables))), np.ones((size, len(tables)), dtype=bool)
            for place, table in tables.items():
                code = codes[of[place]][some]
                if place < len(self._place):
                    there[:, place] = code >= 0
                score[:, place] = table[code if place < len(self._place) else (code >= 0).astype(np.int64)]
            return score, there

        return correlations(scores, hermite, rows, self.shrinkage)

    def _estimate(self, size: TableSize) -> tuple[float, float, float]:
        """Sorting each number, scores twice over, products of all pairs, and a few decompositions of their matrix."""
        rows, columns = size.rows, len(size.columns)
        numbers = sum(column.is_number for column in size.columns)
        distinct = sum(column.distinct for column in size.columns)
        seconds = 0.3 + rows * (3e-7 * numbers + 6e-8 * columns + 4e-10 * columns**2) + 6e-6 * columns**2 + 3e-8 * columns**3
        model = 16.0 * distinct + 32 * columns**2
        return seconds, 4 * rows * columns + 40 * rows + 16 * 20_000 * 2 * columns + 3 * model + 200 * columns**2 + 5e6, model

    # sampling ------------------------------------------------------------------------------------------------------

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        with one_thread():
            z = _correlated(np.linalg.cholesky(self._correlation), n, rng)
        return self._decoded(z)

    def _sample_where(self, n: int, where: Where, rng: np.random.Generator) -> Encoded:
        """Exact: the coordinates that clauses restrict, given that they lie there, and the others given these."""
        unions = self._unions(where)
        if not unions:
            return self._sample(n, rng)
        first = np.array(sorted(unions))
        rest = np.setdiff1d(np.arange(self._coordinates), first)
        R = self._correlation
        z = np.empty((n, self._coordinates))
        with one_thread():
            z[:, first], effort = draw_truncated(n, R[np.ix_(first, first)], [unions[place] for place in first], rng)
            slope = np.linalg.solve(R[np.ix_(first, first)], R[np.ix_(first, rest)])
            left = R[np.ix_(rest, rest)] - R[np.ix_(rest, first)] @ slope
            z[:, rest] = z[:, first] @ slope + _correlated(np.linalg.cholesky(left), n, rng)
        rows = self._decoded(z)
        met = {clause.column: self._margins[clause.column].met(rows[clause.column].values, clause) for clause in where.clauses}
        rows = rows.with_values({name: met.get(name, rows[name].values) for name in rows})
        return Drawn(rows.columns, rows.rows, effort)

    def _unions(self, where: Where) -> dict[int, np.ndarray]:
        """The intervals that each restricted coordinate may lie in. Raises GenerationError where a column has none."""
        unions: dict[int, np.ndarray] = {}
        for clause in where.clauses:
            margin, hole = self._margins[clause.column], self._hole.get(clause.column)
            null = clause.null or (clause.codes is not None and -1 in clause.codes)
            possible = margin.book.nulls > 0 if null else bool(margin.book.counts.any())
            if possible and not null:
                stretches = margin.stretches(clause)
                possible = len(stretches) > 0
                if clause.column in self._place and not _is_everything(stretches):
                    unions[self._place[clause.column]] = stretches
            if not possible:
                raise GenerationError(f"no training row was near the condition on {clause.column!r}; widen the condition")
            if hole is not None:
                end = self._null_ends[hole]
                side = np.array([[-np.inf, end] if null else [end, np.inf]])
                if hole in unions and not np.array_equal(unions[hole], side):
                    raise GenerationError(
                        f"{clause.column!r} was null in the same training rows as another column of the condition, always;\n"
                        "widen the condition"
                    )
                unions[hole] = side
        return unions

    def _decoded(self, z: np.ndarray) -> Encoded:
        """The values that these coordinates, of shape (rows, coordinates), stand for."""
        values = {}
        for name, margin in self._margins.items():
            values[name] = self._values(name, z)
            hole = self._hole.get(name)
            if hole is not None:
                values[name] = np.where(z[:, hole] < self._null_ends[hole], margin.book.at(np.array([-1])), values[name])
        return self._template.with_values(values)

    def _values(self, name: str, z: np.ndarray) -> np.ndarray:
        margin = self._margins[name]
        if name in self._place:
            return margin.values(z[:, self._place[name]])
        only = int(np.argmax(margin.book.counts)) if margin.book.counts.any() else -1
        return margin.book.at(np.full(len(z), only))

    # filling in ----------------------------------------------------------------------------------------------------

    def _impute(self, rows: Encoded, rng: np.random.Generator, progress: Progress) -> Encoded:
        """Draws given the stretches of the observed cells (`_completion`); that others are missing is taken to say nothing."""
        for name, margin in self._margins.items():
            if rows[name].null.any() and not margin.book.counts.any():
                raise nothing_to_fill(name)
        low, high = (np.full((rows.rows, len(self._place)), edge) for edge in (-np.inf, np.inf))
        for name, place in self._place.items():
            low[:, place], high[:, place] = self._margins[name].around(rows[name].values)
        values = np.arange(len(self._place))
        with one_thread():
            z = complete(low, high, self._correlation[np.ix_(values, values)], rng, progress)
        filled = {}
        for name in self._margins:
            null = rows[name].null
            filled[name] = np.where(null, self._values(name, z), rows[name].values)
        return rows.with_values(filled)

    # saving --------------------------------------------------------------------------------------------------------

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays = {"correlation": self._correlation}
        for place, margin in enumerate(self._margins.values()):
            arrays |= margin.to_arrays(f"{place}")
        nulls = [margin.book.nulls for margin in self._margins.values()]
        return {"columns": list(self._margins), "nulls": nulls, "mask": self._mask}, arrays

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        self._template = template
        margins = {
            name: Margin.from_arrays(f"{place}", arrays, template[name], state["nulls"][place], self.interpolate)
            for place, name in enumerate(state["columns"])
        }
        self._take_up(margins, state["mask"])
        self._correlation = arrays["correlation"]


def _masks(codes: Mapping[str, np.ndarray]) -> dict[str, int]:
    """A number for each column with nulls beside values: the same for columns that are null in the same rows."""
    seen: dict[bytes, int] = {}
    found = {}
    for name, code in codes.items():
        null = code < 0
        if null.any() and not null.all():
            found[name] = seen.setdefault(np.packbits(null).tobytes(), len(seen))
    return found


def one_thread() -> threadpool_limits:
    """Sums of a matrix product must not depend on the number of threads."""
    return threadpool_limits(1, "blas")


def _correlated(factor: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n normal vectors whose covariance has this Cholesky factor."""
    return np.asarray(rng.standard_normal((n, len(factor))) @ factor.T)


def _is_everything(stretches: np.ndarray) -> bool:
    return bool(np.array_equal(stretches, EVERYWHERE))
