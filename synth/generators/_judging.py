"""Noisy counts that are bought to judge rows by: for methods that keep none, and as counts that no method learned from.

A share of the budget buys the cells of every column, and coarse tables of pairs of columns: cells are joined into at most
BUCKETS of about equal rows, by the noisy counts of the single columns, which costs nothing; a pair of 32 × 32 cells would drown
in its noise. Which pairs are counted follows from the order of the columns alone: the target with every other, then neighbours,
then those two apart, …, until MOST_PAIRS are named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.data.schema import Kind
from synth.data.table import Table
from synth.generators._exact_counts import ExactCounts, equal_parts
from synth.generators._factors import NoisyMarginal
from synth.generators._fitted import Fitted
from synth.privacy.columns import PrivateColumn
from synth.privacy.domains import PrivateDomain
from synth.privacy.mechanisms import Noise

SINGLES = 0.25  # share of what is bought for single columns; the rest is for pairs
BUCKETS = 8  # of a column in a pair, at most, beside that of null
MOST_PAIRS = 60
Released = list[
    tuple[tuple[str, ...], np.ndarray, float]
]  # names, noisy counts (int64), the noise's standard deviation in rows


@dataclass(frozen=True, eq=False)
class Judging:
    """Noisy counts of single columns by cell, and of pairs by bucket.

    buckets: for each column the bucket of each of its cells, int64 of shape (cells,).
    """

    domain: PrivateDomain
    buckets: tuple[np.ndarray, ...]
    singles: tuple[NoisyMarginal, ...]
    pairs: tuple[NoisyMarginal, ...]
    micro_rho: int

    @classmethod
    def bought(
        cls, domain: PrivateDomain, codes: np.ndarray, noise: Noise, micro_rho: int, *, target: str | None, rows_per_unit: int
    ) -> Judging:
        """Counts of rows of codes, int32 of shape (rows, columns), for so much of the allowance; nothing else of them is kept.

        Raises BudgetError where a part is less than the smallest cost.
        """
        names, count = [f"{name} (to judge by)" for name in domain.names], len(domain.columns)
        chosen = pairs_of(count, None if target is None else domain.names.index(target))
        for_singles = int(SINGLES * micro_rho) if chosen else micro_rho
        parts = equal_parts(for_singles, count, "counts to judge rows by")
        exact = ExactCounts(codes, domain.sizes, names, rows_per_unit)
        singles = tuple(exact.measure((place,), noise, part) for place, part in enumerate(parts))
        buckets = tuple(bucketed(column, one.counts) for column, one in zip(domain.columns, singles, strict=True))
        coarse = ExactCounts(_coarse(codes, buckets), [int(of.max()) + 1 for of in buckets], names, rows_per_unit)
        parts = equal_parts(micro_rho - for_singles, len(chosen), "counts to judge rows by") if chosen else []
        pairs = tuple(coarse.measure(pair, noise, part) for pair, part in zip(chosen, parts, strict=True))
        return cls(domain, buckets, singles, pairs, micro_rho)

    @property
    def released(self) -> Released:
        """All that was counted; anybody may know it."""
        names = self.domain.names
        every = (*self.singles, *self.pairs)
        return [(tuple(names[c] for c in one.columns), one.counts.astype(np.int64), one.sigma) for one in every]

    def counted(self, rows: Table, fitted: Fitted) -> list[np.ndarray]:
        """How many of these rows lie in each place of each of `released`, int64 of the same shapes, no noise added."""
        codes = self.domain.encode(fitted.encode(rows), fitted.learned_schema)
        coarse = _coarse(codes, self.buckets)
        fine = [_counted(codes, one) for one in self.singles]
        return [*fine, *(_counted(coarse, one) for one in self.pairs)]

    @property
    def in_words(self) -> str:
        """What was bought, and for how much."""
        return (
            f"{len(self.singles)} noisy tables of one column and {len(self.pairs)} of two, bought for "
            f"{self.micro_rho:,} millionths of ρ and not learned from"
        )

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain JSON values, and arrays by name."""
        facts = [{"columns": list(one.columns), "sigma": one.sigma} for one in (*self.singles, *self.pairs)]
        counts = np.concatenate([one.counts.reshape(-1) for one in (*self.singles, *self.pairs)]).astype(np.int64)
        arrays = {"judging.counts": counts, "judging.buckets": np.concatenate(self.buckets)}
        return {"domain": self.domain.to_dict(), "counts": facts, "micro_rho": self.micro_rho}, arrays

    @classmethod
    def restore(cls, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Judging:
        """The inverse of `state`."""
        domain = PrivateDomain.from_dict(state["domain"])
        ends = np.cumsum(domain.sizes)
        buckets = tuple(np.split(arrays["judging.buckets"], ends[:-1]))
        coarse, found, begin = [int(of.max()) + 1 for of in buckets], [], 0
        for one in state["counts"]:
            columns = tuple(one["columns"])
            sizes = domain.sizes if len(columns) == 1 else coarse
            shape = [sizes[column] for column in columns]
            end = begin + int(np.prod(shape))
            found.append(NoisyMarginal(columns, arrays["judging.counts"][begin:end].reshape(shape), one["sigma"]))
            begin = end
        singles = tuple(one for one in found if len(one.columns) == 1)
        return cls(domain, buckets, singles, tuple(found[len(singles) :]), state["micro_rho"])


def pairs_of(count: int, target: int | None) -> list[tuple[int, int]]:
    """Pairs of so many columns, by their numbers, at most MOST_PAIRS: those with the target, then the nearer the earlier."""
    first = [] if target is None else [(min(target, other), max(target, other)) for other in range(count) if other != target]
    apart = [(low, low + step) for step in range(1, count) for low in range(count - step)]
    return list(dict.fromkeys([*first, *apart]))[:MOST_PAIRS]


def bucketed(column: PrivateColumn, noisy: np.ndarray) -> np.ndarray:
    """The bucket of each cell, int64 of shape (cells,): neighbours together where cells have an order, else the rare ones.

    noisy: counts of the cells. Null, where there is one, is a bucket of its own, the last.
    """
    counts = np.maximum(np.asarray(noisy, dtype=np.float64)[: column.valued], 0.0) + 1.0  # none is without weight
    if column.valued <= BUCKETS:
        valued = np.arange(column.valued)
    elif column.column.kind is Kind.CATEGORICAL:
        valued = np.full(column.valued, BUCKETS - 1)
        common = np.argsort(-counts, kind="stable")[: BUCKETS - 1]
        valued[common] = np.arange(len(common))
    else:
        middle = (np.cumsum(counts) - counts / 2) / counts.sum()
        valued = np.unique(np.minimum((middle * BUCKETS).astype(np.int64), BUCKETS - 1), return_inverse=True)[1]
    null = [int(valued.max(initial=-1)) + 1] * (column.size - column.valued)
    return np.concatenate([valued, null]).astype(np.int64)


def _coarse(codes: np.ndarray, buckets: Sequence[np.ndarray]) -> np.ndarray:
    return np.column_stack([of[codes[:, place]] for place, of in enumerate(buckets)]).astype(np.int32)


def _counted(codes: np.ndarray, one: NoisyMarginal) -> np.ndarray:
    shape = one.counts.shape
    places = np.ravel_multi_index(tuple(codes[:, column] for column in one.columns), shape)
    return np.bincount(places, minlength=one.counts.size).reshape(shape)
