"""In which order the levels of a nominal column lie on a line, so that one correlation says most about the other columns.

The levels' means of the other columns' normal scores have a first principal axis, and levels are ordered along it: a
correspondence analysis of the column against all others (Greenacre, "Theory and applications of correspondence analysis",
1984), found by reciprocal averaging (Hill, "Reciprocal averaging", J. Ecology 1973) so that no table of levels by columns is
held. With scores and orders found in turn it is the optimal scaling of Gifi ("Nonlinear multivariate analysis", 1990), with one
dimension for each column.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from synth.generators._margins import Margin

PASSES = 3  # over the nominal columns: the order of one tells about the others
AVERAGES = 12  # reciprocal averagings per column and pass
MOST_CELLS = 5_000_000  # scores that tell the orders, all columns together: of rows drawn at random
FEWEST_ROWS = 2_000  # ... but of so many rows at least
MOST_ROWS = 50_000
MOST_OTHERS = 48  # other columns that tell the order of one, the most associated ones
RARE = 10.0  # rows that a level's mean is drawn toward the middle with: a rare one has no place of its own


def ordered(
    margins: Mapping[str, Margin], codes: Mapping[str, np.ndarray], ordinal: Collection[str], rng: np.random.Generator
) -> dict[str, Margin]:
    """The margins with the levels of nominal columns in order. codes: int32 of shape (rows,) by column, -1 is null."""
    names = list(margins)
    nominal = [name for name in names if name not in ordinal and _is_nominal(margins[name])]
    if not nominal or len(names) < 2:
        return dict(margins)
    rows = len(codes[names[0]])
    most = min(MOST_ROWS, max(FEWEST_ROWS, MOST_CELLS // len(names)))
    some = np.sort(rng.choice(rows, most, replace=False)) if rows > most else np.arange(rows)
    seen = {name: codes[name][some] for name in names}
    found = dict(margins)
    scores = np.empty((len(some), len(names)), order="F")
    place_of = {name: place for place, name in enumerate(names)}
    for name, place in place_of.items():
        scores[:, place] = _scores(found[name], seen[name])
    unordered = np.array([place_of[name] for name in nominal])
    for round_ in range(PASSES):
        strength = np.abs(scores.T @ scores)
        for name in nominal:
            place = place_of[name]
            others = _others(strength[place], place, unordered if round_ == 0 else unordered[:0])
            along = _along_axis(scores[:, others], seen[name], found[name].book.levels, rng)
            found[name] = replace(found[name], order=np.argsort(along, kind="stable"))
            scores[:, place] = _scores(found[name], seen[name])
    return found


def _is_nominal(margin: Margin) -> bool:
    return not margin.book.is_number and int((margin.book.counts > 0).sum()) > 2


def _scores(margin: Margin, codes: np.ndarray) -> np.ndarray:
    return np.asarray(np.append(margin.scores, 0.0)[codes])


def _others(strength: np.ndarray, place: int, unordered: np.ndarray) -> np.ndarray:
    """The columns that tell the order of one: those that have an order of their own, where there are any."""
    rest = np.setdiff1d(np.arange(len(strength)), [place])
    known = np.setdiff1d(rest, unordered)
    rest = known if len(known) else rest
    if len(rest) <= MOST_OTHERS:
        return rest
    return np.sort(rest[np.argsort(-strength[rest], kind="stable")[:MOST_OTHERS]])


def _along_axis(others: np.ndarray, codes: np.ndarray, levels: int, rng: np.random.Generator) -> np.ndarray:
    """The place of each level on the first axis of the levels' means, of shape (levels,)."""
    valid = codes >= 0
    others, codes = others[valid], codes[valid]
    counts = np.bincount(codes, minlength=levels) + RARE
    axis = rng.standard_normal(others.shape[1])
    along = np.zeros(levels)
    for _ in range(AVERAGES):
        along = np.bincount(codes, weights=others @ axis, minlength=levels) / counts
        axis = others.T @ along[codes]
        length = np.linalg.norm(axis)
        if length == 0:
            break
        axis /= length
    return along
