"""What `benchmarks.private` measures of synthetic rows: the same for every method, in the same run.

Two of the figures are taken from `synth.metrics`, without their intervals: these hold many fits together, and the
page shows the spread over fits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

import synth
from synth.data.encoding import encode
from synth.data.table import Table
from synth.metrics.contest import reached
from synth.metrics.evidence import Evidence, conform

MOST_SETS = 400
CUTS = 20
ATTACK = "privacy.membership_tpr"
TSTR = "utility.tstr"


def figures(train: Table, holdout: Table, fake: Table, *, attack: bool) -> dict[str, Any]:
    """All figures of synthetic rows. attack: whether members are looked for too, which costs more than all else together."""
    found = {f"tvd{ways}": tvd(train, fake, ways) for ways in (2, 3)} | {"group": worst_group(train, fake)}
    measured = synth.evaluate(train, holdout, fake, only=["fidelity.shape", *([ATTACK] if attack else [])])
    scores = {m.name: m.score for m in measured if not m.columns and m.group is None}
    found |= {name: None if score is None else [score.value, score.low, score.high] for name, score in scores.items()}
    made = Table(conform(train, fake.arrow), train.schema)
    return found | {TSTR: reached(Evidence(train, holdout, made, seed=0), "synthetic")}


def real_figures(train: Table, holdout: Table) -> dict[str, Any]:
    """What held-out rows score in place of synthetic ones, and what models trained on the training rows reach."""
    found = {f"tvd{ways}": tvd(train, holdout, ways) for ways in (2, 3)} | {"group": worst_group(train, holdout)}
    shape = synth.evaluate(train, holdout, holdout, only="fidelity.shape")["fidelity.shape"].score
    return found | {
        "fidelity.shape": None if shape is None else [shape.value, shape.low, shape.high],
        TSTR: reached(Evidence(train, holdout, train, seed=0), "train"),
    }


def tvd(train: Table, fake: Table, ways: int) -> float:
    """Mean total variation of the tables of so many columns."""
    codes, sizes = cut(train, fake)
    sets = list(combinations(range(len(sizes)), ways))
    if len(sets) > MOST_SETS:
        sets = [sets[i] for i in np.random.default_rng(0).permutation(len(sets))[:MOST_SETS]]
    return float(np.mean([_apart([side[:, list(few)] for side in codes], [sizes[i] for i in few]) for few in sets]))


def worst_group(train: Table, fake: Table) -> float:
    """The largest mean total variation of single columns within a group of a sensitive column."""
    codes, sizes = cut(train, fake)
    names = [column.name for column in train.schema.learned]
    worst = 0.0
    for column in train.schema.sensitive:
        place = names.index(column.name)
        for level in range(sizes[place]):
            inside = [side[side[:, place] == level] for side in codes]
            if len(inside[0]) < 0.01 * len(codes[0]):
                continue
            if not len(inside[1]):
                return 1.0
            each = [_apart([s[:, [i]] for s in inside], [sizes[i]]) for i in range(len(sizes)) if i != place]
            worst = max(worst, float(np.mean(each)))
    return worst


def cut(train: Table, fake: Table) -> tuple[list[np.ndarray], list[int]]:
    """Both tables as codes, int64 of shape (rows, columns), and how many each column has."""
    sides, codes, sizes = [encode(train), encode(Table(fake.arrow, train.schema))], [[], []], []
    for name in sides[0]:
        values = [side[name].values for side in sides]
        if sides[0][name].is_category:
            cells = [part.astype(np.int64) + 1 for part in values]
            sizes.append(int(sides[0][name].levels or 0) + 1)
        else:
            edges = np.unique(np.nanquantile(values[0], np.linspace(0, 1, CUTS + 1)[1:-1]))
            cells = [np.where(np.isnan(v), 0, np.searchsorted(edges, v, side="right") + 1) for v in values]
            sizes.append(len(edges) + 2)
        for side, part in zip(codes, cells, strict=True):
            side.append(part)
    return [np.column_stack(side) for side in codes], sizes


def _apart(sides: Sequence[np.ndarray], sizes: Sequence[int]) -> float:
    whole = math.prod(sizes)
    flat = [np.ravel_multi_index(tuple(side.T), tuple(sizes)) for side in sides]
    shares = [np.bincount(each, minlength=whole) / len(each) for each in flat]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)
