"""Rows that satisfy all that is asked: what a method cannot condition on is drawn and turned down, under a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synth.data.conditions import Where
from synth.data.constraints import broken_rows, within_range, without_repeats
from synth.data.table import Table
from synth.errors import GenerationError
from synth.generators._effort import Drawn, Effort
from synth.progress import Progress

if TYPE_CHECKING:
    from synth.generators.base import Generator

# Rejection gives up after this many draws per requested row, and never before a hundred thousand.
MAX_DRAWS_PER_ROW = 1_000
MIN_DRAWS = 100_000
ENOUGH = 1_000  # rows that tell the acceptance rate; where draws give fewer, more draws will not do either
MAX_BATCH = 500_000


def draw(model: Generator, n: int, where: Where, rng: np.random.Generator, progress: Progress) -> tuple[Table, Effort]:
    """n rows of the learned columns that satisfy the condition and the constraints, and what they cost.

    Raises GenerationError where too few are found, or the method finds none.
    """
    fitted = model.fitted
    direct = where.on(fitted.learned_schema)
    kept: list[Table] = []
    have, drawn, ask = 0, 0, max(1, min(n, MAX_BATCH))
    effort = Effort()
    while have < n or not kept:
        rows = model._sample_where(ask, direct, rng) if direct else model._sample(ask, rng)
        made = fitted.rebuild(rows)
        good = where.mask(made) & within_range(made, fitted.seen)
        for broken in broken_rows(made).values():
            good &= ~broken
        cost = rows.effort if isinstance(rows, Drawn) else Effort(ask, ask, ask)
        effort += cost.less(float(good.mean()))
        drawn += ask
        kept = without_repeats([*kept, made if good.all() else made.filter(good)])
        have = sum(len(part) for part in kept)
        progress("sample", min(have, n), n)
        limit = max(MIN_DRAWS, MAX_DRAWS_PER_ROW * min(n, max(have, ENOUGH)))  # hopeless whatever n is
        if have < n and drawn >= limit:
            raise GenerationError(
                f"only {have:,} of {drawn:,} rows drawn satisfy {where or 'the constraints'} "
                f"(acceptance {have / drawn:.2g}); {n:,} were asked for.\n"
                "Ask for fewer rows, or widen the condition."
            )
        rate = (have + 1) / (drawn + 1)
        ask = int(min(MAX_BATCH, max(1_000, 1.1 * (n - have) / rate), max(1, limit - drawn)))
    return Table.concat(kept).head(n), effort
