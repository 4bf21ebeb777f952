"""Rows under a condition have the law that picking them out of many free rows would give them, wherever its columns come."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth.data.conditions import Where
from synth.data.encoding import encode
from synth.data.table import Table
from synth.errors import ConditionError, GenerationError
from synth.generators import _given
from synth.generators._given import Rows
from synth.generators.trees import Trees


@pytest.fixture(scope="module")
def real() -> Table:
    """A class of 30 levels that hangs on numbers which are drawn before it, since they have fewer distinct values; nulls."""
    rng = np.random.default_rng(0)
    n = 12_000
    colour = rng.choice(["red", "green", "blue"], n, p=[0.7, 0.2, 0.1])
    size = rng.integers(0, 12, n) + 6 * (colour == "blue")
    weight = np.round(size + rng.normal(0, 2, n))
    grade = np.clip(np.round(size + 0.5 * weight + rng.normal(0, 1.5, n)), 0, 29).astype(int)
    price = np.round(np.exp(rng.normal(0.1 * size, 0.4)) * 10, 2)
    return synth.read(
        pa.table(
            {
                "colour": colour,
                "size": pa.array(size, mask=rng.random(n) < 0.1),
                "weight": weight,
                "grade": [f"g{i}" for i in grade],
                "price": price,
            }
        ),
    )


@pytest.fixture(scope="module")
def model(real: Table) -> Trees:
    return Trees(condition_on=()).fit(real)


@pytest.fixture(scope="module")
def free(model: Trees) -> Table:
    return model.sample(600_000, seed=99)


CONDITIONS = [
    "grade in ('g20', 'g21', 'g22')",
    "colour = 'red' and grade in ('g20', 'g22')",
    "weight between 9 and 11 and grade = 'g17'",
    "price > 40 and colour != 'blue'",
    "price between 20 and 24 and size > 6 and grade in ('g11', 'g12', 'g13', 'g14')",
    "size is null and weight > 10",
    "size is not null and price < 5",
    "weight = 3 and size in (2, 5)",
]


def numbers(rows: Table, name: str) -> np.ndarray:
    return np.asarray(rows.column(name).to_numpy(), dtype=np.float64)


def gaps(a: Table, b: Table) -> dict[str, float]:
    """How far two samples are apart, column by column and for each pair with the colour, in units of what chance explains.

    Kolmogorov-Smirnov's distance for numbers (nulls as the lowest) and the largest difference of a level for categories, each
    over its standard error: about 1 by chance, above 2.5 in one of ten thousand samples.
    """
    scale = np.sqrt(1 / len(a) + 1 / len(b))
    found = {}
    for name in a.columns:
        for colour in (None, "red", "blue"):
            sides = []
            for rows in (a, b):
                values = rows.arrow.column(name).to_pandas()
                if values.dtype == object:
                    values = values.str.removeprefix("g").map(lambda text: float(text) if text.isdigit() else float(len(text)))
                apart = np.asarray(rows.column("colour")) == colour if colour else True
                sides.append(np.sort(np.where(apart, values.fillna(-1e9).to_numpy(dtype=np.float64), np.inf)))
            grid = np.union1d(*sides)
            at = [np.searchsorted(side, grid, "right") / len(side) for side in sides]
            found[f"{name} {colour or ''}"] = float(np.abs(at[0] - at[1]).max() / scale)
    return found


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_rows_are_those_that_rejection_would_give(model: Trees, free: Table, condition: str) -> None:
    rows, picked = model.sample(20_000, where=condition), free.where(condition)
    assert len(rows.where(condition)) == len(rows) == 20_000
    assert len(picked) > 1_000
    assert max(gaps(rows, picked).values()) < 2.5
    made = rows.provenance
    assert made is not None
    assert made.acceptance is not None
    assert made.effective_rows == pytest.approx(20_000, rel=0.02)
    assert made.acceptance > 0.015
    assert made.notice is None


class Blind:
    """A share of 1 for every row: columns are then restricted in turn, and no weight makes good for it."""

    def __init__(self, within: Any) -> None:
        self.within, self.share = within, (within.share > 0).astype(float)

    def take(self, rows: np.ndarray) -> Blind:
        return Blind(self.within.take(rows))


class InTurn(Trees):
    def _within(self, name: str, part: Any, rows: Rows) -> Any:
        return Blind(super()._within(name, part, rows))

    def _draw_within(self, name: str, within: Any, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        return super()._draw_within(name, within.within, rows, rng)

    def _highest_share(self, name: str, part: Any) -> float:
        return 1.0


class NearMisses(Trees):
    """Values near a range pass for values in it: the draw is moved to the bound, and not turned down."""

    def _draw_within(self, name: str, within: Any, rows: Rows, rng: np.random.Generator) -> np.ndarray:
        values = super()._draw_within(name, within, rows, rng)
        return np.clip(values, 20, 24) if name == "price" else values


@pytest.mark.parametrize(
    ("fault", "condition"), [(InTurn, CONDITIONS[0]), (InTurn, CONDITIONS[3]), (NearMisses, CONDITIONS[4])]
)
def test_a_sampler_that_restricts_columns_in_turn_is_seen(real: Table, free: Table, fault: type[Trees], condition: str) -> None:
    rows = fault(condition_on=()).fit(real).sample(20_000, where=condition)
    assert len(rows.where(condition)) == 20_000
    assert max(gaps(rows, free.where(condition)).values()) > 3.5


def test_one_row_alone_has_the_law_of_many(model: Trees) -> None:
    condition = "price > 40 and grade in ('g20', 'g21', 'g22', 'g23')"
    many = model.sample(20_000, where=condition, seed=7)
    alone = Table.concat([model.sample(1, where=condition, seed=seed) for seed in range(500)])
    last = Table.concat([model.sample(30, where=condition, seed=seed).take([29]) for seed in range(500)])
    for rows in (alone, last, many.head(2_000), many.take(np.arange(18_000, 20_000))):
        assert max(gaps(rows, many).values()) < 2.5


def test_where_bounds_give_way_the_law_stays(model: Trees, free: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rare condition: bounds give way to the largest share seen, and then to copies, which the effective size tells."""
    condition = CONDITIONS[1]
    picked = free.where(condition)
    monkeypatch.setattr(_given, "EXACT_PER_ROW", 1)
    seen = model.sample(20_000, where=condition, seed=3)
    assert seen.provenance.effective_rows > 19_500
    assert max(gaps(seen, picked).values()) < 2.5
    monkeypatch.setattr(_given, "MOST_STARTED", 300_000)
    monkeypatch.setattr(_given, "MOST_PER_ROW", 1)
    copied = model.sample(20_000, where=condition, seed=3)
    worth = copied.provenance.effective_rows
    assert 2_000 < worth < 15_000
    assert copied.provenance.notice is None or "independent" in copied.provenance.notice
    assert len(copied.where(condition)) == 20_000
    thin = SimpleNamespace(scale=np.sqrt((1 / worth + 1 / len(picked)) / (1 / 20_000 + 1 / len(picked))))
    assert max(gaps(copied, picked).values()) < 2.5 * thin.scale
    for rows in (copied.head(1_000), copied.take(np.arange(19_000, 20_000))):  # copies do not lie side by side
        assert max(gaps(rows, picked).values()) < 3


