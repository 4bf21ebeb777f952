"""A mixture of products: within a component columns are independent; what ties them is which component a row is of.

Marginals of any columns, the chance of a row, and rows given any columns are sums over the components, and so exact, however
many columns there are. All components are equally likely; numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # comes with scikit-learn

from synth.errors import ConfigError, GenerationError
from synth.generators._ancestral import systematic
from synth.generators._factors import Columns, Floats, checked_columns, checked_masks, checked_sizes, shape

LEAST = 1e-9  # share of each cell in each component, at least: what is legal stays possible
ROWS = 512  # whose chance is worked out at a time


@dataclass(frozen=True, eq=False)
class ProductMixture:
    """`total` rows, of which each component has as many.

    shares: the chance of each cell in each component, float32 of shape (cells of all columns one after another, components).
    """

    sizes: Columns
    total: float
    shares: NDArray[np.float32]

    @classmethod
    def of(cls, sizes: Sequence[int], total: float, shares: Floats) -> ProductMixture:
        """With no share below `LEAST`. Raises ConfigError for shares that do not go with the sizes."""
        sizes = checked_sizes(sizes)
        if shares.ndim != 2 or len(shares) != sum(sizes) or not shares.shape[1]:
            raise ConfigError(f"shares of shape {shares.shape} do not go with columns of {sizes} cells; the model is damaged")
        return cls(sizes, float(total), np.maximum(shares, LEAST).astype(np.float32))

    @property
    def components(self) -> int:
        return int(self.shares.shape[1])

    def marginal(self, columns: Sequence[int]) -> Floats:
        """Expected rows in each cell of any columns, with one axis for each in the order given; float64."""
        return self.marginals([columns])[0]

    def marginals(self, sets: Sequence[Sequence[int]]) -> list[Floats]:
        """`marginal` of each set of columns."""
        with threadpool_limits(1, "blas"):  # sums must not depend on the number of threads; once, since finding BLAS takes ms
            return [self._summed(checked_columns(columns, self.sizes)) for columns in sets]

    def _summed(self, columns: Columns) -> Floats:
        table = np.ones((1, self.components), dtype=np.float32)
        for column in columns[:-1]:
            table = (table[:, None] * self.shares[self._of(column)]).reshape(-1, self.components)
        table = table @ self.shares[self._of(columns[-1])].T if columns else table.sum(axis=1)
        return np.asarray(table.reshape(shape(columns, self.sizes)).astype(np.float64) * (self.total / self.components))

    def sample(
        self, n: int, rng: np.random.Generator, allowed: Mapping[int, NDArray[np.bool_] | Floats] | None = None
    ) -> NDArray[np.int32]:
        """n rows of codes, of shape (n, columns); with `allowed`, given that columns lie in cells whose mask is true.

        As `GraphicalModel.sample`: a mask may be of shares from 0 to 1; the rows of one call are a stratified sample, and
        depend on n and rng alone. A component counts by how much of it is allowed. Raises GenerationError where no cell is.
        """
        if n < 0:
            raise ConfigError(f"{n!r} rows were asked for; give 0 or more")
        masks = checked_masks(allowed or {}, self.sizes)
        likely = np.zeros(self.components)
        with np.errstate(divide="ignore"):
            for column, mask in masks.items():
                likely += np.log((self.shares[self._of(column)] * mask[:, None]).sum(axis=0, dtype=np.float64))
        if not np.isfinite(likely.max()):
            raise GenerationError(
                f"the conditions on columns {', '.join(map(str, sorted(masks)))} allow none of their cells; widen the condition"
            )
        component = systematic(np.exp(likely - likely.max())[None], np.zeros(n, dtype=np.int64), rng)
        rows = np.empty((n, len(self.sizes)), dtype=np.int32)
        for column in range(len(self.sizes)):
            table = self.shares[self._of(column)].T
            rows[:, column] = systematic(table * masks[column] if column in masks else table, component, rng)
        return rows

    def log_chance(self, codes: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """ln p of rows of codes, of shape (rows, columns); float64 of shape (rows,)."""
        chance = np.empty(len(codes))
        for begin in range(0, len(codes), ROWS):
            part = codes[begin : begin + ROWS]
            logs = np.zeros((len(part), self.components))
            for column in range(len(self.sizes)):
                logs += self._logs[self._of(column)][part[:, column]]
            most = logs.max(axis=1, keepdims=True)
            chance[begin : begin + ROWS] = np.log(np.exp(logs - most).mean(axis=1)) + most[:, 0]
        return chance

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
        """All there is to the model, as JSON and arrays; `restore` takes them back."""
        return {"sizes": list(self.sizes), "total": self.total}, {"shares": self.shares}

    @classmethod
    def restore(cls, state: Mapping[str, Any], arrays: Mapping[str, Floats]) -> ProductMixture:
        """The model that `state` told of: its marginals and rows are the same to the last bit."""
        return cls.of(state["sizes"], state["total"], arrays["shares"])

    def _of(self, column: int) -> slice:
        """Where a column's cells stand."""
        return slice(self._starts[column], self._starts[column + 1])

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *np.cumsum(self.sizes).tolist()]

    @cached_property
    def _logs(self) -> NDArray[np.float32]:
        return np.log(self.shares)
