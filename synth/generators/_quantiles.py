"""A number's place on an even scale, and back: the quantile transform with ties spread out.

A number is where it ranks among the training values, in [0, 1]; a value that many rows hold has an interval as wide as its
share, and every place inside it leads back to that value, so that spikes and whole numbers come back exactly. Where values
are near-unique, places between two of them lead between them. On the normal scale (the inverse of the normal distribution's
function) every column has mean 0 and deviation 1, whatever its units, tails and spikes.

Values that hold much of the rows by themselves, such as 0, are *atoms*: they have no place on the scale, and are told as
states beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synth.generators._codes import Codebook

ATOM = 0.01  # a spike that holds more than this share of the rows is an atom ...
MOST_ATOMS = 30  # ... if it is among the largest


@dataclass(frozen=True, eq=False)
class Scale:
    """Places of the values of one number that are not atoms.

    atoms: ascending codes, int64 of shape (atoms,).
    """

    book: Codebook
    atoms: np.ndarray

    @classmethod
    def of(cls, book: Codebook) -> Scale:
        large = np.flatnonzero(book.spike & (book.counts > ATOM * book.rows))
        largest = large[np.argsort(-book.counts[large], kind="stable")[:MOST_ATOMS]]
        return cls(book, np.sort(largest))

    @cached_property
    def _ends(self) -> np.ndarray:
        """How many rows on the scale have a value up to that of each code, of shape (levels,)."""
        counts = self.book.counts.astype(np.float64)
        counts[self.atoms] = 0
        return np.asarray(np.cumsum(counts))

    @property
    def rows(self) -> float:
        """Training rows that have a place on the scale."""
        return float(self._ends[-1]) if len(self._ends) else 0.0

    def intervals(self, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the interval of each code begins and ends, each of shape (rows,); for an atom these are one place."""
        ends = np.append(0.0, self._ends) / max(1.0, self.rows)
        return ends[code], ends[code + 1]

    def values(self, place: np.ndarray) -> np.ndarray:
        """The value at each place in [0, 1], of shape (rows,): float64, never an atom's."""
        among = np.clip(place, 0.0, 1.0) * self.rows
        code = np.minimum(np.searchsorted(self._ends, among, side="right"), self._last)
        value = self.book.at(code)
        if not self.book.smooth or self.book.is_often:
            return value
        within = (among - (self._ends[code] - self.book.counts[code])) / self.book.counts[code]
        neighbour = np.clip(code + np.where(within < 0.5, -1, 1), 0, self.book.levels - 1)
        return self.book.between(code, neighbour, np.abs(within - 0.5))

    @cached_property
    def _last(self) -> int:
        """The highest code that is no atom."""
        return int(np.setdiff1d(np.arange(self.book.levels), self.atoms)[-1])
