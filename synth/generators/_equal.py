"""Numbers that repeat another number of their row, such as a bill that was paid in full.

A column is compared with the numbers before it. Where many rows hold the very same value in both, "the same as there" becomes
a thing that a donor can give, beside the values of its own; no split on values would ever find it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synth.generators._codes import Codebook

FEWEST_EQUAL = 0.01  # share of the rows that must repeat the other column
MOST_REPEATED = 3  # other columns that one column may repeat
COMPARED = 20_000  # rows on which columns are compared to see which repeat each other


def repeated(
    book: Codebook, values: np.ndarray, others: Sequence[tuple[str, np.ndarray]], rng: np.random.Generator
) -> tuple[tuple[str, ...], np.ndarray]:
    """The columns that this one repeats, the most often repeated first, and which one each row repeats: int32 of shape (rows,),
    -1 where none.

    values: of the column, encoded, shape (rows,); others: names and values of earlier numbers. Values that are common in the
    column by themselves (spikes, such as 0) do not count: equal zeros say nothing.
    """
    which = np.full(len(values), -1, dtype=np.int32)
    if book.values is None or not book.smooth or not others:
        return (), which
    own = ~np.isnan(values)
    own[own] = ~book.spike[np.searchsorted(book.values, values[own])]
    some = np.flatnonzero(own)
    some = np.sort(rng.choice(some, COMPARED, replace=False)) if len(some) > COMPARED else some
    fewest = FEWEST_EQUAL * len(values)
    share = own.sum() / max(1, len(some))
    likely = [(name, other) for name, other in others if (values[some] == other[some]).sum() * share > fewest / 2]
    names: list[str] = []
    while likely and len(names) < MOST_REPEATED:
        equal = [own & (which < 0) & (values == other) for _, other in likely]
        counts = [int(rows.sum()) for rows in equal]
        best = int(np.argmax(counts))
        if counts[best] < fewest:
            break
        which[equal[best]] = len(names)
        names.append(likely.pop(best)[0])
    return tuple(names), which
