"""Sequential trees: each column drawn from the leaves of trees on the columns before it.

After synthpop's CART method (Reiter, "Using CART to generate partially synthetic public use microdata", J. Official
Statistics 2005; Nowok, Raab and Dibben, "synthpop", J. Statistical Software 2016), with several trees per column and a
random one of them for each row, which keeps a row from retracing one training row through all of its columns. What trees may
ask is in `_conditional`, how they are grown in `_learning`, and what moved fidelity and membership in decision 012.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from synth.data.conditions import Clause, Where
from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.errors import ConfigError, did_you_mean
from synth.generators._codes import Codebook
from synth.generators._conditional import Conditional
from synth.generators._costs import cost_of
from synth.generators._effort import Drawn
from synth.generators._estimate import TableSize
from synth.generators._filling import fill
from synth.generators._forest import Forest, Within
from synth.generators._given import Rows, draw_given
from synth.generators._hyperparameters import whole_number
from synth.generators._learning import Manner, learn_column
from synth.generators._outcomes import associations
from synth.generators.base import Generator
from synth.progress import Progress

# What fitting to a policy chooses from, the most faithful setting first: min_samples_leaf, and for numbers that the columns
# before them settle a quarter of it. No honest ones: they cost more likeness for the same membership (decisions 009 and 012).
LADDER = (5, 10, 15, 20, 30, 40, 50, 60, 80, 100, 120, 160, 200, 300, 400, 600)


MOSTLY_NUMBERS = 0.25  # share of scales among the other columns from which on a target that is a category is drawn last


@dataclass
class Trees(Generator):
    """Sequential trees, the default method.

    Every row of a sample has the model's distribution, whatever n, the seed and the row's place. The rows of one sample are not
    independent of each other, though: those that reach one leaf share its donors out evenly, so that n rows hold each target
    class to within a few rows of its training share. Samples scatter less than as many real rows would. To learn how much real
    ones scatter, do not compare samples of several seeds, which differ too little, but draw the training rows again.
    """

    min_samples_leaf: int = 60  # fewest training rows behind a leaf
    min_samples_leaf_smooth: int = 15  # the same for numbers on a scale that the columns before them settle (R² of rank > .3)
    trees_per_column: int = 5  # trees per column; each synthetic row walks one of them at random
    subsample: float = 0.63  # share of the rows that the questions of one tree are grown on
    honest: bool = False  # leaf values from the rows a tree was not grown on only (Wager and Athey 2018)
    discount: bool = True  # a leaf gives one donor of each value to the leaves around it and gets others (Kneser and Ney 1995)
    interpolate: bool = True  # numbers on a scale are drawn between neighbours in the leaf
    slopes: bool = True  # trees may also ask what a linear regression on the earlier numbers says
    guess: bool = True  # trees of a target that is drawn last may also ask a boosted guess (Friedman 2001)
    condition_on: tuple[
        str, ...
    ] = ()  # columns drawn first; the others follow by how many values they have, but for the target
    max_predictors: int = 64  # at most so many earlier columns behind one column, the most correlated ones
    grow_rows: int = 100_000  # at most so many rows per tree for growing; donors always come from all that are learned from
    max_rows: int = 1_000_000  # at most so many training rows are learned from, drawn at random

    name: ClassVar[str] = "trees"
    summary: ClassVar[str] = "sequential trees: each column from trees on the columns before it; the default"
    refusal: ClassVar[str] = (
        "where its trees are cut, and what lies in their leaves, is read off the rows as they are; fit "
        "marginals, which learns from noisy counts"
    )
    ladder: ClassVar[tuple[Mapping[str, Any], ...]] = tuple(
        {"min_samples_leaf": leaf, "min_samples_leaf_smooth": max(5, leaf // 4)} for leaf in LADDER
    )

    def _validate(self) -> None:
        whole_number("min_samples_leaf", self.min_samples_leaf, 1)
        whole_number("min_samples_leaf_smooth", self.min_samples_leaf_smooth, 1)
        whole_number("trees_per_column", self.trees_per_column, 1)
        whole_number("max_predictors", self.max_predictors, 1)
        whole_number("grow_rows", self.grow_rows, 2)
        whole_number("max_rows", self.max_rows, 2)
        highest = 1.0 if not self.honest else 0.9
        if not _is_number(self.subsample) or not 0.05 <= self.subsample <= highest:
            raise ConfigError(f"subsample is {self.subsample!r}; give a share from 0.05 to {highest}")
        for name in ("honest", "discount", "interpolate", "slopes", "guess"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; give true or false")
        first: Any = self.condition_on
        if not isinstance(first, (tuple, list)):
            hint = f": [{first!r}]" if isinstance(first, str) else ""
            raise ConfigError(f"condition_on is {first!r}; give a list of column names{hint}")
        if len(set(first)) != len(first):
            raise ConfigError(f"condition_on names a column twice: {list(first)}; name each once")

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        if rows.rows > self.max_rows:
            rows = rows.take(np.sort(rng.choice(rows.rows, self.max_rows, replace=False)))
        books, codes = {}, {}
        for column in rows.columns:
            books[column.name], codes[column.name] = Codebook.of(column)
        self._books: dict[str, Codebook] = books
        self._order = self._in_order(schema)
        self._template = rows.take(np.arange(0))
        self._columns: dict[str, Conditional] = {}
        predictors = self._choose_predictors(codes, rng)
        values = {column.name: column.values for column in rows.columns}
        known = Rows(rows.rows, values, {name: books[name].features(values[name]) for name in books})
        manner = Manner(**{f.name: getattr(self, f.name) for f in fields(Manner)})
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for done, name in enumerate(self._order):
                last = schema.target is not None and name == schema.target.name and done == len(self._order) - 1
                self._columns[name] = learn_column(
                    name, predictors[name], known, books, codes, manner, guessed=last, pool=pool, rng=rng
                )
                progress("fit", done + 1, len(self._order))

    def _estimate(self, size: TableSize) -> tuple[float, float, float]:
        return cost_of(self, size)

    def _plans(self) -> Iterator[Mapping[str, Any]]:
        for trees in range(self.trees_per_column - 1, 0, -1):
            yield {"trees_per_column": trees}
        for predictors in (32, 16, 8):
            if predictors < self.max_predictors:
                yield {"trees_per_column": 1, "max_predictors": predictors}
        for rows in (300_000, 100_000, 30_000):
            if rows < self.max_rows:
                yield {"trees_per_column": 1, "max_predictors": min(8, self.max_predictors), "max_rows": rows}

    def _in_order(self, schema: Schema) -> tuple[str, ...]:
        """Columns in the order in which they are drawn: those conditioned on, then from few values to many.

        The target comes first of these or last: a category tells much about the categories after it and little about numbers,
        whose sum a guess at the end tells more about (decision 012).
        """
        for name in self.condition_on:
            if name not in self._books:
                raise ConfigError(
                    f"condition_on names {name!r}, which is not a learned column{did_you_mean(name, tuple(self._books))}"
                )
        # Categories first: their combinations can be enumerated, which makes conditions on them exact at once.
        first = sorted(self.condition_on, key=lambda name: self._books[name].is_number)
        target = None if schema.target is None else schema.target.name
        rest = sorted((name for name in self._books if name not in first), key=lambda name: self._books[name].distinct)
        if target not in rest:
            return (*first, *rest)
        rest.remove(target)
        scales = sum(book.smooth for name, book in self._books.items() if name != target)
        if self._books[target].is_number or scales >= MOSTLY_NUMBERS * (len(self._books) - 1):
            return (*first, *rest, target)
        return (*first, target, *rest)

    def _choose_predictors(self, codes: Mapping[str, np.ndarray], rng: np.random.Generator) -> dict[str, tuple[str, ...]]:
        """The earlier columns that each column's trees may ask about."""
        chosen = {name: self._order[:place] for place, name in enumerate(self._order)}
        if len(self._order) - 1 <= self.max_predictors:
            return chosen
        strength = associations(codes, rng)
        for name, earlier in chosen.items():
            strongest = sorted(earlier, key=lambda other: -strength[name][other])[: self.max_predictors]
            chosen[name] = tuple(other for other in earlier if other in strongest)
        return chosen

    # sampling ------------------------------------------------------------------------------------------------------

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return self._continue(Rows(n), rng)

    def _sample_where(self, n: int, where: Where, rng: np.random.Generator) -> Encoded:
        """Exact, as `_given` says, for all clauses."""
        if not where:
            return self._sample(n, rng)
        first, effort = draw_given(self, n, {clause.column: clause for clause in where.clauses}, rng)
        rows = self._continue(first, rng)
        return Drawn(rows.columns, rows.rows, effort)

    def _continue(self, rows: Rows, rng: np.random.Generator) -> Encoded:
        """Whole rows, of which the first few columns may be there already."""
        for name in self._order[len(rows.values) :]:
            rows = rows.having(self._books[name], self._draw_column(name, rows, rng))
        return self._template.with_values(rows.values)

    def _draw_column(self, name: str, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        return self._columns[name].draw(rows, rng)

    def _part(self, name: str, clause: Clause) -> Forest:
        return self._columns[name].part(clause)

    def _within(self, name: str, part: Forest, rows: Rows) -> Within:
        return self._columns[name].within(part, rows)

    def _draw_within(self, name: str, within: Within, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        return self._columns[name].values(within.draw(rng), rows, rng)

    def _shares(self, name: str, parts: Iterable[Forest], rows: Rows) -> np.ndarray:
        return self._columns[name].shares(parts, rows)

    def _highest_share(self, name: str, part: Forest) -> float:
        return self._columns[name].forest.highest_share(part)

    # filling in ----------------------------------------------------------------------------------------------------

    def _impute(self, rows: Encoded, rng: np.random.Generator, progress: Progress) -> Encoded:
        return rows.with_values(fill(self, rows, rng, progress))

    def _likelihood(self, name: str, rows: Rows) -> np.ndarray:
        return self._columns[name].likelihood(rows)

    # saving --------------------------------------------------------------------------------------------------------

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        places = {name: place for place, name in enumerate(self._order)}
        columns = [self._columns[name] for name in self._order]
        state = {
            "order": list(self._order),
            "nulls": [column.book.nulls for column in columns],
            "predictors": [[places[earlier] for earlier in column.questions.predictors] for column in columns],
            "repeats": [[places[earlier] for earlier in column.repeats] for column in columns],
        }
        arrays: dict[str, np.ndarray] = {}
        for place, column in enumerate(columns):
            arrays |= column.to_arrays(f"{place}")
        return state, arrays

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        order = tuple(state["order"])
        self._template = template
        self._order = order
        self._books, self._columns = {}, {}
        for place, name in enumerate(order):
            self._books[name] = Codebook.from_arrays(f"{place}", arrays, template[name], state["nulls"][place])
            self._columns[name] = Conditional.from_arrays(
                f"{place}",
                arrays,
                book=self._books[name],
                books=self._books,
                predictors=[order[earlier] for earlier in state["predictors"][place]],
                repeats=[order[earlier] for earlier in state["repeats"][place]],
                interpolate=self.interpolate,
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
