"""Sequential trees: each column drawn from the leaves of trees on the columns before it.

After synthpop's CART method (Reiter, "Using CART to generate partially synthetic public use microdata", J. Official
Statistics 2005; Nowok, Raab and Dibben, "synthpop", J. Statistical Software 2016), with several trees per column and a
random one of them for each row, which keeps a row from retracing one training row through all of its columns.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import NoneType
from typing import Any, ClassVar

import numpy as np

from synth.data.conditions import Clause, Where
from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.errors import ConfigError, did_you_mean
from synth.generators._codes import Codebook
from synth.generators._costs import cost_of
from synth.generators._effort import Drawn
from synth.generators._estimate import TableSize
from synth.generators._filling import fill
from synth.generators._forest import Forest, Tree, Within, grow, plant, single_leaf
from synth.generators._given import Rows, draw_given
from synth.generators._outcomes import associations, level_order, outcomes
from synth.generators.base import Generator
from synth.progress import Progress

FEWEST_FOR_SLOPES = 20  # distinct values below which a number is not leant on others
RIDGE = 1e-4  # penalty per row, against columns that nearly repeat each other


EVEN_BINS = 32  # bins of about equal rows in which a number counts as one value, when it is evidence for others

# What fitting to a policy chooses from, the most faithful setting first: min_samples_leaf, three quarters of it for near-unique
# numbers and as much smoothing. No honest ones: they cost more likeness for the same membership (decision 009).
LADDER = (5, 10, 15, 20, 30, 40, 50, 60, 80, 100, 120, 160, 200, 300, 400, 600)


@dataclass
class Trees(Generator):
    """Sequential trees, the default method.

    Every row of a sample has the model's distribution, whatever n, the seed and the row's place. The rows of one sample are not
    independent of each other, though: those that reach one leaf share its donors out evenly, so that n rows hold each target
    class to within a few rows of its training share. Samples scatter less than as many real rows would. To learn how much real
    ones scatter, do not compare samples of several seeds, which differ too little, but draw the training rows again.
    """

    min_samples_leaf: int = 80  # fewest training rows behind a leaf
    min_samples_leaf_smooth: int = 60  # the same for near-unique numbers, which are drawn between donors rather than copied
    trees_per_column: int = 5  # trees per column; each synthetic row walks one of them at random
    subsample: float = 0.63  # share of the rows that the questions of one tree are grown on
    honest: bool = False  # leaf values from the rows a tree was not grown on only (Wager and Athey 2018)
    smoothing: float = 80.0  # s: a leaf of m donors draws from its parent with probability s / (s + m); not for smooth numbers
    interpolate: bool = True  # near-unique numbers are drawn between neighbours in the leaf
    slopes: bool = True  # trees may also ask what a linear regression on the earlier numbers says
    condition_on: tuple[str, ...] | None = None  # columns drawn first, exactly conditionable; None: target and sensitive ones
    max_predictors: int = 64  # at most so many earlier columns behind one column, the most correlated ones
    grow_rows: int = 100_000  # at most so many rows per tree for growing; donors always come from all

    name: ClassVar[str] = "trees"
    summary: ClassVar[str] = "sequential trees: each column from trees on the columns before it; the default"
    ladder: ClassVar[tuple[Mapping[str, Any], ...]] = tuple(
        {"min_samples_leaf": leaf, "min_samples_leaf_smooth": round(0.75 * leaf), "smoothing": float(leaf)} for leaf in LADDER
    )

    def _validate(self) -> None:
        _whole("min_samples_leaf", self.min_samples_leaf, 1)
        _whole("min_samples_leaf_smooth", self.min_samples_leaf_smooth, 1)
        _whole("trees_per_column", self.trees_per_column, 1)
        _whole("max_predictors", self.max_predictors, 1)
        _whole("grow_rows", self.grow_rows, 2)
        highest = 1.0 if not self.honest else 0.9
        if not _is_number(self.subsample) or not 0.05 <= self.subsample <= highest:
            raise ConfigError(f"subsample is {self.subsample!r}; give a share from 0.05 to {highest}")
        if not _is_number(self.smoothing) or not 0 <= self.smoothing < np.inf:
            raise ConfigError(f"smoothing is {self.smoothing!r}; give 0 (none) or a positive number of donors")
        for name in ("honest", "interpolate", "slopes"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; give true or false")
        if isinstance(self.condition_on, str):
            raise ConfigError(
                f"condition_on is the text {self.condition_on!r}; give a list of column names: [{self.condition_on!r}]"
            )
        if not isinstance(self.condition_on, (tuple, list, NoneType)):
            raise ConfigError(f"condition_on is {self.condition_on!r}; give a list of column names, or None")
        if self.condition_on is not None and len(set(self.condition_on)) != len(self.condition_on):
            raise ConfigError(f"condition_on names a column twice: {list(self.condition_on)}; name each once")

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        books, codes = {}, {}
        for column in rows.columns:
            books[column.name], codes[column.name] = Codebook.of(column)
        self._books: dict[str, Codebook] = books
        self._leading = self._leading_columns(schema, tuple(books))
        rest = sorted((n for n in books if n not in self._leading), key=lambda n: books[n].distinct)
        self._order = (*self._leading, *rest)
        self._predictors = self._choose_predictors(codes, rng)
        features = {column.name: books[column.name].features(column.values) for column in rows.columns}
        self._template = rows.take(np.arange(0))
        self._forests: dict[str, Forest] = {}
        self._slopes: dict[str, np.ndarray] = {}
        self._evidence: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._places: dict[str, dict[str, np.ndarray]] = {}
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for done, name in enumerate(self._order):
                seeds = rng.spawn(self.trees_per_column)
                target, classify = outcomes(books[name], codes[name])
                self._places[name] = {
                    earlier: level_order(codes[earlier], books[earlier], target, classify)
                    for earlier in self._predictors[name]
                    if books[earlier].has_order_per_target
                }
                self._slopes[name] = self._lean(name, features)
                table = self._stack(name, features, rows.rows)
                fewest = self.min_samples_leaf_smooth if books[name].smooth else self.min_samples_leaf
                jobs = [pool.submit(self._grow, table, target, codes[name], classify, fewest, seed) for seed in seeds]
                self._forests[name] = plant([job.result() for job in jobs])
                progress("fit", done + 1, len(self._order))

    def _estimate(self, size: TableSize) -> tuple[float, float, float]:
        return cost_of(self, size)

    def _plans(self) -> Iterator[Mapping[str, Any]]:
        for trees in range(self.trees_per_column - 1, 0, -1):
            yield {"trees_per_column": trees}
        for predictors in (32, 16, 8):
            if predictors < self.max_predictors:
                yield {"trees_per_column": 1, "max_predictors": predictors}

    def _grow(
        self, table: np.ndarray, target: np.ndarray, codes: np.ndarray, classify: bool, fewest: int, rng: np.random.Generator
    ) -> Tree:
        n = len(codes)
        if not table.shape[1] or n < 2 * fewest:
            return single_leaf(codes)
        size = min(max(2, round(self.subsample * n)), self.grow_rows, n - 1 if self.honest else n)
        order = rng.permutation(n)
        grow_rows = np.sort(order[:size])
        donor_rows = np.sort(order[size:]) if self.honest else np.arange(n)
        return grow(
            table,
            target,
            codes,
            classify=classify,
            grow_rows=grow_rows,
            donor_rows=donor_rows,
            min_samples_leaf=fewest,
            seed=int(rng.integers(2**31)),
        )

    def _leading_columns(self, schema: Schema, names: tuple[str, ...]) -> tuple[str, ...]:
        if self.condition_on is None:
            chosen = [c.name for c in (schema.target, *schema.sensitive) if c is not None]
            return self._categories_first(name for name in chosen if name in names)
        for name in self.condition_on:
            if name not in names:
                raise ConfigError(f"condition_on names {name!r}, which is not a learned column{did_you_mean(name, names)}")
        return self._categories_first(self.condition_on)

    def _categories_first(self, names: Iterable[str]) -> tuple[str, ...]:
        """Categories first: their combinations can be enumerated, which makes conditions on them exact at once."""
        return tuple(sorted(names, key=lambda name: self._books[name].is_number))

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

    def _lean(self, name: str, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Ridge regressions of a number on the numbers before it, of shape (2, numbers): by value, and by log-odds of rank.

        What they say is one more thing that trees can ask about: splits on single columns lose smooth relations.
        """
        numbers = [earlier for earlier in self._predictors[name] if self._books[earlier].is_number]
        if not self.slopes or not numbers or not self._books[name].is_number or self._books[name].levels < FEWEST_FOR_SLOPES:
            return np.empty((0, 0), dtype=np.float32)
        known = features[name][:, 0] >= 0
        weights = []
        for form in (1, 2):
            columns = np.column_stack([features[earlier][known, form] for earlier in numbers]).astype(np.float64)
            outcome = features[name][known, form].astype(np.float64)
            square = columns.T @ columns + RIDGE * len(columns) * np.eye(len(numbers))
            weights.append(np.linalg.solve(square, columns.T @ outcome))
        return np.array(weights).astype(np.float32)

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
        features = self._stack(name, rows.features, rows.size)
        return self._values(name, self._forests[name].draw(features, rng, self._shrink(name)), rng)

    def _within(self, name: str, part: Forest, rows: Rows) -> Within:
        return self._forests[name].within(part, self._stack(name, rows.features, rows.size), self._shrink(name))

    def _draw_within(self, name: str, within: Within, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        return self._values(name, within.draw(rng), rng)

    def _shares(self, name: str, parts: Iterable[Forest], rows: Rows) -> np.ndarray:
        return self._forests[name].shares_of(parts, self._stack(name, rows.features, rows.size), self._shrink(name))

    def _highest_share(self, name: str, part: Forest) -> float:
        return self._forests[name].highest_share(part, self._shrink(name))

    def _part(self, name: str, clause: Clause) -> Forest:
        """The donors from which a value that satisfies the clause can come."""
        return self._forests[name].restricted(self._may_hold(name, clause))

    # filling in ----------------------------------------------------------------------------------------------------

    def _impute(self, rows: Encoded, rng: np.random.Generator, progress: Progress) -> Encoded:
        return rows.with_values(fill(self, rows, rng, progress))

    def _likelihood(self, name: str, rows: Rows) -> np.ndarray:
        """The share of the row's value, or of values about like it, among the donors it could have: mean over the trees.

        As if one donor more came from all rows alike, so that nothing is impossible.
        """
        if name not in self._evidence:
            bins = self._books[name].bins(EVEN_BINS)
            counts = self._forests[name].counts(bins[self._forests[name].run_code])
            counts = np.pad(counts, ((0, 0), (0, bins[-1] + 1 - counts.shape[1])))
            everywhere = np.bincount(bins, np.append(self._books[name].counts, self._books[name].nulls)) + 1 / len(bins)
            share = (counts + everywhere / everywhere.sum()) / (counts.sum(axis=1, keepdims=True) + 1)
            self._evidence[name] = bins, share.astype(np.float32)
        bins, share = self._evidence[name]
        features = self._stack(name, rows.features, rows.size)
        node, weight = self._forests[name].candidates(features, self._shrink(name))
        here = bins[self._books[name].code_near(rows.values[name])]
        return np.asarray((weight * share[node, here[:, None]]).sum(axis=1))

    def _stack(self, name: str, features: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
        """What the trees of one column ask about, float32 of shape (rows, predictors)."""
        predictors, slopes = self._predictors[name], self._slopes[name]
        table = np.empty((rows, len(predictors) + len(slopes)), dtype=np.float32)
        for place, earlier in enumerate(predictors):
            order, first = self._places[name].get(earlier), features[earlier][:, 0]
            table[:, place] = first if order is None else order[first.astype(np.int64)]
        if len(slopes):
            numbers = [earlier for earlier in predictors if self._books[earlier].is_number]
            for form, slope in enumerate(slopes):
                columns = np.column_stack([features[earlier][:, 1 + form] for earlier in numbers])
                # Not by a matrix product, whose last bits depend on the number of threads.
                table[:, len(predictors) + form] = np.einsum("rc,c->r", columns, slope)
        return table

    def _shrink(self, name: str) -> float:
        return 0.0 if self._books[name].smooth else self.smoothing

    def _values(self, name: str, run: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What these runs of donors give: their own values, or for near-unique numbers one on the way to a neighbour."""
        book, forest = self._books[name], self._forests[name]
        code = forest.run_code[run]
        if not (book.smooth and self.interpolate):
            return book.at(code)
        before, after = forest.neighbours(run)
        neighbour = np.where(rng.random(len(run)) < 0.5, before, after)
        return book.between(code, forest.run_code[neighbour], rng.random(len(run)))

    def _may_hold(self, name: str, clause: Clause) -> np.ndarray:
        """The runs, of shape (runs,), from which a value that satisfies the clause can come."""
        book, forest = self._books[name], self._forests[name]
        run = np.arange(len(forest.run_code))
        own = clause.holds(book.at(forest.run_code))
        if clause.null or not (book.smooth and self.interpolate):
            return own
        before, after = forest.neighbours(run)
        low, high = book.at(forest.run_code[before]), book.at(forest.run_code[after])
        here = book.at(forest.run_code)
        low, high = np.fmin(low, here), np.fmax(high, here)
        return np.asarray(own | ((low <= clause.high) & (high >= clause.low)))

    # saving --------------------------------------------------------------------------------------------------------

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        places = {name: place for place, name in enumerate(self._order)}
        state = {
            "order": list(self._order),
            "leading": len(self._leading),
            "nulls": [self._books[name].nulls for name in self._order],
            "predictors": [[places[earlier] for earlier in self._predictors[name]] for name in self._order],
        }
        arrays: dict[str, np.ndarray] = {}
        for place, name in enumerate(self._order):
            arrays |= self._books[name].to_arrays(f"{place}") | self._forests[name].to_arrays(f"{place}")
            arrays[f"{place}.slopes"] = self._slopes[name]
            arrays[f"{place}.levels"] = np.concatenate([np.empty(0, dtype=np.float32), *self._places[name].values()])
        return state, arrays

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        order = tuple(state["order"])
        self._template = template
        self._order = order
        self._leading = order[: state["leading"]]
        self._predictors = {
            name: tuple(order[place] for place in places) for name, places in zip(order, state["predictors"], strict=True)
        }
        self._books = {
            name: Codebook.from_arrays(f"{place}", arrays, template[name], state["nulls"][place])
            for place, name in enumerate(order)
        }
        self._forests = {name: Forest.from_arrays(f"{place}", arrays) for place, name in enumerate(order)}
        self._slopes = {name: arrays[f"{place}.slopes"] for place, name in enumerate(order)}
        self._evidence = {}
        self._places = {}
        for place, name in enumerate(order):
            ordered = [earlier for earlier in self._predictors[name] if self._books[earlier].has_order_per_target]
            ends = np.cumsum([self._books[earlier].levels + 1 for earlier in ordered])
            self._places[name] = dict(zip(ordered, np.split(arrays[f"{place}.levels"], ends[:-1]), strict=False))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _whole(name: str, value: Any, lowest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < lowest:
        raise ConfigError(f"{name} is {value!r}; give a whole number, {lowest} or more")
