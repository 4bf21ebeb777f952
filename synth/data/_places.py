"""Which of a column's new values each row gets: a numbering that parts of a table follow without talking to each other.

Row i gets the value at place p(i) among all that can be made, where p is a permutation chosen by a key. No two rows get the
same, whichever part they are in and whoever makes it. The permutation is a Feistel network (Luby and Rackoff, "How to
construct pseudorandom permutations from pseudorandom functions", 1988) over the least power of four that holds all places,
walked on from where it lands outside (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from synth.errors import GenerationError

_ROUNDS = 6
_SHUFFLED = 10_000  # so few places are shuffled whole: a network over a handful of bits mixes badly
_ODD = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64's


@dataclass(frozen=True, eq=False)
class Issue:
    """New values for the rows at `rows` among `total`, of one column.

    key: what the column's numbering is chosen by, the same for all parts. rng: of this part alone. taken: the texts given to
    earlier parts, for values that no numbering keeps apart (see `synth.data.identifiers.goes_in_order`); they are added to.
    """

    rows: range
    total: int
    key: tuple[int, ...]
    rng: np.random.Generator
    repeats: bool = False  # whether values may repeat
    taken: dict[str, None] = field(default_factory=dict)

    @classmethod
    def whole(cls, n: int, seed: int = 0) -> Issue:
        """All rows in one part."""
        return cls(range(n), n, (seed,), np.random.default_rng(seed))

    def __len__(self) -> int:
        return len(self.rows)

    def latest(self) -> list[str]:
        """The texts that were taken last, one for each row."""
        return list(islice(reversed(self.taken), len(self)))[::-1]

    def numbers(self, start: int) -> np.ndarray:
        """The sequence start, start + 1, … of all rows, at these."""
        return np.arange(start + self.rows.start, start + self.rows.stop)

    def places(self, size: int, what: str) -> np.ndarray:
        """A number below `size` for each row: different ones for all rows, or where these may repeat and are too few, any.

        Raises GenerationError where there are too few and they may not repeat.
        """
        if size >= self.total:
            return permuted(self.numbers(0), size, self.key)
        if self.repeats and size > 0:
            return self.rng.integers(0, size, len(self))
        raise GenerationError(
            f"only {size:,} different values of {what} can be made, and {self.total:,} are needed; ask for fewer rows"
        )


def permuted(index: np.ndarray, size: int, key: tuple[int, ...]) -> np.ndarray:
    """Where a permutation of 0 … size - 1 takes each index; size at most 2^62. The key chooses the permutation."""
    if size <= _SHUFFLED:
        return np.asarray(np.random.default_rng(key).permutation(size)[index], dtype=np.int64)
    half = np.uint64(((size - 1).bit_length() + 1) // 2)
    keys = np.random.SeedSequence(key).generate_state(_ROUNDS, np.uint64)
    place = _network(index.astype(np.uint64), half, keys)
    outside = np.flatnonzero(place >= size)
    while len(outside):
        place[outside] = _network(place[outside], half, keys)
        outside = outside[place[outside] >= size]
    return place.astype(np.int64)


def _network(value: np.ndarray, half: np.uint64, keys: np.ndarray) -> np.ndarray:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = value >> half, value & mask
    for key in keys:
        left, right = right, left ^ (mixed(right ^ key) & mask)
    return np.asarray((left << half) | right)


def mixed(value: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64, of a uint64 array: every bit of the input moves every bit of what comes out."""
    value = (value ^ (value >> np.uint64(30))) * _ODD[0]
    value = (value ^ (value >> np.uint64(27))) * _ODD[1]
    return np.asarray(value ^ (value >> np.uint64(31)))
