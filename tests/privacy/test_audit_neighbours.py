"""Neighbouring tables under a full declaration cannot be told apart, and what does tell them apart is named."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from typing import Any

import numpy as np
import pytest

from synth.data.table import Table
from synth.errors import SchemaError
from synth.generators._exact_counts import ExactCounts
from synth.generators.marginals import Marginals, learn
from synth.privacy.allowance import Allowance
from synth.privacy.budget import Budget
from synth.privacy.domains import PrivateDomain, encode_rows
from synth.privacy.mechanisms import Noise
from synth.privacy.neighbours import NEIGHBOURS, SCHEMA, told_apart
from synth.progress import silent

pytest.importorskip("opendp", reason="methods under a budget draw their noise by OpenDP, which the extra 'dp' brings")

NO_TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="a network is trained with torch: the extra 'torch'")
METHODS = pytest.mark.parametrize("method", ["mst", "aim", pytest.param("network", marks=NO_TORCH)])
SMALL = {"network": {"components": 16, "iterations": 2}}
EACH = pytest.mark.parametrize("pair", NEIGHBOURS.values(), ids=NEIGHBOURS)


@EACH
def test_neighbours_differ_in_one_legal_row(pair: tuple[Table, Table]) -> None:
    one, other = pair
    assert len(other) == len(one) + 1
    assert other.arrow.slice(0, len(one)).equals(one.arrow)
    assert one.schema == other.schema == SCHEMA


@EACH
@METHODS
def test_a_method_gives_nothing_away_but_through_its_noise(method: Any, pair: tuple[Table, Table]) -> None:
    """All noise is the same, and so large that one row moves no choice: counts differ by that row, and nothing else does."""

    def fit(table: Table) -> Any:
        domain = PrivateDomain.of(encode_rows(table), table.schema)
        counts = ExactCounts(domain.encode(encode_rows(table), table.schema), domain.sizes, domain.names, 1)
        noise = Noise(Allowance(30_600), seed=5)
        how = Marginals(method=method, max_cells=10_000, rounds=2, **{"iterations": 30, **SMALL.get(method, {})})
        _, measured = learn(counts, noise, how, silent)
        return {"domain": domain.to_dict(), "measured": measured, "spent": noise.allowance.spent}

    assert told_apart(fit, *pair, noisy=["measured.*.counts"]) == []


@EACH
@METHODS
def test_a_fit_under_a_budget_gives_nothing_away_but_through_its_noise(method: Any, pair: tuple[Table, Table]) -> None:
    """All that is saved of the model, what it says of itself, and what its rows look like."""
    names = count()

    def fit(table: Table) -> Any:
        model = Marginals(method=method, rounds=2, **{"iterations": 5, **SMALL.get(method, {})})
        model.fit(table, budget=Budget(1.0, 1e-5), dataset=f"people-{next(names)}", noise_seed=5)
        state, arrays = model._state()
        rows = model.sample_table(20)
        assert model.receipt is not None
        return {
            "state": state,
            "arrays": arrays,
            "schema": model.fitted.schema.to_dict(),
            "spent": model.receipt.spent,
            "declared": model.receipt.declared,
            "columns": [str(field) for field in rows.arrow.schema],
            "shown": str(model),
        }

    noisy = ["arrays.*", "state.model.total", "state.domain.columns.*.cuts.share.*"]
    assert told_apart(fit, *pair, noisy=noisy) == []


@dataclass(frozen=True)
class Learned:
    sizes: tuple[int, ...]
    counts: np.ndarray


@pytest.mark.parametrize(
    ("fit", "named"),
    [
        (lambda n: {"rows": n}, "rows: 3 against 4"),
        (lambda n: {"learned": Learned((n, 2), np.zeros(2))}, "learned.sizes.0: 3 against 4"),
        (lambda n: {"learned": Learned((2,), np.zeros(n))}, "learned.counts: _Shape(dtype='float64', shape=(3,))"),
        (lambda n: {"learned": Learned((2,), np.zeros(2, dtype=[int, float][n % 2]))}, "learned.counts: _Shape"),
        (lambda n: {"quantiles": np.array([n])}, "quantiles: values differ"),
        (lambda n: {"a": 1, "b": 2} if n == 3 else {"b": 2, "a": 1}, "given: ['a', 'b'] against ['b', 'a']"),
        (lambda n: [0] * n, "given: 3 entries against 4"),
        (lambda n: {"null": None if n == 3 else False}, "null: None against False"),
        (lambda n: logging.getLogger("synth").info("%d rows", n), "said.0: 'INFO: 3 rows' against 'INFO: 4 rows'"),
        (lambda n: warnings.warn(f"{n} rows", stacklevel=1), "said.0: 'UserWarning: 3 rows'"),
        (lambda n: print(f"{n} rows"), "said.0: '3 rows' against '4 rows'"),
    ],
)
def test_what_differs_is_named(fit: Any, named: str) -> None:
    (found,) = told_apart(fit, 3, 4, noisy=["learned.counts"])
    assert found.startswith(named)


def test_an_error_that_tells_of_a_row_is_named() -> None:
    def fit(values: list[str]) -> None:
        if "rare" in values:
            raise SchemaError("'rare' is not a legal value")

    assert told_apart(fit, ["a"], ["a", "rare"]) == ["error: None against \"SchemaError: 'rare' is not a legal value\""]


def test_noisy_values_may_differ_and_nothing_may_be_left_of_it() -> None:
    def fit(n: int) -> Any:
        return {"measured": [Learned((2,), np.array([n, 1.0]))], "nan": float("nan")}

    assert told_apart(fit, 3, 4, noisy=["measured.*.counts"]) == []
    assert told_apart(fit, 3, 4) == ["measured.0.counts: values differ"]
    assert logging.getLogger().handlers == [h for h in logging.getLogger().handlers if type(h).__name__ != "_Ear"]
