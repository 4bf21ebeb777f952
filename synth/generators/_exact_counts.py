"""How many rows lie in each cell of a few columns: exactly in memory, for as long as a fit lasts, and with noise for all else.

One unit's rows lie in one cell of a marginal at worst, so it moves a marginal's counts by as many rows as it has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synth.errors import BudgetError
from synth.generators._factors import Columns, NoisyMarginal, cells, shape
from synth.privacy.mechanisms import Noise, sigma

MOST_KEPT = 2**24  # cells of all marginals that are kept: 128 MB


class ExactCounts:
    """The marginals of rows of codes, each counted once as long as there is room to keep them.

    codes: int32 of shape (rows, columns), each below its column's size. names: of the columns, for the record of spendings.
    rows_per_unit: rows that one unit of privacy has at most.
    """

    def __init__(self, codes: NDArray[np.int32], sizes: Sequence[int], names: Sequence[str], rows_per_unit: int) -> None:
        self.sizes = tuple(sizes)
        self.names = tuple(names)
        self.rows_per_unit = rows_per_unit
        self._columns = np.ascontiguousarray(codes.T).astype(np.int64)
        self._counted: dict[Columns, NDArray[np.int64]] = {}
        self._kept = 0

    def __getitem__(self, columns: Columns) -> NDArray[np.int64]:
        """Rows in each cell, of the shape of the columns' sizes."""
        if columns not in self._counted:
            flat = np.zeros(self._columns.shape[1], dtype=np.int64)
            for column in columns:
                flat *= self.sizes[column]
                flat += self._columns[column]
            counted = np.bincount(flat, minlength=cells(columns, self.sizes))
            table = counted.reshape(shape(columns, self.sizes))
            if self._kept + table.size > MOST_KEPT:
                return table
            self._kept += table.size
            self._counted[columns] = table
        return self._counted[columns]

    def measure(self, columns: Columns, noise: Noise, micro_rho: int) -> NoisyMarginal:
        """A marginal with noise that costs so much."""
        what = f"counts of {self.said(columns)}"
        noisy = noise.counts(self[columns], micro_rho, sensitivity=self.rows_per_unit, what=what)
        return NoisyMarginal(columns, noisy, self.sigma(micro_rho))

    def sigma(self, micro_rho: int) -> float:
        """Standard deviation of a count's noise, in rows."""
        return sigma(micro_rho, self.rows_per_unit)

    def said(self, columns: Columns) -> str:
        """Columns by their names."""
        return " × ".join(self.names[column] for column in columns)


def equal_parts(micro_rho: int, parts: int, what: str) -> list[int]:
    """So many costs that add up to the whole, none more than 1 apart. Raises BudgetError where they come to nothing."""
    if micro_rho < parts:
        raise BudgetError(
            f"{what} cost at least {parts:,} micro-ρ, one for each, and {micro_rho:,} are set aside for them;\n"
            "nothing was drawn: give a larger epsilon, or drop columns"
        )
    least, more = divmod(micro_rho, parts)
    return [least + (part < more) for part in range(parts)]
