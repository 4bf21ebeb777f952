"""Sequential trees: each column drawn from the leaves of trees on the columns before it.

After synthpop's CART method (Reiter, "Using CART to generate partially synthetic public use microdata", J. Official
Statistics 2005; Nowok, Raab and Dibben, "synthpop", J. Statistical Software 2016), with several trees per column and a
random one of them for each row, which keeps a row from retracing one training row through all of its columns.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from synth.data.conditions import Where
from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.errors import ConfigError, GenerationError, did_you_mean
from synth.generators._codes import Codebook
from synth.generators._forest import Forest, Tree, grow, plant, single_leaf
from synth.generators.base import Generator
from synth.progress import Progress

MOST_CLASSES = 64  # a category with more levels is classified by its commonest ones, the rest taken together
MOST_BLOCKS = 2_000  # draws of the leading columns per row wanted, before a condition on them is given up


@dataclass
class Trees(Generator):
    """Sequential trees, the default method."""

    min_samples_leaf: int = 50  # fewest training rows behind a leaf
    trees_per_column: int = 5  # trees per column; each synthetic row walks one of them at random
    subsample: float = 0.63  # share of the rows that the questions of one tree are grown on
    honest: bool = False  # leaf values from the rows a tree was not grown on only (Wager and Athey 2018)
    smoothing: float = 0.0  # s: a leaf of m donors draws from its parent with probability s / (s + m)
    interpolate: bool = True  # near-unique numbers are drawn between neighbours in the leaf
    condition_on: tuple[str, ...] | None = None  # columns drawn first, exactly conditionable; None: target and sensitive ones
    max_predictors: int = 64  # at most so many earlier columns behind one column, the most correlated ones
    grow_rows: int = 100_000  # at most so many rows per tree for growing; donors always come from all

    name: ClassVar[str] = "trees"
    summary: ClassVar[str] = "sequential trees: each column from trees on the columns before it; the default"

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        books, codes = {}, {}
        for column in rows.columns:
            books[column.name], codes[column.name] = Codebook.of(column)
        self._books: dict[str, Codebook] = books
        self._leading = self._leading_columns(schema, tuple(books))
        rest = sorted((n for n in books if n not in self._leading), key=lambda n: books[n].distinct)
        self._order = (*self._leading, *rest)
        self._predictors = self._choose_predictors(codes, rng)
        features = {name: _feature(books[name], codes[name]) for name in books}
        self._forests: dict[str, Forest] = {}
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for done, name in enumerate(self._order):
                seeds = rng.spawn(self.trees_per_column)
                table = _stack(features, self._predictors[name], rows.rows)
                target, classify = _target(books[name], codes[name])
                jobs = [pool.submit(self._grow, table, target, codes[name], classify, seed) for seed in seeds]
                self._forests[name] = plant([job.result() for job in jobs])
                progress("fit", done + 1, len(self._order))

    def _grow(self, table: np.ndarray, target: np.ndarray, codes: np.ndarray, classify: bool, rng: np.random.Generator) -> Tree:
        n = len(codes)
        if not table.shape[1] or n < 2 * self.min_samples_leaf:
            return single_leaf(codes)
        size = min(max(2, round(self.subsample * n)), self.grow_rows, n)
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
            min_samples_leaf=self.min_samples_leaf,
            seed=int(rng.integers(2**31)),
        )

    def _leading_columns(self, schema: Schema, names: tuple[str, ...]) -> tuple[str, ...]:
        if self.condition_on is None:
            chosen = [c.name for c in (schema.target, *schema.sensitive) if c is not None]
            return tuple(name for name in chosen if name in names)
        for name in self.condition_on:
            if name not in names:
                raise ConfigError(f"condition_on names {name!r}, which is not a learned column{did_you_mean(name, names)}")
        return tuple(self.condition_on)

    def _choose_predictors(self, codes: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, tuple[str, ...]]:
        return {name: self._order[:place] for place, name in enumerate(self._order)}

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return self._complete({}, n, rng)

    def _complete(self, values: dict[str, np.ndarray], n: int, rng: np.random.Generator, upto: int | None = None) -> Any:
        """The columns that are not there yet, one after the other."""
        values = dict(values)
        features: dict[str, np.ndarray] = {}
        for name in self._order[:upto]:
            book = self._books[name]
            if name not in values:
                table = _stack(features, self._predictors[name], n)
                values[name] = self._draw(name, table, rng)
            features[name] = _feature(book, values[name]) if not book.is_number else book.rank(values[name])
        return self._template.with_values(values) if upto is None else values

    def _draw(self, name: str, table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        book, forest = self._books[name], self._forests[name]
        run = forest.draw(table, rng, self.smoothing)
        code = forest.run_code[run]
        if not (book.smooth and self.interpolate):
            return book.at(code)
        down = rng.random(len(run)) < 0.5
        at_end = np.where(down, np.concatenate([[True], forest.run_ends_leaf[:-1]])[run], forest.run_ends_leaf[run])
        neighbour = forest.run_code[np.where(at_end, run, np.where(down, run - 1, run + 1))]
        return book.between(code, neighbour, rng.random(len(run)))


def _feature(book: Codebook, codes: np.ndarray) -> np.ndarray:
    """A column as a tree asks about it: numbers by rank, categories by how common they are; null is -1."""
    if book.is_number:
        return codes.astype(np.float32)
    place = np.empty(book.levels + 1, dtype=np.float32)
    place[np.argsort(book.counts, kind="stable")] = np.arange(book.levels)
    place[-1] = -1
    return place[codes]


def _stack(features: Mapping[str, np.ndarray], names: tuple[str, ...], rows: int) -> np.ndarray:
    return np.column_stack([features[name] for name in names]) if names else np.empty((rows, 0), dtype=np.float32)


def _target(book: Codebook, codes: np.ndarray) -> tuple[np.ndarray, bool]:
    """What impurity is measured on, and whether it is a class."""
    if not book.is_number:
        if book.distinct <= MOST_CLASSES:
            return codes, True
        common = np.argsort(-book.counts, kind="stable")[: MOST_CLASSES - 2]
        group = np.full(book.levels + 1, MOST_CLASSES, dtype=np.int32)
        group[common] = np.arange(len(common))
        group[-1] = -1
        return group[codes], True
    below = np.concatenate([[0], np.cumsum(book.counts)])
    middle = (below[:-1] + below[1:]) / 2 / max(1, below[-1])
    null = codes < 0
    rank = np.where(null, 0.5, middle[codes] if book.levels else 0.5)
    return (np.column_stack([rank, null.astype(np.float64)]) if null.any() else rank), False