def test_what_the_model_cannot_give_is_refused_at_once(real: Table, model: Trees) -> None:
    started = time.perf_counter()
    with pytest.raises(ConditionError, match="lies between"):
        model.sample(5, where="price > 100000000")
    with pytest.raises(GenerationError, match=r"probability below .*\n?.*widen the condition|no training row was near"):
        model.sample(5, where="grade = 'g29' and weight < 0 and size = 1 and price < 4")
    declared = real.take(np.flatnonzero(np.asarray(real.column("colour")) != "blue"))
    with pytest.raises(GenerationError, match="no training row was near"):
        Trees().fit(declared).sample(5, where="colour = 'blue'")
    with pytest.raises(ConditionError, match="no row can satisfy"):
        model.sample(5, where="colour = 'red' and weight is null")
    assert time.perf_counter() - started < 60  # no bound on speed: only that it ends


def test_the_same_seed_gives_the_same_rows_and_another_does_not(model: Trees) -> None:
    first, again, other = (model.sample(300, where=CONDITIONS[0], seed=seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_rows_without_a_condition_say_nothing_of_one(model: Trees) -> None:
    made = model.sample(10).provenance
    assert made.effective_rows is made.acceptance is made.notice is None
    assert "effective_rows" not in made.to_dict()
    assert model.sample(10, where=CONDITIONS[0]).provenance.to_dict()["effective_rows"] == pytest.approx(10)


def test_a_condition_is_parsed_once_and_kept_whole(model: Trees) -> None:
    where = Where.parse(CONDITIONS[4], model.fitted.schema)
    assert model.sample(50, where=where).equals(model.sample(50, where=str(where)))


# real data -----------------------------------------------------------------------------------------------------------------

RICH = "age between 30 and 35 and occupation in ('Sales','Tech-support') and income = '>50K'"


def shares(rows: Table, name: str, edges: np.ndarray) -> np.ndarray:
    """How the values of a column spread: over its levels, or over bins for numbers."""
    encoded = encode(rows, (name,))[name]
    if encoded.levels is not None:
        return np.bincount(encoded.values + 1, minlength=encoded.levels + 1) / len(rows)
    return np.bincount(np.digitize(encoded.values, edges), minlength=len(edges) + 1) / len(rows)


@pytest.mark.parametrize("target", [None, "income"])
def test_a_hundred_thousand_rows_of_one_in_two_hundred_match_the_real_ones(
    shared_data: Callable[[str], Path], target: str | None
) -> None:
    real = synth.read(shared_data("adult_train.parquet"), target=target)
    rows = Trees(condition_on=()).fit(real).sample(100_000, where=RICH)
    assert len(rows.where(RICH)) == len(rows) == 100_000
    assert rows.provenance.effective_rows > 99_000
    slice_ = real.where(RICH)
    rng = np.random.default_rng(0)
    for name in real.columns:
        column = encode(slice_, (name,))[name]
        edges = np.array([]) if column.is_category else np.unique(np.quantile(column.values, np.linspace(0, 1, 9)[1:-1]))
        wanted, found = shares(slice_, name, edges), shares(rows, name, edges)
        few = [shares(rows.take(rng.choice(len(rows), len(slice_))), name, edges) for _ in range(200)]
        noise = np.quantile([np.abs(other - found).sum() / 2 for other in few], 0.999)
        assert np.abs(wanted - found).sum() / 2 <= noise + 1e-9, name
