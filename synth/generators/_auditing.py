"""A model audited: its method, with its settings and its budget, fitted again and again on the worst pair of data sets.

The real rows are not asked for, and nothing is spent on them: the fits are of made-up rows, on a ledger that is thrown away.
What is tried is the whole path of a fit, from the declaration to the rows that are drawn.
"""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa

from synth.data.schema import Column, Kind, Schema
from synth.data.table import Table
from synth.errors import ConfigError
from synth.generators._factors import NoisyMarginal
from synth.generators.base import Generator
from synth.privacy.audit import (
    WORST,
    Attempts,
    Audit,
    audit_epsilon,
    audit_mu,
    claimed_mu,
    gaussian_control,
    likelihood_ratio,
)
from synth.privacy.budget import Budget
from synth.progress import Progress, silent

CONTROL = 1_783_000  # micro-ρ of the release that shows that the audit sees: ε = 10, since less takes more runs
DRAWN = 100  # rows from each model, for an attacker who sees rows alone
_NAMES = ("a", "b", "c")
_DECLARED = ("kind", "categories", "nullable")
SCHEMA = Schema(tuple(Column(name, Kind.CATEGORICAL, categories=("0", "1"), declared=_DECLARED) for name in _NAMES))


def audits_of(model: Generator, *, runs: int, progress: Progress = silent) -> list[Audit]:
    """The control, then what was tried on the model's method: so many fits a side.

    White box, where the method keeps its noisy measurements: the least μ beside √(2ρ). Black box: the least ε, by how many of
    the rows drawn are the unit's. Raises ConfigError for a model without a budget, which claims nothing.
    """
    receipt = model.receipt
    if receipt is None:
        raise ConfigError(
            f"this {model.name} was fitted without a privacy budget, and claims nothing that could be audited; "
            "fit one with --epsilon"
        )
    share = 0.0 if model.judging is None else model.judging.micro_rho / receipt.budget.micro_rho
    return audits_under(model, receipt.budget, runs=runs, judging_share=share, progress=progress)


def audits_under(
    method: Generator, budget: Budget, *, runs: int, judging_share: float = 0.0, progress: Progress = silent
) -> list[Audit]:
    """The same for a method that need not be fitted, before anything is spent: at its settings, under this budget.

    Raises ConfigError for a method that takes no budget.
    """
    if not method.private:
        raise ConfigError(f"{method.name} takes no privacy budget, so there is nothing to audit: {method.refusal}")
    if runs < 4:
        raise ConfigError(f"runs is {runs}; give 4 or more, and some hundreds for a bound that says anything")
    row = Budget(budget.epsilon, budget.delta)  # for a row: noise grows with a subject's rows as they do
    white, black = _tried(method, row, judging_share, runs, progress)
    found = [gaussian_control(CONTROL)]
    if white is not None:
        found.append(audit_mu(f"{method.name}, its noisy counts", claimed_mu(row.micro_rho), white))
    return [*found, audit_epsilon(f"{method.name}, rows drawn", row.epsilon, row.delta, black, confidence=0.99)]


def _tried(
    model: Generator, budget: Budget, judging_share: float, runs: int, progress: Progress
) -> tuple[Attempts | None, Attempts]:
    """Fit both data sets so often: scores of the noisy counts, where there are any, and of the rows."""
    numbers = count(1)
    white: list[list[float]] = [[], []]
    black: list[list[float]] = [[], []]
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs):
            for side, codes in enumerate((WORST.without, WORST.with_)):
                number = next(numbers)
                fitted = type(model)(**model.get_params())
                books = Path(folder) / f"{number}.sqlite"
                fitted.fit(_table(codes), budget=budget, dataset="made-up", ledger=books, judging_share=judging_share)
                rows = fitted.sample_table(DRAWN, seed=number)
                black[side].append(float(_ones(rows)))
                measured = list(getattr(fitted, "measurements", ()))
                measured += [] if fitted.judging is None else fitted.judging.released
                if measured:
                    named = [NoisyMarginal(tuple(map(_NAMES.index, names)), counts, sigma) for names, counts, sigma in measured]
                    white[side].append(likelihood_ratio(named, WORST))
            progress("audit", run + 1, runs)
    seen = Attempts(np.array(white[0]), np.array(white[1])) if white[0] else None
    return seen, Attempts(np.array(black[0]), np.array(black[1]))


def _table(codes: np.ndarray) -> Table:
    columns = {name: pa.array([str(code) for code in codes[:, place]]) for place, name in enumerate(_NAMES)}
    return Table(pa.table(columns), SCHEMA)


def _ones(rows: Table) -> int:
    """How many rows are the unit's."""
    values = [np.array([value == "1" for value in rows.column(name).to_pylist()]) for name in _NAMES]
    return int(np.logical_and.reduce(values).sum())
