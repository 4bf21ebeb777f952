"""What a diffusion keeps of a table, what its conditions mean, and what it refuses."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth.data.table import Table
from synth.errors import ConfigError, GenerationError, MissingExtraError
from synth.generators import _clamping
from synth.generators.base import Generator
from synth.generators.diffusion import Diffusion
from synth.generators.independent import Independent
from synth.scale import Processes

for package in ("torch", "lightning_fabric", "diffusers"):
    pytest.importorskip(package)

SMALL: dict[str, Any] = {"width": 96, "blocks": 2, "batch_rows": 128, "steps": 20}


def numbers(rows: Table, name: str) -> np.ndarray:
    return np.asarray(rows.column(name).to_numpy(), dtype=np.float64)


def share(rows: Table, condition: str) -> float:
    return len(rows.where(condition)) / len(rows)


@pytest.fixture(scope="module")
def real() -> Table:
    """A group that decides on a number with a spike and nulls, and on a whole number that goes with it."""
    rng = np.random.default_rng(0)
    n = 6_000
    group = rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1])
    middle = np.select([group == "a", group == "b"], [0.0, 4.0], 8.0)
    value = np.round(middle + rng.normal(size=n), 4)
    value = np.where((group == "a") & (rng.random(n) < 0.4), 0.0, value)
    count = np.clip(np.round(10 * middle + 8 * (value - middle) + rng.normal(0, 3, n)), -40, 140).astype(int)
    missing = (group == "b") & (rng.random(n) < 0.5)
    city = [f"c{i}" for i in np.minimum(rng.geometric(0.3, n), 8)]
    return synth.read(pa.table({"group": group, "value": pa.array(value, mask=missing), "count": count, "city": city}))


@pytest.fixture(scope="module")
def model(real: Table) -> Diffusion:
    return Diffusion(epochs=40, **SMALL).fit(real)


@pytest.fixture(scope="module")
def free(model: Diffusion) -> Table:
    return model.sample(20_000, seed=1)


def test_relations_survive_that_independent_columns_lose(real: Table, free: Table) -> None:
    floor = Independent().fit(real).sample(5_000)
    for rows, kept in ((free, True), (floor, False)):
        near = [abs(np.nanmedian(numbers(rows.where({"group": g}), "value")) - m) < 0.4 for g, m in (("b", 4), ("c", 8))]
        assert all(near) == kept
    for group in ("a", "b", "c"):
        assert share(free, f"group = '{group}'") == pytest.approx(share(real, f"group = '{group}'"), abs=0.03)
        slices = [rows.where(f"group = '{group}' and value is not null and value != 0") for rows in (real, free)]
        wanted, found = (np.corrcoef(numbers(rows, "value"), numbers(rows, "count"))[0, 1] for rows in slices)
        assert found == pytest.approx(wanted, abs=0.2)


def test_spikes_and_nulls_keep_their_company(real: Table, free: Table) -> None:
    assert np.mean(numbers(free.where("group = 'a'"), "value") == 0) == pytest.approx(0.4, abs=0.04)
    assert np.mean(numbers(free.where("group != 'a' and value is not null"), "value") == 0) < 0.01
    assert share(free.where("group = 'b'"), "value is null") == pytest.approx(0.5, abs=0.05)
    assert share(free.where("group != 'b'"), "value is null") < 0.02
    assert set(np.unique(numbers(free, "count"))) <= set(np.unique(numbers(real, "count")))
    spread = numbers(free.where("value != 0"), "value")
    assert not np.isin(spread, numbers(real, "value")).all(), "near-unique numbers are not copied"
    assert spread.min() >= np.nanmin(numbers(real, "value"))


CONDITIONS = [
    "group = 'c'",
    "value is null",
    "value = 0",
    "group in ('b', 'c')",
    "city in ('c1', 'c3') and group = 'b'",
    "count between 10 and 60",
    "value > 1 and city in ('c1', 'c2')",
    "value > 6 and count > 50",
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_gives_about_the_rows_that_rejection_would(model: Diffusion, free: Table, condition: str) -> None:
    direct, picked = model.sample(4_000, where=condition, seed=2), free.where(condition)
    assert len(direct.where(condition)) == 4_000
    for name in ("a", "b", "c"):
        error = 4 * np.sqrt(0.25 / len(picked))
        assert share(direct, f"group = '{name}'") == pytest.approx(share(picked, f"group = '{name}'"), abs=0.05 + error)
    for name in ("value", "count"):
        x, y = (np.sort(numbers(rows.where(f"{name} is not null"), name)) for rows in (direct, picked))
        if min(len(x), len(y)) < 50:
            continue
        grid = np.union1d(x, y)
        gap = np.abs(np.searchsorted(x, grid, "right") / len(x) - np.searchsorted(y, grid, "right") / len(y)).max()
        assert gap < 0.1 + 1.8 * np.sqrt(1 / len(x) + 1 / len(y)), name


def test_equalities_are_not_rejected_for_and_say_what_they_are_worth(model: Diffusion) -> None:
    rows = model.sample(500, where="group = 'c' and city = 'c8'")
    assert rows.provenance is not None
    assert rows.provenance.acceptance == 1
    assert rows.provenance.effective_rows == 500
    rows = model.sample(500, where="value > 6 and group = 'a'")  # hardly any: beginnings are weighed
    assert len(rows.where("value > 6 and group = 'a'")) == 500
    assert rows.provenance is not None
    assert 50 <= rows.provenance.effective_rows <= 500


def test_a_condition_no_training_row_was_near_is_refused() -> None:
    rng = np.random.default_rng(8)
    columns = (
        synth.Column("city", "categorical", categories=("a", "b", "never")),
        synth.Column("few", "integer", minimum=0, maximum=9),
        synth.Column("many", "decimal", minimum=0, maximum=99, nullable=True),
    )
    rows = pa.table({"city": rng.choice(["a", "b"], 90), "few": rng.choice([1, 2, 5], 90), "many": rng.random(90)})
    made = Diffusion(epochs=1, **SMALL).fit(Table(rows, synth.Schema(columns)))
    for condition in ("city = 'never'", "few = 3", "few in (3, 4)", "many = 7", "many > 8", "many is null", "many in (7, 8)"):
        with pytest.raises(GenerationError, match="widen the condition"):
            made.sample(5, where=condition)
    assert len(made.sample(5, where="few between 2 and 4 and many < 0.5")) == 5


def test_missing_cells_are_drawn_given_the_others(real: Table, model: Diffusion) -> None:
    rng = np.random.default_rng(3)
    whole = real.where("value is not null").head(2_000)
    hidden = rng.random(2_000) < 0.3
    holes = whole.arrow.set_column(1, "value", pa.array(numbers(whole, "value"), mask=hidden))
    filled = model.impute(Table(holes, real.schema))
    error = np.abs(numbers(filled, "value") - numbers(whole, "value"))[hidden]
    assert np.median(error) < 0.8
    assert (numbers(filled, "value") == numbers(whole, "value"))[~hidden].all()


def test_guidance_overstates_a_condition(real: Table, model: Diffusion) -> None:
    def spread(guidance: float) -> float:
        model.set_params(guidance=guidance)
        return float(np.std(numbers(model.sample(3_000, where="group = 'c'"), "count")))

    try:
        assert spread(3.0) < 0.9 * spread(1.0)
    finally:
        model.set_params(guidance=1.0)


@pytest.mark.slow
def test_workers_write_the_rows_that_this_process_would(
    model: Diffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Generator, "_shard_rows", 300)
    files = [
        model.sample_to(tmp_path / f"{k}.parquet", 700, where="count > 5", seed=4, workers=workers)
        for k, workers in enumerate((None, Processes(2)))
    ]
    assert len({hashlib.sha256(file.read_bytes()).hexdigest() for file in files}) == 1


def test_a_category_of_a_hundred_thousand_levels_stays_small() -> None:
    rng = np.random.default_rng(5)
    n = 100_000
    code = rng.permutation(n)
    table = synth.read(pa.table({"code": [f"k{i:06d}" for i in code], "half": np.where(code < n // 2, "low", "high")}))
    coded = synth.Column("code", "categorical", categories=tuple(f"k{i:06d}" for i in range(n)))
    schema = synth.Schema((coded, *table.schema.columns[1:]))
    made = Diffusion(width=16, blocks=1, epochs=1, batch_rows=4_096, steps=4).fit(table.with_schema(schema))
    assert sum(values.size for values in made._weights.values()) < 40_000, "a state for every level would need 100,000 × 16"
    rows = made.sample(2_000)
    assert len(set(rows.column("code").to_pylist())) > 1_800
    assert set(made.sample(20, where="code = 'k000123'").column("code").to_pylist()) == {"k000123"}


def test_two_tokens_of_one_category_know_of_each_other() -> None:
    """A level is told by two digits, of which the second is drawn once the first is known."""
    rng = np.random.default_rng(6)
    levels = rng.choice(40_000, 400, replace=False)
    code = levels[rng.integers(0, 400, 4_000)]
    table = synth.read(pa.table({"code": [f"k{i:06d}" for i in code], "half": np.where(code < 20_000, "low", "high")}))
    coded = synth.Column("code", "categorical", categories=tuple(sorted({f"k{i:06d}" for i in levels})))
    schema = synth.Schema((coded, *table.schema.columns[1:]))
    made = Diffusion(epochs=25, **SMALL).fit(table.with_schema(schema))
    frame = made.sample(4_000).to_pandas()
    right = (frame["code"].astype(str) < "k020000") == (frame["half"].astype(str) == "low")
    assert right.mean() > 0.9


def test_dull_tables_work() -> None:
    constant = pa.table({"x": [1.5] * 30, "y": ["a"] * 30, "z": pa.array([None] * 30, pa.float64())})
    schema = synth.Schema(
        (
            synth.Column("x", "decimal"),
            synth.Column("y", "categorical", categories=("a", "b")),
            synth.Column("z", "decimal", nullable=True),
        )
    )
    for table in (Table(constant, schema), Table(constant, schema).head(2)):
        rows = Diffusion(epochs=1, **SMALL).fit(table).sample(10)
        assert rows.to_pandas().drop_duplicates().shape[0] == 1
    with pytest.raises(GenerationError, match="null in every training row"):
        Diffusion(epochs=1, **SMALL).fit(Table(constant, schema)).impute(Table(constant, schema))


@pytest.mark.parametrize(
    "params", [{"width": 2}, {"steps": 1}, {"shown": 1.5}, {"guidance": -1}, {"dropout": 0.95}, {"blocks": 0}]
)
def test_hyperparameters_out_of_range_are_refused(params: dict[str, Any], real: Table) -> None:
    with pytest.raises(ConfigError, match=next(iter(params))):
        Diffusion(**params).fit(real)


def test_a_missing_package_is_named(real: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr("synth.generators._training.find_spec", lambda name: None if name == "diffusers" else there(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'synth\[torch\]'"):
        Diffusion().fit(real)


def test_candidates_are_drawn_in_proportion_to_their_weight() -> None:
    rng = np.random.default_rng(7)
    rows, effective = _clamping._resampled(np.log(np.array([1.0, 2.0, 1.0])), 4_000, rng)
    assert np.bincount(rows) == pytest.approx([1_000, 2_000, 1_000], abs=1)
    assert effective < 4
